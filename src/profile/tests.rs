use serde_json::json;

use super::*;
use crate::attributes::{Attribute, Attributes, Kind, Rule};
use crate::identity::Identity;
use crate::refusal::{Reason, Refused};

const NESTED: &str = r#"
[jwt]
algorithms = ["HS256"]
token_id = "nonce"
attributes = ["traits"]
max_chars = { user_id = 3, name = 4 }
[jwt.claims]
user_id = ["identity", "external_id"]
name = "name"
companies = "teams"
[jwt.attribute_claims]
role = ["identity", "rights", "role"]
[jwt.company]
attributes = ["more", "custom"]
[jwt.company.attribute_claims]
domain = ["web", "domain"]
[jwt.company.claims]
id = "key"
"#;

fn format() -> Result<JwtFormat, Invalid> {
    Profile::parse("nested", NESTED)?.jwt.ok_or_else(|| Invalid::Meaning("no jwt".to_owned()))
}

/// Texts.
fn declared(names: &[&str]) -> Attributes {
    let attribute = Attribute { kind: Kind::String, rule: Rule::default() };
    let custom = names.iter().map(|name| ((*name).to_owned(), attribute.clone())).collect();
    Attributes { custom, ..Attributes::default() }
}

fn read(claims: &Value) -> Result<Result<Read, Refused>, Invalid> {
    let claims = claims.as_object().cloned().unwrap_or_default();
    Ok(format()?.read(&claims, &declared(&["plan", "role"]), &declared(&["industry", "domain"])))
}

fn refused(claims: &Value) -> Result<Option<Refused>, Invalid> {
    Ok(read(claims)?.err())
}

fn wrong(claim: &str) -> Option<Refused> {
    Some(Refused::claim(Reason::ClaimTypeInvalid, claim))
}

#[test]
fn a_text_over_its_limit_is_refused_by_its_claim() -> Result<(), Invalid> {
    assert_eq!(refused(&json!({ "identity": { "external_id": "äöü" }, "name": "abcd" }))?, None);
    assert_eq!(refused(&json!({ "identity": { "external_id": "abcd" } }))?, wrong("identity.external_id"));
    assert_eq!(refused(&json!({ "identity": { "external_id": "abc" }, "name": "abcde" }))?, wrong("name"));
    Ok(())
}

#[test]
fn a_company_comes_once() -> Result<(), Invalid> {
    assert_eq!(refused(&json!({ "teams": [{ "key": "a" }, { "key": "b" }] }))?, None);
    assert_eq!(refused(&json!({ "teams": [{ "key": "a" }, { "key": "b" }, { "key": "a" }] }))?, wrong("teams"));
    Ok(())
}

#[test]
fn undeclared_members_are_reported_wherever_they_are() -> Result<(), Invalid> {
    let claims = json!({
        "identity": { "external_id": "1", "onesignal_id": "2", "rights": { "role": "a", "power": 1 } },
        "traits": { "plan": "p", "colour": "red", "exp": 1, "nonce": "x" },
        "teams": [{
            "key": "a",
            "name": "A",
            "more": { "custom": { "industry": "i", "size": 3 }, "else": {} },
            "web": { "domain": "a.example", "port": 80 },
        }],
        "nonce": "n", "jti": "j", "exp": 1, "countersign": {},
        "other": { "deep": { "deeper": 1 } },
    });
    let read = read(&claims)?.map_err(|refused| Invalid::Meaning(refused.to_string()))?;
    let mut found = read.undeclared;
    found.sort();
    let wanted = [
        "companies[a].more.custom.size",
        "companies[a].more.else",
        "companies[a].name",
        "companies[a].web.port",
        "identity.onesignal_id",
        "identity.rights.power",
        "other",
        "traits.colour",
        "traits.exp",
        "traits.nonce",
    ];
    assert_eq!(found, wanted);
    let attributes: Vec<_> = read.identity.attributes.keys().map(String::as_str).collect();
    assert_eq!(attributes, ["plan", "role"]);
    let of_company: Vec<_> = read.identity.companies.iter().flat_map(|c| c.attributes.keys()).collect();
    assert_eq!(of_company, ["domain", "industry"]);
    Ok(())
}

