//! Key pairs, from every form in which they are handed out: PKCS#8, PKCS#1 and SEC1 in PEM (RFC 7468), and JWK
//! (RFC 7517). Each is brought into the one form that `jsonwebtoken` signs and verifies with.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::Encode as _;
use jsonwebtoken::{DecodingKey, DecodingKeyKind, EncodingKey, crypto};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, Family};
use crate::json;

/// RSA keys with fewer bits are refused (RFC 7518 section 3.3).
pub const RSA_BITS: usize = 2048;

/// A key pair, or a public key alone.
#[derive(Clone)]
pub struct KeyPair {
    algorithm: Algorithm,
    private: Option<EncodingKey>,
    public: DecodingKey,
}

/// Why key material cannot be used. Says nothing of the material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Neither PEM nor JWK.
    #[error("is neither PEM (PKCS#8, PKCS#1, SEC1) nor a JWK")]
    Form,
    /// Encrypted.
    #[error("is encrypted; decrypt it, and protect the file instead")]
    Encrypted,
    /// For another algorithm.
    #[error("is not a key for this algorithm")]
    Algorithm,
    /// Too short.
    #[error("is an RSA key under 2048 bits")]
    Short,
    /// A public key where a private one is needed, or the reverse.
    #[error("is a public key where a private one is needed, or the reverse")]
    Half,
}

impl KeyPair {
    /// The pair of a private key.
    pub fn private(algorithm: Algorithm, text: &[u8]) -> Result<Self, Unusable> {
        let (private, public) = match Form::of(text)? {
            Form::Jwk(jwk) => private_jwk(algorithm, &jwk)?,
            Form::Pem(pem) => private_pem(algorithm, &pem, text)?,
        };
        Ok(Self { algorithm, private: Some(private), public })
    }

    /// A public key alone: it verifies and never signs.
    pub fn public(algorithm: Algorithm, text: &[u8]) -> Result<Self, Unusable> {
        let public = match Form::of(text)? {
            Form::Jwk(jwk) => public_jwk(algorithm, &jwk)?,
            Form::Pem(pem) => public_pem(algorithm, &pem, text)?,
        };
        Ok(Self { algorithm, private: None, public })
    }

    /// What tells this pair from others, however it is written down: its public half.
    #[must_use]
    pub fn fingerprint(&self) -> Vec<u8> {
        match self.public.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => bytes.clone(),
            DecodingKeyKind::RsaModulusExponent { n, e } => [n.as_slice(), e.as_slice()].concat(),
        }
    }

    /// Whether it can sign.
    #[must_use]
    pub const fn signs(&self) -> bool {
        self.private.is_some()
    }

    /// The signature over the input.
    #[must_use]
    pub fn sign(&self, input: &[u8]) -> Option<Vec<u8>> {
        let text = crypto::sign(input, self.private.as_ref()?, self.algorithm.jsonwebtoken()).ok()?;
        URL_SAFE_NO_PAD.decode(text).ok()
    }

    /// Whether the signature over the input is this key's.
    #[must_use]
    pub fn verifies(&self, input: &[u8], signature: &[u8]) -> bool {
        let signature = URL_SAFE_NO_PAD.encode(signature);
        crypto::verify(&signature, input, &self.public, self.algorithm.jsonwebtoken()).unwrap_or(false)
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({}, redacted)", self.algorithm.name())
    }
}

enum Form {
    Pem(pem::Pem),
    Jwk(Map<String, Value>),
}

impl Form {
    fn of(text: &[u8]) -> Result<Self, Unusable> {
        if let Some(jwk) = json::object(text) {
            return Ok(Self::Jwk(jwk));
        }
        let pem = pem::parse(text).map_err(|_ignored| Unusable::Form)?;
        if pem.tag().contains("ENCRYPTED") || pem.headers().iter().any(|(name, _)| name == "Proc-Type") {
            return Err(Unusable::Encrypted);
        }
        Ok(Self::Pem(pem))
    }
}

