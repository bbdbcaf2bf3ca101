//! PostgreSQL: the server says what each placeholder takes, and everything comes and goes in its binary format.

use std::time::Duration;

use countersign_claim_source::{Answer, Why};
use sqlx::encode::{Encode, IsNull};
use sqlx::error::{BoxDynError, DatabaseError};
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgConnectOptions, PgRow, PgTypeInfo, PgTypeKind, PgValueRef};
use sqlx::{Arguments as _, ConnectOptions as _, Decode, Postgres, Row as _, TypeInfo as _, ValueRef as _};

use crate::binary;
use crate::cell::{self, Cell, no_json, undecodable};
use crate::dialect::{Bound, Dialect, NotBound, Options, PADDED, integer, milliseconds};

impl Dialect for Postgres {
    fn options(url: &str) -> Result<Options<Self>, sqlx::Error> {
        let options: PgConnectOptions = url.parse()?;
        // An address has an IPv6 host in brackets, a socket has not.
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        let named = options.get_application_name().is_some();
        let options = if named { options } else { options.application_name("countersign") };
        Ok(options.host(&host).disable_statement_logging())
    }

    fn begin(time: Duration) -> String {
        // A notice of the server would be logged by sqlx.
        let time = milliseconds(time);
        format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {time}; SET LOCAL client_min_messages = error")
    }

    fn bind(arguments: &mut PgArguments, value: Bound, parameter: Option<&PgTypeInfo>) -> Result<(), NotBound> {
        let parameter = parameter.ok_or_else(|| NotBound::Type("a placeholder has no type".into()))?;
        let bytes = encode(value, parameter)?;
        Ok(arguments.add(Binary { bytes, r#type: parameter.clone() })?)
    }

    fn cell(row: &PgRow, column: usize) -> Result<Cell<'_>, Why> {
        let value = row.try_get_raw(column).map_err(undecodable)?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        let r#type = value.type_info().into_owned();
        let text = || value.as_str().map_err(undecodable);
        let bytes = || value.as_bytes().map_err(undecodable);
        let string = |text: Option<String>| text.map(|text| Cell::Value(text.into())).ok_or(Why::from(OUT_OF_RANGE));
        match r#type.name() {
            _ if is_text(&r#type) => text().map(Cell::Text),
            "JSON" => text().map(Cell::Json),
            // The first byte is the version of the format.
            "JSONB" => text().map(|text| Cell::Json(text.strip_prefix('\u{1}').unwrap_or(text))),
            "BOOL" => decode::<bool>(value).map(Cell::of),
            "INT2" => decode::<i16>(value).map(Cell::of),
            "INT4" => decode::<i32>(value).map(Cell::of),
            "INT8" => decode::<i64>(value).map(Cell::of),
            "FLOAT4" => decode::<f32>(value).and_then(cell::single),
            "FLOAT8" => decode::<f64>(value).and_then(cell::double),
            "NUMERIC" => cell::decimal(&binary::decimal(bytes()?).ok_or(OUT_OF_RANGE)?),
            "DATE" => string(binary::date(bytes()?).map(|date| date.to_string())),
            // Without a zone it is taken for UTC, as the session is.
            "TIMESTAMP" | "TIMESTAMPTZ" => cell::timestamp(binary::timestamp(bytes()?).ok_or(OUT_OF_RANGE)?),
            "UUID" => string(binary::uuid(bytes()?)),
            "TEXT[]" | "VARCHAR[]" => decode::<Vec<Option<String>>>(value).map(Cell::Texts),
            other => Err(no_json(other)),
        }
    }

    /// By SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>
    fn refusal(error: &dyn DatabaseError) -> Answer {
        let code = error.code().unwrap_or_default();
        let why = Why::code("SQLSTATE", &code);
        match (code.get(..2).unwrap_or_default(), code.as_ref()) {
            // Who we are, what we may read, and that we only read.
            ("28", _) | (_, "42501" | "25006") => Answer::Denied(why),
            // Connections, conflicts, resources, locks, operators and timeouts, the system, and bugs.
            ("08" | "40" | "53" | "55" | "57" | "58" | "XX", _) => Answer::Unavailable(why),
            _ => Answer::Malformed(why),
        }
    }
}

/// A value in the binary format of a type.
struct Binary {
    bytes: Vec<u8>,
    r#type: PgTypeInfo,
}

impl Encode<'_, Postgres> for Binary {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.r#type.clone())
    }
}

impl sqlx::Type<Postgres> for Binary {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("unknown")
    }
}

fn encode(value: Bound, parameter: &PgTypeInfo) -> Result<Vec<u8>, NotBound> {
    let text = match value {
        Bound::Text(text) => text,
        Bound::Integer(integer) => integer.to_string(),
    };
    let whole = || integer(&text).ok_or(NotBound::Value("is not an integer, and the database takes one"));
    let out_of_range = |_| NotBound::Value("is an integer that is out of range");
    match parameter.name() {
        "CHAR" if text.ends_with(' ') => Err(NotBound::Value(PADDED)),
        _ if is_text(parameter) => Ok(text.into_bytes()),
        "INT2" => i16::try_from(whole()?).map(|value| value.to_be_bytes().to_vec()).map_err(out_of_range),
        "INT4" => i32::try_from(whole()?).map(|value| value.to_be_bytes().to_vec()).map_err(out_of_range),
        "INT8" => Ok(whole()?.to_be_bytes().to_vec()),
        "UUID" => {
            binary::uuid_bytes(&text).map(Vec::from).ok_or(NotBound::Value("is not a UUID, and the database takes one"))
        }
        other => {
            Err(NotBound::Type(Why::code("a placeholder takes a type that is not bound, cast it to text:", other)))
        }
    }
}

/// What `infinity` and `NaN` are, among others.
const OUT_OF_RANGE: &str = "a column has a value that JSON cannot carry";

/// Whether the binary format of a type is its text.
fn is_text(r#type: &PgTypeInfo) -> bool {
    let name = r#type.name();
    matches!(name, "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN")
        || matches!(r#type.kind(), PgTypeKind::Enum(_))
        || name.rsplit('.').next() == Some("citext")
}

fn decode<'r, T: Decode<'r, Postgres>>(value: PgValueRef<'r>) -> Result<T, Why> {
    T::decode(value).map_err(undecodable)
}
