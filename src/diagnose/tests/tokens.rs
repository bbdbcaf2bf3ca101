//! Mistakes around a token: its form, its algorithm, its key, its signature.

use base64::engine::general_purpose::STANDARD;

use super::good::{es256, onesignal};
use super::*;

#[test]
fn form() -> Outcome {
    let world = World::new()?;
    let good = sign(JWT, &claims());
    let [header, payload, signature] = parts(&good)?;
    let header_of = |header: Value| sign_as(&header, claims().to_string(), JWT);
    let (padded, standard) = foreign_base64();
    let rows: Vec<(&str, String, &str, &str)> = vec![
        ("empty", String::new(), "empty", "variable"),
        ("unset", "undefined".into(), "not set", "awaited"),
        ("promise", "[object Promise]".into(), "not set", "awaited"),
        ("newline", format!("{good}\n"), "newline around it", "Trim"),
        ("quotes", format!("\"{good}\""), "in quotes", "without quotes"),
        ("single quotes", format!("'{good}'"), "in quotes", "without quotes"),
        ("bearer", format!("Bearer {good}"), "authorization scheme", "token alone"),
        ("header and all", format!("Authorization: Bearer {good}"), "authorization scheme", "token alone"),
        ("URL-encoded", good.replace('.', "%2E"), "URL-encoded", "URL-decode"),
        ("parameter", format!("jwt={good}&x=1"), "query parameter", "value alone"),
        ("URL", format!("https://x.example/?sso_token={good}"), "query parameter", "value alone"),
        ("object", json!({ "token": good }).to_string(), "JSON object around", "text of the member"),
        (
            "JSON serialization",
            json!({ "protected": header, "payload": payload, "signature": signature }).to_string(),
            "JSON serialization",
            "compact form",
        ),
        ("wrapped", format!("{header}.\n{payload}.{signature}"), "newlines inside", "one line"),
        ("encoded whole", STANDARD.encode(&good), "base64-encoded once more", "encoded already"),
        ("escaped", format!("{good}\\n"), "escape sequences", "Unescape"),
        ("byte order mark", format!("\u{feff}{good}"), "invisible", "Remove"),
        ("punctuation", format!("{good},"), "punctuation", "alone"),
        ("quoted bearer with newline", format!("\"Bearer {good}\"\n"), "authorization scheme", "token alone"),
        ("padded", padded, "padded", "without padding"),
        ("standard base64", standard, "standard base64", "base64url"),
        ("cut", good.get(..good.len() - 2).unwrap_or_default().to_owned(), "cut short", "Send all"),
        ("no signature", format!("{header}.{payload}"), "signature is missing", "Send all"),
        ("shortened", "eyJhbGci...x2fA".into(), "shortened for display", "whole token"),
        ("encrypted", "eyJhbGciOiJkaXIifQ..a.b.c".replace("..", ".x."), "encrypted", "Sign the claims"),
        ("too many parts", format!("{good}.a.b.c"), "too many parts", "one token"),
        ("hash", hash(IV, "x"), "a hash in the place of the JWT", "user_hash"),
        ("opaque", "sess_0123456789".into(), "one part", "signed JWT"),
        ("claims", claims().to_string(), "not signed", "JWT library"),
        ("PEM", world.pem.clone(), "PEM", "Sign with the key"),
        ("plain header", format!("{{\"alg\":\"HS256\"}}.{payload}.{signature}"), "not base64url", "library"),
        ("no header", format!("{payload}x.{payload}.{signature}"), "not a header", "first character"),
        ("crit", header_of(json!({ "alg": "HS256", "crit": ["exp"] })), "`crit`", "without `crit`"),
        ("b64", header_of(json!({ "alg": "HS256", "b64": false })), "`b64`", "encoded payload"),
        ("no alg", header_of(json!({ "typ": "JWT" })), "no `alg`", "Write `alg`"),
        ("alg", header_of(json!({ "alg": 256 })), "`alg` in the header is not text", "string"),
        ("twice in the header", twice_in_header(), "twice", "once"),
        ("too large", "x".repeat(16 * 1024 + 1), "over 16 KiB", "fewer"),
    ];
    for (name, token, message, remedy) in rows {
        world.expect(name, &of_token(token), "token.form", Failed, (message, remedy))?;
    }
    let fitting = Sent { asserted: ada(), ..of_token(hash(IV, ID)) };
    world.expect("a good hash", &fitting, "token.form", Failed, ("good one of an identifier", "user_hash"))
}