fn private_pem(algorithm: Algorithm, pem: &pem::Pem, text: &[u8]) -> Result<(EncodingKey, DecodingKey), Unusable> {
    match (pem.tag(), algorithm.family()) {
        ("PRIVATE KEY" | "RSA PRIVATE KEY", Family::Rsa) => {
            let private = EncodingKey::from_rsa_pem(text).map_err(|_ignored| Unusable::Algorithm)?;
            rsa_pair(private)
        }
        ("PRIVATE KEY" | "EC PRIVATE KEY", Family::Ec) => {
            ec_pair(EcdsaKeyPair::from_private_key_der(curve(algorithm)?.0, pem.contents()))
        }
        ("PRIVATE KEY", Family::Ed) => ed_pair(Ed25519KeyPair::from_pkcs8_maybe_unchecked(pem.contents())),
        ("PUBLIC KEY" | "RSA PUBLIC KEY", _) => Err(Unusable::Half),
        _ => Err(Unusable::Algorithm),
    }
}

fn public_pem(algorithm: Algorithm, pem: &pem::Pem, text: &[u8]) -> Result<DecodingKey, Unusable> {
    if pem.tag().ends_with("PRIVATE KEY") {
        return Err(Unusable::Half);
    }
    let wrong = |_| Unusable::Algorithm;
    match algorithm.family() {
        Family::Rsa => {
            let parsed = aws_lc_rs::rsa::PublicKey::from_der(pem.contents()).map_err(|_ignored| Unusable::Algorithm)?;
            rsa_public(&RsaPublicKeyComponents::<Vec<u8>>::from(&parsed))
        }
        Family::Ec => {
            let key = DecodingKey::from_ec_pem(text).map_err(wrong)?;
            let point = key.try_get_as_bytes().map_err(wrong)?.len();
            if point == 1 + 2 * curve(algorithm)?.1 { Ok(key) } else { Err(Unusable::Algorithm) }
        }
        Family::Ed => DecodingKey::from_ed_pem(text).map_err(wrong),
        Family::Hmac => Err(Unusable::Algorithm),
    }
}

fn private_jwk(algorithm: Algorithm, jwk: &Map<String, Value>) -> Result<(EncodingKey, DecodingKey), Unusable> {
    check_jwk(algorithm, jwk)?;
    if !jwk.contains_key("d") {
        return Err(Unusable::Half);
    }
    match algorithm.family() {
        Family::Rsa => rsa_pair(EncodingKey::from_rsa_der(&rsa_der(jwk)?)),
        Family::Ec => {
            let (signing, bytes, _) = curve(algorithm)?;
            let point = [vec![4], member(jwk, "x")?, member(jwk, "y")?].concat();
            let d = Zeroizing::new(member(jwk, "d")?);
            if point.len() != 1 + 2 * bytes {
                return Err(Unusable::Algorithm);
            }
            ec_pair(EcdsaKeyPair::from_private_key_and_public_key(signing, &d, &point))
        }
        Family::Ed => {
            let d = Zeroizing::new(member(jwk, "d")?);
            ed_pair(Ed25519KeyPair::from_seed_and_public_key(&d, &member(jwk, "x")?))
        }
        Family::Hmac => Err(Unusable::Algorithm),
    }
}

fn public_jwk(algorithm: Algorithm, jwk: &Map<String, Value>) -> Result<DecodingKey, Unusable> {
    check_jwk(algorithm, jwk)?;
    if jwk.contains_key("d") {
        return Err(Unusable::Half);
    }
    match algorithm.family() {
        Family::Rsa => rsa_public(&RsaPublicKeyComponents { n: member(jwk, "n")?, e: member(jwk, "e")? }),
        Family::Ec => {
            let point = [vec![4], member(jwk, "x")?, member(jwk, "y")?].concat();
            if point.len() == 1 + 2 * curve(algorithm)?.1 {
                Ok(DecodingKey::from_ec_der(&point))
            } else {
                Err(Unusable::Algorithm)
            }
        }
        Family::Ed => {
            let x = member(jwk, "x")?;
            if x.len() == 32 { Ok(DecodingKey::from_ed_der(&x)) } else { Err(Unusable::Algorithm) }
        }
        Family::Hmac => Err(Unusable::Algorithm),
    }
}

/// `kty`, `crv`, and `alg` where it is there, must be the algorithm's.
fn check_jwk(algorithm: Algorithm, jwk: &Map<String, Value>) -> Result<(), Unusable> {
    let says = |name: &str, value: &str| jwk.get(name).and_then(Value::as_str) == Some(value);
    let fits = match algorithm.family() {
        Family::Rsa => says("kty", "RSA"),
        Family::Ec => says("kty", "EC") && says("crv", curve(algorithm)?.2),
        Family::Ed => says("kty", "OKP") && says("crv", "Ed25519"),
        Family::Hmac => false,
    };
    if fits && (!jwk.contains_key("alg") || says("alg", algorithm.name())) { Ok(()) } else { Err(Unusable::Algorithm) }
}

