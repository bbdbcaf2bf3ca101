//! Templates: text with `{placeholders}` for identifiers and known claims. A value always stays one value: whoever
//! renders says how it is escaped for its place, or that it cannot stand there.

use crate::{Answer, Ask, Why};

/// Text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Placeholder(String),
}

impl Template {
    /// Every brace belongs to a placeholder of `names`; `{{` and `}}` are braces.
    pub(crate) fn strict(text: &str, names: &[&str]) -> Result<Self, &'static str> {
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else {
                let inner = from.strip_prefix('{').ok_or("has a } that closes nothing")?;
                let (name, after) = inner.split_once('}').ok_or("has a { that nothing closes")?;
                if !names.contains(&name) {
                    return Err("has a placeholder that is not known");
                }
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                pieces.push(Piece::Placeholder(name.to_owned()));
                rest = after;
            }
        }
        literal.push_str(rest);
        pieces.push(Piece::Literal(literal));
        Ok(Self::of(pieces))
    }

    /// `{name}` of `names` is a placeholder; every other brace stands for itself.
    pub(crate) fn lenient(text: &str, names: &[&str]) -> Self {
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some((before, from)) = rest.split_once('{') {
            literal.push_str(before);
            match from.split_once('}').filter(|(name, _)| names.contains(name)) {
                Some((name, after)) => {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    pieces.push(Piece::Placeholder(name.to_owned()));
                    rest = after;
                }
                None => {
                    literal.push('{');
                    rest = from;
                }
            }
        }
        literal.push_str(rest);
        pieces.push(Piece::Literal(literal));
        Self::of(pieces)
    }

    fn of(mut pieces: Vec<Piece>) -> Self {
        pieces.retain(|piece| *piece != Piece::Literal(String::new()));
        Self(pieces)
    }

    /// The names of the placeholders, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Placeholder(name) => Some(name.as_str()),
        })
    }

    /// What stands before the first placeholder.
    #[must_use]
    pub fn prefix(&self) -> &str {
        match self.0.first() {
            Some(Piece::Literal(text)) => text,
            Some(Piece::Placeholder(_)) | None => "",
        }
    }

    /// The name, where the whole template is one placeholder.
    #[must_use]
    pub fn single(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Piece::Placeholder(name)] => Some(name),
            _ => None,
        }
    }

    /// Fills in the values of an ask. `escape` writes a value for its place, or says why it cannot stand there. The
    /// error is the answer to give: [`Answer::Missing`] or [`Answer::Unfit`].
    pub fn render(
        &self,
        ask: &Ask,
        escape: impl Fn(&str, &mut String) -> Result<(), &'static str>,
    ) -> Result<String, Answer> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Placeholder(name) => {
                    let value = ask.text(name).ok_or_else(|| Answer::Missing(name.clone()))?;
                    escape(&value, &mut text).map_err(|why| Answer::Unfit(name.clone(), Why::from(why)))?;
                }
            }
        }
        Ok(text)
    }

    /// Whether two placeholders stand side by side, so that nothing says where the value of the first ends.
    #[must_use]
    pub fn touches(&self) -> bool {
        self.0.windows(2).any(|pair| matches!(pair, [Piece::Placeholder(_), Piece::Placeholder(_)]))
    }

    /// Fills in the values of an ask as they are, for a place that finds things by the whole text, such as the key of a
    /// store. Two asks have one text only where all their values are the same: a value that the text around it would
    /// end early cannot stand there. The error is the answer to give, as of [`render`](Self::render).
    pub fn render_distinct(&self, ask: &Ask) -> Result<String, Answer> {
        let mut text = String::new();
        for (index, piece) in self.0.iter().enumerate() {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Placeholder(name) => {
                    let value = ask.text(name).ok_or_else(|| Answer::Missing(name.clone()))?;
                    let unfit = |why: &'static str| Answer::Unfit(name.clone(), why.into());
                    if value.is_empty() {
                        return Err(unfit("is empty, and a key needs it"));
                    }
                    let mut after = self.0.iter().skip(index + 1);
                    if let (Some(Piece::Literal(end)), Some(_)) = (after.next(), after.next())
                        && format!("{value}{end}").find(end.as_str()) != Some(value.len())
                    {
                        return Err(unfit("holds what ends it in a key"));
                    }
                    text.push_str(&value);
                }
            }
        }
        Ok(text)
    }
}

