//! Our verifier beside `jsonwebtoken::decode`: on well-formed tokens the two agree, in both directions; where they do
//! not, the divergence has a name here. Times are so far from now that the day of the test does not matter.

use countersign::attributes::Attributes;
use countersign::profile::{JwtFormat, Profile};
use countersign::refusal::Reason;
use countersign::secret::Secret;
use countersign::token::algorithm::Algorithm;
use countersign::token::asymmetric::KeyPair;
use countersign::token::jwt::{self, Expected};
use countersign::token::keys::{HmacKey, JwtKey, Material, Validity};
use countersign::token::times::Rules;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use time::{Duration, UtcDateTime};

use crate::harness::raw_token;

const SECRET: &str = "differential-secret-0123456789abcdef";
/// The distant past and future: 1970 and 2100.
const TIMES: [i64; 4] = [1, 1_000, 4_102_444_800, 4_102_448_400];

fn format() -> JwtFormat {
    Profile::parse("open", "[jwt]\nalgorithms = [\"HS256\", \"HS384\", \"HS512\", \"RS256\", \"ES256\", \"EdDSA\"]\nattributes = []\nclaims = { user_id = \"sub\" }")
        .unwrap()
        .jwt
        .unwrap()
}

fn expected() -> Expected {
    let times = Rules {
        leeway: Duration::seconds(30),
        require_exp: true,
        max_age: None,
        max_ttl: Duration::days(365_000),
        default_ttl: Duration::HOUR,
    };
    Expected {
        times,
        issuer: Some("me".to_owned()),
        audiences: vec!["us".to_owned()],
        one_time: false,
        strict_revocation: false,
    }
}

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/vectors/keys/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn keys(algorithm: Algorithm) -> (JwtKey, jsonwebtoken::EncodingKey, jsonwebtoken::DecodingKey) {
    use jsonwebtoken::{DecodingKey, EncodingKey};
    let pair = |file: &str| Material::Pair(KeyPair::private(algorithm, &pem(file)).unwrap());
    let (material, encoding, decoding) = match algorithm {
        Algorithm::RS256 => (
            pair("rsa.pkcs8.pem"),
            EncodingKey::from_rsa_pem(&pem("rsa.pkcs8.pem")).unwrap(),
            DecodingKey::from_rsa_pem(&pem("rsa.spki.pem")).unwrap(),
        ),
        Algorithm::ES256 => (
            pair("ec-256.pkcs8.pem"),
            EncodingKey::from_ec_pem(&pem("ec-256.pkcs8.pem")).unwrap(),
            DecodingKey::from_ec_pem(&pem("ec-256.spki.pem")).unwrap(),
        ),
        Algorithm::EdDSA => (
            pair("ed25519.pkcs8.pem"),
            EncodingKey::from_ed_pem(&pem("ed25519.pkcs8.pem")).unwrap(),
            DecodingKey::from_ed_pem(&pem("ed25519.spki.pem")).unwrap(),
        ),
        hmac => (
            Material::Hmac(Box::new(HmacKey::new(hmac, Secret::new(SECRET.into())).unwrap())),
            EncodingKey::from_secret(SECRET.as_bytes()),
            DecodingKey::from_secret(SECRET.as_bytes()),
        ),
    };
    let names = ("k".to_owned(), "k".to_owned());
    (JwtKey::new(names, algorithm, Validity::default(), material, &format()), encoding, decoding)
}

fn ours(token: &str, key: &JwtKey) -> Result<Map<String, Value>, Reason> {
    // 2026-06-01: between the distant past and the distant future, as is the day of the test.
    let now = UtcDateTime::from_unix_timestamp(1_780_272_000).unwrap();
    let nothing = Attributes::default();
    jwt::verify(token, std::slice::from_ref(key), &format(), &expected(), (&nothing, &nothing), now)
        .map(|verified| verified.claims)
        .map_err(|refused| refused.reason)
}

