//! The three tables of claims, and what they say about one subject. Knows no file.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use countersign_claim_source::{Answer, Ask};
use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

/// Claims by their names.
pub(crate) type Claims = Once<Value>;

/// Claims by a user id or an e-mail address.
pub(crate) type Table = Once<Claims>;

/// What is written down, in one place.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tables {
    pub(crate) claims: Claims,
    pub(crate) by_user_id: Table,
    pub(crate) by_email: Table,
}

impl Tables {
    /// The names of the claims in each table, by the table's key.
    pub(crate) fn named(&self) -> [(&'static str, Box<dyn Iterator<Item = &String> + '_>); 3] {
        [
            ("claims", Box::new(self.claims.keys())),
            ("by_user_id", Box::new(self.by_user_id.values().flat_map(|claims| claims.keys()))),
            ("by_email", Box::new(self.by_email.values().flat_map(|claims| claims.keys()))),
        ]
    }
}

/// The wanted claims, each from the first table that has it: by user id before by email before everybody's. Where two
/// places have the same table, the first place goes before the second.
pub(crate) fn answer(places: &[&Tables], ask: &Ask) -> Answer {
    let by = |table: fn(&Tables) -> &Table, key: &Option<String>| {
        places.iter().filter_map(|place| table(place).get(key.as_ref()?)).collect::<Vec<_>>()
    };
    let mut rows = by(|place| &place.by_user_id, &ask.user_id);
    rows.extend(by(|place| &place.by_email, &ask.email));
    rows.extend(places.iter().map(|place| &place.claims));
    let found = |claim: &String| {
        let value = rows.iter().filter_map(|claims| claims.get(claim)).find(|value| !value.is_null())?;
        Some((claim.clone(), value.clone()))
    };
    match missing(places, ask) {
        Some(name) => Answer::Missing(name.to_owned()),
        None => Answer::found(ask.wanted.iter().filter_map(found).collect()),
    }
}

/// The identifier without which nothing can be said at all.
fn missing(places: &[&Tables], ask: &Ask) -> Option<&'static str> {
    let any = |has: fn(&Tables) -> bool| places.iter().any(|place| has(place));
    let everybody = any(|place| !place.claims.is_empty());
    let by_user_id = any(|place| !place.by_user_id.is_empty());
    let by_email = any(|place| !place.by_email.is_empty());
    match (by_user_id, by_email) {
        (true, false) if !everybody && ask.user_id.is_none() => Some("user_id"),
        (false, true) if !everybody && ask.email.is_none() => Some("email"),
        _ => None,
    }
}

/// A map in which no key comes twice. serde takes the last of two; who reads the file may take the first.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(transparent, inline)]
pub(crate) struct Once<V>(BTreeMap<String, V>);

impl<V> Default for Once<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V> Deref for Once<V> {
    type Target = BTreeMap<String, V>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<V> DerefMut for Once<V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Once<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
    type Value = Once<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Once<V>, A::Error> {
        let mut once = Once::default();
        while let Some((key, value)) = entries.next_entry()? {
            if once.insert(key, value).is_some() {
                return Err(A::Error::custom("a key that comes twice"));
            }
        }
        Ok(once)
    }
}

#[cfg(test)]
mod tests {
    use countersign_claim_source::conformance;
    use serde_json::json;

    use super::*;

    fn tables(value: Value) -> Tables {
        serde_json::from_value(value).expect("tables")
    }

    fn ask(user_id: Option<&str>, email: Option<&str>) -> Ask {
        Ask { email: email.map(str::to_owned), ..conformance::ask(user_id, &["plan", "title", "seats"]) }
    }

    fn found(claims: &Value) -> Answer {
        Answer::found(claims.as_object().cloned().expect("claims"))
    }

    #[test]
    fn the_user_id_goes_before_the_email_before_everybody_claim_by_claim() {
        let tables = tables(json!({
            "claims": {"plan": "Free", "title": "Member", "seats": 1},
            "by_user_id": {"u1": {"plan": "Gold"}},
            "by_email": {"a@b.example": {"plan": "Silver", "title": "Friend"}},
        }));
        for (user_id, email, claims) in [
            (Some("u1"), Some("a@b.example"), json!({"plan": "Gold", "title": "Friend", "seats": 1})),
            (Some("u1"), None, json!({"plan": "Gold", "title": "Member", "seats": 1})),
            (Some("u2"), Some("a@b.example"), json!({"plan": "Silver", "title": "Friend", "seats": 1})),
            (Some("u2"), Some("A@b.example"), json!({"plan": "Free", "title": "Member", "seats": 1})),
            (None, None, json!({"plan": "Free", "title": "Member", "seats": 1})),
        ] {
            assert_eq!(answer(&[&tables], &ask(user_id, email)), found(&claims), "{user_id:?} {email:?}");
        }
        let wanted = Ask { wanted: ["plan".to_owned(), "other".to_owned()].into(), ..ask(None, None) };
        assert_eq!(answer(&[&tables], &wanted), found(&json!({"plan": "Free"})));
    }

    #[test]
    fn the_configuration_goes_before_the_file_in_the_same_table_only() {
        let own = tables(json!({"claims": {"plan": "Own", "seats": 1}, "by_user_id": {"u1": {"title": "Own"}}}));
        let file = tables(json!({
            "claims": {"plan": "File", "title": "File"},
            "by_user_id": {"u1": {"title": "File", "seats": 2}},
        }));
        let both = |user_id| answer(&[&own, &file], &ask(Some(user_id), None));
        assert_eq!(both("u1"), found(&json!({"plan": "Own", "title": "Own", "seats": 2})));
        assert_eq!(both("u2"), found(&json!({"plan": "Own", "title": "File", "seats": 1})));
    }

    #[test]
    fn null_is_absent_and_the_next_table_is_asked() {
        let tables = tables(json!({"claims": {"plan": "Free"}, "by_user_id": {"u1": {"plan": null, "title": null}}}));
        assert_eq!(answer(&[&tables], &ask(Some("u1"), None)), found(&json!({"plan": "Free"})));
    }

    #[test]
    fn only_an_identifier_that_everything_hangs_on_is_missing() {
        let (by, row) = (json!({"x": {"plan": "Gold"}}), json!({"plan": "Free"}));
        let missing = |name: &str| Answer::Missing(name.to_owned());
        for (written, user_id, email, expected) in [
            (json!({"by_user_id": by}), None, Some("x"), missing("user_id")),
            (json!({"by_email": by}), Some("x"), None, missing("email")),
            (json!({"by_user_id": by}), Some("y"), None, Answer::NotFound),
            (json!({"by_user_id": by, "by_email": by}), Some("y"), None, Answer::NotFound),
            (json!({"by_user_id": by, "by_email": by}), None, None, Answer::NotFound),
            (json!({"by_user_id": by, "claims": row}), None, None, found(&row)),
            (json!({}), None, None, Answer::NotFound),
        ] {
            assert_eq!(answer(&[&tables(written.clone())], &ask(user_id, email)), expected, "{written}");
        }
    }

    #[test]
    fn a_key_that_comes_twice_is_refused() {
        for text in [
            r#"{"by_user_id": {"u1": {"plan": 1}, "u1": {"plan": 2}}}"#,
            r#"{"claims": {"plan": 1, "plan": 2}}"#,
            r#"{"claims": {}, "claims": {}}"#,
        ] {
            assert!(serde_json::from_str::<Tables>(text).is_err(), "{text}");
        }
    }
}
