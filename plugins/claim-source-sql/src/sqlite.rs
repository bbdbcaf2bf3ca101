//! SQLite: a file of this machine, opened for reading only. A connection of sqlx is a thread, and what runs on it is
//! ended by SQLite's own progress handler.

use std::time::{Duration, Instant};

use countersign_claim_source::{Answer, Why};
use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteRow, SqliteTypeInfo};
use sqlx::types::time::OffsetDateTime;
use sqlx::{Arguments as _, Column as _, ConnectOptions as _, Decode, Row as _, Sqlite, TypeInfo as _, ValueRef as _};

use crate::cell::{self, Cell, no_json, undecodable};
use crate::dialect::{Bound, Dialect, NotBound, Options, milliseconds};

/// Instructions of SQLite's virtual machine between two looks at the clock: well under a millisecond.
const INSTRUCTIONS: i32 = 10_000;

impl Dialect for Sqlite {
    fn options(url: &str) -> Result<Options<Self>, sqlx::Error> {
        let options: SqliteConnectOptions = url.parse()?;
        Ok(options.read_only(true).create_if_missing(false).disable_statement_logging())
    }

    fn begin(time: Duration) -> String {
        format!("PRAGMA busy_timeout = {}; BEGIN", milliseconds(time))
    }

    async fn limit(connection: &mut SqliteConnection, time: Duration) -> Result<(), sqlx::Error> {
        let began = Instant::now();
        connection.lock_handle().await?.set_progress_handler(INSTRUCTIONS, move || began.elapsed() < time);
        Ok(())
    }

    fn bind(arguments: &mut SqliteArguments, value: Bound, _: Option<&SqliteTypeInfo>) -> Result<(), NotBound> {
        match value {
            Bound::Text(text) => arguments.add(text)?,
            Bound::Integer(integer) => arguments.add(integer)?,
        }
        Ok(())
    }

    /// The value itself has a type. What the table declares tells a boolean and a date from a number and a text.
    fn cell(row: &SqliteRow, column: usize) -> Result<Cell<'_>, Why> {
        let value = row.try_get_raw(column).map_err(undecodable)?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        let declared = row.column(column).type_info().name();
        match (value.type_info().name(), declared) {
            ("TEXT" | "INTEGER", "DATETIME") => decode::<OffsetDateTime>(row, column).and_then(cell::timestamp),
            ("INTEGER", "BOOLEAN") => decode::<bool>(row, column).map(Cell::of),
            ("TEXT", _) => decode(row, column).map(Cell::Text),
            ("INTEGER", _) => decode::<i64>(row, column).map(Cell::of),
            ("REAL", _) => decode(row, column).and_then(cell::double),
            (other, _) => Err(no_json(other)),
        }
    }

    /// By the primary result code, the last byte: <https://www.sqlite.org/rescode.html>
    fn refusal(error: &dyn DatabaseError) -> Answer {
        let code = error.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or_default();
        let why = Why::code("SQLite result code", code);
        match code & 0xff {
            // SQLITE_PERM, SQLITE_READONLY, SQLITE_AUTH.
            3 | 8 | 23 => Answer::Denied(why),
            // SQLITE_BUSY, _LOCKED, _NOMEM, _INTERRUPT, _IOERR, _FULL, _CANTOPEN, _PROTOCOL.
            5 | 6 | 7 | 9 | 10 | 13 | 14 | 15 => Answer::Unavailable(why),
            _ => Answer::Malformed(why),
        }
    }
}

fn decode<'r, T: Decode<'r, Sqlite>>(row: &'r SqliteRow, column: usize) -> Result<T, Why> {
    row.try_get_unchecked(column).map_err(undecodable)
}
