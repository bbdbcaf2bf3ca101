//! What differs between the databases: how a transaction begins, how a value is bound, what a column holds, what an
//! error means.

use std::io::ErrorKind;
use std::time::Duration;

use countersign_claim_source::{Answer, Why};
use sqlx::Connection;
use sqlx::error::{BoxDynError, DatabaseError};

use crate::cell::Cell;

/// How a database is connected to.
pub(crate) type Options<D> = <<D as sqlx::Database>::Connection as Connection>::Options;

/// A database.
pub(crate) trait Dialect: sqlx::Database {
    /// How to connect to an address. Nothing that is sent may reach a log.
    fn options(url: &str) -> Result<Options<Self>, sqlx::Error>;

    /// The statements that begin a read-only transaction, in which a statement is ended by the database after `time`.
    fn begin(time: Duration) -> String;

    /// What else ends a statement after `time`, where there is no server that does.
    fn limit(
        _connection: &mut Self::Connection,
        _time: Duration,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        async { Ok(()) }
    }

    /// Binds a value to the next placeholder, which the database takes for `parameter`, if it says so.
    fn bind(arguments: &mut Self::Arguments, value: Bound, parameter: Option<&Self::TypeInfo>) -> Result<(), NotBound>;

    /// The value of a column.
    fn cell(row: &Self::Row, column: usize) -> Result<Cell<'_>, Why>;

    /// What an error of the database means.
    fn refusal(error: &dyn DatabaseError) -> Answer;
}

/// A value to bind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Text(String),
    Integer(i64),
}

/// Why a value could not be bound. Nothing of it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotBound {
    /// This value cannot stand there.
    Value(&'static str),
    /// No value can.
    Type(Why),
}

/// Why a value that ends in a space is not bound where the database pads: it would be another user's.
pub(crate) const PADDED: &str = "ends in a space, and the database ignores it";

impl From<BoxDynError> for NotBound {
    fn from(_: BoxDynError) -> Self {
        Self::Value("is too long to be bound")
    }
}

/// Milliseconds for a statement: at least one, since none means no limit.
pub(crate) fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).map_or(MAX_MILLISECONDS, |time| time.clamp(1, MAX_MILLISECONDS))
}

/// An hour: every database takes it, and no host waits so long.
const MAX_MILLISECONDS: u32 = 3_600_000;

/// The integer that a text is, written as integers are: `7`, and not `+7` or `007`, which are other users.
pub(crate) fn integer(text: &str) -> Option<i64> {
    text.parse().ok().filter(|integer: &i64| integer.to_string() == text)
}

/// What went wrong between here and the database, or in it.
#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
#[expect(clippy::wildcard_enum_match_arm, reason = "what else may go wrong is one to whoever asks")]
pub(crate) fn failure<D: Dialect>(error: sqlx::Error) -> Answer {
    use sqlx::Error::{ColumnDecode, Configuration, Database, Decode, Io, Protocol, Tls};
    // Only static text: the driver's own quotes values, and the server's words.
    const NO_TLS: &str = "TLS is not agreed on, or the certificate is not the right one";
    if let Database(error) = &error {
        D::refusal(error.as_ref())
    } else if let Protocol(_) | Decode(_) | ColumnDecode { .. } = &error {
        Answer::malformed("the server does not speak the database's protocol")
    } else {
        Answer::unavailable(match &error {
            Io(error) if error.kind() == ErrorKind::ConnectionRefused => "the connection is refused",
            Io(error) if error.kind() == ErrorKind::InvalidData => NO_TLS,
            Io(_) => "the connection fails",
            Tls(_) => NO_TLS,
            Configuration(_) => "the address and the server do not agree on how to log in",
            _ => "the database cannot be asked",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_has_one_text() {
        assert_eq!(integer("7"), Some(7));
        assert_eq!(integer("-7"), Some(-7));
        assert_eq!(integer("9223372036854775807"), Some(i64::MAX));
        for text in ["", "007", "+7", " 7", "7 ", "7up", "-0", "7.0", "9223372036854775808", "٧"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn a_statement_always_has_a_limit() {
        for (time, milliseconds_of_it) in [
            (Duration::ZERO, 1),
            (Duration::from_micros(1), 1),
            (Duration::from_millis(250), 250),
            (Duration::from_millis(u64::from(MAX_MILLISECONDS) + 1), MAX_MILLISECONDS),
            (Duration::MAX, MAX_MILLISECONDS),
        ] {
            assert_eq!(milliseconds(time), milliseconds_of_it, "{time:?}");
        }
    }
}
