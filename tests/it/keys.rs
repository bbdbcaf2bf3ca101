//! Every algorithm, from every form in which its key is handed out, over the wire; and keys that cannot be used.

use countersign::token::algorithm::{Algorithm, Family};
use countersign::token::asymmetric::{KeyPair, Unusable};
use serde_json::{Value, json};

use crate::harness::*;

fn path(name: &str) -> String {
    format!("{}/tests/vectors/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn key(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

/// The files of an algorithm's private key and of its public one.
fn files(algorithm: Algorithm) -> (&'static [&'static str], &'static [&'static str]) {
    match algorithm.family() {
        Family::Hmac => (&[], &[]),
        Family::Rsa => (
            &["rsa.pkcs8.pem", "rsa.pkcs1.pem", "rsa.private.jwk.json"],
            &["rsa.spki.pem", "rsa.pkcs1-public.pem", "rsa.public.jwk.json"],
        ),
        Family::Ec if algorithm == Algorithm::ES256 => (
            &["ec-256.pkcs8.pem", "ec-256.sec1.pem", "ec-256.private.jwk.json"],
            &["ec-256.spki.pem", "ec-256.public.jwk.json"],
        ),
        Family::Ec => (
            &["ec-384.pkcs8.pem", "ec-384.sec1.pem", "ec-384.private.jwk.json"],
            &["ec-384.spki.pem", "ec-384.public.jwk.json"],
        ),
        Family::Ed => {
            (&["ed25519.pkcs8.pem", "ed25519.private.jwk.json"], &["ed25519.spki.pem", "ed25519.public.jwk.json"])
        }
    }
}

fn generic(algorithm: Algorithm, material: &str) -> Setup {
    Setup::default()
        .replace("profile = \"featurebase\"", "profile = \"generic\"")
        .replace("secret = { env = \"JWT_SECRET\" }", &format!("algorithm = \"{}\"\n{material}", algorithm.name()))
        .and("[applications.\"acme/feedback\".tokens]\nissuer = \"https://id.acme.example\"\naudiences = [\"api\"]\n")
        .env("LONG_SECRET", &"s".repeat(64))
}

fn decoding_key(algorithm: Algorithm) -> jsonwebtoken::DecodingKey {
    match algorithm.family() {
        Family::Hmac => jsonwebtoken::DecodingKey::from_secret("s".repeat(64).as_bytes()),
        Family::Rsa => jsonwebtoken::DecodingKey::from_rsa_pem(&key("rsa.spki.pem")).unwrap(),
        Family::Ec => jsonwebtoken::DecodingKey::from_ec_pem(&key(files(algorithm).1[0])).unwrap(),
        Family::Ed => jsonwebtoken::DecodingKey::from_ed_pem(&key("ed25519.spki.pem")).unwrap(),
    }
}

#[tokio::test]
async fn every_algorithm_signs_and_verifies_from_every_form_of_its_key() {
    for algorithm in Algorithm::ALL {
        let (private, public) = files(algorithm);
        let mut material: Vec<String> =
            private.iter().map(|file| format!("secret = {{ file = \"{}\" }}", path(file))).collect();
        if material.is_empty() {
            material.push("secret = { env = \"LONG_SECRET\" }".to_owned());
        }
        let mut token = String::new();
        for material in material {
            let mut server = generic(algorithm, &material).start().await;
            let signed = server.sign(sign_for(user("123456"))).await.unwrap();
            let header = jsonwebtoken::decode_header(&signed.token).unwrap();
            assert_eq!((header.alg, header.kid.as_deref()), (algorithm.jsonwebtoken(), Some("jwt-2026")), "{material}");
            let mut validation = jsonwebtoken::Validation::new(algorithm.jsonwebtoken());
            validation.validate_exp = false;
            validation.set_audience(&["api"]);
            let decoded = jsonwebtoken::decode::<Value>(&signed.token, &decoding_key(algorithm), &validation).unwrap();
            assert_eq!(decoded.claims["sub"], "123456", "{material}");
            assert_eq!(decoded.claims["jti"], json!(signed.token_id), "{material}");
            let accepted = server.accepted(verify_jwt(&signed.token)).await;
            assert_eq!(accepted.token_id, signed.token_id);
            token = signed.token;
        }
        // A public key alone verifies what the private one signed, and signs nothing.
        for file in public {
            let mut server = generic(algorithm, &format!("public = {{ file = \"{}\" }}", path(file))).start().await;
            server.accepted(verify_jwt(&token)).await;
            let refused = server.sign(sign_for(user("1"))).await.unwrap_err();
            assert_eq!(error(&refused).1, "NO_SIGNING_KEY", "{file}");
        }
    }
}