#[test]
fn wrapping_hides_nothing_else() -> Outcome {
    let world = World::new()?;
    let wrapped = |claims: &Value| of_token(format!("Bearer {}\n", sign(JWT, claims)));
    world.expect("signature", &wrapped(&claims()), "token.signature", Passed, ("genuine", ""))?;
    let late = with(claims(), json!({ "iat": at(-9_000), "exp": at(-7_200) }));
    world.expect("times", &wrapped(&late), "token.times", Failed, ("ended 2 hours ago", "new token"))?;
    let (padded, standard) = foreign_base64();
    world.expect("padded", &of_token(padded), "token.signature", Passed, ("one by a key of this", ""))?;
    world.expect("standard", &of_token(standard), "token.signature", Passed, ("one by a key of this", ""))?;
    let other = sign_as(&json!({ "alg": "none" }), claims().to_string(), JWT);
    world.expect("alg", &of_token(other), "token.signature", Passed, ("one by a key of this", ""))?;
    let [header, payload, _] = parts(&sign_as(&json!({ "alg": "HS512" }), claims().to_string(), JWT))?;
    let signature = encode(mac(Algorithm::HS512, JWT.as_bytes(), format!("{header}.{payload}").as_bytes()));
    let other = of_token(format!("{header}.{payload}.{signature}"));
    world.expect("HS512", &other, "token.signature", Inconclusive, ("only not as it should be", ""))
}

/// Tokens in padded base64url, and in standard base64 without padding.
fn foreign_base64() -> (String, String) {
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE};
    let header = json!({ "alg": "HS256" }).to_string();
    let payload = with(claims(), json!({ "name": "ÿÿ>>??ÿ~~ÿ>>?" })).to_string();
    let make = |encode: &dyn Fn(&[u8]) -> String| {
        let input = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
        let signature = mac(Algorithm::HS256, JWT.as_bytes(), input.as_bytes());
        format!("{input}.{}", encode(&signature))
    };
    (make(&|bytes| URL_SAFE.encode(bytes)), make(&|bytes| STANDARD_NO_PAD.encode(bytes)))
}

