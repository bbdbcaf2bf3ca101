//! Reads the three tables out of the bytes of a JSON, TOML or CSV file. Does no IO.

use countersign_claim_source::Why;
use csv::StringRecord;
use serde_json::{Number, Value};

use crate::tables::{Claims, Table, Tables};

/// Bytes of a file.
pub(crate) const FILE_BYTES: usize = 16 * 1024 * 1024;

/// How a file is read.
#[derive(Debug)]
pub(crate) struct Format {
    syntax: Syntax,
    /// The claims that may be in it.
    sets: Vec<String>,
    /// Columns of CSV whose cells are JSON.
    json_columns: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum Syntax {
    Json,
    Toml,
    Csv,
}

impl Format {
    /// The format of a file with this extension.
    pub(crate) fn new(extension: Option<&str>, sets: &[String], json_columns: Vec<String>) -> Option<Self> {
        let syntax = match extension? {
            "json" => Syntax::Json,
            "toml" => Syntax::Toml,
            "csv" => Syntax::Csv,
            _ => return None,
        };
        Some(Self { syntax, sets: sets.to_vec(), json_columns })
    }

    /// What the file says, all of it; else what is wrong with it. A file is never taken in part.
    pub(crate) fn read(&self, bytes: &[u8]) -> Result<Tables, Why> {
        if bytes.len() > FILE_BYTES {
            return Err("the file is larger than 16 MiB".into());
        }
        let tables = match self.syntax {
            Syntax::Json => json(bytes),
            Syntax::Toml => toml(bytes),
            Syntax::Csv => self.csv(bytes),
        }?;
        if tables.named().into_iter().any(|(_, mut claims)| claims.any(|claim| !self.may_set(claim))) {
            return Err(UNDECLARED.into());
        }
        Ok(tables)
    }

    fn may_set(&self, claim: &str) -> bool {
        self.sets.iter().any(|set| set == claim)
    }

    /// One row for each user, found by `user_id`, `email` or both; every other column is a claim.
    fn csv(&self, bytes: &[u8]) -> Result<Tables, Why> {
        let mut reader = csv::Reader::from_reader(bytes);
        let header = reader.headers().map_err(|error| not_csv(&error))?.clone();
        if header.iter().any(|column| !KEYS.contains(&column) && !self.may_set(column)) {
            return Err(UNDECLARED.into());
        }
        let times = |name: &str| header.iter().filter(|column| *column == name).count();
        if header.iter().any(|column| times(column) > 1) {
            return Err("the CSV file has a column twice".into());
        }
        if KEYS.into_iter().all(|key| times(key) == 0) {
            return Err("the CSV file has no column user_id or email".into());
        }
        let mut tables = Tables::default();
        for record in reader.records() {
            let record = record.map_err(|error| not_csv(&error))?;
            let line = record.position().map_or(0, csv::Position::line);
            let row =
                self.row(&header, &record).ok_or_else(|| Why::code("a cell of the CSV file is no JSON: line", line))?;
            if !row.keep(&mut tables) {
                return Err(Why::code("a row of the CSV file has no user_id or email of its own: line", line));
            }
        }
        Ok(tables)
    }

