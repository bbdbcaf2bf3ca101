//! Mistakes in what a token says.

use super::*;

#[test]
fn payload() -> Outcome {
    let world = World::new()?;
    let of = |payload: String| of_token(sign_as(&json!({ "alg": "HS256" }), payload, JWT));
    let text = claims().to_string();
    for (name, sent, message, remedy) in [
        ("double-encoded", of(json!(text).to_string()), "double-encoded", "once"),
        ("base64 twice", of(encode(&text)), "base64-encoded twice", "once"),
        ("nested token", of(sign(JWT, &claims())), "nested", "once"),
        ("nested token as JSON", of(json!(sign(JWT, &claims())).to_string()), "nested", "once"),
        ("list", of(json!([claims()]).to_string()), "a list", "one object"),
        ("bare", of("42".into()), "bare value", "object"),
        ("empty", of(String::new()), "empty", "object"),
        ("Python", of("{'email': 'x'}".into()), "single quotes", "JSON library"),
        ("broken", of("{\"email\": ".into()), "cut short", "JSON library"),
        ("form data", of("email=x&b=c".into()), "form data", "JSON"),
        ("byte order mark", of(format!("\u{feff}{text}")), "byte order mark", "without"),
        ("twice", of("{\"email\":\"x\",\"email\":\"y\"}".into()), "twice", "once"),
        (
            "wrapped",
            of_claims(&json!({ "data": claims(), "exp": at(60) })),
            "inside of the member `data`",
            "not an object around",
        ),
        ("user", of_claims(&json!({ "user": { "id": 1 }, "exp": at(60) })), "member `user`", "not an object around"),
        ("as text", of_claims(&json!({ "payload": text, "exp": at(60) })), "member `payload`", "not an object around"),
    ] {
        world.expect(name, &sent, "token.payload", Failed, (message, remedy))?;
    }
    let compressed = of_token(sign_as(&json!({ "alg": "HS256", "zip": "DEF" }), [0x78, 0x9c, 0xff], JWT));
    world.expect("compressed", &compressed, "token.payload", Failed, ("compressed", "zip"))
}

#[test]
fn times() -> Outcome {
    let world = World::new()?;
    let set = |change: Value| of_claims(&with(claims(), change));
    let ms = |seconds: i64| at(seconds) * 1_000;
    for (name, sent, message, remedy) in [
        ("milliseconds", set(json!({ "exp": ms(3_600) })), "`exp` is in milliseconds", "Date.now() / 1000"),
        ("iat in milliseconds", set(json!({ "iat": ms(0) })), "`iat` is in milliseconds", "1000"),
        ("microseconds", set(json!({ "nbf": ms(0) * 1_000 })), "`nbf` is in microseconds", "1000000"),
        ("nanoseconds", set(json!({ "nbf": ms(0) * 1_000_000 })), "`nbf` is in nanoseconds", "1000000000"),
        ("in quotes", set(json!({ "exp": at(60).to_string() })), "number in quotes", "without quotes"),
        ("date", set(json!({ "exp": "2026-06-02T00:00:00Z" })), "date as text", "seconds since 1970"),
        ("null", set(json!({ "exp": null })), "`exp` is null", "leave the claim out"),
        ("fraction", set(json!({ "iat": 1_780_000_000.5 })), "has a fraction", "Math.floor"),
        ("negative", set(json!({ "nbf": -1 })), "negative", "1970"),
        ("missing", of_claims(&without(claims(), &["exp"])), "`exp` is missing", "option of signing"),
        (
            "option",
            of_claims(&with(without(claims(), &["exp"]), json!({ "expiresIn": "1h" }))),
            "a claim `expiresIn`",
            "beside the claims",
        ),
        (
            "past",
            set(json!({ "iat": at(-97_200), "exp": at(-86_400 - 7_200) })),
            "ended 1 day 2 hours ago",
            "before the old one ends",
        ),
        (
            "how long it lived",
            set(json!({ "iat": at(-90_000), "exp": at(-86_400) })),
            "live for 1 hour",
            "cookie or a cache",
        ),
        ("just past", set(json!({ "exp": at(-90) })), "ended 1 minute 30 seconds ago", "clock"),
        ("duration", set(json!({ "exp": 3_600 })), "a length of time", "now plus the lifetime"),
        ("before issue", set(json!({ "iat": at(-60), "exp": at(-7_200) })), "before it was issued", "present time"),
        ("future", set(json!({ "iat": at(95) })), "issued in the future, by 1 minute 35 seconds", "NTP"),
        ("time zone", set(json!({ "iat": at(7_200), "exp": at(10_800) })), "local time", "UTC"),
        ("not yet", set(json!({ "nbf": at(600) })), "not valid yet, by 10 minutes", "clock"),
        ("long", set(json!({ "exp": at(86_400 * 365) })), "1 day is the longest", "shorter lifetime"),
    ] {
        world.expect(name, &sent, "token.times", Failed, (message, remedy))?;
    }
    let own = json!({ "iss": "https://id.acme.example/", "aud": "web", "sub": ID, "plan": "x", "exp": at(60), "issuedAt": at(0) });
    let sent = to("acme/own", of_token(sign(OWN_JWT, &own)));
    world.expect("no iat", &sent, "token.times", Failed, ("a claim `issuedAt`", "Sign with `iat`"))
}

