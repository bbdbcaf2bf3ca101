//! Sign and LegacyHash: what is made, from what, and what is refused.

use countersign::grpc::proto::{self, NoticeCode};
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::*;

#[tokio::test]
async fn the_guides_user_becomes_the_guides_token() {
    let mut server = start().await;
    let signed = server.sign(sign_for(guide())).await.unwrap();
    assert_eq!(
        claims(&signed.token),
        json!({
            "userId": "123456",
            "email": "user@example.com",
            "name": "User Name",
            "profilePicture": "https://example.com/images/yourcustomer.png",
            "title": "Product Manager",
            "plan": "Premium",
            "number": "123",
            "companies": [{
                "id": "987654321",
                "name": "Business Inc. 23",
                "monthlySpend": 500,
                "createdAt": "2023-05-19T15:35:49.915Z",
                "industry": "Fintech",
                "location": "Canada",
            }],
            "iat": NOW,
            "exp": NOW + 3_600,
        })
    );
    // An independent implementation takes it.
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.validate_exp = false;
    let key = jsonwebtoken::DecodingKey::from_secret(JWT_SECRET.as_bytes());
    jsonwebtoken::decode::<Value>(&signed.token, &key, &validation).unwrap();
    assert_eq!(signed.key_id, "jwt-2026");
    assert_eq!(signed.expires_at.unwrap().seconds, NOW + 3_600);
    assert!(signed.notices.is_empty(), "{:?}", signed.notices);
}

#[tokio::test]
async fn verify_gives_back_what_was_signed_and_the_same_token_id() {
    let mut server = start().await;
    let signed = server.sign(sign_for(guide())).await.unwrap();
    let accepted = server.accepted(verify_jwt(&signed.token)).await;
    assert_eq!(accepted.credential(), proto::CredentialKind::Jwt);
    assert_eq!(accepted.verified.unwrap(), guide());
    assert_eq!(accepted.token_id, signed.token_id);
    assert!(!accepted.token_id.is_empty());
    assert_eq!(accepted.unverified.unwrap(), proto::Identity::default());
    assert_eq!(serde_json::from_str::<Value>(&accepted.claims_json).unwrap(), claims(&signed.token));
}

#[tokio::test]
async fn a_lifetime_is_the_requests_up_to_the_applications_maximum() {
    let mut server = start().await;
    let ttl = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let signed = server.sign(proto::SignRequest { ttl: ttl(60), ..sign_for(user("1")) }).await.unwrap();
    assert_eq!(claims(&signed.token)["exp"], NOW + 60);
    let longest = server.sign(proto::SignRequest { ttl: ttl(86_400), ..sign_for(user("1")) }).await.unwrap();
    assert_eq!(claims(&longest.token)["exp"], NOW + 86_400);
    for bad in [ttl(86_401), ttl(0), ttl(-1), Some(prost_types::Duration { seconds: 1, nanos: 1 })] {
        let refused = server.sign(proto::SignRequest { ttl: bad, ..sign_for(user("1")) }).await.unwrap_err();
        let wanted = (Code::InvalidArgument, "REQUEST_INVALID".to_owned(), vec!["ttl".to_owned()]);
        assert_eq!(error(&refused), wanted, "{bad:?}");
    }
}

#[tokio::test]
async fn what_the_application_does_not_declare_is_refused_by_name() {
    let mut server = start().await;
    let with = |attributes_: Value| proto::Identity { attributes: Some(attributes(attributes_)), ..user("1") };
    let refused = server.sign(sign_for(with(json!({"plan": "Free", "role": "admin"})))).await.unwrap_err();
    assert_eq!(error(&refused).2, ["identity.attributes.role"]);
    let refused = server.sign(sign_for(with(json!({"seats": "ten"})))).await.unwrap_err();
    let wanted = (Code::InvalidArgument, "CLAIM_TYPE_INVALID".to_owned(), vec!["identity.attributes.seats".to_owned()]);
    assert_eq!(error(&refused), wanted);
    // `sub` is not the user id of this profile, and still nobody's to set.
    let refused = server.sign(sign_for(with(json!({"sub": "root"})))).await.unwrap_err();
    assert_eq!(error(&refused).2, ["identity.attributes.sub"]);
    // null is the same as absent.
    let signed = server.sign(sign_for(with(json!({"plan": null, "seats": 10})))).await.unwrap();
    let claims = claims(&signed.token);
    assert_eq!((claims.get("plan"), &claims["seats"]), (None, &json!(10)));
}

#[tokio::test]
async fn a_company_needs_what_the_profile_requires() {
    let mut server = start().await;
    let company = proto::Company { id: "c1".to_owned(), ..proto::Company::default() };
    let identity = proto::Identity { companies: vec![company], ..user("1") };
    let refused = server.sign(sign_for(identity)).await.unwrap_err();
    let wanted = (Code::InvalidArgument, "CLAIM_MISSING".to_owned(), vec!["identity.companies[0].name".to_owned()]);
    assert_eq!(error(&refused), wanted);
}

