//! One golden per built-in profile: what it makes of a full user, and its hashes. The goldens of claims were written by
//! hand from what the products document; those of hashes come from `tests/vectors/profiles/make_hashes.py`.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use countersign::admission::{admit, complete};
use countersign::attributes::{Attribute, Attributes, Kind, Origin, Rule};
use countersign::identity::{Company, CompanyField, Field, Identity, SubjectKind};
use countersign::profile::{HashFormat, JwtFormat, Profile};
use countersign::refusal::{Reason, Refusal, Refused};
use countersign::secret::Secret;
use countersign::token::algorithm::Algorithm;
use countersign::token::keys::{HmacKey, LegacyKey, Validity};
use countersign::token::legacy;
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use crate::harness::Setup;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The golden hashes.
#[derive(Deserialize)]
struct Hashes {
    /// What was hashed, by kind.
    values: BTreeMap<String, String>,
    built_in: BTreeMap<String, GoldenHashes>,
    documented_example: GoldenHashes,
}

#[derive(Deserialize)]
struct GoldenHashes {
    secret: String,
    /// Kind and hash, in the order of precedence; `company` last.
    hashes: Vec<(String, String)>,
}

#[test]
fn every_profile_is_built_in_and_has_its_goldens() -> Outcome {
    let profiles = Profile::built_in()?;
    let with = |has: fn(&Profile) -> bool| {
        profiles.iter().filter(|(_, profile)| has(profile)).map(|(name, _)| name.clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!(with(|_| true), stems(&root().join("profiles"), "toml")?);
    let mut goldens = stems(&vectors(), "json")?;
    goldens.remove("hashes");
    assert_eq!(with(|profile| profile.jwt.is_some()), goldens);
    assert_eq!(with(|profile| profile.hash.is_some()), hashes()?.built_in.into_keys().collect());
    for (name, profile) in &profiles {
        assert_eq!(name, &profile.name);
    }
    Ok(())
}

#[test]
fn a_full_user_is_written_and_read_as_the_product_documents() -> Outcome {
    let no_companies = Map::new();
    for (name, profile) in Profile::built_in()? {
        let Some(format) = profile.jwt else { continue };
        let identity = expressible(&format, full_user(&name)?);
        for own in format.attribute_claims.keys() {
            assert!(identity.attributes.contains_key(own), "{name}: {own} has no golden");
        }
        for own in format.company.iter().flat_map(|company| company.attribute_claims.keys()) {
            let golden = identity.companies.iter().all(|company| company.attributes.contains_key(own));
            assert!(golden, "{name}: {own} of companies has no golden");
        }
        let golden: Value = read_json(&vectors().join(format!("{name}.json")))?;
        assert_eq!(Value::Object(format.write(&identity)), golden, "{name}");

        let users = declared(&identity.attributes)?;
        let companies = declared(identity.companies.first().map_or(&no_companies, |company| &company.attributes))?;
        let claims = golden.as_object().ok_or("a golden is an object")?;
        let read = format.read(claims, &users, &companies).map_err(|refused| format!("{name}: {refused}"))?;
        assert_eq!(read.identity, identity, "{name}");
        assert_eq!(read.undeclared, Vec::<String>::new(), "{name}");
    }
    Ok(())
}

#[test]
fn the_hashes_are_those_of_another_implementation() -> Outcome {
    let hashes = hashes()?;
    for (name, profile) in Profile::built_in()? {
        let Some(format) = profile.hash else { continue };
        let golden = hashes.built_in.get(&name).ok_or("a profile without golden hashes")?;
        check_hashes(&name, &format, golden, &hashes.values)?;
    }
    Ok(())
}

#[test]
fn the_documentation_tells_of_every_profile_and_its_example_works() -> Outcome {
    let text = fs::read_to_string(root().join("docs/profiles.md"))?;
    for name in Profile::built_in()?.keys() {
        assert!(text.contains(&format!("\n| `{name}` |")), "{name}");
    }
    let example = Profile::parse("acme", block(&text, "toml", "[hash]")?)?;

    let format = example.jwt.ok_or("the example has no JWT")?;
    let mut claims: Map<String, Value> = serde_json::from_str(block(&text, "json", "\"teams\"")?)?;
    for of_the_token in ["aud", "iat", "exp"] {
        assert!(claims.remove(of_the_token).is_some(), "{of_the_token}");
    }
    assert_eq!(format.write(&expressible(&format, full_user("acme")?)), claims);

    let hashes = hashes()?;
    check_hashes("acme", &example.hash.ok_or("the example has no hash")?, &hashes.documented_example, &hashes.values)
}

#[test]
fn audiences_that_a_profile_fixes_are_the_applications() -> Outcome {
    let with = |tokens: &str| {
        let setup = Setup::default().replace("profile = \"featurebase\"", "profile = \"fixed\"");
        let directory = tempfile::tempdir()?;
        let fixed = "[jwt]\nalgorithms = [\"HS256\"]\naudiences = [\"a\", \"b\"]\nattributes = []\n\
                     [hash]\norder = [\"user_id\"]\n\
                     [jwt.claims]\nuser_id = \"sub\"\ncompanies = \"companies\"\n\
                     [jwt.company]\nattributes = []\n[jwt.company.claims]\nid = \"id\"\n";
        fs::write(directory.path().join("fixed.toml"), fixed)?;
        let server = format!("[server]\nprofiles = {:?}\n", directory.path().display().to_string());
        let checked = setup.and(&server).and("[applications.\"acme/feedback\".tokens]\n").and(tokens).check();
        Ok::<_, Box<dyn Error>>(checked.map(|settings| settings.applications[0].expected.audiences.clone()))
    };
    assert_eq!(with("")?, Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(with("audiences = [\"b\"]")?, Ok(vec!["b".to_owned()]));
    for wrong in ["audiences = [\"a\", \"c\"]", "audiences = []"] {
        let problems = with(wrong)?.err().ok_or(wrong)?;
        assert!(matches!(problems.as_slice(), [one] if one.key.ends_with("tokens.audiences")), "{problems:?}");
    }
    Ok(())
}

#[test]
fn a_company_attribute_has_a_claim_of_its_own_or_a_place() -> Outcome {
    let with = |name: &str| {
        let table = format!("[applications.\"acme/feedback\".company_attributes.{name}]\ntype = \"string\"\n");
        let tokens = "[applications.\"acme/feedback\".tokens]\nissuer = \"project\"\n";
        let without_hash = "purpose = \"legacy\"\nsecret = { env = \"IV_SECRET\" }\n";
        let setup = Setup::default().replace("profile = \"featurebase\"", "profile = \"userjot\"");
        let setup = setup.replace(&format!("[applications.\"acme/feedback\".keys.iv]\n{without_hash}"), "");
        setup.and(tokens).and(&table).check().map(|settings| settings.applications.len())
    };
    assert_eq!(with("domain"), Ok(1));
    assert_eq!(with("size"), Ok(1));
    Ok(())
}

#[test]
fn what_a_source_gives_is_within_the_format() -> Outcome {
    let settings = Setup::default().check().map_err(|problems| format!("{problems:?}"))?;
    let mut application = settings.applications.into_iter().next().ok_or("no application")?;
    let mut format = application.profile.jwt.clone().ok_or("no JWT")?;
    format.max_chars = [(Field::UserId, 4), (Field::Name, 4)].into();
    let from = vec![Origin::Source("directory".to_owned())];
    for field in [Field::Name, Field::Companies] {
        application.users.fields.insert(field, Rule { from: from.clone(), ..Rule::default() });
    }
    let company = |id: &str| Company { id: id.to_owned(), name: Some("A".to_owned()), ..Company::default() };
    let good = Identity {
        user_id: Some("äöüß".to_owned()),
        name: Some("abcd".to_owned()),
        companies: vec![company("a"), company("b")],
        ..Identity::default()
    };
    assert_eq!(complete(&application, &format, &good), Ok(()));
    let sourced = Err(Refusal::SourceFailed(Reason::SourceMalformed));
    let named = Identity { name: Some("abcde".to_owned()), ..good.clone() };
    assert_eq!(complete(&application, &format, &named), sourced);
    let doubled = Identity { companies: vec![company("a"), company("a")], ..good.clone() };
    assert_eq!(complete(&application, &format, &doubled), sourced);
    // Nobody but the credential can have given a user id.
    let long = Identity { user_id: Some("abcde".to_owned()), ..good.clone() };
    let refused = Refused::claim(Reason::ClaimTypeInvalid, "userId");
    assert_eq!(complete(&application, &format, &long), Err(Refusal::Verdict(refused)));
    format.company.as_mut().ok_or("no companies")?.single = true;
    assert_eq!(complete(&application, &format, &good), sourced);
    Ok(())
}

#[test]
fn a_caller_cannot_name_a_company_twice() -> Outcome {
    let settings = Setup::default().check().map_err(|problems| format!("{problems:?}"))?;
    let application = settings.applications.into_iter().next().ok_or("no application")?;
    let format = application.profile.jwt.as_ref().ok_or("no JWT")?;
    let company = Company { id: "a".to_owned(), name: Some("A".to_owned()), ..Company::default() };
    let identity = Identity { companies: vec![company.clone(), company], ..Identity::default() };
    let Err(Refusal::Invalid(Reason::RequestInvalid, violations)) = admit(&application, format, &identity) else {
        return Err("it was admitted".into());
    };
    assert!(matches!(violations.as_slice(), [one] if one.field == "identity.companies[1].id"), "{violations:?}");
    Ok(())
}

/// The first block of code in that language that has the text in it.
fn block<'t>(document: &'t str, language: &str, text: &str) -> Outcome<&'t str> {
    let fence = format!("```{language}\n");
    let mut blocks = document.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    Ok(blocks.find(|block| block.contains(text)).ok_or("docs/profiles.md has no such example")?)
}

fn check_hashes(name: &str, format: &HashFormat, golden: &GoldenHashes, values: &BTreeMap<String, String>) -> Outcome {
    let mut kinds: Vec<_> = format.order.iter().copied().map(SubjectKind::name).collect();
    kinds.extend(format.companies.then_some("company"));
    assert_eq!(kinds, golden.hashes.iter().map(|(kind, _)| kind).collect::<Vec<_>>(), "{name}");

    let secret = Secret::new(golden.secret.clone().into_bytes()).decode(format.key_encoding);
    let hmac = secret.and_then(|secret| HmacKey::new(Algorithm::HS256, secret)).ok_or("not a secret")?;
    let key = LegacyKey { id: "golden".to_owned(), validity: Validity::default(), hmac };
    for (kind, hash) in &golden.hashes {
        let value = values.get(kind).ok_or("a kind without a value")?;
        assert_eq!(&legacy::hash(&key, value, format.digest), hash, "{name}: {kind}");
    }
    Ok(())
}

/// A user with everything, and with the claims that only this product has.
fn full_user(profile: &str) -> Outcome<Identity> {
    let own = match profile {
        "acme" => json!({ "role": "editor" }),
        "knock" => json!({
            "explicit_grants": true,
            "grants": { "https://api.knock.app/v1/users/123456": { "user_feed/read": [{}] } },
        }),
        "onesignal" => json!({ "subscriptions": [{ "type": "Email", "token": "user@example.com" }] }),
        "userjot" => json!({ "firstName": "User", "lastName": "Name" }),
        "uservoice" => json!({
            "trusted": false,
            "admin": "deny",
            "owner": "deny",
            "allow_forums": [101, 102],
            "deny_forums": [103],
            "url": "https://example.com/users/123456",
            "updates": true,
            "comment_updates": false,
        }),
        "zendesk-messaging" => json!({ "email_verified": true }),
        _ => json!({}),
    };
    let mut attributes = object(json!({ "title": "Product Manager", "plan": "Premium", "number": "123" }))?;
    attributes.extend(object(own)?);
    let of_company = match profile {
        "userjot" => json!({ "domain": "business.example", "logo": "https://example.com/images/business.png" }),
        _ => json!({}),
    };
    let mut company_attributes = object(json!({ "industry": "Fintech" }))?;
    company_attributes.extend(object(of_company)?);
    Ok(Identity {
        user_id: Some("123456".to_owned()),
        email: Some("user@example.com".to_owned()),
        name: Some("User Name".to_owned()),
        profile_picture: Some("https://example.com/images/yourcustomer.png".to_owned()),
        locale: Some("en".to_owned()),
        created_at: Some(UtcDateTime::parse("2025-05-06T12:00:00Z", &Rfc3339)?),
        companies: vec![Company {
            id: "987654321".to_owned(),
            name: Some("Business Inc. 23".to_owned()),
            monthly_spend: Some(Number::from(500)),
            created_at: Some(UtcDateTime::parse("2023-05-19T15:35:49.915Z", &Rfc3339)?),
            attributes: company_attributes,
        }],
        attributes,
    })
}

/// What the format has claims for. Of fields that exclude each other, the user id stays.
fn expressible(format: &JwtFormat, mut identity: Identity) -> Identity {
    for field in Field::ALL {
        let loses = |group: &Vec<Field>| group.contains(&field) && group.iter().min() != Some(&field);
        if format.exactly_one.iter().any(loses) || !format.claims.contains_key(&field) {
            remove(&mut identity, field);
        }
    }
    identity.attributes.retain(|name, _| format.has_place_for(name));
    let Some(format) = &format.company else { return identity };
    for company in &mut identity.companies {
        let has = |field| format.claims.contains_key(&field);
        company.name.take_if(|_| !has(CompanyField::Name));
        company.monthly_spend.take_if(|_| !has(CompanyField::MonthlySpend));
        company.created_at.take_if(|_| !has(CompanyField::CreatedAt));
        company.attributes.retain(|name, _| format.has_place_for(name));
    }
    identity
}

fn remove(identity: &mut Identity, field: Field) {
    match field {
        Field::CreatedAt => identity.created_at = None,
        Field::Companies => identity.companies.clear(),
        Field::UserId | Field::Email | Field::Name | Field::ProfilePicture | Field::Locale => {
            if let Some(text) = identity.text_mut(field) {
                *text = None;
            }
        }
    }
}

/// The attributes, each declared with the type that it has.
fn declared(attributes: &Map<String, Value>) -> Outcome<Attributes> {
    let declare = |(name, value): (&String, &Value)| {
        let (_, kind) =
            Kind::ALL.into_iter().find(|(_, kind)| kind.fits(value)).ok_or("an attribute without a type")?;
        Ok((name.clone(), Attribute { kind, rule: Rule::default() }))
    };
    let custom = attributes.iter().map(declare).collect::<Outcome<BTreeMap<_, _>>>()?;
    Ok(Attributes { custom, ..Attributes::default() })
}

fn object(value: Value) -> Outcome<Map<String, Value>> {
    if let Value::Object(members) = value { Ok(members) } else { Err("not an object".into()) }
}

fn hashes() -> Outcome<Hashes> {
    Ok(serde_json::from_value(read_json(&vectors().join("hashes.json"))?)?)
}

fn read_json(path: &Path) -> Outcome<Value> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// The names of the files with the ending, without it.
fn stems(directory: &Path, ending: &str) -> Outcome<BTreeSet<String>> {
    let paths = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Outcome<Vec<_>>>()?;
    let named = paths.iter().filter(|path| path.extension().is_some_and(|found| found == ending));
    Ok(named.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect())
}

fn vectors() -> PathBuf {
    root().join("tests/vectors/profiles")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