fn own(change: Value) -> Sent {
    let good =
        json!({ "iss": "https://id.acme.example/", "aud": "web", "sub": ID, "plan": "x", "iat": at(0), "exp": at(60) });
    to("acme/own", of_token(sign(OWN_JWT, &with(good, change))))
}

#[test]
fn parties() -> Outcome {
    let world = World::new()?;
    for (name, sent, check, message, remedy) in [
        ("slash", own(json!({ "iss": "https://id.acme.example" })), "token.issuer", "a slash at the end", "exactly as"),
        ("empty", own(json!({ "iss": "", "issuer": "x" })), "token.issuer", "a claim `issuer`", "tokens.issuer"),
        (
            "another",
            own(json!({ "iss": "canary-organisation" })),
            "token.issuer",
            "another organisation name",
            "exactly as",
        ),
        (
            "other application",
            own(json!({ "iss": "app-0815" })),
            "token.issuer",
            "issuer of `acme/signal`",
            "exactly as",
        ),
        (
            "swapped",
            own(json!({ "iss": "web", "aud": "https://id.acme.example/" })),
            "token.issuer",
            "swapped",
            "exactly as",
        ),
        ("the name", own(json!({ "iss": "acme/own" })), "token.issuer", "name of the application", "exactly as"),
        ("type", own(json!({ "iss": 1 })), "token.issuer", "not text", "iss"),
    ] {
        world.expect(name, &sent, check, Failed, (message, remedy))?;
    }
    Ok(())
}

#[test]
fn audiences() -> Outcome {
    let world = World::new()?;
    for (name, sent, check, message, remedy) in [
        (
            "other audience",
            own(json!({ "aud": "canary-audience" })),
            "token.audience",
            "another audience",
            "tokens.audiences",
        ),
        ("letters", own(json!({ "aud": "Web" })), "token.audience", "capital letters", "exactly as"),
        ("one text", own(json!({ "aud": "web,mobile" })), "token.audience", "several audiences", "tokens.audiences"),
        (
            "swapped aud",
            own(json!({ "iss": "web", "aud": "https://id.acme.example/" })),
            "token.audience",
            "swapped",
            "exactly",
        ),
        (
            "aud type",
            own(json!({ "aud": { "x": 1 } })),
            "token.audience",
            "neither text nor a list",
            "tokens.audiences",
        ),
        (
            "no aud",
            own(json!({ "aud": [], "audience": "web" })),
            "token.audience",
            "a claim `audience`",
            "tokens.audiences",
        ),
        (
            "narrowed",
            Sent { audience: "mobile".into(), ..own(json!({})) },
            "token.audience",
            "another of the application's audiences",
            "aud",
        ),
        (
            "requested",
            Sent { audience: "canary".into(), ..own(json!({})) },
            "request.audience",
            "none of the application's",
            "tokens.audiences",
        ),
        (
            "requested of a hash",
            Sent { audience: "web".into(), ..of_hash(hash(IV, ID)) },
            "request.audience",
            "none configured",
            "for none",
        ),
    ] {
        world.expect(name, &sent, check, Failed, (message, remedy))?;
    }
    Ok(())
}