#[tokio::test]
async fn one_identifier_is_enough_and_two_are_better() {
    let mut server = start().await;
    let signed = server.sign(sign_for(user("1"))).await.unwrap();
    assert_eq!(codes(&signed.notices), [NoticeCode::IdentifierMissing]);
    let refused = server.sign(sign_for(proto::Identity::default())).await.unwrap_err();
    let fields = vec!["identity.email".to_owned(), "identity.user_id".to_owned()];
    assert_eq!(error(&refused), (Code::InvalidArgument, "CLAIM_MISSING".to_owned(), fields));
}

#[tokio::test]
async fn claims_come_from_where_the_application_says() {
    let setup = Setup::default()
        .replace(
            "attributes.plan]\ntype = \"string\"",
            "attributes.plan]\ntype = \"string\"\nfrom = [\"plans\", \"caller\"]",
        )
        .replace("attributes.title]\ntype = \"string\"", "attributes.title]\ntype = \"string\"\nfrom = [\"plans\"]")
        .and(
            r#"
[sources.plans]
kind = "static"
sets = ["plan", "title"]
on_error = "refuse"
[sources.plans.config]
by_user_id = { vip = { plan = "Enterprise", title = "CEO" } }
"#,
        );
    let mut server = setup.start().await;
    let asserting =
        |id: &str, attributes_: Value| proto::Identity { attributes: Some(attributes(attributes_)), ..user(id) };
    let explained = |identity| proto::SignRequest { explain: true, ..sign_for(identity) };

    let signed = server.sign(explained(asserting("vip", json!({"plan": "Free"})))).await.unwrap();
    assert_eq!(claims(&signed.token)["plan"], "Enterprise");
    let origins: Vec<_> = signed.origins.iter().map(|o| (o.claim.as_str(), o.source.as_str())).collect();
    assert_eq!(origins, [("user_id", "caller"), ("plan", "plans"), ("title", "plans")]);

    // Absent moves on to the next origin.
    let signed = server.sign(explained(asserting("1", json!({"plan": "Free"})))).await.unwrap();
    assert_eq!(claims(&signed.token)["plan"], "Free");

    // What only a source may say, a caller may not.
    let refused = server.sign(sign_for(asserting("1", json!({"title": "CEO"})))).await.unwrap_err();
    assert_eq!(error(&refused).2, ["identity.attributes.title"]);
}

#[tokio::test]
async fn a_token_that_could_not_be_verified_is_not_signed() {
    let mut server = start().await;
    let with = |bytes: usize| {
        let text = "x".repeat(bytes);
        let company = |id: String| proto::Company { id, name: text.clone(), ..proto::Company::default() };
        proto::Identity { companies: (0..4).map(|n| company(n.to_string())).collect(), ..user("1") }
    };
    let signed = server.sign(sign_for(with(2_900))).await.unwrap();
    server.accepted(verify_jwt(signed.token)).await;
    for bytes in [3_100, 4_096] {
        let refused = server.sign(sign_for(with(bytes))).await.unwrap_err();
        assert_eq!(error(&refused).2, ["identity"], "{bytes}");
    }
}

#[tokio::test]
async fn the_signer_is_the_latest_key_that_is_valid() {
    let setup = Setup::default().env("NEXT", &"n".repeat(32)).and(
        r#"
[applications."acme/feedback".keys.next]
purpose = "jwt"
secret = { env = "NEXT" }
not_before = "2026-06-02T00:00:00Z"
"#,
    );
    let mut server = setup.start().await;
    let early = server.sign(sign_for(user("1"))).await.unwrap();
    assert_eq!(early.key_id, "jwt-2026");
    server.set_now(NOW + 86_400);
    let late = server.sign(sign_for(user("1"))).await.unwrap();
    assert_eq!(late.key_id, "next");
    // Both keys are good for verifying.
    server.set_now(NOW + 86_400 - 86_400 + 60);
    server.accepted(verify_jwt(early.token)).await;
}

