//! From a complete identity to a signed token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use time::{Duration, UtcDateTime};

use crate::admission;
use crate::application::Application;
use crate::identity::{Field, Identity};
use crate::limits;
use crate::notice::{Notice, NoticeCode};
use crate::order::{Proof, Proven};
use crate::profile::JwtFormat;
use crate::refusal::{Reason, Refusal, Refused};
use crate::token::jwt;
use crate::token::keys::JwtKey;
use crate::token::times::numeric_date;

/// The claim that names a token (RFC 7519 section 4.1.7).
const JTI: &str = "jti";

/// The field that is named where all claims together are too large.
pub const ALL_CLAIMS: &str = "identity";

/// What a new token says besides who it is about.
#[derive(Clone, Debug)]
pub struct Grant {
    issuer: Option<String>,
    audiences: Vec<String>,
    issued_at: UtcDateTime,
    expires_at: UtcDateTime,
}

/// A signed token.
#[derive(Debug)]
pub struct Minted {
    /// In compact form.
    pub token: String,
    /// Names it for revocation.
    pub token_id: String,
    /// `iat`
    pub issued_at: UtcDateTime,
    /// `exp`
    pub expires_at: UtcDateTime,
}

/// Where an exchanged token comes from: a private claim of every token that Exchange makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Whether a hash stands at the beginning.
    pub from_hash: bool,
    /// When the first token of this session was made, where that is known.
    pub first: Option<UtcDateTime>,
}

impl Grant {
    /// What the request and the application's rules come to.
    pub fn of(
        application: &Application,
        ttl: Option<Duration>,
        audience: &str,
        now: UtcDateTime,
    ) -> Result<Self, Refusal> {
        let expected = &application.expected;
        let (default, max) = (expected.times.default_ttl, expected.times.max_ttl);
        let ttl = ttl.unwrap_or(default);
        if ttl > max {
            return Err(Refusal::field("ttl", format!("at most {} seconds here", max.whole_seconds())));
        }
        let audiences = match audience {
            "" => expected.audiences.clone(),
            one if expected.audiences.iter().any(|known| known == one) => vec![one.to_owned()],
            _ => return Err(Refusal::field("audience", "is not one of the application's audiences")),
        };
        let issued_at = now.truncate_to_second();
        Ok(Self { issuer: expected.issuer.clone(), audiences, issued_at, expires_at: issued_at.saturating_add(ttl) })
    }
}

/// Where the exchanged token comes from, and its grant, which never goes past the session's end.
pub fn session(
    application: &Application,
    proof: &Proof,
    grant: Grant,
    now: UtcDateTime,
) -> Result<(Provenance, Grant), Refused> {
    let refused = || Refused::from(Reason::ExchangeNotAllowed);
    let (from_hash, first) = match &proof.credential {
        Proven::Hash => (true, grant.issued_at),
        Proven::Jwt { .. } if !application.exchange.jwt => return Err(refused()),
        Proven::Jwt { times, provenance, .. } => {
            let first = provenance.and_then(|provenance| provenance.first).or(times.issued_at).ok_or_else(refused)?;
            // A beginning in the future would move the session's end.
            (provenance.is_some_and(|provenance| provenance.from_hash), first.truncate_to_second().min(grant.issued_at))
        }
    };
    let end = first.saturating_add(application.exchange.max_session);
    if end <= now {
        return Err(refused());
    }
    let provenance = Provenance { from_hash, first: Some(first) };
    Ok((provenance, Grant { expires_at: grant.expires_at.min(end), ..grant }))
}

/// Writes the claims and signs them.
pub fn mint(
    application: &Application,
    format: &JwtFormat,
    key: &JwtKey,
    identity: &Identity,
    grant: &Grant,
    provenance: Option<Provenance>,
) -> Result<Minted, Refusal> {
    let mut claims = format.write(identity);
    grant.write(&mut claims);
    // Only a `jti` names a token: what a format calls by another name, others may repeat.
    let named = format.token_id.as_deref() == Some(JTI) || application.expected.one_time;
    let jti = named.then(random_id).transpose()?;
    if let Some(jti) = &jti {
        claims.insert(JTI.to_owned(), json!(jti));
    }
    if let Some(other) = format.token_id.as_ref().filter(|claim| *claim != JTI) {
        claims.insert(other.clone(), json!(random_id()?));
    }
    if let Some(provenance) = provenance {
        claims.insert(format.provenance.clone(), provenance.write());
    }
    admission::conforms(application, format, &claims)?;
    let claims = Value::Object(claims).to_string();
    if claims.len() > limits::CLAIMS_BYTES {
        return Err(Refusal::field(ALL_CLAIMS, format!("all claims: at most {} bytes as JSON", limits::CLAIMS_BYTES)));
    }
    let token = jwt::sign(key, &claims).ok_or(Refusal::Internal)?;
    if token.len() > limits::TOKEN_BYTES {
        // It could never be verified.
        return Err(Refusal::field(ALL_CLAIMS, format!("the token: at most {} bytes", limits::TOKEN_BYTES)));
    }
    let token_id = match (jti, token.rsplit_once('.')) {
        (Some(jti), _) => jti,
        (None, Some((input, _))) => jwt::signing_input_id(input),
        (None, None) => return Err(Refusal::Internal),
    };
    Ok(Minted { token, token_id, issued_at: grant.issued_at, expires_at: grant.expires_at })
}

/// What the identity of a new token makes worth saying.
#[must_use]
pub fn notices(format: &JwtFormat, identity: &Identity) -> Option<Notice> {
    let writes = |field: Field| format.claims.contains_key(&field);
    let exclusive =
        format.exactly_one.iter().any(|group| group.contains(&Field::UserId) && group.contains(&Field::Email));
    let both = identity.user_id.is_some() && identity.email.is_some();
    (writes(Field::UserId) && writes(Field::Email) && !exclusive && !both).then(|| NoticeCode::IdentifierMissing.into())
}

impl Grant {
    fn write(&self, claims: &mut Map<String, Value>) {
        if let Some(issuer) = &self.issuer {
            claims.insert("iss".to_owned(), json!(issuer));
        }
        match self.audiences.as_slice() {
            [] => {}
            [one] => drop(claims.insert("aud".to_owned(), json!(one))),
            several => drop(claims.insert("aud".to_owned(), json!(several))),
        }
        claims.insert("iat".to_owned(), json!(self.issued_at.unix_timestamp()));
        claims.insert("exp".to_owned(), json!(self.expires_at.unix_timestamp()));
    }
}

impl Provenance {
    fn write(self) -> Value {
        let from = if self.from_hash { "hash" } else { "jwt" };
        json!({ "from": from, "first": self.first.map(UtcDateTime::unix_timestamp) })
    }

    /// Reads the claim of a genuine token.
    pub fn read(claims: &Map<String, Value>, format: &JwtFormat) -> Result<Option<Self>, Refused> {
        let Some(claim) = claims.get(&format.provenance) else { return Ok(None) };
        let wrong = || Refused::claim(Reason::ClaimTypeInvalid, format.provenance.as_str());
        let claim = claim.as_object().ok_or_else(wrong)?;
        let from_hash = match claim.get("from").and_then(Value::as_str) {
            Some("hash") => true,
            Some("jwt") => false,
            Some(_) | None => return Err(wrong()),
        };
        let first = numeric_date(claim.get("first"), &format.provenance, false)?;
        Ok(Some(Self { from_hash, first }))
    }
}

/// 128 random bits.
fn random_id() -> Result<String, Refusal> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_no_randomness| Refusal::Internal)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