fn member(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, Unusable> {
    let text = jwk.get(name).and_then(Value::as_str).ok_or(Unusable::Form)?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_ignored| Unusable::Form)
}

/// The PKCS#1 form (RFC 8017 appendix A.1.2) of an RSA JWK.
fn rsa_der(jwk: &Map<String, Value>) -> Result<Zeroizing<Vec<u8>>, Unusable> {
    let mut numbers = Vec::with_capacity(8);
    for name in ["n", "e", "d", "p", "q", "dp", "dq", "qi"] {
        numbers.push(Zeroizing::new(member(jwk, name)?));
    }
    let mut uints = numbers.iter().map(|bytes| der::asn1::UintRef::new(bytes).map_err(|_ignored| Unusable::Form));
    let mut next = || uints.next().unwrap_or(Err(Unusable::Form));
    let key = pkcs1::RsaPrivateKey {
        modulus: next()?,
        public_exponent: next()?,
        private_exponent: next()?,
        prime1: next()?,
        prime2: next()?,
        exponent1: next()?,
        exponent2: next()?,
        coefficient: next()?,
        other_prime_infos: None,
    };
    key.to_der().map(Zeroizing::new).map_err(|_ignored| Unusable::Form)
}

fn rsa_pair(private: EncodingKey) -> Result<(EncodingKey, DecodingKey), Unusable> {
    let pair = RsaKeyPair::from_der(private.as_bytes()).map_err(|rejected| match rejected.to_string().as_str() {
        "TooSmall" => Unusable::Short,
        _ => Unusable::Algorithm,
    })?;
    let public = rsa_public(&RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key()))?;
    Ok((private, public))
}

fn rsa_public(components: &RsaPublicKeyComponents<Vec<u8>>) -> Result<DecodingKey, Unusable> {
    let significant = components.n.iter().skip_while(|byte| **byte == 0);
    let bits =
        significant.clone().count() * 8 - significant.clone().next().map_or(0, |first| first.leading_zeros() as usize);
    if bits < RSA_BITS {
        return Err(Unusable::Short);
    }
    Ok(DecodingKey::from_rsa_raw_components(&components.n, &components.e))
}

fn ec_pair(pair: Result<EcdsaKeyPair, aws_lc_rs::error::KeyRejected>) -> Result<(EncodingKey, DecodingKey), Unusable> {
    let pair = pair.map_err(|_ignored| Unusable::Algorithm)?;
    let der = pair.to_pkcs8v1().map_err(|_ignored| Unusable::Algorithm)?;
    Ok((EncodingKey::from_ec_der(der.as_ref()), DecodingKey::from_ec_der(pair.public_key().as_ref())))
}

fn ed_pair(
    pair: Result<Ed25519KeyPair, aws_lc_rs::error::KeyRejected>,
) -> Result<(EncodingKey, DecodingKey), Unusable> {
    let pair = pair.map_err(|_ignored| Unusable::Algorithm)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_ignored| Unusable::Algorithm)?;
    Ok((EncodingKey::from_ed_der(der.as_ref()), DecodingKey::from_ed_der(pair.public_key().as_ref())))
}

/// The curve of the algorithm, the bytes of a coordinate, and its name as a JWK (RFC 7518 section 6.2.1.1).
fn curve(algorithm: Algorithm) -> Result<(&'static EcdsaSigningAlgorithm, usize, &'static str), Unusable> {
    match algorithm {
        Algorithm::ES256 => Ok((&ECDSA_P256_SHA256_FIXED_SIGNING, 32, "P-256")),
        Algorithm::ES384 => Ok((&ECDSA_P384_SHA384_FIXED_SIGNING, 48, "P-384")),
        Algorithm::HS256
        | Algorithm::HS384
        | Algorithm::HS512
        | Algorithm::RS256
        | Algorithm::RS384
        | Algorithm::RS512
        | Algorithm::PS256
        | Algorithm::EdDSA => Err(Unusable::Algorithm),
    }
}
