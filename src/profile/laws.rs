//! What holds of every built-in JWT format: what it writes it reads, and nothing makes it panic.

use std::sync::LazyLock;

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Number;
use time::UtcDateTime;

use super::*;
use crate::attributes::{Attribute, Attributes, Kind, Rule};
use crate::identity::{Company, Identity};

/// A format, what its application declares of users and companies, and a user.
type Case = (JwtFormat, Attributes, Attributes, Identity);

static FORMATS: LazyLock<Vec<JwtFormat>> = LazyLock::new(|| {
    let profiles = Profile::built_in().unwrap_or_default();
    profiles.into_values().filter_map(|profile| profile.jwt).collect()
});

/// Every name that a built-in format gives to anything.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut names = BTreeSet::from(REGISTERED.map(str::to_owned));
    for format in FORMATS.iter() {
        let paths = format.claims.values().chain(format.attribute_claims.values()).chain(&format.attributes);
        names.extend(paths.flat_map(|path| path.0.iter().cloned()));
        names.extend([&format.provenance].into_iter().chain(&format.token_id).chain(&format.expiry_text).cloned());
        names.extend(format.constants.keys().cloned());
        if let Some(company) = &format.company {
            names.extend(company.claims.values().cloned());
            let paths = company.attribute_claims.values().chain(&company.attributes);
            names.extend(paths.flat_map(|path| path.0.iter().cloned()));
        }
    }
    names.into_iter().collect()
});

fn text() -> impl Strategy<Value = String> {
    "[^\0]{1,40}"
}

/// An instant that the format can say, within the years that it can say.
fn instant(format: TimeFormat) -> impl Strategy<Value = UtcDateTime> {
    let millis = match format {
        TimeFormat::Iso8601 | TimeFormat::UnixMillis => 0..1_000_i64,
        TimeFormat::Unix => 0..1,
    };
    (-62_135_596_800..=crate::limits::NUMERIC_DATE, millis).prop_filter_map("in range", |(seconds, millis)| {
        Some(UtcDateTime::from_unix_timestamp(seconds).ok()? + time::Duration::milliseconds(millis))
    })
}

/// Whole numbers, and fractions that every reader of JSON reads alike.
fn number() -> impl Strategy<Value = Number> {
    let whole = -crate::limits::INTEGER..=crate::limits::INTEGER;
    let fraction = any::<f64>().prop_filter_map("within the limit", crate::json::exact);
    let small = (-1e6..1e6).prop_filter_map("within the limit", crate::json::exact);
    prop_oneof![whole.prop_map(Number::from), small, fraction]
}

/// Any JSON, some levels deep, whose members have names that formats know, or any.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number().prop_map(Value::Number),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(Value::from("2023-05-19T15:35:49.915Z")),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![vec(inner.clone(), 0..6).prop_map(Value::from), object(inner).prop_map(Value::Object)]
    })
}

fn object(of: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof![4 => select(NAMES.as_slice()), 1 => ".{0,8}"];
    btree_map(name, of, 0..12).prop_map(|members| members.into_iter().collect())
}

/// A value that every number reader takes, and its type.
fn value() -> impl Strategy<Value = (Kind, Value)> {
    let list = vec(prop_oneof![text().prop_map(Value::from), number().prop_map(Value::Number)], 0..4);
    prop_oneof![
        text().prop_map(|text| (Kind::String, Value::from(text))),
        number().prop_map(|number| (Kind::Number, Value::Number(number))),
        any::<bool>().prop_map(|truth| (Kind::Boolean, Value::from(truth))),
        Just((Kind::Date, Value::from("2025-05-19"))),
        list.prop_map(|items| (Kind::List, Value::from(items))),
        btree_map(text(), any::<bool>().prop_map(Value::from), 0..4)
            .prop_map(|members| (Kind::Object, Value::Object(members.into_iter().collect()))),
    ]
}

/// Attributes with their declarations: those that the format has claims for, and others where it has a place.
fn attributes(
    own: Vec<String>,
    takes: impl Fn(&str) -> bool + Clone + 'static,
) -> impl Strategy<Value = (Attributes, Map<String, Value>)> {
    let other = prop_oneof![text(), select(NAMES.as_slice())];
    let name = if own.is_empty() { other.boxed() } else { prop_oneof![select(own), other].boxed() };
    btree_map(name, (value(), any::<bool>()), 0..8).prop_map(move |found| {
        let (mut declared, mut given) = (Attributes::default(), Map::new());
        for (name, ((kind, value), there)) in found.into_iter().filter(|(name, _)| takes(name)) {
            let rule = Rule { required: there, ..Rule::default() };
            declared.custom.insert(name.clone(), Attribute { kind, rule });
            if there {
                given.insert(name, value);
            }
        }
        (declared, given)
    })
}

