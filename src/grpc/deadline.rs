//! Until when a caller waits: the metadata `grpc-timeout` (gRPC over HTTP/2, "Requests").

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// What is left for writing the answer and its way back: a tenth of the time, at most this.
const RETURN: Duration = Duration::from_millis(50);

/// The instant at which an answer has to be ready; none where the caller waits for ever, or says it in a way that
/// nobody understands.
#[must_use]
pub fn of(metadata: &MetadataMap) -> Option<Instant> {
    let time = parse(metadata.get("grpc-timeout")?.to_str().ok()?)?;
    Instant::now().checked_add(time - RETURN.min(time / 10))
}

/// At most eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_at_most_eight_digits_and_a_unit() {
        for (text, time) in [
            ("1H", Some(Duration::from_secs(3_600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999u", Some(Duration::from_micros(99_999_999))),
            ("0n", Some(Duration::ZERO)),
            ("100000000m", None),
            ("m", None),
            ("", None),
            ("-1m", None),
            ("1", None),
            ("1ä", None),
        ] {
            assert_eq!(parse(text), time, "{text}");
        }
    }
}