    /// None where a cell that should be JSON is not. An empty cell is absent.
    fn row(&self, header: &StringRecord, record: &StringRecord) -> Option<Row> {
        let cells = || header.iter().zip(record).filter(|(_, cell)| !cell.is_empty());
        let key = |key| cells().find(|(name, _)| *name == key).map(|(_, cell)| cell.to_owned());
        let mut claims = Claims::default();
        for (name, cell) in cells() {
            // An address is a claim as well where the source says that it sets it.
            if KEYS.contains(&name) && !self.may_set(name) {
                continue;
            }
            let is_json = self.json_columns.iter().any(|column| column == name);
            let value = if is_json { serde_json::from_str(cell).ok()? } else { Value::from(cell) };
            claims.insert(name.to_owned(), value);
        }
        Some(Row { user_id: key("user_id"), email: key("email"), claims })
    }
}

const UNDECLARED: &str = "the file has a claim that the source does not say it sets";

/// The columns by which a row is found.
const KEYS: [&str; 2] = ["user_id", "email"];

struct Row {
    user_id: Option<String>,
    email: Option<String>,
    claims: Claims,
}

impl Row {
    /// Whether the row is found by something, and nothing that another row is found by.
    fn keep(self, tables: &mut Tables) -> bool {
        let has_key = self.user_id.is_some() || self.email.is_some();
        let new =
            |table: &mut Table, key: Option<String>, claims| key.is_none_or(|key| table.insert(key, claims).is_none());
        has_key
            && new(&mut tables.by_user_id, self.user_id, self.claims.clone())
            && new(&mut tables.by_email, self.email, self.claims)
    }
}

fn not_csv(error: &csv::Error) -> Why {
    Why::code("the file is not CSV: line", error.position().map_or(0, csv::Position::line))
}

fn json(bytes: &[u8]) -> Result<Tables, Why> {
    // A byte order mark is what some editors begin a file with. CSV's reader drops it by itself, TOML's too.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(|error| Why::code(NOT_TABLES, error.line()))
}

const NOT_TABLES: &str = "the file is not the tables claims, by_user_id and by_email: line";

fn toml(bytes: &[u8]) -> Result<Tables, Why> {
    let text = str::from_utf8(bytes).map_err(|error| Why::code(NOT_TABLES, line(bytes, error.valid_up_to())))?;
    let table: toml::Table = toml::from_str(text)
        .map_err(|error| Why::code(NOT_TABLES, line(bytes, error.span().map_or(0, |span| span.start))))?;
    let value = as_json(toml::Value::Table(table)).ok_or("the file has a number that is not finite")?;
    serde_json::from_value(value).map_err(|_shape| "the file is not the tables claims, by_user_id and by_email".into())
}

/// The line on which a byte stands, from 1.
fn line(bytes: &[u8], at: usize) -> usize {
    1 + bytes.iter().take(at).filter(|byte| **byte == b'\n').count()
}

/// A date or time becomes its text. None where a number is not finite: JSON has no word for it.
fn as_json(value: toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => Value::Number(Number::from_f64(number)?),
        toml::Value::Boolean(value) => Value::Bool(value),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(as_json).collect::<Option<_>>()?),
        toml::Value::Table(table) => {
            let members = table.into_iter().map(|(name, value)| Some((name, as_json(value)?)));
            Value::Object(members.collect::<Option<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(extension: &str, bytes: &[u8]) -> Result<Tables, String> {
        let sets = ["plan", "title", "seats", "since"].map(str::to_owned);
        let format = Format::new(Some(extension), &sets, vec!["seats".to_owned()]).expect("a format");
        format.read(bytes).map_err(|why| why.to_string())
    }

    fn tables(value: Value) -> Tables {
        serde_json::from_value(value).expect("tables")
    }

    #[test]
    fn every_format_holds_the_same_tables() {
        let json = r#"{"claims": {"plan": "Free"}, "by_user_id": {"u1": {"seats": 3}}, "by_email": {"a@b.example": {"title": "x"}}}"#;
        let toml = "claims.plan = 'Free'\n[by_user_id.u1]\nseats = 3\n[by_email.\"a@b.example\"]\ntitle = 'x'\n";
        let csv = "user_id,email,seats,title\nu1,,3,\n,a@b.example,,x\n";
        let all = serde_json::from_str::<Tables>(json).expect("tables");
        assert_eq!(read("json", json.as_bytes()).as_ref(), Ok(&all));
        assert_eq!(read("toml", toml.as_bytes()).as_ref(), Ok(&all));
        assert_eq!(read("csv", csv.as_bytes()), Ok(Tables { claims: Claims::default(), ..all }));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_file() {
        let by = tables(json!({"by_user_id": {"u1": {"plan": "Gold"}}}));
        for (extension, text) in [
            ("json", "{\"by_user_id\": {\"u1\": {\"plan\": \"Gold\"}}}"),
            ("toml", "by_user_id.u1.plan = 'Gold'"),
            ("csv", "user_id,plan\nu1,Gold"),
        ] {
            assert_eq!(read(extension, format!("\u{feff}{text}").as_bytes()).as_ref(), Ok(&by), "{extension}");
        }
    }

    #[test]
    fn a_row_of_csv_is_found_by_each_key_that_it_has() {
        let csv = "email,plan,user_id,seats\r\na@b.example,\"Gold, \"\"new\"\"\",u1,\r\n\r\n,007,u2,\"[1, true]\"\r\n";
        let own = json!({"plan": "Gold, \"new\""});
        let expected = json!({
            "by_user_id": {"u1": own, "u2": {"plan": "007", "seats": [1, true]}},
            "by_email": {"a@b.example": own},
        });
        assert_eq!(read("csv", csv.as_bytes()), Ok(tables(expected)));
    }

    #[test]
    fn an_address_in_csv_is_a_claim_where_the_source_sets_it() {
        let sets = ["email".to_owned()];
        let format = Format::new(Some("csv"), &sets, Vec::new()).expect("a format");
        let expected = tables(json!({
            "by_user_id": {"u1": {"email": "a@b.example"}},
            "by_email": {"a@b.example": {"email": "a@b.example"}},
        }));
        assert_eq!(format.read(b"user_id,email\nu1,a@b.example\n"), Ok(expected));
    }

    #[test]
    fn a_date_in_toml_is_its_text() {
        let toml = "[claims]\nsince = 2025-05-19\nplan = 2025-05-19T15:35:49Z\n";
        let expected = tables(json!({"claims": {"since": "2025-05-19", "plan": "2025-05-19T15:35:49Z"}}));
        assert_eq!(read("toml", toml.as_bytes()), Ok(expected));
    }

    #[test]
    fn a_file_that_is_not_what_it_should_be_is_refused_with_its_line_and_no_text_of_it() {
        for (extension, text, line) in [
            ("json", "", "1"),
            ("json", "{\n\"claims\": {\"plan\": \"secret\"}", "2"),
            ("json", "{\n\"secret\": {}}", "2"),
            ("json", "[\"secret\"]", "1"),
            ("json", "{\"by_user_id\": {\"u1\": {\"plan\": 1},\n\"u1\": {\"plan\": 2}}}", "2"),
            ("json", "{\"claims\": {\"plan\": 1e400}}", "1"),
            ("toml", "[claims]\nplan = secret", "2"),
            ("toml", "[claims]\nplan = 1\nplan = 'secret'", "3"),
            ("csv", "user_id,plan\nu1\n", "2"),
            ("csv", "user_id,plan\n,secret\n", "2"),
            ("csv", "user_id,plan\nu1,secret\nu1,secret\n", "3"),
            ("csv", "user_id,email,plan\nu1,secret,1\nu2,secret,1\n", "3"),
            ("csv", "user_id,seats\nu1,secret\n", "2"),
        ] {
            let wrong = read(extension, text.as_bytes()).expect_err(text);
            assert!(wrong.ends_with(&format!("line {line}")) && !wrong.contains("secret"), "{text}: {wrong}");
        }
        for (extension, text) in [
            ("toml", "secret = 1"),
            ("toml", "claims = 'secret'"),
            ("toml", "claims.plan = nan"),
            ("csv", ""),
            ("csv", "plan\nsecret\n"),
            ("csv", "user_id,plan,plan\nu1,a,b\n"),
            ("csv", "user_id,secret\nu1,a\n"),
            ("csv", "user_id,secret\nu1,\n"),
            ("json", "{\"claims\": {\"secret\": 1}}"),
        ] {
            let wrong = read(extension, text.as_bytes()).expect_err(text);
            assert!(!wrong.contains("secret"), "{text}: {wrong}");
        }
        for extension in ["json", "toml", "csv"] {
            assert!(read(extension, b"user_id,plan\n\xff,\xff").is_err(), "{extension} that is no UTF-8");
        }
    }

    #[test]
    fn the_largest_file_is_read_and_one_byte_more_is_not() {
        let mut json = b"{\"claims\": {\"plan\": \"Free\"}}".to_vec();
        json.resize(FILE_BYTES, b' ');
        assert!(read("json", &json).is_ok());
        json.push(b' ');
        assert_eq!(read("json", &json), Err("the file is larger than 16 MiB".to_owned()));
    }

    #[test]
    fn a_file_that_is_too_deep_is_refused_and_breaks_no_stack() {
        let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
        for (extension, text) in [
            ("json", format!("{{\"claims\": {{\"plan\": {open}{close}}}}}")),
            ("toml", format!("claims.plan = {open}{close}")),
            ("toml", format!("claims.plan{} = 1", ".a".repeat(100_000))),
            ("toml", format!("[claims.plan{}]", ".a".repeat(100_000))),
            ("csv", format!("user_id,seats\nu1,{open}{close}")),
        ] {
            assert!(read(extension, text.as_bytes()).is_err(), "{}", text.chars().take(40).collect::<String>());
        }
    }
}