#[test]
fn a_key_that_cannot_be_used_says_why() {
    for (algorithm, file, private, wanted) in [
        (Algorithm::RS256, "rsa-1024.pkcs8.pem", true, Unusable::Short),
        (Algorithm::RS256, "rsa-1024.spki.pem", false, Unusable::Short),
        (Algorithm::RS256, "rsa.encrypted.pem", true, Unusable::Encrypted),
        (Algorithm::RS256, "ec-256.pkcs8.pem", true, Unusable::Algorithm),
        (Algorithm::RS256, "rsa.spki.pem", true, Unusable::Half),
        (Algorithm::RS256, "rsa.pkcs8.pem", false, Unusable::Half),
        (Algorithm::RS256, "rsa.public.jwk.json", true, Unusable::Half),
        (Algorithm::RS256, "rsa.private.jwk.json", false, Unusable::Half),
        (Algorithm::ES256, "ec-384.pkcs8.pem", true, Unusable::Algorithm),
        (Algorithm::ES256, "ec-384.sec1.pem", true, Unusable::Algorithm),
        (Algorithm::ES256, "ec-384.private.jwk.json", true, Unusable::Algorithm),
        (Algorithm::ES384, "ec-256.spki.pem", false, Unusable::Algorithm),
        (Algorithm::ES384, "ec-256.public.jwk.json", false, Unusable::Algorithm),
        (Algorithm::EdDSA, "rsa.pkcs8.pem", true, Unusable::Algorithm),
        (Algorithm::EdDSA, "ec-256.spki.pem", false, Unusable::Algorithm),
        (Algorithm::EdDSA, "make.sh", true, Unusable::Form),
        (Algorithm::ES256, "make.sh", false, Unusable::Form),
    ] {
        let read = if private { KeyPair::private } else { KeyPair::public };
        assert_eq!(read(algorithm, &key(file)).err(), Some(wanted), "{file}");
    }
}

#[tokio::test]
async fn a_kid_is_a_map_key_and_nothing_else() {
    let mut server = generic(Algorithm::HS256, "kid = \"2026-06\"\nsecret = { env = \"LONG_SECRET\" }").start().await;
    let claims = json!({"sub": "1", "iss": "https://id.acme.example", "aud": "api", "iat": NOW, "exp": NOW + 60});
    let with = |kid: Option<&str>, secret: &str| {
        let header = jsonwebtoken::Header {
            kid: kid.map(str::to_owned),
            // Keys that a header brings along are not looked at.
            jku: Some("http://169.254.169.254/".to_owned()),
            ..jsonwebtoken::Header::default()
        };
        jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_secret(secret.as_bytes())).unwrap()
    };
    let long = "s".repeat(64);
    use countersign::grpc::proto::Reason;
    server.accepted(verify_jwt(with(Some("2026-06"), &long))).await;
    server.accepted(verify_jwt(with(None, &long))).await;
    for kid in ["jwt-2026", "2026-07", "", "../../dev/null", "iv", "2026-06\0"] {
        assert_eq!(server.why(verify_jwt(with(Some(kid), &long))).await, Reason::KeyUnknown, "{kid}");
    }
    assert_eq!(server.why(verify_jwt(with(Some("2026-06"), "wrong"))).await, Reason::SignatureInvalid);
    // The public key as an HMAC secret: the classic confusion.
    let public = format!("public = {{ file = \"{}\" }}", path("rsa.spki.pem"));
    let mut server = generic(Algorithm::RS256, &public).start().await;
    let confused = with(Some("jwt-2026"), &String::from_utf8(key("rsa.spki.pem")).unwrap());
    assert_eq!(server.why(verify_jwt(confused)).await, Reason::AlgorithmNotAllowed);
}

#[test]
fn one_private_key_in_two_places_is_found_however_it_is_written() {
    let second = |file: &str, kind: &str| {
        let key = format!("{kind} = {{ file = \"{}\" }}", path(file));
        generic(Algorithm::RS256, &format!("secret = {{ file = \"{}\" }}", path("rsa.pkcs8.pem")))
            .and(&format!("[applications.\"acme/feedback\".keys.b]\npurpose = \"jwt\"\nalgorithm = \"PS256\"\n{key}\n"))
            .and("not_before = \"2026-07-01T00:00:00Z\"\n")
    };
    for file in ["rsa.pkcs8.pem", "rsa.pkcs1.pem", "rsa.private.jwk.json"] {
        let problems = second(file, "secret").check().unwrap_err();
        assert!(problems.len() == 1 && problems[0].wrong.contains("the same secret"), "{file}: {problems:?}");
    }
    // A public key is no secret.
    second("rsa.spki.pem", "public").check().unwrap();
}