#[tokio::test]
async fn hashes_are_those_of_the_old_scheme() {
    let mut server = start().await;
    let request = proto::LegacyHashRequest {
        email: "user@example.com".to_owned(),
        company_ids: vec!["987654321".to_owned()],
        ..hash_of("123456")
    };
    let hashed = server.hash(request).await.unwrap();
    assert_eq!(hashed.user_hash, user_hash("123456", IV_SECRET));
    assert_eq!(hashed.hashed(), proto::HashedIdentifier::UserId);
    assert_eq!(hashed.company_hashes["987654321"], user_hash("987654321", IV_SECRET));
    assert_eq!((hashed.key_id.as_str(), hashed.accepted_until), ("iv", None));
    assert_eq!(codes(&hashed.notices), [NoticeCode::LegacyHashDeprecated]);

    let by_email = proto::LegacyHashRequest { email: "user@example.com".to_owned(), ..hash_of("") };
    let hashed = server.hash(by_email).await.unwrap();
    assert_eq!(hashed.user_hash, user_hash("user@example.com", IV_SECRET));
    assert_eq!(hashed.hashed(), proto::HashedIdentifier::Email);

    let nothing = server.hash(hash_of("")).await.unwrap_err();
    assert_eq!(error(&nothing).2, ["user_id"]);
}

#[tokio::test]
async fn nothing_is_made_for_a_privileged_value() {
    let mut server = start().await;
    let privileged = (Code::PermissionDenied, "SUBJECT_PRIVILEGED".to_owned(), vec![]);
    for identity in [
        user("root"),
        proto::Identity { email: "BOSS@b.example".to_owned(), ..user("1") },
        proto::Identity { email: "x@Acme.example".to_owned(), ..user("1") },
    ] {
        assert_eq!(error(&server.sign(sign_for(identity)).await.unwrap_err()), privileged);
    }
    // A hash does not bind the kind of the value, so a company id may not be one either.
    for request in [
        hash_of("root"),
        proto::LegacyHashRequest { company_ids: vec!["root".to_owned()], ..hash_of("1") },
        proto::LegacyHashRequest { email: "boss@b.example".to_owned(), ..hash_of("1") },
        proto::LegacyHashRequest { company_ids: vec!["boss@B.example".to_owned()], ..hash_of("1") },
    ] {
        assert_eq!(error(&server.hash(request).await.unwrap_err()), privileged);
    }
}

#[tokio::test]
async fn the_end_of_issuing_is_announced_and_kept() {
    let until = "hash_until = \"2026-07-01T00:00:00Z\"\nissue_hash_until = \"2026-06-20T00:00:00Z\"\n\
                 brownouts = [{ from = \"2026-06-05T10:00:00Z\", until = \"2026-06-05T11:00:00Z\" }]";
    let mut server = Setup::default().policy(until).start().await;
    let hashed = server.hash(hash_of("1")).await.unwrap();
    assert_eq!(hashed.accepted_until, Some(timestamp("2026-07-01T00:00:00Z")));
    let deadlines: Vec<_> = hashed.notices.iter().map(|n| (n.code(), n.deadline.unwrap())).collect();
    assert_eq!(
        deadlines,
        [
            (NoticeCode::LegacyHashDeprecated, timestamp("2026-07-01T00:00:00Z")),
            (NoticeCode::BrownoutAnnounced, timestamp("2026-06-05T10:00:00Z")),
            (NoticeCode::HashNotIssuedSoon, timestamp("2026-06-20T00:00:00Z")),
        ]
    );
    server.set_now(timestamp("2026-06-20T00:00:00Z").seconds);
    let refused = server.hash(hash_of("1")).await.unwrap_err();
    assert_eq!(error(&refused), (Code::FailedPrecondition, "HASH_NO_LONGER_ISSUED".to_owned(), vec![]));
}

