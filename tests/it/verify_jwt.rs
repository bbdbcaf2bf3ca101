//! Verify, with a JWT: what is refused and why, and what is proven.

use countersign::grpc::proto::{self, NoticeCode, Reason};
use serde_json::json;

use crate::harness::*;

#[tokio::test]
async fn times_are_judged_with_the_same_leeway_everywhere() {
    let mut server = start().await;
    for (claims, wanted) in [
        (json!({"exp": NOW - 29}), None),
        (json!({"exp": NOW - 30}), Some(Reason::TokenExpired)),
        (json!({"nbf": NOW + 30}), None),
        (json!({"nbf": NOW + 31}), Some(Reason::TokenNotYetValid)),
        (json!({"iat": NOW + 30}), None),
        (json!({"iat": NOW + 31}), Some(Reason::IssuedInFuture)),
        (json!({"exp": NOW + 86_430}), None),
        (json!({"exp": NOW + 86_431}), Some(Reason::LifetimeTooLong)),
        (json!({"iat": "absent", "exp": NOW + 86_431}), Some(Reason::LifetimeTooLong)),
        (json!({"exp": "absent"}), Some(Reason::ClaimMissing)),
        (json!({"exp": null}), Some(Reason::ClaimTypeInvalid)),
        (json!({"exp": (NOW + 60).to_string()}), Some(Reason::ClaimTypeInvalid)),
        (json!({"nbf": null}), Some(Reason::ClaimTypeInvalid)),
        (json!({"nbf": true}), Some(Reason::ClaimTypeInvalid)),
        (json!({"iat": -1}), Some(Reason::ClaimTypeInvalid)),
        (json!({"iat": (NOW as f64) + 0.5}), Some(Reason::ClaimTypeInvalid)),
        (json!({"exp": 253_402_300_800_i64}), Some(Reason::ClaimTypeInvalid)),
        (json!({"exp": NOW * 1_000}), Some(Reason::ClaimTypeInvalid)),
        (json!({"exp": 1e300}), Some(Reason::ClaimTypeInvalid)),
    ] {
        let request = verify_jwt(token(claims.clone()));
        match wanted {
            None => drop(server.accepted(request).await),
            Some(reason) => assert_eq!(server.why(request).await, reason, "{claims}"),
        }
    }
}

#[tokio::test]
async fn the_signature_goes_before_the_time() {
    let mut server = start().await;
    let claims = json!({"userId": "1", "exp": NOW - 3_600});
    assert_eq!(server.why(verify_jwt(foreign_token(&claims, JWT_SECRET))).await, Reason::TokenExpired);
    assert_eq!(server.why(verify_jwt(foreign_token(&claims, "wrong"))).await, Reason::SignatureInvalid);
}

