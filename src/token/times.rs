//! The times in a token, judged: NumericDate (RFC 7519 section 2) and the rules of an application.

use serde_json::{Map, Value};
use time::macros::format_description;
use time::{Duration, PrimitiveDateTime, UtcDateTime};

use crate::limits;
use crate::profile::{JwtFormat, Presence};
use crate::refusal::{Reason, Refused};

/// What an application says about the time of its tokens.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How far clocks may differ, for `exp`, `nbf` and `iat` alike.
    pub leeway: Duration,
    /// A token without `exp` is refused.
    pub require_exp: bool,
    /// What ends a token without `exp`, after its `iat`.
    pub max_age: Option<Duration>,
    /// The longest lifetime.
    pub max_ttl: Duration,
    /// The lifetime where a request asks for none.
    pub default_ttl: Duration,
}

/// The times that a token carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// `iat`
    pub issued_at: Option<UtcDateTime>,
    /// `nbf`
    pub not_before: Option<UtcDateTime>,
    /// When it ends: `exp`, the end as text, or `iat` and the maximum age.
    pub expires_at: Option<UtcDateTime>,
}

impl Times {
    /// Reads and judges the times of a genuine token.
    pub fn judge(
        claims: &Map<String, Value>,
        format: &JwtFormat,
        rules: &Rules,
        now: UtcDateTime,
    ) -> Result<Self, Refused> {
        let date = |name: &str| numeric_date(claims.get(name), name, format.fractional_dates);
        let (exp, nbf, iat) = (date("exp")?, date("nbf")?, date("iat")?);
        let written = match (exp, text_end(claims, format)?) {
            (Some(exp), Some(text)) => Some(exp.min(text)),
            (exp, text) => exp.or(text),
        };
        if written.is_none() && rules.require_exp {
            return Err(Refused::claim(Reason::ClaimMissing, "exp"));
        }
        if iat.is_none() && format.issued_at == Presence::Required {
            return Err(Refused::claim(Reason::ClaimMissing, "iat"));
        }
        let end = match (written, rules.max_age, iat) {
            (None, Some(max_age), Some(iat)) => Some(iat.saturating_add(max_age)),
            (None, Some(_), None) => return Err(Refused::claim(Reason::ClaimMissing, "iat")),
            (end, _, _) => end,
        };
        if end.is_some_and(|end| end.saturating_add(rules.leeway) <= now) {
            return Err(Reason::TokenExpired.into());
        }
        let latest = now.saturating_add(rules.leeway);
        if nbf.is_some_and(|nbf| latest < nbf) {
            return Err(Reason::TokenNotYetValid.into());
        }
        if iat.is_some_and(|iat| latest < iat) {
            return Err(Reason::IssuedInFuture.into());
        }
        // A maximum age is a lifetime of the application's own choice and not measured against `max_ttl`.
        let lifetime = written.map(|end| end - iat.unwrap_or(now));
        if lifetime.is_some_and(|lifetime| lifetime > rules.max_ttl.saturating_add(rules.leeway)) {
            return Err(Reason::LifetimeTooLong.into());
        }
        Ok(Self { issued_at: iat, not_before: nbf, expires_at: end })
    }
}

/// A NumericDate: finite, not negative, within the year 9999, whole seconds unless fractions are allowed. `null` and
/// text are wrong types, not absent ones.
pub fn numeric_date(value: Option<&Value>, name: &str, fractions: bool) -> Result<Option<UtcDateTime>, Refused> {
    let Some(value) = value else { return Ok(None) };
    let wrong = || Refused::claim(Reason::ClaimTypeInvalid, name);
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0).ok_or_else(wrong)?;
    #[expect(clippy::cast_precision_loss, reason = "12 digits are exact as f64")]
    if seconds > limits::NUMERIC_DATE as f64 || (!fractions && seconds.fract() != 0.0) {
        return Err(wrong());
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    let nanoseconds = (seconds.trunc() as i128) * 1_000_000_000 + (seconds.fract() * 1e9) as i128;
    UtcDateTime::from_unix_timestamp_nanos(nanoseconds).map(Some).map_err(|_ignored| wrong())
}

fn text_end(claims: &Map<String, Value>, format: &JwtFormat) -> Result<Option<UtcDateTime>, Refused> {
    let Some((name, value)) = format.expiry_text.as_ref().and_then(|name| Some((name, claims.get(name)?))) else {
        return Ok(None);
    };
    let shape = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    value
        .as_str()
        .and_then(|text| PrimitiveDateTime::parse(text, shape).ok())
        .map(|end| Some(end.as_utc()))
        .ok_or_else(|| Refused::claim(Reason::ClaimTypeInvalid, name.as_str()))
}