fn twice_in_header() -> String {
    let input = format!("{}.{}", encode(r#"{"alg":"HS256","alg":"HS256"}"#), encode(claims().to_string()));
    let signature = mac(Algorithm::HS256, JWT.as_bytes(), input.as_bytes());
    format!("{input}.{}", encode(signature))
}

pub(super) fn parts(token: &str) -> Outcome<[String; 3]> {
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts.try_into().map_err(|_parts| "three parts".into())
}

#[test]
fn algorithm() -> Outcome {
    let world = World::new()?;
    let said = |alg: &str| of_token(sign_as(&json!({ "alg": alg, "typ": "JWT" }), claims().to_string(), JWT));
    for (alg, message) in [
        ("none", "not signed"),
        ("None", "not signed"),
        ("hs256", "case matters"),
        ("RS256", "key pair"),
        ("ES256", "key pair"),
        ("HS512", "another algorithm"),
        ("dir", "encryption"),
        ("HmacSHA256", "crypto library"),
        ("ES256K", "no algorithm that is known"),
    ] {
        world.expect(alg, &said(alg), "token.algorithm", Failed, (message, "Sign with HS256"))?;
    }
    let shared = to("acme/signal", of_claims(&claims()));
    world.expect("HS for a pair", &shared, "token.algorithm", Failed, ("uses key pairs", "Sign with ES256"))?;
    let hash_only = to("acme/chat", of_claims(&claims()));
    world.expect("no JWT", &hash_only, "token.algorithm", Failed, ("takes no JWT", "user hash"))?;
    let own = to("acme/own", of_token(es256(&world.pem, &claims())?));
    world.expect("no key for it", &own, "token.key", Failed, ("no key for ES256", "Sign with HS256"))
}

#[test]
fn key() -> Outcome {
    let world = World::new()?;
    let claims = json!({ "scope": "user", "external_id": ID });
    let zendesk = |header: Value| to("acme/zendesk", of_token(sign_as(&header, claims.to_string(), ZENDESK)));
    for (name, header, message) in [
        ("none", json!({ "alg": "HS256" }), "has no `kid`"),
        ("unknown", json!({ "alg": "HS256", "kid": "canary-kid" }), "names no key"),
        ("the table's name", json!({ "alg": "HS256", "kid": "main" }), "name that a key has in the configuration"),
        ("letters", json!({ "alg": "HS256", "kid": "APP_1 " }), "capital letters"),
        ("another application's", json!({ "alg": "HS256", "kid": "jwt" }), "names a key of `acme/"),
    ] {
        world.expect(name, &zendesk(header), "token.key", Failed, (message, "write its `kid`, `app_1`"))?;
    }
    let number = zendesk(json!({ "alg": "HS256", "kid": 1 }));
    world.expect("no text", &number, "token.form", Failed, ("`kid` in the header is not text", "string"))?;
    let rotating = |secret: &str| to("acme/rotating", of_token(sign(secret, &super::claims())));
    world.expect("retired", &rotating(OLD_JWT), "token.key", Failed, ("retired 31 days ago", "current key"))?;
    world.expect("not yet", &rotating(NEXT_JWT), "token.key", Failed, ("valid in 30 days", "until then"))
}

#[test]
fn the_secret_that_signs() -> Outcome {
    let world = World::new()?;
    let by = |secret: &[u8]| of_token(sign(secret, &claims()));
    let changed = |text: String| by(text.as_bytes());
    for (name, sent, message, remedy) in [
        (
            "the hash's",
            by(IV.as_bytes()),
            "secret for legacy hashes (key `iv`)",
            "Use the JWT secret of `acme/feedback`",
        ),
        ("staging", by(STAGING_JWT.as_bytes()), "JWT secret of `acme/s", "or send the credential to the application"),
        (
            "another purpose there",
            by(STAGING_IV.as_bytes()),
            "secret for legacy hashes of `acme/s",
            "JWT secret of `acme/feedback`",
        ),
        ("newline", changed(format!("{JWT}\n")), "with a newline after it", "printf"),
        ("CR LF", changed(format!("{JWT}\r\n")), "CR LF", "printf"),
        ("literal newline", changed(format!("{JWT}\\n")), "two characters", "newline"),
        ("blank", changed(format!(" {JWT}")), "white space before it", "white space"),
        ("quotes", changed(format!("\"{JWT}\"")), "in double quotes", "Remove the quotes"),
        ("single quotes", changed(format!("'{JWT}'")), "in single quotes", "Remove the quotes"),
        ("as hex", changed(hex::encode(JWT)), "text of its hexadecimal digits", "Decode the secret"),
        ("as base64", changed(STANDARD.encode(JWT)), "text of its base64", "Decode the secret"),
        ("upper case", changed(JWT.to_uppercase()), "in upper case", "exactly as they were handed out"),
        ("byte order mark", changed(format!("\u{feff}{JWT}")), "byte order mark", "UTF-8"),
        ("UTF-16", by(&JWT.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()), "UTF-16", "UTF-8"),
        ("first 32 bytes", changed(JWT.chars().take(32).collect()), "first 32 bytes", "whole secret"),
        ("example", by(b"your-256-bit-secret"), "example secret", "variable that should hold it"),
        ("unset", by(b"undefined"), "not set", "variable that should hold it"),
        ("empty", by(b""), "not set", "variable that should hold it"),
        ("unknown", by(b"canary-of-an-unknown-secret"), "Ruled out", "suspected secret"),
        ("not this caller's", by(FOREIGN_JWT.as_bytes()), "Ruled out", "suspected secret"),
        ("hex decoded", to("acme/encoded", by(&hex::decode(HEX)?)), "decoded from hexadecimal", "do not decode"),
        ("changed after signing", of_token(tampered()?), "changed after signing", "character by character"),
    ] {
        world.expect(name, &sent, "token.signature", Failed, (message, remedy))?;
    }
    Ok(())
}

fn tampered() -> Outcome<String> {
    let [header, _, signature] = parts(&sign(JWT, &claims()))?;
    let other = encode(with(claims(), json!({ "userId": "other" })).to_string());
    Ok(format!("{header}.{other}.{signature}"))
}

#[test]
fn how_it_is_signed() -> Outcome {
    let world = World::new()?;
    let [header, payload, signature] = parts(&sign(JWT, &claims()))?;
    let input = format!("{header}.{payload}");
    let digest = mac(Algorithm::HS256, JWT.as_bytes(), input.as_bytes());
    let over = |message: &str| encode(mac(Algorithm::HS256, JWT.as_bytes(), message.as_bytes()));
    let raw = format!("{}.{}", json!({ "alg": "HS256", "typ": "JWT" }), claims());
    let cut = digest.get(..24).ok_or("24 bytes")?;
    let short = digest.get(..9).ok_or("9 bytes")?;
    for (name, signature, message, remedy) in [
        ("hex", encode(hex::encode(&digest)), "hexadecimal digits were encoded", "once"),
        ("twice", encode(&signature), "encoded twice", "once"),
        ("payload alone", over(&payload), "not over the encoded header and payload", "base64url(header)"),
        ("not encoded", over(&raw), "not over the encoded header and payload", "base64url(header)"),
        ("HS512", encode(mac(Algorithm::HS512, JWT.as_bytes(), input.as_bytes())), "one by HS512", "Sign with HS256"),
        ("cut", encode(cut), "cut short", "Send all"),
        ("cut, too short to compare", encode(short), "has 9 bytes", "Send all"),
        ("none", String::new(), "no signature", "all three parts"),
    ] {
        let sent = of_token(format!("{input}.{signature}"));
        let remedy = remedy.replace("Sign with HS256", "sign with HS256");
        world.expect(name, &sent, "token.signature", Failed, (message, &remedy))?;
    }
    Ok(())
}

#[test]
fn key_pairs() -> Outcome {
    let world = World::new()?;
    let [header, payload, signature] = parts(&onesignal(&world)?)?;
    let der = to_der(&URL_SAFE_NO_PAD.decode(signature)?)?;
    let sent = to("acme/signal", of_token(format!("{header}.{payload}.{}", encode(der))));
    world.expect("DER", &sent, "token.signature", Failed, ("in DER", "ieee-p1363"))?;
    let other = private_pem()?;
    let claims = json!({ "iss": "app-0815", "exp": at(60), "identity": { "external_id": ID } });
    let sent = to("acme/signal", of_token(es256(&other, &claims)?));
    world.expect("unknown pair", &sent, "token.signature", Failed, ("fits no key", "Compare"))?;
    world.expect(
        "suspected pair",
        &suspecting(&other, sent),
        "token.signature",
        Failed,
        ("suspected key", "Sign with the key"),
    )?;
    let text = sign(world.pem.as_bytes(), &claims);
    let sent = suspecting(&world.pem, to("acme/signal", of_token(text)));
    world.expect(
        "the PEM as a secret",
        &sent,
        "secret.suspected",
        Failed,
        ("text was used as a shared secret", "algorithm"),
    )?;
    world.expect("the PEM as a secret", &sent, "token.algorithm", Failed, ("may take its text for a secret", "ES256"))
}

fn to_der(signature: &[u8]) -> Outcome<Vec<u8>> {
    let (r, s) = signature.split_at_checked(32).ok_or("64 bytes")?;
    let integer = |number: &[u8]| {
        let mut bytes: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        if bytes.first().is_some_and(|byte| *byte > 127) {
            bytes.insert(0, 0);
        }
        [vec![2, u8::try_from(bytes.len()).unwrap_or_default()], bytes].concat()
    };
    let body = [integer(r), integer(s)].concat();
    Ok([vec![0x30, u8::try_from(body.len())?], body].concat())
}
