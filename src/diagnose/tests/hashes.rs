//! Mistakes with legacy hashes.

use aws_lc_rs::{digest, hmac};
use base64::engine::general_purpose::STANDARD;

use super::*;

#[test]
fn form() -> Outcome {
    let world = World::new()?;
    let good = hash(IV, ID);
    let bytes = hex::decode(&good)?;
    let upper = good.to_uppercase();
    let dashed = upper.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned()).collect::<Vec<_>>();
    let rows: Vec<(&str, String, &str, &str)> = vec![
        ("newline", format!("{good}\n"), "newline around it", "Trim"),
        ("quotes", format!("\"{good}\""), "in quotes", "without quotes"),
        ("Python bytes", format!("b'{good}'"), "in quotes", "without quotes"),
        ("sha256=", format!("sha256={good}"), "prefix", "digest alone"),
        ("0x", format!("0x{good}"), "prefix", "digest alone"),
        ("openssl", format!("SHA2-256(stdin)= {good}"), "prefix", "digest alone"),
        ("sha256sum", format!("{good}  -"), "name of a file", "digest alone"),
        ("BitConverter", dashed.join("-"), "BitConverter", "without separators"),
        ("colons", dashed.join(":"), "separators", "without separators"),
        ("URL-encoded", format!("%22{good}%22"), "URL-encoded", "URL-decode"),
        ("object", json!({ "userHash": good }).to_string(), "JSON object around", "text of the member"),
        ("base64", STANDARD.encode(&bytes), "in base64", ".digest('hex')"),
        ("base64url", encode(&bytes), "in base64", ".digest('hex')"),
        ("base64 of digits", STANDARD.encode(&good), "encoded twice", ".digest('hex')"),
        ("digits of digits", hex::encode(&good), "hexadecimal twice", ".digest('hex')"),
        ("cut", good.get(..48).unwrap_or_default().into(), "24 bytes instead of 32", "column"),
        ("odd", good.get(..63).unwrap_or_default().into(), "cut short", "Send all"),
        ("long", format!("{good}ab"), "33 bytes", "alone"),
        ("unset", "undefined".into(), "not set", "awaited"),
        ("printed", "<Buffer 01 02>".into(), "prints bytes", "hexdigest"),
        ("identifier", ID.into(), "identifier itself", "HMAC-SHA256"),
        ("token", sign(JWT, &claims()), "JWT in the place of the hash. It is a good one", "`jwt`"),
        ("bearer token", format!("Bearer {}", sign("x", &claims())), "JWT in the place of the hash", "`jwt`"),
        ("junk", "zz!".repeat(21), "characters that no digest has", "HMAC-SHA256"),
        ("huge", "a".repeat(20_000), "far too long", "HMAC-SHA256"),
        (
            "SHA-512",
            hex::encode(mac(Algorithm::HS512, IV.as_bytes(), ID.as_bytes())),
            "as many as SHA-512",
            "HMAC-SHA256",
        ),
        ("SHA-1", hmac_sha1(), "as many as SHA-1", "HMAC-SHA256"),
        ("MD5", "0123456789abcdef0123456789abcdef".into(), "as many as MD5", "HMAC-SHA256"),
    ];
    for (name, hash, message, remedy) in rows {
        world.expect(name, &of_hash(hash), "hash.form", Failed, (message, remedy))?;
    }
    world.expect("upper case", &of_hash(upper), "hash.form", Warning, ("upper-case", "lower case"))?;
    let none = to("acme/zendesk", of_hash(good));
    let seen = world.look(&none)?;
    assert_eq!(seen.verdict.map(|refused| refused.reason), Some(Reason::HashNoLongerAccepted));
    world.expect("no hash", &none, "hash.form", Failed, ("has no hash", "Send a JWT"))
}

fn hmac_sha1() -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, IV.as_bytes());
    hex::encode(hmac::sign(&key, ID.as_bytes()))
}

#[test]
fn a_form_that_is_mended_shows_what_else_is_wrong() -> Outcome {
    let world = World::new()?;
    let quoted = |hash: String| of_hash(format!("\"{hash}\"\n"));
    world.expect("right", &quoted(hash(IV, ID)), "hash.secret", Passed, ("key of this application", ""))?;
    world.expect("right", &quoted(hash(IV, ID)), "hash.identifier", Passed, ("over the user_id", ""))?;
    world.expect(
        "identifier",
        &quoted(hash(IV, EMAIL)),
        "hash.identifier",
        Failed,
        ("one of the email", "Hash the user_id"),
    )?;
    let cut = of_hash(hash(IV, ID).get(..40).unwrap_or_default());
    world.expect("cut", &cut, "hash.secret", Passed, ("as far as it goes", ""))?;
    let short = of_hash(hash(IV, ID).get(..30).unwrap_or_default());
    world.expect("too short to compare", &short, "hash.secret", Inconclusive, ("Too little", ""))
}

