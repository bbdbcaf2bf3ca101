//! PostgreSQL's binary format of the types that sqlx does not decode here: it panics at a date that is `infinity`, and
//! takes a crate of its own for decimals and one for UUIDs.
//!
//! The format is that of the type's `send` function, in big-endian order. None for bytes that are not of the type.

use time::{Date, OffsetDateTime};

/// The day 2000-01-01, from which PostgreSQL counts, as a Julian day.
const EPOCH_DAY: i32 = 2_451_545;
/// The same, in seconds of Unix time.
const EPOCH_SECONDS: i128 = 946_684_800;

/// Days since 2000-01-01, 32 bits.
pub(crate) fn date(bytes: &[u8]) -> Option<Date> {
    let days = i32::from_be_bytes(bytes.try_into().ok()?);
    Date::from_julian_day(days.checked_add(EPOCH_DAY)?).ok()
}

/// Microseconds since 2000-01-01, 64 bits.
pub(crate) fn timestamp(bytes: &[u8]) -> Option<OffsetDateTime> {
    let microseconds = i64::from_be_bytes(bytes.try_into().ok()?);
    let nanoseconds = (EPOCH_SECONDS * 1_000_000 + i128::from(microseconds)) * 1_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()
}

/// The text of a decimal number: its count of digits, the weight of the first, its sign and its scale, 16 bits each,
/// and then digits to the base of 10,000. `NaN` and infinity have signs of their own, and are none.
pub(crate) fn decimal(bytes: &[u8]) -> Option<String> {
    const NEGATIVE: i16 = 0x4000;
    let (halves, rest) = bytes.as_chunks::<2>();
    let halves: Vec<i16> = halves.iter().copied().map(i16::from_be_bytes).collect();
    let [count, weight, sign, _scale, digits @ ..] = halves.as_slice() else { return None };
    if !rest.is_empty() || usize::try_from(*count) != Ok(digits.len()) || !matches!(*sign, 0 | NEGATIVE) {
        return None;
    }
    let (first, end) = (i32::from(*weight), i32::from(*count));
    let group = |index: i32| {
        let digit = usize::try_from(index).ok().and_then(|index| digits.get(index));
        format!("{:04}", digit.copied().unwrap_or(0))
    };
    let whole: String = (0..=first).map(group).collect();
    let part: String = (first + 1..end).map(group).collect();
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let sign = if *sign == NEGATIVE { "-" } else { "" };
    Some(if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") })
}

/// The text of a UUID, of 16 bytes.
pub(crate) fn uuid(bytes: &[u8]) -> Option<String> {
    let mut text = format!("{:032x}", u128::from_be_bytes(bytes.try_into().ok()?));
    for hyphen in [8, 13, 18, 23] {
        text.insert(hyphen, '-');
    }
    Some(text)
}

/// The bytes of a UUID that is written with hyphens.
pub(crate) fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let groups: Vec<&str> = text.split('-').collect();
    let written = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()));
    u128::from_str_radix(&groups.concat(), 16).ok().filter(|_| written).map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_count_from_the_year_2000() {
        assert_eq!(date(&0_i32.to_be_bytes()).map(|date| date.to_string()).as_deref(), Some("2000-01-01"));
        assert_eq!(date(&9270_i32.to_be_bytes()).map(|date| date.to_string()).as_deref(), Some("2025-05-19"));
        let time = |microseconds: i64| timestamp(&microseconds.to_be_bytes()).map(|time| time.unix_timestamp_nanos());
        assert_eq!(time(0), Some(EPOCH_SECONDS * 1_000_000_000));
        assert_eq!(time(-1), Some(EPOCH_SECONDS * 1_000_000_000 - 1_000));
        // These are `infinity` and `-infinity`.
        for none in [i32::MAX, i32::MIN] {
            assert_eq!(date(&none.to_be_bytes()), None);
        }
        for none in [i64::MAX, i64::MIN] {
            assert_eq!(time(none), None);
        }
        assert_eq!(date(&[0; 3]), None);
        assert_eq!(timestamp(&[0; 9]), None);
    }

    #[test]
    fn a_decimal_has_the_digits_that_were_sent() {
        let text = |halves: &[i16]| decimal(&halves.iter().flat_map(|half| half.to_be_bytes()).collect::<Vec<_>>());
        for (halves, expected) in [
            (vec![0, 0, 0, 0], "0"),
            (vec![1, 0, 0, 2, 500], "500"),
            (vec![2, 0, 0x4000, 3, 12, 3450], "-12.3450"),
            (vec![1, -1, 0, 1, 1000], "0.1000"),
            (vec![1, -2, 0, 5, 1000], "0.00001000"),
            (vec![2, 1, 0, 0, 1, 2], "10002"),
            (vec![1, 2, 0, 0, 7], "700000000"),
        ] {
            assert_eq!(text(&halves).as_deref(), Some(expected), "{halves:?}");
        }
        let not_a_number = i16::from_be_bytes([0xC0, 0]);
        for halves in [vec![0, 0, not_a_number, 0], vec![2, 0, 0, 0, 1], vec![0, 0, 0]] {
            assert_eq!(text(&halves), None, "{halves:?}");
        }
        assert_eq!(decimal(&[0; 9]), None);
    }

    #[test]
    fn a_uuid_is_written_with_hyphens() {
        let text = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let bytes = uuid_bytes(text).expect("a UUID");
        assert_eq!(uuid(&bytes).as_deref(), Some(text));
        assert_eq!(uuid_bytes(&text.to_uppercase()), Some(bytes));
        for none in [
            "",
            "u1",
            "0f8fad5bd9cb469fa16570867728950e",
            "0f8fad5b-d9cb-469f-a165-70867728950",
            "+f8fad5b-d9cb-469f-a165-70867728950e",
            "{0f8fad5b-d9cb-469f-a165-70867728950e}",
        ] {
            assert_eq!(uuid_bytes(none), None, "{none}");
        }
        assert_eq!(uuid(&[0; 15]), None);
    }
}
