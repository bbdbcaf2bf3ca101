//! Golden values that were produced outside this code base: the RFCs' own, and those that vendors and users published.
//! Payloads of the standards are not all JSON objects with our claims, so these speak of signatures.

use countersign::profile::DigestEncoding;
use countersign::secret::Secret;
use countersign::token::algorithm::Algorithm;
use countersign::token::asymmetric::KeyPair;
use countersign::token::jwt::Parts;
use countersign::token::keys::{HmacKey, LegacyKey, Validity};
use countersign::token::legacy;
use serde_json::{Value, json};

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn hmac(algorithm: Algorithm, secret: &[u8]) -> HmacKey {
    HmacKey::new(algorithm, Secret::new(secret.to_vec())).unwrap()
}

const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn rfc_7515_a_1_hs256_with_white_space_in_header_and_payload() {
    let token =
        format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let key = decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
    let parts = Parts::of(&token).unwrap();
    assert_eq!((parts.algorithm.as_str(), parts.header["typ"].as_str()), ("HS256", Some("JWT")));
    let key = hmac(Algorithm::HS256, &key);
    assert!(key.verifies(parts.signing_input.as_bytes(), &parts.signature));
    assert!(!key.verifies(&parts.signing_input.as_bytes()[1..], &parts.signature));
    assert!(parts.payload.windows(2).any(|pair| pair == b"\r\n"));
}

#[test]
fn rfc_7515_a_2_rs256() {
    let jwk = json!({
        "kty": "RSA",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR\
              T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB\
              dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia\
              GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
        "e": "AQAB",
    });
    let key = KeyPair::public(Algorithm::RS256, jwk.to_string().as_bytes()).unwrap();
    let signature = decode(
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CU\
         Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d\
         O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig\
         cN_IoypGlUPQGe77Rw",
    );
    assert!(key.verifies(format!("eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}").as_bytes(), &signature));
    assert!(!key.verifies(b"x", &signature));
}

#[test]
fn rfc_7515_a_3_es256() {
    let jwk = json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
    });
    let pair = KeyPair::private(Algorithm::ES256, jwk.to_string().as_bytes()).unwrap();
    let input = format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}");
    let signature = decode("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
    assert!(pair.verifies(input.as_bytes(), &signature));
    let own = pair.sign(input.as_bytes()).unwrap();
    assert_eq!(own.len(), 64);
    assert!(pair.verifies(input.as_bytes(), &own));
}

#[test]
fn rfc_7515_a_4_es512_is_not_spoken_and_a_5_is_not_secured() {
    let es512 = format!("eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.{}", "A".repeat(176));
    assert_eq!(Algorithm::named(&Parts::of(&es512).unwrap().algorithm), None);
    let unsecured = format!("eyJhbGciOiJub25lIn0.{PAYLOAD}.");
    let parts = Parts::of(&unsecured).unwrap();
    assert_eq!((Algorithm::named(&parts.algorithm), parts.signature.len()), (None, 0));
}

#[test]
fn rfc_8037_a_4_and_a_5_ed25519() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let private = json!({"kty": "OKP", "crv": "Ed25519", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "x": x});
    let public = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    let input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let wanted = decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
    let private = KeyPair::private(Algorithm::EdDSA, private.to_string().as_bytes()).unwrap();
    let public = KeyPair::public(Algorithm::EdDSA, public.to_string().as_bytes()).unwrap();
    assert_eq!(private.sign(input).unwrap(), wanted);
    assert!(public.verifies(input, &wanted));
    assert_eq!(public.sign(input), None);
}

#[test]
fn rfc_4231_hmac() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../vectors/rfc4231.json")).unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let bytes = |name: &str| hex::decode(case[name].as_str().unwrap()).unwrap();
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let key = hmac(algorithm, &bytes("key"));
            assert_eq!(key.mac(&bytes("data")), bytes(algorithm.name()), "{case}");
            assert!(key.verifies(&bytes("data"), &bytes(algorithm.name())));
        }
    }
}

#[test]
fn hashes_that_vendors_and_users_published() {
    for (source, secret, message, hash) in [
        (
            "intercom-archive/intercom-user_hash",
            "secret",
            "Message",
            "aa747c502a898200f9e4fa21bac68136f886a0e27aec70ba06daf2e2a5cb5597",
        ),
        (
            "chatwoot/chatwoot#4798",
            "wyHVRZzzJhjPMKR2h7LpeJVy",
            "test",
            "45e289a669fbb7b4f7c09b3c68734dd9c52d508aba109dc7543c8133e0ec98be",
        ),
    ] {
        let key = LegacyKey {
            id: "k".to_owned(),
            validity: Validity::default(),
            hmac: hmac(Algorithm::HS256, secret.as_bytes()),
        };
        assert_eq!(legacy::hash(&key, message, DigestEncoding::Hex), hash, "{source}");
        let read = legacy::read(&hash.to_uppercase(), DigestEncoding::Hex).unwrap();
        legacy::verify(std::slice::from_ref(&key), message, &read, time::UtcDateTime::UNIX_EPOCH).unwrap();
    }
}

#[test]
fn tokens_that_vendors_and_users_published() {
    for (source, secret, token) in [
        (
            "Iterable, help 360050801231",
            "2EB6A2F34691492F81A819AEDA32427F",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJlbWFpbCI6InRlc3RAaXRlcmFibGUuY29tIiwiaWF0IjoxNTk5NjkzMjE4LCJleHAiOjE1OTk2OTMyMTl9.eDbexB7CnK2jGsXvHfYENrCEkblrLKxgMNbmlfJHXUA",
        ),
        (
            "Elixir metabase 0.1.0, Metabase.Embed",
            "fakesecret",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjE2NTQ2MjE4OTQsInBhcmFtcyI6eyJhY2NvdW50IjoiOTk5In0sInJlc291cmNlIjp7ImRhc2hib2FyZCI6OTk5fX0.gb4XlMdP6dFLAlVh3BLxjGL3ig96HlmtZ-EhyPbtSGU",
        ),
        (
            "anthonyg-1/PSJsonWebToken",
            "secret",
            "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpYXQiOjE2MDYwNTkyMzEsIm5iZiI6MTYwNjA1OTIzMSwiZXhwIjoxNjA2MDU5NTMxLCJzdWIiOiJ1c2VybmFtZUBjb21wYW55LmNvbSJ9.7j3SPowPaHlviVZeRFxIwyLa1qPzrL5jk1sguNG0yDg",
        ),
    ] {
        let parts = Parts::of(token).unwrap();
        let key = hmac(Algorithm::HS256, secret.as_bytes());
        assert!(key.verifies(parts.signing_input.as_bytes(), &parts.signature), "{source}");
    }
}
