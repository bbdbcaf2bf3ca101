//! The times in the token: units, types, clocks.

use serde_json::{Map, Value};
use time::{Duration, UtcDateTime};

use super::Case;
use super::judged::{Judged, Mistake, span};
use crate::limits;
use crate::profile::{JwtFormat, Presence};
use crate::token::times::{Rules, Times, numeric_date};

/// A date that is smaller is a length of time and no date: ten years of seconds.
const DURATION_BELOW: i64 = 315_360_000;

/// Names under which the end is written by mistake: options of libraries, and other spellings.
const ENDS: [&str; 12] = [
    "expiresIn",
    "expires_in",
    "expires",
    "expiresAt",
    "expires_at",
    "expiration",
    "expirationTime",
    "expiry",
    "ttl",
    "EXP",
    "Exp",
    "validUntil",
];

/// Names under which the time of issue is written by mistake.
const BEGINNINGS: [&str; 6] = ["issuedAt", "issued_at", "IAT", "Iat", "timestamp", "created"];

/// What a time claim is.
enum Date {
    Absent,
    At(UtcDateTime),
    Wrong(Mistake),
}

pub(super) fn judge(case: &Case<'_>, format: &JwtFormat, claims: &Map<String, Value>) -> Judged {
    let rules = &case.application.expected.times;
    match Times::judge(claims, format, rules, case.now) {
        Ok(times) => Judged::passed(match times.expires_at {
            None => "The token has no end, which this application allows.".to_owned(),
            Some(end) if end <= case.now => {
                format!(
                    "The token ended {} ago, within what clocks may differ. Renew it a little before its end.",
                    span(case.now - end)
                )
            }
            Some(end) => format!("The token is valid for another {}.", span(end - case.now)),
        }),
        Err(refused) => Judged::failed_by(mistakes(case, format, claims, rules), &refused),
    }
}

fn mistakes(case: &Case<'_>, format: &JwtFormat, claims: &Map<String, Value>, rules: &Rules) -> Vec<Mistake> {
    let mut found = Vec::new();
    let mut date = |name: &str| match read(claims.get(name), name, format.fractional_dates) {
        Date::At(at) => Some(at),
        Date::Absent => None,
        Date::Wrong(mistake) => {
            found.push(mistake);
            None
        }
    };
    let (exp, nbf, iat) = (date("exp"), date("nbf"), date("iat"));
    let text_end = format.expiry_text.as_deref().filter(|name| claims.contains_key(*name));
    let written = claims.contains_key("exp") || text_end.is_some();
    if let Some(name) = text_end.filter(|_| exp.is_none())
        && !claims.get(name).is_some_and(Value::is_string)
    {
        found.push(Mistake::new(format!("`{name}` is not text."), "Write it as `YYYY-MM-DD HH:MM:SS` in UTC."));
    }
    found.extend(missing(format, claims, rules, written));
    found.extend(ended(case, rules, exp, iat));
    found.extend(early(case, rules, ("nbf", "is not valid yet"), nbf));
    found.extend(early(case, rules, ("iat", "was issued in the future"), iat));
    let longest = rules.max_ttl;
    if let Some(lifetime) =
        exp.map(|exp| exp - iat.unwrap_or(case.now)).filter(|life| *life > longest.saturating_add(rules.leeway))
    {
        found.push(Mistake::new(
            format!("The token lives for {}, and {} is the longest here.", span(lifetime), span(longest)),
            "Sign with a shorter lifetime and renew the token while the user is there.",
        ));
    }
    found
}

fn missing(format: &JwtFormat, claims: &Map<String, Value>, rules: &Rules, written: bool) -> Option<Mistake> {
    let instead = |names: &[&'static str]| {
        let own = |name: &str| format.expiry_text.as_deref() == Some(name);
        names.iter().copied().find(|name| claims.contains_key(*name) && !own(name))
    };
    if !written && rules.require_exp {
        let what = match instead(&ENDS) {
            Some(name) => {
                format!("`exp` is missing. There is a claim `{name}`, which is not the one that ends a token.")
            }
            None => "`exp` is missing: the token has no end.".to_owned(),
        };
        let remedy = "Sign with `exp`, in seconds since 1970. In many libraries that is an option of signing \
            (`expiresIn`), beside the claims and not among them.";
        return Some(Mistake::new(what, remedy));
    }
    let needed = format.issued_at == Presence::Required || (!written && rules.max_age.is_some());
    if needed && !claims.contains_key("iat") {
        let what = match instead(&BEGINNINGS) {
            Some(name) => format!("`iat` is missing. There is a claim `{name}`, which is not the one that is meant."),
            None => "`iat` is missing: the token does not say when it was issued.".to_owned(),
        };
        return Some(Mistake::new(
            what,
            "Sign with `iat`, in seconds since 1970; libraries write it unless told not to.",
        ));
    }
    None
}

