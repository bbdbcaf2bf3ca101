//! The identity that the flags say, over the one in the file, if any.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail, ensure};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::args::Who;
use super::input::Input;
use super::json;
use crate::grpc::proto::{Company, Identity};

/// The identity, or nothing where nothing of it is given.
pub(super) fn read(who: &Who, input: &mut Input) -> anyhow::Result<Option<Identity>> {
    let base = match &who.identity {
        Some(path) => {
            let text = input.text("--identity", path)?;
            json::parse("Identity", &text).context("--identity")?
        }
        None => Identity::default(),
    };
    let identity = merge(base, who)?;
    Ok((identity != Identity::default()).then_some(identity))
}

/// What the flags say replaces what the base says; companies and attributes are added, or replaced where they have the
/// same id or name.
fn merge(mut base: Identity, who: &Who) -> anyhow::Result<Identity> {
    replace(&mut base.user_id, who.user_id.as_ref());
    replace(&mut base.email, who.email.as_ref());
    replace(&mut base.name, who.name.as_ref());
    replace(&mut base.locale, who.locale.as_ref());
    replace(&mut base.profile_picture, who.profile_picture.as_ref());
    if let Some(text) = &who.created_at {
        base.created_at = Some(timestamp("--created-at", text)?);
    }
    let mut seen = BTreeSet::new();
    for text in &who.company {
        let company: Company = json::parse("Company", text).context("--company")?;
        ensure!(seen.insert(company.id.clone()), "--company: a company comes twice");
        match base.companies.iter_mut().find(|known| known.id == company.id) {
            Some(known) => *known = company,
            None => base.companies.push(company),
        }
    }
    for id in &who.company_id {
        if !base.companies.iter().any(|known| &known.id == id) {
            base.companies.push(Company { id: id.clone(), ..Company::default() });
        }
    }
    let mut seen = BTreeSet::new();
    for text in &who.attribute {
        let (name, value) = attribute(text)?;
        ensure!(seen.insert(name.clone()), "--attribute: `{name}` comes twice");
        base.attributes.get_or_insert_with(Struct::default).fields.insert(name, value);
    }
    Ok(base)
}

fn replace(field: &mut String, flag: Option<&String>) {
    if let Some(value) = flag {
        field.clone_from(value);
    }
}

pub(super) fn timestamp(flag: &str, text: &str) -> anyhow::Result<Timestamp> {
    let instant = OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .with_context(|| format!("{flag}: give a time of RFC 3339, such as 2025-05-06T12:00:00Z"))?;
    Ok(Timestamp { seconds: instant.unix_timestamp(), nanos: i32::try_from(instant.nanosecond())? })
}

/// `NAME=VALUE` is text whatever it looks like; `NAME:=JSON` is what the JSON is.
fn attribute(text: &str) -> anyhow::Result<(String, Value)> {
    let Some((name, value)) = text.split_once('=') else {
        bail!("--attribute: give NAME=VALUE for text, NAME:=JSON for anything else");
    };
    let (name, value) = match name.strip_suffix(':') {
        Some(name) => {
            let json = serde_json::from_str(value).with_context(|| {
                format!("--attribute: what follows `{name}:=` is not JSON; for text, leave the colon out")
            })?;
            (name, typed(json))
        }
        None => (name, Value::from(value)),
    };
    ensure!(!name.is_empty(), "--attribute: the name is missing");
    Ok((name.to_owned(), value))
}

fn typed(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        // A number that is too large for its neighbours to be told apart is refused by the server.
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(value) => Kind::StringValue(value),
        serde_json::Value::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(typed).collect() })
        }
        serde_json::Value::Object(members) => Kind::StructValue(Struct {
            fields: members.into_iter().map(|(name, value)| (name, typed(value))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(base: &str, who: &Who) -> anyhow::Result<Identity> {
        merge(json::parse("Identity", base)?, who)
    }

    #[test]
    fn text_stays_text_and_json_has_a_type() -> anyhow::Result<()> {
        assert_eq!(attribute("plan=Premium")?, ("plan".to_owned(), Value::from("Premium")));
        assert_eq!(attribute("number=123")?, ("number".to_owned(), Value::from("123")));
        assert_eq!(attribute("formula=a=b")?, ("formula".to_owned(), Value::from("a=b")));
        assert_eq!(attribute("empty=")?, ("empty".to_owned(), Value::from("")));
        assert_eq!(attribute("seats:=5")?, ("seats".to_owned(), Value::from(5.0)));
        assert_eq!(attribute("text:=\"5\"")?, ("text".to_owned(), Value::from("5")));
        assert_eq!(attribute("beta:=true")?, ("beta".to_owned(), Value::from(true)));
        assert_eq!(
            attribute(r#"tags:=["a", 1]"#)?,
            ("tags".to_owned(), Value::from(vec![Value::from("a"), Value::from(1.0)]))
        );
        Ok(())
    }

    #[test]
    fn what_is_no_attribute_is_a_mistake() {
        for text in ["", "plan", "=Premium", ":=5", "seats:=five", "seats:="] {
            assert!(attribute(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_replace_and_add_to_the_file() -> anyhow::Result<()> {
        let who = Who {
            email: Some("new@example.com".to_owned()),
            company_id: vec!["c2".to_owned(), "c3".to_owned()],
            company: vec![r#"{"id": "c1", "name": "New"}"#.to_owned()],
            attribute: vec!["plan=Premium".to_owned()],
            ..Who::default()
        };
        let base = r#"{
            "user_id": "u1", "email": "old@example.com", "companies": [{"id": "c1", "name": "Old"}, {"id": "c2", "name": "Kept"}],
            "attributes": {"plan": "Free", "title": "CTO"}
        }"#;
        let wanted = r#"{
            "user_id": "u1", "email": "new@example.com",
            "companies": [{"id": "c1", "name": "New"}, {"id": "c2", "name": "Kept"}, {"id": "c3"}],
            "attributes": {"plan": "Premium", "title": "CTO"}
        }"#;
        assert_eq!(merged(base, &who)?, json::parse("Identity", wanted)?);
        Ok(())
    }

    #[test]
    fn what_comes_twice_is_a_mistake() {
        let attributes = Who { attribute: vec!["a=1".to_owned(), "a:=1".to_owned()], ..Who::default() };
        assert!(merged("{}", &attributes).is_err());
        let company = r#"{"id": "c1"}"#.to_owned();
        let companies = Who { company: vec![company.clone(), company], ..Who::default() };
        assert!(merged("{}", &companies).is_err());
    }

    #[test]
    fn no_flag_is_no_identity() -> anyhow::Result<()> {
        assert_eq!(read(&Who::default(), &mut Input::default())?, None);
        Ok(())
    }

    #[test]
    fn a_time_has_an_offset() -> anyhow::Result<()> {
        assert_eq!(
            timestamp("--created-at", "1970-01-01T01:00:00.5+01:00")?,
            Timestamp { seconds: 0, nanos: 500_000_000 }
        );
        assert!(timestamp("--created-at", "2025-05-06").is_err());
        Ok(())
    }
}