fn company(format: &JwtFormat) -> impl Strategy<Value = Company> + use<> {
    let time = format.time;
    let fields = format.company.clone();
    (text(), of(text()), of(number()), of(instant(time))).prop_map(move |(id, name, monthly_spend, created_at)| {
        let has = |field| fields.as_ref().is_some_and(|company| company.claims.contains_key(&field));
        let needs = |field| fields.as_ref().is_some_and(|company| company.require.contains(&field));
        Company {
            name: name.or_else(|| needs(CompanyField::Name).then(|| id.clone())).filter(|_| has(CompanyField::Name)),
            monthly_spend: monthly_spend.filter(|_| has(CompanyField::MonthlySpend)),
            created_at: created_at.filter(|_| has(CompanyField::CreatedAt)),
            id,
            attributes: Map::new(),
        }
    })
}

fn companies(format: &JwtFormat) -> impl Strategy<Value = (Attributes, Vec<Company>)> + use<> {
    let Some(fields) = format.company.clone() else { return Just((Attributes::default(), Vec::new())).boxed() };
    let most = if fields.single { 1 } else { 4 };
    let own = fields.attribute_claims.keys().cloned().collect();
    let takes = move |name: &str| fields.has_place_for(name) && !fields.reserves(name);
    (vec(company(format), 0..=most), attributes(own, takes))
        .prop_map(|(mut companies, (declared, given))| {
            let mut seen = BTreeSet::new();
            companies.retain(|company| seen.insert(company.id.clone()));
            for company in &mut companies {
                company.attributes.clone_from(&given);
            }
            (declared, companies)
        })
        .boxed()
}

/// Any user that the format can say.
fn case() -> impl Strategy<Value = Case> {
    select(FORMATS.as_slice()).prop_flat_map(|format| {
        let own = format.attribute_claims.keys().cloned().collect();
        let place = format.clone();
        let takes =
            move |name: &str| Field::named(name).is_none() && place.has_place_for(name) && !place.reserves(name);
        let texts = proptest::array::uniform5(of(text()));
        let rest = (of(instant(format.time)), companies(&format), attributes(own, takes));
        (Just(format), texts, rest).prop_map(|(format, texts, rest)| {
            let (created_at, (of_companies, companies), (users, attributes)) = rest;
            let [user_id, email, name, profile_picture, locale] = texts;
            let mut identity =
                Identity { user_id, email, name, profile_picture, locale, created_at, companies, attributes };
            restrict(&format, &mut identity);
            (format, users, of_companies, identity)
        })
    })
}

/// Takes away what the format has no claim for, or for which there is another already, and gives what it requires.
fn restrict(format: &JwtFormat, identity: &mut Identity) {
    for group in format.require.iter().chain(&format.exactly_one) {
        let there = group.iter().any(|field| identity.has(*field));
        if let (false, Some(field)) = (there, group.first())
            && let Some(place) = identity.text_mut(*field)
        {
            *place = Some("needed".to_owned());
        }
    }
    for field in Field::ALL.into_iter().filter(|field| !format.claims.contains_key(field)) {
        if let Some(place) = identity.text_mut(field) {
            *place = None;
        }
    }
    for group in &format.exactly_one {
        let mut there = group.iter().filter(|field| identity.has(**field)).copied().collect::<Vec<_>>().into_iter();
        there.next();
        for field in there {
            if let Some(place) = identity.text_mut(field) {
                *place = None;
            }
        }
    }
    identity.created_at.take_if(|_| !format.claims.contains_key(&Field::CreatedAt));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read((format, users, companies, identity) in case()) {
        let written = format.write(&identity);
        let text = serde_json::to_vec(&written).unwrap_or_default();
        let claims = crate::json::object(&text);
        prop_assert_eq!(claims.as_ref(), Some(&written));
        let read = format.read(&written, &users, &companies);
        let read = read.map_err(|refused| TestCaseError::fail(format!("{refused}: {written:?}")))?;
        prop_assert_eq!(read.identity, identity);
        prop_assert_eq!(read.undeclared, Vec::<String>::new());
    }

    #[test]
    fn nothing_makes_a_reader_panic(
        claims in object(json()),
        (format, users, companies, identity) in case(),
        whole in any::<bool>(),
    ) {
        let mut all = format.write(&identity);
        if whole {
            all.clear();
        }
        all.extend(claims);
        if let Ok(read) = format.read(&all, &users, &companies) {
            for field in Field::ALL {
                prop_assert!(read.identity.text(field).is_none_or(|text| format.takes(field, text)));
            }
        }
    }
}

#[test]
fn the_laws_are_about_something() {
    assert!(FORMATS.len() > 10, "{}", FORMATS.len());
}