#[test]
fn claims_of_the_user() -> Outcome {
    let world = World::new()?;
    let set = |change: Value| of_claims(&with(claims(), change));
    let bare = |change: Value| of_claims(&with(json!({ "exp": at(60) }), change));
    let zendesk = |claims: Value| {
        to("acme/zendesk", of_token(sign_as(&json!({ "alg": "HS256", "kid": "app_1" }), claims.to_string(), ZENDESK)))
    };
    for (name, sent, message, remedy) in [
        ("numeric id", set(json!({ "userId": 4711 })), "`userId` is a number", "String(id)"),
        ("null", set(json!({ "email": null })), "`email` is null", "leave it out"),
        ("object", set(json!({ "userId": { "$oid": "x" } })), "`userId` is an object", "string"),
        ("long", set(json!({ "userId": "x".repeat(513) })), "over 512 bytes", "nothing else"),
        ("user_id", bare(json!({ "user_id": ID })), "a claim `user_id`", "`email` or `userId`, named exactly so"),
        ("id", bare(json!({ "id": ID })), "a claim `id`", "named exactly so"),
        ("mail", bare(json!({ "mail": EMAIL })), "a claim `mail`", "named exactly so"),
        ("letters", bare(json!({ "USER-ID": ID })), "capital letters or separators", "named exactly so"),
        ("nobody", bare(json!({})), "`email` or `userId` is missing", "Sign with"),
        ("empty", bare(json!({ "userId": "" })), "there and empty", "Sign with"),
        ("name", set(json!({ "name": ["Ada"] })), "`name` is a list", "string"),
        ("createdAt", set(json!({ "createdAt": 1_700_000_000 })), "`createdAt` is a number", "ISO 8601"),
        ("attribute", set(json!({ "plan": 7 })), "`plan` is a number and declared as string", "Write `plan` as string"),
        ("sub", set(json!({ "sub": 7 })), "`sub` is not text", "in quotes"),
        ("scope", zendesk(json!({ "external_id": ID })), "`scope` is missing", "\"scope\": \"user\""),
        (
            "wrong scope",
            zendesk(json!({ "external_id": ID, "scope": "app" })),
            "`scope` has another value",
            "\"scope\": \"user\"",
        ),
        ("generic", own(json!({ "sub": "", "userId": ID })), "`sub` or `email` is there and empty", "Sign with"),
        ("generic number", own(json!({ "sub": 5 })), "`sub` is a number", "String(id)"),
        ("required attribute", own(json!({ "plan": null })), "`plan` is missing", "Sign with `plan`"),
    ] {
        world.expect(name, &sent, "token.claims", Failed, (message, remedy))?;
    }
    let flat = es256_claims(&world, &json!({ "iss": "app-0815", "exp": at(60), "external_id": ID }))?;
    world.expect(
        "flat",
        &flat,
        "token.claims",
        Failed,
        ("`identity.external_id` is missing. There is a claim `external_id`", "exactly so"),
    )?;
    let text = es256_claims(&world, &json!({ "iss": "app-0815", "exp": at(60), "identity": ID }))?;
    world.expect("no object", &text, "token.claims", Failed, ("`identity` is text", "JSON object"))?;
    let intercom = to("acme/messenger", of_token(sign(ONE, &json!({ "userId": ID, "exp": at(60) }))));
    world.expect(
        "intercom",
        &intercom,
        "token.claims",
        Failed,
        ("`user_id` is missing. There is a claim `userId`", "`user_id`"),
    )?;
    let ignored = bare(json!({ "email": EMAIL, "user_id": ID }));
    world.expect("ignored", &ignored, "token.claims", Warning, ("It is not read", "Name the claim `userId`"))?;
    world.expect("unset", &set(json!({ "userId": "undefined" })), "token.claims", Warning, ("not set", "same one"))
}