#[tokio::test]
async fn a_sources_numbers_and_times_are_written_as_a_callers_are() {
    let setup = Setup::default()
        .replace("attributes.seats]\ntype = \"number\"", "attributes.seats]\ntype = \"number\"\nfrom = [\"s\"]")
        .replace("company_attributes.location]\ntype = \"string\"", "company_attributes.location]\ntype = \"string\"\nfrom = [\"caller\"]")
        .and(
            r#"
[applications."acme/feedback".attributes.limits]
type = "object"
from = ["s"]
[applications."acme/feedback".attributes.companies]
from = ["s", "caller"]
[sources.s]
kind = "static"
sets = ["seats", "limits", "companies"]
on_error = "refuse"
[sources.s.config.claims]
seats = 500.0
limits = { a = 1.0, b = [2.0, 2.5] }
companies = [{ id = "c1", name = "One", monthly_spend = 7.0, created_at = "2023-05-19", industry = "Fintech", location = "Peru" }]
"#,
        );
    let mut server = setup.start().await;
    let signed = server.sign(sign_for(user("1"))).await.unwrap();
    let claims = claims(&signed.token);
    assert_eq!(claims["seats"].to_string(), "500");
    assert_eq!(claims["limits"].to_string(), r#"{"a":1,"b":[2,2.5]}"#);
    let company = json!({
        "id": "c1", "name": "One", "monthlySpend": 7, "createdAt": "2023-05-19T00:00:00.000Z", "industry": "Fintech"
    });
    assert_eq!(claims["companies"], json!([company]), "the location is not this source's to say");
    server.accepted(verify_jwt(signed.token)).await;
}

#[tokio::test]
async fn messages_are_static_and_the_field_is_among_the_violations() {
    let mut server = start().await;
    let asserted = || proto::Identity { attributes: Some(attributes(json!({"SENTINEL": 1}))), ..user("1") };
    let refused = server.sign(sign_for(asserted())).await.unwrap_err();
    assert_eq!(error(&refused).2, ["identity.attributes.SENTINEL"]);
    assert!(!refused.message().contains("SENTINEL"));
    let batch = proto::BatchSignRequest { requests: vec![sign_for(asserted())] };
    let results = server.client.batch_sign(from_billing(batch)).await.unwrap().into_inner().results;
    let proto::sign_result::Outcome::Failure(failure) = results[0].outcome.clone().unwrap() else { panic!() };
    assert_eq!(failure.fields[0].field, "identity.attributes.SENTINEL");
    assert!(!failure.message.contains("SENTINEL"));
}

#[tokio::test]
async fn only_a_jti_names_a_token() {
    let pendo = Setup::default().replace("\"featurebase\"", "\"pendo\"");
    let legacy = pendo.config.find("[applications.\"acme/feedback\".keys.iv]").unwrap();
    let rest = pendo.config.find("[applications.\"acme/feedback\".attributes.plan]").unwrap();
    let config = format!("{}{}", &pendo.config[..legacy], &pendo.config[rest..]);
    let mut server = Setup { config, ..pendo }.start().await;
    let one = server.sign(sign_for(user("1"))).await.unwrap();
    assert!(claims(&one.token)["nonce"].is_string());
    assert_ne!(json!(one.token_id), claims(&one.token)["nonce"]);
    let nonce = |id: &str| verify_jwt(token(json!({"userId": "absent", "visitor": {"id": id}, "nonce": "1"})));
    let (first, second) = (server.accepted(nonce("1")).await, server.accepted(nonce("2")).await);
    assert_ne!(first.token_id, second.token_id, "a nonce may repeat");
    assert_eq!(server.accepted(verify_jwt(&one.token)).await.token_id, one.token_id);
}

#[tokio::test]
async fn a_source_sets_what_it_says_and_never_an_identifier_that_was_given() {
    let setup = Setup::default()
        .and("[applications.\"acme/feedback\".attributes.email]\nfrom = [\"s\", \"caller\"]\n")
        .and("[sources.s]\nkind = \"static\"\nsets = [\"email\"]\non_error = \"refuse\"\n")
        .and("config = { claims = { email = \"source@example.com\" } }\n");
    let mut server = setup.start().await;
    let given = proto::Identity { email: "given@example.com".to_owned(), ..user("1") };
    let signed = server.sign(sign_for(given)).await.unwrap();
    assert_eq!(claims(&signed.token)["email"], "given@example.com");
    let signed = server.sign(sign_for(user("1"))).await.unwrap();
    assert_eq!(claims(&signed.token)["email"], "source@example.com");
}

#[tokio::test]
async fn requests_that_say_a_thing_twice_or_not_at_all_are_refused_by_field() {
    let mut server = start().await;
    let company = |id: &str| proto::Company { id: id.to_owned(), name: "n".to_owned(), ..Default::default() };
    let twice = proto::Identity { companies: vec![company("c"), company("c")], ..user("1") };
    assert!(error(&server.sign(sign_for(twice)).await.unwrap_err()).2.contains(&"identity.companies[1].id".to_owned()));
    let empty = proto::LegacyHashRequest { company_ids: vec!["c".to_owned(), String::new()], ..hash_of("1") };
    assert_eq!(error(&server.hash(empty).await.unwrap_err()).2, ["company_ids[1]"]);
    let unknown = Some(proto::LegacyProof { user_hash: "x".to_owned(), hashed: 99, ..Default::default() });
    let refused = server.verify(proto::VerifyRequest { legacy: unknown, ..verify_hash("1", "x") }).await.unwrap_err();
    assert_eq!(error(&refused).2, ["legacy.hashed"]);
}

#[tokio::test]
async fn a_profile_that_takes_one_identifier_takes_no_two() {
    let iterable = Setup::default().replace("\"featurebase\"", "\"iterable\"");
    let legacy = iterable.config.find("[applications.\"acme/feedback\".keys.iv]").unwrap();
    let mut server = Setup { config: iterable.config[..legacy].to_owned(), ..iterable }.start().await;
    let both = proto::Identity { email: "user@example.com".to_owned(), ..user("1") };
    let mut fields = error(&server.sign(sign_for(both)).await.unwrap_err()).2;
    fields.sort();
    assert_eq!(fields, ["identity.email", "identity.user_id"]);
    let signed = server.sign(sign_for(user("1"))).await.unwrap();
    assert!(signed.notices.is_empty(), "one identifier is all that this profile takes");
}