#[test]
fn identifier() -> Outcome {
    let world = World::new()?;
    let of = |text: &str| of_hash(hash(IV, text));
    let lower = EMAIL.to_lowercase();
    let email = |text: &str| Sent { hashed: Some(SubjectKind::Email), ..of(text) };
    let named = |text: &str| Sent { asserted: with_company(), ..of(text) };
    let blank = |id: &str, hashed: &str| Sent {
        asserted: Identity { user_id: Some(id.into()), ..Identity::default() },
        ..of(hashed)
    };
    for (name, sent, message, remedy) in [
        (
            "email while the user id is sent",
            of(EMAIL),
            "one of the email, and it is judged as one of the user_id",
            "`hashed`",
        ),
        ("user id, said to be email", email(ID), "one of the user_id", "Hash the email"),
        ("lower case", email(&lower), "in lower case", "exactly the bytes"),
        ("lower case, and email", of(&lower), "in lower case", "exactly the bytes"),
        ("upper case", of("USER-4711"), "in upper case", "exactly the bytes"),
        ("trimmed", blank("user-4711 ", ID), "without the white space", "exactly the bytes"),
        ("newline", of("user-4711\n"), "with a newline", "printf"),
        ("quotes", of("\"user-4711\""), "in double quotes", "not its JSON form"),
        ("URL-encoded", email("Ada.Lovelace%40example.com"), "URL-encoded", "UTF-8"),
        (
            "UTF-16",
            of_hash(hash(IV, ID.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>())),
            "UTF-16",
            "Encoding.UTF8",
        ),
        ("company", named("c-9"), "a company's id", "company_hashes"),
        ("company's name", named("Acme Company"), "company's name", "id"),
        ("name", named("Ada canary"), "user's name", "user_id"),
        ("both", of(&format!("{ID}:{EMAIL}")), "user_id and email together", "alone"),
        ("unset", of("undefined"), "not set", "known"),
        ("nothing", of(""), "one of nothing", "known"),
        ("leading zeros", blank("00042", "42"), "leading zeros", "text"),
        ("float", blank("42", "42.0"), "fraction", "text"),
        (
            "pylon",
            to("acme/chat", of_hash(hash(hex::decode(PYLON)?, ID))),
            "one of the user_id, and it is judged as one of the email",
            "email",
        ),
        ("not sent", Sent { asserted: Identity::default(), ..of(ID) }, "was not sent", "with every call"),
        (
            "another was sent",
            Sent { hashed: Some(SubjectKind::UserId), asserted: only_email(), ..of(EMAIL) },
            "only the email was sent",
            "Send the user_id",
        ),
        (
            "another kind",
            to("acme/chat", Sent { hashed: Some(SubjectKind::UserId), ..of(ID) }),
            "this product hashes the email",
            "Hash the email",
        ),
    ] {
        world.expect(name, &sent, "hash.identifier", Failed, (message, remedy))?;
    }
    world.expect("unknown", &of("somebody else"), "hash.identifier", Inconclusive, ("account switch", ""))?;
    world.expect(
        "unset and sent",
        &blank("undefined", "undefined"),
        "hash.identifier",
        Warning,
        ("not set", "same one"),
    )
}

fn only_email() -> Identity {
    Identity { user_id: None, ..ada() }
}