fn es256_claims(world: &World, claims: &Value) -> Outcome<Sent> {
    Ok(to("acme/signal", of_token(good::es256(&world.pem, claims)?)))
}

#[test]
fn companies() -> Outcome {
    let world = World::new()?;
    let set = |companies: Value| of_claims(&with(claims(), json!({ "companies": companies })));
    let good = json!({ "id": "c-9", "name": "Acme" });
    for (name, sent, message, remedy) in [
        ("no id", set(json!([good, { "name": "x" }])), "1 of 2 companies is without `companies.id`", "`id`"),
        ("companyId", set(json!([{ "companyId": "x", "name": "x" }])), "a claim `companyId`", "named exactly so"),
        (
            "no name",
            set(json!([{ "id": "x" }, { "id": "y" }])),
            "2 of 2 companies are without `companies.name`",
            "`name`",
        ),
        ("numeric", set(json!([{ "id": 7, "name": "x" }])), "`companies.id` is a number", "String(id)"),
        ("one object", set(good.clone()), "should be a list of objects", "single company"),
        ("ids alone", set(json!(["c-9"])), "no object", "as an object"),
        (
            "spend",
            set(json!([{ "id": "x", "name": "x", "monthlySpend": "500" }])),
            "`companies.monthlySpend` is text",
            "without quotes",
        ),
        (
            "created",
            set(json!([{ "id": "x", "name": "x", "createdAt": 7 }])),
            "`companies.createdAt` is a number",
            "ISO 8601",
        ),
        ("attribute", set(json!([{ "id": "x", "name": "x", "industry": 7 }])), "declared as string", "industry"),
        ("many", set(json!(vec![good.clone(); 201])), "over 200", "matter"),
    ] {
        world.expect(name, &sent, "token.companies", Failed, (message, remedy))?;
        let seen = world.look(&sent)?;
        let claims = seen.findings.iter().find(|finding| finding.check == "token.claims").ok_or("no such check")?;
        assert_eq!(claims.result, Passed, "{name}: {claims:?}");
    }
    let organisations = with(without(claims(), &["companies"]), json!({ "organizations": [good] }));
    world.expect(
        "name",
        &of_claims(&organisations),
        "token.companies",
        Warning,
        ("a claim `organizations`", "`companies`"),
    )?;
    let spend = set(json!([{ "id": "x", "name": "x", "monthly_spend": 5 }]));
    world.expect("member", &spend, "token.companies", Warning, ("not read", "`monthlySpend`"))
}

#[test]
fn identity_beside_the_token() -> Outcome {
    let world = World::new()?;
    let beside = |user_id: Option<&str>, email: Option<&str>| {
        let asserted =
            Identity { user_id: user_id.map(Into::into), email: email.map(Into::into), ..Identity::default() };
        Sent { asserted, ..of_claims(&claims()) }
    };
    for (name, sent, message, remedy) in [
        ("another user", beside(Some("somebody"), None), "another user's", "account switch"),
        ("letters", beside(None, Some("ada.lovelace@example.com")), "only in capital letters", "one way everywhere"),
        ("blank", beside(Some("user-4711 "), None), "only in white space", "exactly"),
        ("swapped", beside(Some(EMAIL), None), "sent as user_id is the email", "field of its kind"),
    ] {
        world.expect(name, &sent, "token.identity", Failed, (message, remedy))?;
    }
    Ok(())
}
