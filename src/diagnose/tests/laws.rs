//! Whatever is sent, the laws of [`World::look`] hold.

use proptest::prelude::*;

use super::*;

/// Values that people write where others belong.
fn value() -> impl Strategy<Value = Value> {
    let times = [-90_000, -3_600, -31, -29, 0, 29, 31, 3_600, 86_431, 90_000];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop::sample::select(times.to_vec()).prop_map(|seconds| json!(at(seconds))),
        prop::sample::select(times.to_vec()).prop_map(|seconds| json!(at(seconds) * 1_000)),
        (-5_i64..5).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["", "x", ID, EMAIL, "undefined", "user", "web", "root"]).prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{ "id": "c", "name": "n" }])),
        Just(json!([{ "id": 1 }, "x", { "companyId": "c" }])),
        Just(json!({ "id": "c", "external_id": ID })),
    ]
}

fn claim() -> impl Strategy<Value = (&'static str, Value)> {
    let names = vec![
        "exp",
        "iat",
        "nbf",
        "iss",
        "aud",
        "sub",
        "jti",
        "userId",
        "user_id",
        "email",
        "name",
        "createdAt",
        "companies",
        "organizations",
        "plan",
        "data",
        "identity",
        "external_id",
        "scope",
        "countersign",
        "expiresIn",
        "locale",
    ];
    (prop::sample::select(names), value())
}

fn secret() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![JWT, IV, STAGING_JWT, ONE, OWN_JWT, ZENDESK, OLD_JWT, FOREIGN_JWT, HEX, "undefined"])
}

fn application() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "acme/feedback",
        "acme/messenger",
        "acme/own",
        "acme/zendesk",
        "acme/signal",
        "acme/chat",
        "acme/rotating",
        "acme/ended",
        "acme/soon",
        "acme/weak",
        "acme/encoded",
    ])
}

/// A text with a change somewhere.
fn damaged(text: String) -> impl Strategy<Value = String> {
    let inserted =
        prop_oneof![Just(""), Just("="), Just("."), Just("\n"), Just("%"), Just("A"), Just("é"), Just("\""), Just(" ")];
    (0..=text.len(), 0..4_usize, inserted).prop_map(move |(place, drop, insert)| {
        let mut characters: Vec<char> = text.chars().collect();
        let start = place.min(characters.len());
        let end = (start + drop).min(characters.len());
        characters.splice(start..end, insert.chars());
        characters.into_iter().collect()
    })
}

fn asserted() -> impl Strategy<Value = Identity> {
    prop::sample::select(vec![Identity::default(), ada(), with_company(), Identity { user_id: None, ..ada() }])
}

fn world() -> Result<World, TestCaseError> {
    World::new().map_err(|error| TestCaseError::fail(error.to_string()))
}

fn hold(world: &World, sent: &Sent) -> Result<(), TestCaseError> {
    world.look(sent).map(|_seen| ()).map_err(|error| TestCaseError::fail(error.to_string()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn of_any_claims(
        application in application(),
        secret in secret(),
        changes in prop::collection::vec(claim(), 0..4),
        base in prop::bool::ANY,
        kid in prop::sample::select(vec![None, Some("app_1"), Some("jwt"), Some("x")]),
        alg in prop::sample::select(vec!["HS256", "HS256", "HS256", "HS512", "none", "ES256"]),
        asserted in asserted(),
    ) {
        let world = world()?;
        let mut said = if base { claims() } else { json!({}) };
        for (name, value) in changes {
            said = with(said, json!({ name: value }));
        }
        let mut header = json!({ "alg": alg });
        if let Some(kid) = kid {
            header = with(header, json!({ "kid": kid }));
        }
        let token = sign_as(&header, said.to_string(), secret);
        hold(&world, &Sent { asserted, ..to(application, of_token(token)) })?;
    }

    #[test]
    fn of_any_damage_to_a_token(token in damaged(sign(JWT, &claims())), suspected in prop::bool::ANY) {
        let suspected = if suspected { JWT } else { "" };
        hold(&world()?, &suspecting(suspected, of_token(token)))?;
    }

    #[test]
    fn of_any_damage_to_a_hash(
        hash in damaged(hash(IV, ID)),
        hashed in prop::sample::select(vec![None, Some(SubjectKind::UserId), Some(SubjectKind::Email)]),
        asserted in asserted(),
        application in application(),
        company in prop::option::of(damaged(hash(IV, "c-9"))),
    ) {
        let company_hashes = company.into_iter().map(|hash| ("c-9".to_owned(), hash)).collect();
        hold(&world()?, &Sent { hash, hashed, asserted, company_hashes, application, ..Sent::default() })?;
    }

    #[test]
    fn of_anything(text in any::<String>(), other in ".{0,80}", application in application()) {
        let world = world()?;
        hold(&world, &to(application, of_token(text.clone())))?;
        hold(&world, &to(application, suspecting(other.clone(), of_hash(text))))?;
        hold(&world, &to(application, of_token(format!("{}.{other}.", encode("{\"alg\":\"HS256\"}")))))?;
    }
}