#[test]
fn a_wrong_type_is_told_by_the_name_on_the_wire() -> Result<(), Invalid> {
    for (claims, name) in [
        (json!({ "traits": { "plan": 1 } }), "traits.plan"),
        (json!({ "traits": [] }), "traits"),
        (json!({ "identity": { "rights": { "role": 1 } } }), "identity.rights.role"),
        (json!({ "identity": { "rights": 1 } }), "identity.rights"),
        (json!({ "identity": [] }), "identity"),
        (json!({ "teams": [{ "key": "a", "more": { "custom": { "industry": 1 } } }] }), "teams.more.custom.industry"),
        (json!({ "teams": [{ "key": "a", "more": { "custom": 1 } }] }), "teams.more.custom"),
        (json!({ "teams": [{ "key": "a", "more": 1 }] }), "teams.more"),
        (json!({ "teams": [{ "key": "a", "web": { "domain": 1 } }] }), "teams.web.domain"),
    ] {
        assert_eq!(refused(&claims)?, wrong(name), "{claims}");
    }
    Ok(())
}

#[test]
fn a_missing_attribute_is_told_by_the_name_on_the_wire() -> Result<(), Invalid> {
    let format = format()?;
    let required = Attribute { kind: Kind::String, rule: Rule { required: true, ..Rule::default() } };
    let users = Attributes { custom: [("plan".to_owned(), required)].into(), ..Attributes::default() };
    let missing = |claim: &str| Some(Refused::claim(Reason::ClaimMissing, claim));
    assert_eq!(format.read(&Map::new(), &users, &Attributes::default()).err(), missing("traits.plan"));
    let claims = Map::from_iter([("teams".to_owned(), json!([{ "key": "a" }]))]);
    assert_eq!(format.read(&claims, &Attributes::default(), &users).err(), missing("teams.more.custom.plan"));
    Ok(())
}

#[test]
fn names_are_reserved_where_they_would_collide() -> Result<(), Invalid> {
    let format = format()?;
    for name in ["exp", "jti", "nonce", "countersign"] {
        assert!(format.reserves(name), "{name}");
    }
    for name in ["role", "plan", "identity", "teams"] {
        assert!(!format.reserves(name), "{name}");
    }
    let flat = NESTED.replace("attributes = [\"traits\"]", "attributes = []");
    let flat = flat.replace("attributes = [\"more\", \"custom\"]", "attributes = []");
    let flat = Profile::parse("flat", &flat)?.jwt.ok_or_else(|| Invalid::Meaning("no jwt".to_owned()))?;
    for (name, reserved) in [("identity", true), ("teams", true), ("role", false), ("rights", false)] {
        assert_eq!(flat.reserves(name), reserved, "{name}");
    }
    let company = flat.company.ok_or_else(|| Invalid::Meaning("no company".to_owned()))?;
    for (name, reserved) in [("key", true), ("web", true), ("domain", false), ("id", false)] {
        assert_eq!(company.reserves(name), reserved, "{name}");
    }
    Ok(())
}

#[test]
fn a_product_may_know_some_attributes_alone() -> Result<(), Invalid> {
    let alone = NESTED.replace("attributes = [\"traits\"]", "").replace("attributes = [\"more\", \"custom\"]", "");
    let alone = Profile::parse("alone", &alone)?.jwt.ok_or_else(|| Invalid::Meaning("no jwt".to_owned()))?;
    assert!(alone.has_place_for("role") && !alone.has_place_for("plan"));
    let company = alone.company.ok_or_else(|| Invalid::Meaning("no company".to_owned()))?;
    assert!(company.has_place_for("domain") && !company.has_place_for("industry"));
    Ok(())
}

#[test]
fn a_claim_that_only_lies_beside_a_place_is_not_written_without_it() -> Result<(), Invalid> {
    let identity = Identity { user_id: Some("1".to_owned()), ..Identity::default() };
    assert_eq!(Value::Object(format()?.write(&identity)), json!({ "identity": { "external_id": "1" } }));
    Ok(())
}
