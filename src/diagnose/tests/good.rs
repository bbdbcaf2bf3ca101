//! No false alarm: credentials as they should be, and what is the operator's doing.

use super::*;

#[test]
fn a_good_token_is_left_alone() -> Outcome {
    let world = World::new()?;
    let beside = |sent: Sent| Sent { asserted: ada(), ..sent };
    for (name, sent) in [
        ("featurebase", of_claims(&claims())),
        ("with identifiers beside it", beside(of_claims(&claims()))),
        ("email alone", of_claims(&json!({ "email": EMAIL, "exp": at(60) }))),
        ("with a hash beside it", Sent { hash: "junk".to_owned(), ..of_claims(&claims()) }),
        (
            "undeclared attributes",
            of_claims(&with(claims(), json!({ "id": 7, "sub": "x", "title": "x", "avatar": "x" }))),
        ),
        ("alg after typ", of_token(sign_as(&json!({ "typ": "JWT", "alg": "HS256" }), claims().to_string(), JWT))),
        ("an ignored kid", of_token(sign_as(&json!({ "alg": "HS256", "kid": "x" }), claims().to_string(), JWT))),
        (
            "intercom",
            to("acme/messenger", of_token(sign(ONE, &json!({ "user_id": ID, "email": EMAIL, "exp": at(7_200) })))),
        ),
        ("clocks a little apart", of_claims(&with(claims(), json!({ "iat": at(20) })))),
        ("just ended", of_claims(&with(claims(), json!({ "exp": at(-20) })))),
    ] {
        world.expect_good(name, &sent)?;
    }
    Ok(())
}

#[test]
fn a_good_token_of_every_kind_of_profile_is_left_alone() -> Outcome {
    let world = World::new()?;
    let own = json!({ "iss": "https://id.acme.example/", "aud": ["web"], "sub": ID, "plan": "x", "iat": at(0), "exp": at(60) });
    world.expect_good("generic", &to("acme/own", of_token(sign(OWN_JWT, &own))))?;
    let named = sign_as(&json!({ "alg": "HS256", "kid": "jwt" }), own.to_string(), OWN_JWT);
    world.expect_good("generic with kid", &Sent { audience: "web".to_owned(), ..to("acme/own", of_token(named)) })?;
    let zendesk = json!({ "scope": "user", "external_id": ID, "exp": at(60) });
    let zendesk = sign_as(&json!({ "alg": "HS256", "typ": "JWT", "kid": "app_1" }), zendesk.to_string(), ZENDESK);
    world.expect_good("zendesk", &to("acme/zendesk", of_token(zendesk)))?;
    world.expect_good("onesignal", &to("acme/signal", of_token(onesignal(&world)?)))
}

/// A good token of `acme/signal`, made by another library.
pub(super) fn onesignal(world: &World) -> Outcome<String> {
    let claims = json!({ "iss": "app-0815", "exp": at(60), "identity": { "external_id": ID } });
    es256(&world.pem, &claims)
}

pub(super) fn es256(pem: &str, claims: &Value) -> Outcome<String> {
    let key = crate::token::asymmetric::KeyPair::private(Algorithm::ES256, pem.as_bytes())?;
    let input =
        format!("{}.{}", encode(json!({ "alg": "ES256", "typ": "JWT" }).to_string()), encode(claims.to_string()));
    let signature = key.sign(input.as_bytes()).ok_or("cannot sign")?;
    Ok(format!("{input}.{}", encode(signature)))
}

#[test]
fn a_good_hash_is_left_alone() -> Outcome {
    let world = World::new()?;
    let email = Identity { email: Some(EMAIL.to_owned()), ..Identity::default() };
    let company = |hash: String| vec![("c-9".to_owned(), hash)];
    for (name, sent) in [
        ("user id", of_hash(hash(IV, ID))),
        ("email alone", Sent { asserted: email.clone(), ..of_hash(hash(IV, EMAIL)) }),
        ("email, said so", Sent { hashed: Some(SubjectKind::Email), ..of_hash(hash(IV, EMAIL)) }),
        ("company", Sent { company_hashes: company(hash(IV, "c-9")), ..of_hash(hash(IV, ID)) }),
        ("pylon", to("acme/chat", of_hash(hash(hex::decode(PYLON)?, EMAIL)))),
        ("intercom", to("acme/messenger", of_hash(hash(ONE, ID)))),
        ("onesignal", to("acme/signal", of_hash(hash(ONESIGNAL, ID)))),
        ("generic", to("acme/own", of_hash(hash(OWN_IV, ID)))),
        ("a weak key, which is the operator's", to("acme/weak", of_hash(hash(WEAK, EMAIL)))),
        ("JWTs not accepted yet", Sent { jwt: Some("junk".into()), ..to("acme/soon", of_hash(hash(STAGING_IV, ID))) }),
    ] {
        world.expect_good(name, &sent)?;
    }
    world.expect(
        "weak",
        &to("acme/weak", of_hash(hash(WEAK, EMAIL))),
        "hash.secret",
        Passed,
        ("shorter than 32 bytes", ""),
    )
}

#[test]
fn a_secret_that_is_right_is_left_alone() -> Outcome {
    let world = World::new()?;
    world.expect_good("token", &suspecting(JWT, of_claims(&claims())))?;
    world.expect_good("hash", &suspecting(IV, of_hash(hash(IV, ID))))?;
    let chat = to("acme/chat", of_hash(hash(hex::decode(PYLON)?, EMAIL)));
    world.expect_good("decoded as the profile says", &suspecting(PYLON, chat))?;
    world.expect_good("key pair", &suspecting(&world.pem, to("acme/signal", of_token(onesignal(&world)?))))
}

#[test]
fn what_the_operator_decides_is_no_mistake() -> Outcome {
    let world = World::new()?;
    let root = |sent: Sent| Sent { asserted: Identity { user_id: Some("root".into()), ..Identity::default() }, ..sent };
    for (name, sent, check, message, remedy) in [
        ("sunset", to("acme/ended", of_hash(hash(IV, ID))), "policy.acceptance", "no longer accepted", "Send a JWT"),
        ("no key", to("acme/ended", of_claims(&claims())), "token.key", "no key for JWTs", "operator"),
        (
            "too early",
            to("acme/soon", of_token(sign(STAGING_JWT, &claims()))),
            "policy.acceptance",
            "JWTs are not accepted yet",
            "legacy hash",
        ),
        ("privileged", root(of_hash(hash(IV, "root"))), "policy.privileged", "privileged account", "another user"),
        (
            "privileged in a token",
            of_claims(&with(claims(), json!({ "userId": "root" }))),
            "policy.privileged",
            "privileged",
            "another user",
        ),
    ] {
        let seen = world.look(&sent)?;
        let failed: Vec<_> =
            seen.findings.iter().filter(|finding| matches!(finding.result, Failed | Warning)).collect();
        assert!(seen.verdict.is_some(), "{name}");
        assert!(failed.is_empty() || check == "token.key", "{name}: {failed:?}");
        world.expect(name, &sent, check, Inconclusive, (message, remedy))?;
    }
    // Nobody finds out here who is privileged.
    let guess = world.look(&root(of_hash(hash("guess", "root"))))?;
    assert!(
        guess.findings.iter().all(|finding| !finding.message.contains("belongs to a privileged")),
        "{:?}",
        guess.findings
    );
    Ok(())
}