#[test]
fn secret() -> Outcome {
    let world = World::new()?;
    let by = |secret: &[u8]| of_hash(hash(secret, ID));
    let text = |secret: String| by(secret.as_bytes());
    let plain = |text: String| of_hash(hex::encode(digest::digest(&digest::SHA256, text.as_bytes())));
    for (name, sent, message, remedy) in [
        (
            "the token's",
            by(JWT.as_bytes()),
            "JWT secret (key `jwt`)",
            "Use the secret for legacy hashes of `acme/feedback`",
        ),
        ("staging", by(STAGING_IV.as_bytes()), "secret for legacy hashes of `acme/s", "or send the credential"),
        ("newline", text(format!("{IV}\n")), "with a newline after it", "printf"),
        ("quotes", text(format!("\"{IV}\"")), "in double quotes", "Remove the quotes"),
        ("without iv_", text(IV.replace("iv_", "")), "without the prefix `iv_`", "Keep"),
        ("guide", text("iv_your-secret-key".into()), "example secret", "variable"),
        ("unset", text("undefined".into()), "not set", "variable"),
        (
            "pylon as text",
            to("acme/chat", of_hash(hash(PYLON, EMAIL))),
            "text of its hexadecimal digits",
            "Decode the secret",
        ),
        ("base64 decoded", to("acme/encoded", by(&STANDARD.decode(BASE64)?)), "decoded from base64", "do not decode"),
        ("unknown", text("canary-of-an-unknown-secret".into()), "Ruled out", "account switch"),
        ("not this caller's", by(FOREIGN_IV.as_bytes()), "Ruled out", "suspected"),
        ("no key", plain(ID.into()), "plain SHA-256 without any key", "HMAC-SHA256"),
        ("secret first", plain(format!("{IV}{ID}")), "not HMAC", "HMAC-SHA256"),
        ("secret last", plain(format!("{ID}{IV}")), "not HMAC", "HMAC-SHA256"),
        ("swapped", of_hash(hash(ID, IV)), "swapped", "secret is the key"),
        ("SHA-1", of_hash(hmac_sha1()), "HMAC with SHA-1", "HMAC-SHA256"),
        (
            "SHA-512",
            of_hash(hex::encode(mac(Algorithm::HS512, IV.as_bytes(), ID.as_bytes()))),
            "HMAC with SHA-512",
            "HMAC-SHA256",
        ),
        ("retired", to("acme/rotating", by(OLD_IV.as_bytes())), "retired 31 days ago", "current key"),
        ("not yet", to("acme/rotating", by(NEXT_IV.as_bytes())), "valid in 30 days", "until then"),
    ] {
        world.expect(name, &sent, "hash.secret", Failed, (message, remedy))?;
    }
    let both = of_hash(hash(STAGING_IV, EMAIL));
    world.expect("both", &both, "hash.secret", Failed, ("of `acme/s", "acme/feedback"))?;
    world.expect("both", &both, "hash.identifier", Failed, ("one of the email", "user_id"))?;
    world.expect("right secret", &of_hash(hash(IV, EMAIL)), "hash.secret", Passed, ("key of this application", ""))?;
    world.expect("right identifier", &by(STAGING_IV.as_bytes()), "hash.identifier", Passed, ("over the user_id", ""))
}

#[test]
fn companies() -> Outcome {
    let world = World::new()?;
    let with = |hash: String| Sent {
        company_hashes: vec![("c-9".to_owned(), hash), ("c-10".to_owned(), self::hash(IV, "c-10"))],
        asserted: with_company(),
        ..of_hash(self::hash(IV, ID))
    };
    for (name, sent, message, remedy) in [
        ("user id", with(hash(IV, ID)), "1 of 2 company hashes are wrong", "company's id"),
        ("user id", with(hash(IV, ID)), "one of the user's user_id", "company's id"),
        ("name", with(hash(IV, "Acme Company")), "company's name", "company's id"),
        ("mixed up", with(hash(IV, "c-10")), "another company's", "exactly as it is sent"),
        ("upper case", with(hash(IV, "C-9")), "in upper case", "exactly the bytes"),
        ("secret", with(hash(JWT, "c-9")), "JWT secret", "secret for legacy hashes"),
        ("form", with(format!("sha256={}", hash(IV, "c-9"))), "prefix", "digest alone"),
        ("junk", with("junk".into()), "characters that hexadecimal digits do not have", ".hexdigest()"),
        ("unknown", with(hash("canary", "c-9")), "fits no secret", "same secret"),
    ] {
        world.expect(name, &sent, "hash.companies", Failed, (message, remedy))?;
    }
    let none = to("acme/messenger", Sent { hash: hash(ONE, ID), ..with(hash(ONE, "c-9")) });
    world.expect("no such hashes", &none, "hash.companies", Failed, ("has no company hashes", "JWT"))
}

#[test]
fn nothing_that_proves_anything() -> Outcome {
    let world = World::new()?;
    let nothing = Sent { application: "acme/feedback", ..Sent::default() };
    let asserted = Sent { asserted: ada(), ..nothing.clone() };
    let company = Sent { company_hashes: vec![("c-9".into(), hash(IV, "c-9"))], ..nothing.clone() };
    for (name, sent, message) in [
        ("nothing", nothing, "Neither a JWT nor"),
        ("identifiers", asserted, "nothing that proves it"),
        ("companies", company, "Only company hashes"),
    ] {
        world.expect(name, &sent, "credential.present", Failed, (message, "with every call"))?;
    }
    Ok(())
}
