//! How long an answer stays fresh, by its `Cache-Control` and `Age` (RFC 9111 sections 4.2 and 5). `Expires`, `Vary` and
//! heuristics are not looked at: the host keeps an answer for as long as the operator says, and this only shortens it.

use std::time::Duration;

use reqwest::header::{AGE, CACHE_CONTROL, HeaderMap};

/// How long the answer stays fresh; zero where it may not be kept, or says it in a way that cannot be read (section
/// 4.2.1); none where it says nothing.
pub(crate) fn fresh_for(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(CACHE_CONTROL).into_iter();
    let lifetimes = lines.flat_map(|line| match line.to_str() {
        Ok(line) => line.split(',').filter_map(lifetime).collect(),
        Err(_) => vec![0],
    });
    let age = headers.get(AGE).map_or(Some(0), |age| seconds(age.to_str().ok()?));
    let seconds = lifetimes.min()?.saturating_sub(age.unwrap_or(u64::MAX));
    Some(Duration::from_secs(seconds))
}

/// The seconds that one directive allows; none where it is about something else.
fn lifetime(directive: &str) -> Option<u64> {
    let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
    match name.trim().to_ascii_lowercase().as_str() {
        "no-store" | "no-cache" => Some(0),
        "max-age" => Some(seconds(value.trim().trim_matches('"')).unwrap_or(0)),
        _ => None,
    }
}

/// Delta seconds (section 1.2.2), of which more than 2^31 are 2^31.
fn seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(LONGEST).min(LONGEST))
}

const LONGEST: u64 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_long_it_stays_fresh() {
        let of = |lines: &[&str], age: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.extend(lines.iter().map(|line| (CACHE_CONTROL, line.parse().expect("a value"))));
            headers.extend(age.map(|age| (AGE, age.parse().expect("a value"))));
            fresh_for(&headers).map(|time| time.as_secs())
        };
        assert_eq!(of(&[], None), None);
        assert_eq!(of(&["private, must-revalidate"], None), None);
        assert_eq!(of(&["private, max-age=60"], None), Some(60));
        assert_eq!(of(&["Max-Age=\"60\""], None), Some(60));
        assert_eq!(of(&["max-age=60"], Some("50")), Some(10));
        assert_eq!(of(&["max-age=60"], Some("61")), Some(0));
        assert_eq!(of(&["max-age=60"], Some("-1")), Some(0));
        assert_eq!(of(&["max-age=60", "max-age=30"], None), Some(30));
        assert_eq!(of(&["max-age=99999999999999999999"], None), Some(1 << 31));
        for none in
            ["no-store", "max-age=60, No-Cache", "no-cache=\"set-cookie\"", "max-age=-1", "max-age", "max-age=1s"]
        {
            assert_eq!(of(&[none], None), Some(0), "{none}");
        }
        assert_eq!(of(&["max-age=60", "\u{e9}"], None), Some(0), "what is not ASCII cannot be read");
    }
}
