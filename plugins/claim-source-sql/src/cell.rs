//! A value of a row, and the JSON that it becomes. Knows no database.

use countersign_claim_source::Why;
use serde_json::{Number, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A value of a row.
#[derive(Debug, PartialEq)]
pub(crate) enum Cell<'r> {
    /// SQL's NULL: the claim is absent.
    Null,
    Text(&'r str),
    /// Text that is JSON.
    Json(&'r str),
    /// An array of texts.
    Texts(Vec<Option<String>>),
    /// A value of a fixed size.
    Value(Value),
}

/// How many bytes of text an answer may still have.
pub(crate) struct Room(usize);

/// Bytes of text in one answer: many times the claims of a token.
pub(crate) const ANSWER_BYTES: usize = 1 << 20;

impl Room {
    /// The room for one answer.
    pub(crate) const fn new() -> Self {
        Self(ANSWER_BYTES)
    }

    fn take(&mut self, bytes: usize) -> Result<(), Why> {
        self.0 = self.0.checked_sub(bytes).ok_or("the answer has too many bytes")?;
        Ok(())
    }
}

impl<'r> Cell<'r> {
    /// A value of a fixed size.
    pub(crate) fn of(value: impl Into<Value>) -> Self {
        Self::Value(value.into())
    }

    /// The same text, read as JSON.
    pub(crate) fn read_as_json(self) -> Self {
        match self {
            Cell::Text(text) => Cell::Json(text),
            Cell::Null | Cell::Json(_) | Cell::Texts(_) | Cell::Value(_) => self,
        }
    }

    /// The JSON of a cell; none for NULL.
    pub(crate) fn into_json(self, room: &mut Room) -> Result<Option<Value>, Why> {
        let value = match self {
            Cell::Null => Value::Null,
            Cell::Text(text) => {
                room.take(text.len())?;
                Value::String(text.to_owned())
            }
            Cell::Json(text) => {
                room.take(text.len())?;
                let json = serde_json::from_str(text).ok();
                json.ok_or("a column of JSON has something else, or is nested too deeply")?
            }
            Cell::Texts(texts) => {
                room.take(texts.iter().flatten().map(String::len).sum())?;
                texts.into_iter().collect()
            }
            Cell::Value(value) => value,
        };
        Ok(Some(value).filter(|value| !value.is_null()))
    }
}

/// A decimal number, as JSON can carry it without a change: `500.00` is `500`.
pub(crate) fn decimal(text: &str) -> Result<Cell<'static>, Why> {
    let plain = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    if let Ok(integer) = plain.parse::<i64>() {
        return Ok(Cell::of(integer));
    }
    if let Ok(integer) = plain.parse::<u64>() {
        return Ok(Cell::of(integer));
    }
    // The shortest text of a float is its JSON. Where that is another one, digits would be lost.
    let float = plain.parse::<f64>().ok().filter(|float| float.to_string() == plain);
    number(float.and_then(Number::from_f64))
}

/// A floating-point number of 64 bits.
pub(crate) fn double(float: f64) -> Result<Cell<'static>, Why> {
    number(Number::from_f64(float))
}

/// A floating-point number of 32 bits: `0.1` stays `0.1`.
pub(crate) fn single(float: f32) -> Result<Cell<'static>, Why> {
    number(float.to_string().parse().ok().and_then(Number::from_f64))
}

fn number(number: Option<Number>) -> Result<Cell<'static>, Why> {
    Ok(Cell::Value(Value::Number(number.ok_or("a number is one that JSON cannot carry")?)))
}

/// A point in time, as text in RFC 3339.
pub(crate) fn timestamp(time: OffsetDateTime) -> Result<Cell<'static>, Why> {
    Ok(Cell::of(time.format(&Rfc3339).ok().ok_or("a timestamp is one that RFC 3339 cannot write")?))
}

/// A value of a type that has no JSON.
pub(crate) fn no_json(r#type: &str) -> Why {
    Why::code("a column has a type without JSON, cast it in the query:", r#type)
}

/// What a driver could not decode. Its own text may quote the value.
pub(crate) fn undecodable<E>(_: E) -> Why {
    Why::from("a column has a value that cannot be read")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text_of(bytes: usize) -> Result<Option<Value>, Why> {
        Cell::Text(&"x".repeat(bytes)).into_json(&mut Room::new())
    }

    #[test]
    fn a_decimal_is_a_number_of_the_same_value_or_none() {
        for (text, expected) in [
            ("500.00", json!(500)),
            ("-500", json!(-500)),
            ("100", json!(100)),
            ("0.00", json!(0)),
            ("0.10", json!(0.1)),
            ("-12.345", json!(-12.345)),
            ("18446744073709551615", json!(u64::MAX)),
            ("9007199254740993.0", json!(9_007_199_254_740_993_i64)),
        ] {
            assert_eq!(decimal(text), Ok(Cell::Value(expected)), "{text}");
        }
        for text in ["0.12345678901234567890", "18446744073709551617", "NaN", "Infinity", ""] {
            assert!(decimal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_float_keeps_its_text() {
        assert_eq!(single(0.1), Ok(Cell::Value(json!(0.1))));
        assert_eq!(double(0.1), Ok(Cell::Value(json!(0.1))));
        assert!(single(f32::NAN).is_err());
        assert!(double(f64::INFINITY).is_err());
    }

    #[test]
    fn the_text_of_an_answer_has_a_limit() {
        assert!(text_of(ANSWER_BYTES).is_ok());
        assert!(text_of(ANSWER_BYTES + 1).is_err());
        let mut room = Room::new();
        let half = "x".repeat(ANSWER_BYTES / 2);
        assert!(Cell::Text(&half).into_json(&mut room).is_ok());
        assert!(Cell::Texts(vec![Some(half), None]).into_json(&mut room).is_ok());
        assert!(Cell::Json("1").into_json(&mut room).is_err());
    }

    #[test]
    fn json_is_read_to_a_depth() {
        let read = |text: &str| Cell::Json(text).into_json(&mut Room::new());
        assert_eq!(read(r#"[{"id": "c1"}]"#), Ok(Some(json!([{"id": "c1"}]))));
        assert_eq!(read("null"), Ok(None));
        assert!(read(&("[".repeat(100_000) + &"]".repeat(100_000))).is_err());
        assert!(read("no").is_err());
    }
}