fn ended(case: &Case<'_>, rules: &Rules, exp: Option<UtcDateTime>, iat: Option<UtcDateTime>) -> Option<Mistake> {
    let own_end = iat.zip(rules.max_age).map(|(iat, age)| iat.saturating_add(age));
    let end = exp.or(own_end)?;
    if case.now < end.saturating_add(rules.leeway) {
        return None;
    }
    if end.unix_timestamp() < DURATION_BELOW {
        return Some(Mistake::new(
            "`exp` is a length of time and not a date.",
            "Write the date at which the token ends, in seconds since 1970: now plus the lifetime.",
        ));
    }
    let late = case.now - end;
    let mut what = format!("The token ended {} ago.", span(late));
    let mut remedy =
        "Sign a new token a little before the old one ends, and never keep one longer than it lives, in a cookie or \
         a cache."
            .to_owned();
    if let Some(iat) = iat.filter(|_| exp.is_some()) {
        if end <= iat {
            what.push_str(" It ends before it was issued.");
            remedy = "Compute `exp` from the present time, in seconds and in UTC.".to_owned();
        } else {
            what.push_str(&format!(" It was made to live for {}.", span(end - iat)));
        }
    } else if exp.is_none() {
        what.push_str(" It has no `exp`, and `iat` is older than this application allows.");
    }
    if late < Duration::minutes(10) {
        remedy.push_str(" If it is new, the clock of the machine that signs is behind: synchronise it (NTP).");
    }
    Some(Mistake::new(what, remedy))
}

/// Times that lie in the future.
fn early(case: &Case<'_>, rules: &Rules, (name, says): (&str, &str), at: Option<UtcDateTime>) -> Option<Mistake> {
    let at = at.filter(|at| case.now.saturating_add(rules.leeway) < *at)?;
    let ahead = at - case.now;
    let mut what = format!("By its `{name}` the token {says}, by {}.", span(ahead));
    let remedy = if is_zone(ahead) {
        what.push_str(" That is the difference of a time zone, as if local time had been taken for UTC.");
        "Count seconds since 1970 in UTC, with a clock function that knows the time zone."
    } else {
        "Synchronise the clock of the machine that signs (NTP); use seconds in UTC, and do not date ahead."
    };
    Some(Mistake::new(what, remedy))
}

/// Whether the difference is that of a time zone: half hours, up to 14 hours, give or take two minutes.
fn is_zone(difference: Duration) -> bool {
    let minutes = difference.whole_minutes();
    let near = (minutes + 2) / 30 * 30;
    (30..=14 * 60).contains(&near) && (minutes - near).abs() <= 2
}

fn read(value: Option<&Value>, name: &str, fractions: bool) -> Date {
    let Some(value) = value else { return Date::Absent };
    if let Ok(Some(at)) = numeric_date(Some(value), name, fractions) {
        return Date::At(at);
    }
    let seconds = "Write it as a number of seconds since 1970 (NumericDate, RFC 7519 section 2).";
    let (what, remedy) = match value {
        Value::Number(number) => number_fault(number.as_f64().unwrap_or_default()),
        Value::String(text) if text.parse::<f64>().is_ok() => {
            ("is a number in quotes", "Write it as a number, without quotes.")
        }
        Value::String(_) => ("is a date as text", seconds),
        Value::Null => {
            ("is null", "Write a number of seconds since 1970, or leave the claim out where it is not needed.")
        }
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => ("is not a number", seconds),
    };
    Date::Wrong(Mistake::new(format!("`{name}` {what}."), remedy))
}

fn number_fault(number: f64) -> (&'static str, &'static str) {
    #[expect(clippy::cast_precision_loss, reason = "12 digits are exact as f64")]
    let largest = limits::NUMERIC_DATE as f64;
    if number < 0.0 {
        return ("is negative", "Write the seconds since 1970.");
    }
    if number <= largest {
        return (
            "has a fraction",
            "Write whole seconds: round the time down, as with `Math.floor(Date.now() / 1000)`.",
        );
    }
    if number < 1e14 {
        ("is in milliseconds, and seconds are meant", "Divide by 1000: `Math.floor(Date.now() / 1000)` in JavaScript.")
    } else if number < 1e17 {
        ("is in microseconds, and seconds are meant", "Divide by 1000000 and round down.")
    } else if number < 1e20 {
        ("is in nanoseconds, and seconds are meant", "Divide by 1000000000 and round down.")
    } else {
        ("is too large for a date", "Write the seconds since 1970.")
    }
}