#[tokio::test]
async fn a_malformed_token_is_not_a_missing_one() {
    let mut server = start().await;
    let good = token(json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let hs256 = r#"{"alg":"HS256"}"#;
    let exp = NOW + 60;
    let payload = format!(r#"{{"userId":"1","exp":{exp}}}"#);
    let with_header = |header: &str| raw_token(header, payload.as_bytes(), JWT_SECRET);
    let with_payload = |payload: &str| raw_token(hs256, payload.as_bytes(), JWT_SECRET);
    server.accepted(verify_jwt(with_header(hs256))).await;
    let malformed = [
        String::new(),
        "x".to_owned(),
        "..".to_owned(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}.x"),
        format!("{good}="),
        format!(" {good}"),
        format!("Bearer {good}"),
        format!("{}.{}.{}!", parts[0], parts[1], parts[2]),
        with_header(r#"{"alg":"HS256","alg":"HS256"}"#),
        with_header(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#),
        with_header(r#"{"alg":"HS256","crit":[]}"#),
        with_header(r#"{"alg":"HS256","b64":true}"#),
        with_header(r#"{"typ":"JWT"}"#),
        with_header(r#"{"alg":null}"#),
        with_header(r#"{"alg":256}"#),
        with_header(r#"["HS256"]"#),
        with_header("{"),
        with_payload(&format!(r#"{{"userId":"1","userId":"2","exp":{exp}}}"#)),
        with_payload(&format!(r#"{{"userId":"1","x":{{"a":1,"a":2}},"exp":{exp}}}"#)),
        with_payload("[1]"),
        with_payload("\"{}\""),
        with_payload("{\"exp\":NaN}"),
        with_payload(""),
        raw_token(hs256, b"{\"userId\":\"\xff\"}", JWT_SECRET),
        with_payload(&format!("{{\"a\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000))),
    ];
    for token in malformed {
        assert_eq!(server.why(verify_jwt(token.as_str())).await, Reason::TokenMalformed, "{token}");
    }
}

#[tokio::test]
async fn an_algorithm_is_the_keys_or_nothing() {
    let mut server = start().await;
    let payload = format!(r#"{{"userId":"1","exp":{}}}"#, NOW + 60);
    for alg in ["none", "None", "HS512", "RS256", "hs256", ""] {
        let token = raw_token(&format!(r#"{{"alg":"{alg}"}}"#), payload.as_bytes(), JWT_SECRET);
        assert_eq!(server.why(verify_jwt(token.as_str())).await, Reason::AlgorithmNotAllowed, "{alg}");
        // The signature stripped, the three parts kept.
        let (input, _) = token.rsplit_once('.').unwrap();
        assert_eq!(server.why(verify_jwt(format!("{input}."))).await, Reason::AlgorithmNotAllowed, "{alg}");
    }
}

#[tokio::test]
async fn wrong_types_refuse_and_null_is_absent_only_where_optional() {
    let mut server = start().await;
    for (claims, wanted) in [
        (json!({"userId": 123_456}), Some("userId")),
        (json!({"userId": null}), Some("userId")),
        (json!({"email": null}), Some("email")),
        (json!({"sub": null}), Some("sub")),
        (json!({"jti": 0.5}), Some("jti")),
        (json!({"iss": 1}), Some("iss")),
        (json!({"aud": {"a": 1}}), Some("aud")),
        (json!({"name": null, "locale": null, "plan": null, "companies": null}), None),
        (json!({"name": 1}), Some("name")),
        (json!({"plan": 1}), Some("plan")),
        (json!({"seats": "1"}), Some("seats")),
        (json!({"seats": 9_007_199_254_740_993_i64}), Some("seats")),
        (json!({"companies": {"id": "1", "name": "x"}}), Some("companies")),
        (json!({"companies": [{"id": 1, "name": "x"}]}), Some("companies.id")),
        (json!({"companies": [{"id": "1", "name": "x", "industry": 1}]}), Some("companies.industry")),
        (json!({"companies": [{"id": "1", "name": "x", "createdAt": 1_684_510_549}]}), Some("companies.createdAt")),
        (json!({"userId": "x".repeat(513)}), Some("userId")),
    ] {
        let request = verify_jwt(token(claims.clone()));
        match wanted {
            None => drop(server.accepted(request).await),
            Some(claim) => {
                let refused = server.refused(request).await;
                assert_eq!(refused.reason(), Reason::ClaimTypeInvalid, "{claims}");
                assert!(refused.message.contains(&format!("`{claim}`")), "{}", refused.message);
            }
        }
    }
    for (claims, claim) in [
        (json!({"userId": "absent"}), "email or userId"),
        (json!({"userId": ""}), "email or userId"),
        (json!({"companies": [{"name": "x"}]}), "companies.id"),
        (json!({"companies": [{"id": "1"}]}), "companies.name"),
    ] {
        let refused = server.refused(verify_jwt(token(claims.clone()))).await;
        assert_eq!(refused.reason(), Reason::ClaimMissing, "{claims}");
        assert!(refused.message.contains(&format!("`{claim}`")), "{}", refused.message);
    }
}

#[tokio::test]
async fn verified_and_unverified_never_mix() {
    let mut server = start().await;
    let claims = json!({
        "plan": "Premium",
        "theme": "dark",
        "role": "admin",
        "companies": [{"id": "c1", "name": "One", "industry": "Fintech", "secret": 1}],
    });
    let asserted = proto::Identity {
        email: "user@example.com".to_owned(),
        name: "Said".to_owned(),
        attributes: Some(attributes(json!({
            "plan": "Enterprise", "title": "CEO", "theme": "light", "seats": 5, "unknown": true
        }))),
        companies: vec![
            proto::Company {
                id: "c1".to_owned(),
                name: "Other name".to_owned(),
                attributes: Some(attributes(json!({"industry": "Games", "location": "Canada"}))),
                ..proto::Company::default()
            },
            proto::Company {
                id: "c2".to_owned(),
                attributes: Some(attributes(json!({"industry": "Games", "location": "Peru"}))),
                ..proto::Company::default()
            },
        ],
        ..user("123456")
    };
    let request = proto::VerifyRequest { asserted: Some(asserted), ..verify_jwt(token(claims)) };
    let accepted = server.accepted(request).await;

    let company = |id: &str, name: &str, attributes_| proto::Company {
        id: id.to_owned(),
        name: name.to_owned(),
        attributes: Some(attributes(attributes_)),
        ..proto::Company::default()
    };
    let verified = proto::Identity {
        attributes: Some(attributes(json!({"plan": "Premium", "theme": "dark"}))),
        companies: vec![company("c1", "One", json!({"industry": "Fintech"}))],
        ..user("123456")
    };
    assert_eq!(accepted.verified.unwrap(), verified);
    let unverified = proto::Identity {
        email: "user@example.com".to_owned(),
        name: "Said".to_owned(),
        companies: vec![
            company("c1", "", json!({"location": "Canada"})),
            company("c2", "", json!({"location": "Peru"})),
        ],
        ..proto::Identity::default()
    };
    assert_eq!(accepted.unverified.unwrap(), unverified);
    let mut refused: Vec<_> = accepted.refused_attributes.iter().map(|r| (r.name.as_str(), r.reason())).collect();
    refused.sort();
    assert_eq!(
        refused,
        [
            ("companies[c1].secret", Reason::AttributeUndeclared),
            ("companies[c2].industry", Reason::AttributeNotProven),
            ("role", Reason::AttributeUndeclared),
            ("seats", Reason::AttributeNotProven),
            ("title", Reason::AttributeNotProven),
            ("unknown", Reason::AttributeUndeclared),
        ]
    );
    assert!(codes(&accepted.notices).contains(&NoticeCode::AttributeUndeclared));
}

#[tokio::test]
async fn a_jwt_decides_alone() {
    let mut server = start().await;
    let hash = verify_hash("123456", user_hash("123456", IV_SECRET));
    server.accepted(hash.clone()).await;
    for (jwt, wanted) in [("", Reason::TokenMalformed), ("x.y.z", Reason::TokenMalformed)] {
        let both = proto::VerifyRequest { jwt: Some(jwt.to_owned()), ..hash.clone() };
        assert_eq!(server.why(both).await, wanted, "{jwt}");
    }
    let bad_hash = verify_hash("123456", "0".repeat(64));
    let accepted = server.accepted(proto::VerifyRequest { jwt: Some(token(json!({}))), ..bad_hash }).await;
    assert_eq!(accepted.credential(), proto::CredentialKind::Jwt);
}

#[tokio::test]
async fn before_jwts_are_accepted_one_beside_a_hash_is_ignored() {
    let mut server = Setup::default().policy("jwt_from = \"2026-07-01T00:00:00Z\"").start().await;
    let hash = verify_hash("123456", user_hash("123456", IV_SECRET));
    let both = proto::VerifyRequest { jwt: Some("anything".to_owned()), ..hash };
    let accepted = server.accepted(both.clone()).await;
    assert_eq!(accepted.credential(), proto::CredentialKind::LegacyHash);
    assert!(codes(&accepted.notices).contains(&NoticeCode::JwtIgnored));
    assert_eq!(server.why(verify_jwt(token(json!({})))).await, Reason::JwtNotYetAccepted);
    // A proof without a hash is no hash.
    let empty = proto::VerifyRequest { legacy: Some(proto::LegacyProof::default()), ..verify_jwt(token(json!({}))) };
    assert_eq!(server.why(empty).await, Reason::JwtNotYetAccepted);
    server.set_now(timestamp("2026-07-01T00:00:00Z").seconds);
    assert_eq!(server.why(both).await, Reason::TokenMalformed);
}

#[tokio::test]
async fn audiences_narrow() {
    let setup = Setup::default().and(
        "[applications.\"acme/feedback\".tokens]\nissuer = \"https://id.acme.example\"\naudiences = [\"web\", \"api\"]\n",
    );
    let mut server = setup.start().await;
    let iss = "https://id.acme.example";
    let asking =
        |audience: &str, claims| proto::VerifyRequest { audience: audience.to_owned(), ..verify_jwt(token(claims)) };
    for (audience, claims, wanted) in [
        ("", json!({"iss": iss, "aud": "web"}), None),
        ("", json!({"iss": iss, "aud": ["x", "api"]}), None),
        ("web", json!({"iss": iss, "aud": "web"}), None),
        ("api", json!({"iss": iss, "aud": "web"}), Some(Reason::AudienceMismatch)),
        ("x", json!({"iss": iss, "aud": "x"}), Some(Reason::AudienceMismatch)),
        ("", json!({"iss": iss, "aud": "x"}), Some(Reason::AudienceMismatch)),
        ("", json!({"iss": iss}), Some(Reason::AudienceMismatch)),
        ("", json!({"iss": "https://other", "aud": "web"}), Some(Reason::IssuerMismatch)),
        ("", json!({"aud": "web"}), Some(Reason::IssuerMismatch)),
    ] {
        let request = asking(audience, claims.clone());
        match wanted {
            None => drop(server.accepted(request).await),
            Some(reason) => assert_eq!(server.why(request).await, reason, "{audience} {claims}"),
        }
    }
    let signing = |audience: &str| proto::SignRequest { audience: audience.to_owned(), ..sign_for(user("1")) };
    let signed = server.sign(signing("api")).await.unwrap();
    server.accepted(proto::VerifyRequest { audience: "api".to_owned(), ..verify_jwt(&signed.token) }).await;
    assert_eq!(
        server.why(proto::VerifyRequest { audience: "web".to_owned(), ..verify_jwt(&signed.token) }).await,
        Reason::AudienceMismatch
    );
    let all = server.sign(signing("")).await.unwrap();
    server.accepted(proto::VerifyRequest { audience: "web".to_owned(), ..verify_jwt(&all.token) }).await;
    assert_eq!(error(&server.sign(signing("x")).await.unwrap_err()).2, ["audience"]);
}

#[tokio::test]
async fn without_audiences_none_can_be_asked_for() {
    let mut server = start().await;
    let request = proto::VerifyRequest { audience: "web".to_owned(), ..verify_jwt(token(json!({"aud": "web"}))) };
    assert_eq!(server.why(request).await, Reason::AudienceMismatch);
    server.accepted(verify_jwt(token(json!({"aud": "anything"})))).await;
}

#[tokio::test]
async fn a_token_without_end_ends_with_its_age_or_says_so() {
    let tokens = |text: &str| Setup::default().and(&format!("[applications.\"acme/feedback\".tokens]\n{text}\n"));
    let mut server = tokens("require_exp = false").start().await;
    let accepted = server.accepted(verify_jwt(token(json!({"exp": "absent"})))).await;
    assert!(codes(&accepted.notices).contains(&NoticeCode::NoExpiry));
    assert_eq!(accepted.expires_at, None);
    let mut server = tokens("require_exp = false\nmax_age_secs = 100").start().await;
    let aged = |age: i64| verify_jwt(token(json!({"exp": "absent", "iat": NOW - age})));
    let accepted = server.accepted(aged(129)).await;
    assert_eq!(accepted.expires_at.unwrap().seconds, NOW - 29);
    assert_eq!(server.why(aged(130)).await, Reason::TokenExpired);
    assert_eq!(server.why(verify_jwt(token(json!({"exp": "absent", "iat": "absent"})))).await, Reason::ClaimMissing);
}

#[tokio::test]
async fn every_form_of_iso_8601_is_a_time() {
    let mut server = start().await;
    for (text, wanted) in [
        ("2023-05-19T15:35:49.915Z", "2023-05-19T15:35:49.915Z"),
        ("2023-05-19T17:35:49+02:00", "2023-05-19T15:35:49Z"),
        ("2023-05-19T17:35:49+0200", "2023-05-19T15:35:49Z"),
        ("20230519T153549Z", "2023-05-19T15:35:49Z"),
        ("2023-05-19T15:35Z", "2023-05-19T15:35:00Z"),
        ("2023-05-19T15:35:49", "2023-05-19T15:35:49Z"),
        ("2023-05-19", "2023-05-19T00:00:00Z"),
    ] {
        let company = json!({"id": "c", "name": "c", "createdAt": text});
        let accepted = server.accepted(verify_jwt(token(json!({"companies": [company]})))).await;
        assert_eq!(accepted.verified.unwrap().companies[0].created_at, Some(timestamp(wanted)), "{text}");
    }
    for text in ["yesterday", "19.05.2023", "2023-02-30", ""] {
        let company = json!({"id": "c", "name": "c", "createdAt": text});
        assert_eq!(
            server.why(verify_jwt(token(json!({"companies": [company]})))).await,
            Reason::ClaimTypeInvalid,
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_short_key_is_told_where_it_judged_and_only_there() {
    let weak = "[applications.\"acme/feedback\".keys.weak]\npurpose = \"jwt\"\nsecret = { env = \"WEAK\" }\nallow_weak = true\n";
    let setup = Setup::default().env("WEAK", "short").and(&format!("{weak}not_before = \"2026-05-01T00:00:00Z\"\n"));
    let mut server = setup.start().await;
    let told = |notices: &[proto::Notice]| codes(notices).contains(&NoticeCode::WeakKey);
    let by_weak = foreign_token(&json!({"userId": "1", "exp": NOW + 60}), "short");
    assert!(told(&server.accepted(verify_jwt(by_weak)).await.notices));
    assert!(!told(&server.accepted(verify_jwt(token(json!({})))).await.notices), "the strong key judged");
    assert!(
        !told(&server.refused(verify_jwt(token(json!({"exp": NOW - 100})))).await.notices),
        "the strong key judged"
    );
    assert!(!told(&server.refused(verify_jwt("nonsense")).await.notices), "no key judged");
    let by_nobody = foreign_token(&json!({"userId": "1", "exp": NOW + 60}), "nobody");
    assert!(told(&server.refused(verify_jwt(by_nobody)).await.notices), "both were tried");
    assert!(told(&server.sign(sign_for(user("1"))).await.unwrap().notices));
}

#[tokio::test]
async fn privilege_looks_at_what_is_said_beside_a_jwt_and_identity_goes_first() {
    let mut server = start().await;
    let beside = |asserted| proto::VerifyRequest { asserted: Some(asserted), ..verify_jwt(token(json!({}))) };
    let boss = proto::Identity { email: "boss@b.example".to_owned(), ..Default::default() };
    assert_eq!(server.why(beside(boss)).await, Reason::SubjectPrivileged);
    assert_eq!(server.why(beside(user("root"))).await, Reason::IdentityMismatch);
}

#[tokio::test]
async fn a_secure_field_is_refused_outside_a_jwt() {
    let fields = "[applications.\"acme/feedback\".attributes.name]\nsecure = true\n\
                  [applications.\"acme/feedback\".attributes.companies]\nsecure = true\n";
    let mut server = Setup::default().and(fields).start().await;
    let company = |id: &str| proto::Company { id: id.to_owned(), name: "Said".to_owned(), ..Default::default() };
    let asserted = proto::Identity {
        name: "Said".to_owned(),
        companies: vec![company("c1"), company("c2")],
        attributes: Some(attributes(json!({"theme": 1}))),
        ..Default::default()
    };
    let claims = json!({"companies": [{"id": "c1", "name": "One"}]});
    let accepted =
        server.accepted(proto::VerifyRequest { asserted: Some(asserted), ..verify_jwt(token(claims)) }).await;
    assert_eq!(accepted.unverified.unwrap(), proto::Identity::default());
    let refused: Vec<_> = accepted.refused_attributes.iter().map(|r| (r.name.as_str(), r.reason())).collect();
    let not_proven = Reason::AttributeNotProven;
    let wanted = [("name", not_proven), ("companies[c2]", not_proven), ("theme", Reason::ClaimTypeInvalid)];
    for one in wanted {
        assert!(refused.contains(&one), "{one:?}: {refused:?}");
    }
}

#[tokio::test]
async fn bounds_are_exact() {
    let mut server = start().await;
    let companies = |count: usize| {
        let list: Vec<_> = (0..count).map(|n| json!({"id": n.to_string(), "name": "n"})).collect();
        verify_jwt(token(json!({"companies": list})))
    };
    server.accepted(companies(200)).await;
    assert_eq!(server.why(companies(201)).await, Reason::ClaimTypeInvalid);
    let open = "[applications.\"acme/feedback\".tokens]\nmax_ttl_secs = 315360000\n";
    let mut server = Setup::default().and(open).at(253_402_300_000).start().await;
    server.accepted(verify_jwt(token(json!({"nbf": 0, "iat": 253_402_300_000_i64, "exp": 253_402_300_799_i64})))).await;
    assert_eq!(
        server.why(verify_jwt(token(json!({"jti": 1, "exp": 253_402_300_799_i64})))).await,
        Reason::LifetimeTooLong
    );
    assert_eq!(
        server
            .why(verify_jwt(token(json!({"plan": "a\u{0}b", "iat": 253_402_300_000_i64, "exp": 253_402_300_799_i64}))))
            .await,
        Reason::ClaimTypeInvalid
    );
}
