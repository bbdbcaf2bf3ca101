//! MySQL and MariaDB, which differ in how a statement is ended, and in that MariaDB's JSON is text.

use std::time::Duration;

use countersign_claim_source::{Answer, Why};
use sqlx::error::DatabaseError;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlDatabaseError, MySqlRow, MySqlTypeInfo};
use sqlx::types::time::{Date, PrimitiveDateTime};
use sqlx::{Arguments as _, ConnectOptions as _, Decode, MySql, Row as _, TypeInfo as _, ValueRef as _};

use crate::cell::{self, Cell, no_json, undecodable};
use crate::dialect::{Bound, Dialect, NotBound, Options, PADDED, milliseconds};

impl Dialect for MySql {
    fn options(url: &str) -> Result<Options<Self>, sqlx::Error> {
        let options: MySqlConnectOptions = url.parse()?;
        // An address has an IPv6 host in brackets, a socket has not.
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        // The operator's query means here what it means elsewhere: sqlx would change the SQL mode.
        Ok(options.host(&host).pipes_as_concat(false).no_engine_substitution(false).disable_statement_logging())
    }

    /// The session is read-only too: a procedure may end the transaction. Each server reads one of the two comments, and
    /// takes the other for a comment:
    /// <https://mariadb.com/docs/server/reference/sql-structure/sql-language-structure/comment-syntax>,
    /// <https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html#sysvar_max_execution_time>.
    fn begin(time: Duration) -> String {
        let milliseconds = milliseconds(time);
        let seconds = f64::from(milliseconds) / 1000.0;
        format!(
            "SET SESSION TRANSACTION READ ONLY; \
             SET SESSION /*!50708 max_execution_time = {milliseconds} */ /*M!100101 max_statement_time = {seconds} */; \
             START TRANSACTION READ ONLY"
        )
    }

    fn bind(arguments: &mut MySqlArguments, value: Bound, _: Option<&MySqlTypeInfo>) -> Result<(), NotBound> {
        match value {
            // Nearly every collation pads with spaces, those that end in _bin among them.
            Bound::Text(text) if text.ends_with(' ') => return Err(NotBound::Value(PADDED)),
            Bound::Text(text) => arguments.add(text)?,
            Bound::Integer(integer) => arguments.add(integer)?,
        }
        Ok(())
    }

    fn cell(row: &MySqlRow, column: usize) -> Result<Cell<'_>, Why> {
        let value = row.try_get_raw(column).map_err(undecodable)?;
        // A date of zeros is NULL here.
        if value.is_null() {
            return Ok(Cell::Null);
        }
        let r#type = value.type_info().into_owned();
        // By name, text with a binary collation would be bytes.
        if <str as sqlx::Type<Self>>::compatible(&r#type) {
            return decode(row, column).map(Cell::Text);
        }
        match r#type.name() {
            "JSON" => decode(row, column).map(Cell::Json),
            "BOOLEAN" => decode::<bool>(row, column).map(Cell::of),
            "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => decode::<i64>(row, column).map(Cell::of),
            "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED" | "BIGINT UNSIGNED"
            | "YEAR" => decode::<u64>(row, column).map(Cell::of),
            "FLOAT" => decode(row, column).and_then(cell::single),
            "DOUBLE" => decode(row, column).and_then(cell::double),
            "DECIMAL" => decode(row, column).and_then(cell::decimal),
            "DATE" => decode::<Date>(row, column).map(|date| Cell::of(date.to_string())),
            // Without a zone it is taken for UTC, as the session is.
            "DATETIME" | "TIMESTAMP" => {
                decode::<PrimitiveDateTime>(row, column).and_then(|time| cell::timestamp(time.assume_utc()))
            }
            other => Err(no_json(other)),
        }
    }

    /// By number, since SQLSTATE does not tell a refusal from a wrong query:
    /// <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html>,
    /// <https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference>.
    fn refusal(error: &dyn DatabaseError) -> Answer {
        let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() else {
            return Answer::unavailable("the database refuses");
        };
        let why = Why::code("MySQL error", error.number());
        match (error.number(), error.code().and_then(|state| state.get(..2))) {
            // Who we are, where from, what we may read, and that we only read.
            (1044 | 1130 | 1142 | 1143 | 1227 | 1370 | 1792, _) | (_, Some("28")) => Answer::Denied(why),
            // Too many connections or questions, locks and timeouts.
            (1040 | 1203 | 1205 | 1226 | 1969 | 3024, _) => Answer::Unavailable(why),
            // Connections, conflicts, and what was interrupted.
            (_, Some("08" | "40" | "70")) => Answer::Unavailable(why),
            _ => Answer::Malformed(why),
        }
    }
}

fn decode<'r, T: Decode<'r, MySql>>(row: &'r MySqlRow, column: usize) -> Result<T, Why> {
    row.try_get_unchecked(column).map_err(undecodable)
}