/// Writes a value as one segment of a URL's path, whatever is in it: everything but RFC 3986's unreserved characters is
/// percent-encoded. A segment that every reader of URLs takes for a step cannot be written at all.
pub fn segment(value: &str, into: &mut String) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("is empty, and a URL path needs it");
    }
    if value == "." || value == ".." {
        return Err("is a step in a URL path, encoded or not");
    }
    if value.chars().any(char::is_control) {
        return Err("has a control character, and stands in a URL path");
    }
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Map, json};

    use super::*;

    fn ask(user_id: &str) -> Ask {
        Ask {
            application: "acme/feedback".into(),
            user_id: Some(user_id.to_owned()),
            email: None,
            known: Map::from_iter([("seats".to_owned(), json!(3)), ("tags".to_owned(), json!([]))]),
            wanted: Arc::default(),
            time: std::time::Duration::from_secs(1),
        }
    }

    #[test]
    fn placeholders_are_known_or_a_problem() {
        let names = ["user_id", "email"];
        for good in ["user:{user_id}", "{{{user_id}}}", "{email}{user_id}", "plain", ""] {
            assert!(Template::strict(good, &names).is_ok(), "{good}");
        }
        for bad in ["{userid}", "{", "}", "{user_id", "user_id}", "{}", "{{user_id}"] {
            assert!(Template::strict(bad, &names).is_err(), "{bad}");
        }
        let graphql = r#"{"query":"{ user { name } }","id":"{user_id}"}"#;
        let template = Template::lenient(graphql, &names);
        assert_eq!(template.names().collect::<Vec<_>>(), ["user_id"]);
        let raw = |value: &str, text: &mut String| {
            text.push_str(value);
            Ok(())
        };
        assert_eq!(template.render(&ask("u1"), raw), Ok(graphql.replace("{user_id}", "u1")));
    }

    #[test]
    fn a_value_is_rendered_once_and_never_read_again() {
        let template = Template::strict("{{{user_id}}}:{seats}", &["user_id", "seats"]).expect("known");
        let raw = |value: &str, text: &mut String| {
            text.push_str(value);
            Ok(())
        };
        assert_eq!(template.render(&ask("{seats}"), raw).as_deref(), Ok("{{seats}}:3"));
        let missing = Template::strict("{email}", &["email"]).expect("known");
        assert_eq!(missing.render(&ask("u1"), raw), Err(Answer::Missing("email".to_owned())));
        let list = Template::strict("{tags}", &["tags"]).expect("known");
        assert_eq!(list.render(&ask("u1"), raw), Err(Answer::Missing("tags".to_owned())), "a list is no text");
    }

    #[test]
    fn a_distinct_text_belongs_to_its_values_alone() {
        let names = ["user_id", "seats"];
        let rendered = |template: &str, user_id: &str| {
            Template::strict(template, &names).expect("known").render_distinct(&ask(user_id))
        };
        let unfit = |text: &str, why: &'static str| Err(Answer::Unfit(text.to_owned(), why.into()));
        assert_eq!(rendered("user:{user_id}", "a:b").as_deref(), Ok("user:a:b"), "the last one may hold anything");
        assert_eq!(rendered("{user_id}:x", "a:x").as_deref(), Ok("a:x:x"));
        assert_eq!(rendered("{user_id}:{seats}", "a").as_deref(), Ok("a:3"));
        let ends = "holds what ends it in a key";
        assert_eq!(rendered("{user_id}:{seats}", "a:3"), unfit("user_id", ends));
        assert_eq!(rendered("{user_id}::{seats}", "a:"), unfit("user_id", ends), "ambiguous only with what follows");
        assert_eq!(rendered("user:{user_id}", ""), unfit("user_id", "is empty, and a key needs it"));
        for (template, touches) in [("{user_id}{seats}", true), ("{user_id}:{seats}", false), ("a{user_id}", false)] {
            assert_eq!(Template::strict(template, &names).expect("known").touches(), touches, "{template}");
        }
    }

    #[test]
    fn a_segment_stays_one_segment() {
        let one = |value: &str| {
            let mut text = String::new();
            segment(value, &mut text).map(|()| text)
        };
        for (value, written) in [
            ("u1", "u1"),
            ("../admin", "..%2Fadmin"),
            ("a/b", "a%2Fb"),
            ("%2e%2e", "%252e%252e"),
            ("a:b", "a%3Ab"),
            ("a?b#c", "a%3Fb%23c"),
            ("ä\\ '", "%C3%A4%5C%20%27"),
            ("...", "..."),
        ] {
            assert_eq!(one(value).as_deref(), Ok(written), "{value}");
        }
        for value in ["", ".", "..", "a\nb", "a\0b", "\u{7f}"] {
            assert!(one(value).is_err(), "{value:?}");
        }
    }
}