fn theirs(token: &str, algorithm: Algorithm, key: &jsonwebtoken::DecodingKey) -> Option<Map<String, Value>> {
    let mut validation = jsonwebtoken::Validation::new(algorithm.jsonwebtoken());
    validation.leeway = 30;
    validation.validate_nbf = true;
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.set_issuer(&["me"]);
    validation.set_audience(&["us"]);
    jsonwebtoken::decode(token, key, &validation).ok().map(|decoded| decoded.claims)
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    let all =
        [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    proptest::sample::select(all.to_vec())
}

/// Claims of the right types, in time or out of it, for us or for others.
fn claims() -> impl Strategy<Value = Map<String, Value>> {
    let party = |good: &'static str| prop_oneof![4 => Just(Some(json!(good))), 1 => Just(Some(json!("other"))), 1 => Just(None)];
    let aud = prop_oneof![4 => Just(Some(json!("us"))), 1 => Just(Some(json!(["x", "us"]))), 1 => Just(Some(json!(["x"]))), 1 => Just(None)];
    let time = || proptest::option::of(proptest::sample::select(TIMES.to_vec()));
    let custom = proptest::collection::btree_map(
        "[a-z]{4,8}",
        prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "\\PC{0,20}".prop_map(Value::from),
            proptest::collection::vec(any::<u16>(), 0..3).prop_map(Value::from),
        ],
        0..5,
    );
    (party("me"), aud, time(), time(), "[a-z0-9]{0,10}", custom).prop_map(|(iss, aud, exp, nbf, sub, custom)| {
        let mut claims: Map<String, Value> = custom.into_iter().collect();
        for (name, value) in [("iss", iss), ("aud", aud), ("exp", exp.map(Value::from)), ("nbf", nbf.map(Value::from))]
        {
            if let Some(value) = value {
                claims.insert(name.to_owned(), value);
            }
        }
        claims.insert("sub".to_owned(), Value::from(sub));
        claims
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_they_encode_we_judge_as_they_do(algorithm in algorithm(), claims in claims()) {
        let (key, encoding, decoding) = keys(algorithm);
        let header = jsonwebtoken::Header::new(algorithm.jsonwebtoken());
        let token = jsonwebtoken::encode(&header, &claims, &encoding).unwrap();
        prop_assert_eq!(ours(&token, &key).ok(), theirs(&token, algorithm, &decoding));
    }

    #[test]
    fn what_we_sign_they_judge_as_we_do(algorithm in algorithm(), claims in claims()) {
        let (key, _, decoding) = keys(algorithm);
        let token = jwt::sign(&key, &Value::Object(claims).to_string()).unwrap();
        prop_assert_eq!(ours(&token, &key).ok(), theirs(&token, algorithm, &decoding));
    }

    #[test]
    fn a_damaged_token_is_refused_by_both(algorithm in algorithm(), place in any::<prop::sample::Index>(), with in "[A-Za-z0-9_.=-]") {
        let (key, _, decoding) = keys(algorithm);
        let claims = json!({"sub": "1", "iss": "me", "aud": "us", "exp": TIMES[2]});
        let token = jwt::sign(&key, &claims.to_string()).unwrap();
        let mut damaged = token.clone();
        let at = place.index(token.len());
        damaged.replace_range(at..=at, &with);
        if damaged != token {
            prop_assert!(ours(&damaged, &key).is_err());
            prop_assert!(theirs(&damaged, algorithm, &decoding).is_none());
        }
    }
}

/// Where the two differ: ours is the stricter one each time.
#[test]
fn the_divergences_have_names() {
    let (key, _, decoding) = keys(Algorithm::HS256);
    let hs256 = r#"{"alg":"HS256"}"#;
    let good = r#""sub":"1","iss":"me","aud":"us","exp":4102444800"#;
    for (name, header, payload, reason) in [
        (
            "`crit` is ignored by them",
            r#"{"alg":"HS256","crit":["x"],"x":1}"#,
            format!("{{{good}}}"),
            Reason::TokenMalformed,
        ),
        ("`b64` is ignored by them", r#"{"alg":"HS256","b64":false}"#, format!("{{{good}}}"), Reason::TokenMalformed),
        (
            "the last of duplicate members counts for them",
            hs256,
            format!("{{{good},\"x\":1,\"x\":2}}"),
            Reason::TokenMalformed,
        ),
        (
            "duplicates deeper inside, too",
            hs256,
            format!("{{{good},\"x\":{{\"a\":1,\"a\":2}}}}"),
            Reason::TokenMalformed,
        ),
        ("`iat` in the future passes them", hs256, format!("{{{good},\"iat\":4102444700}}"), Reason::IssuedInFuture),
        ("`iat` of the wrong type passes them", hs256, format!("{{{good},\"iat\":\"x\"}}"), Reason::ClaimTypeInvalid),
        ("fractions in `nbf` pass them", hs256, format!("{{{good},\"nbf\":1.5}}"), Reason::ClaimTypeInvalid),
        ("`jti` of the wrong type passes them", hs256, format!("{{{good},\"jti\":1}}"), Reason::ClaimTypeInvalid),
        (
            "an end after the year 9999 passes them",
            hs256,
            r#"{"sub":"1","iss":"me","aud":"us","exp":253402300800}"#.to_owned(),
            Reason::ClaimTypeInvalid,
        ),
    ] {
        let token = raw_token(header, payload.as_bytes(), SECRET);
        assert_eq!(ours(&token, &key).err(), Some(reason), "{name}");
        assert!(theirs(&token, Algorithm::HS256, &decoding).is_some(), "no divergence any more: {name}");
    }
}
