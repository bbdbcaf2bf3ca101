//! The operator's own list of users: one user id a line, or CSV. Read as it comes, so that a list of millions is no
//! matter of memory.

use std::io::{BufRead, Read};

use anyhow::{Context as _, bail};

use crate::grpc::proto::Subject;
use crate::grpc::proto::subject::Kind;

const FLAG: &str = "--from";
/// What a value of a column is.
type Named = fn(String) -> Kind;
/// The columns that name a user, the better one first.
const COLUMNS: [(&str, Named); 2] = [("user_id", Kind::UserId), ("email", Kind::Email)];
/// Bytes of the first line, which says what the file is.
const HEADING_BYTES: u64 = 65_536;

/// The users, one after another; lines that name nobody are left out.
pub(super) fn read(mut from: Box<dyn BufRead>) -> anyhow::Result<Box<dyn Iterator<Item = anyhow::Result<Subject>>>> {
    const UNREADABLE: &str = "--from: the file cannot be read as text";
    let mut heading = String::new();
    let length = from.by_ref().take(HEADING_BYTES).read_line(&mut heading).context(UNREADABLE)?;
    if u64::try_from(length)? >= HEADING_BYTES {
        bail!("{FLAG}: the first line is over 64 KiB: give a user id a line, or CSV");
    }
    let heading = heading.trim_start_matches('\u{feff}').to_owned();
    let columns = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(heading.as_bytes()).headers()?.clone();
    let found = COLUMNS.iter().filter_map(|(name, kind)| {
        let place = columns.iter().position(|column| column == *name)?;
        Some((place, *kind))
    });
    let found: Vec<(usize, Named)> = found.collect();
    if found.is_empty() {
        let all = std::io::Cursor::new(heading).chain(from).lines();
        let users = all.map(|line| line.context(UNREADABLE).map(|line| line.trim_end_matches('\r').to_owned()));
        let named = users.filter(|user| !user.as_ref().is_ok_and(String::is_empty));
        return Ok(Box::new(named.map(|user| Ok(Subject { kind: Some(Kind::UserId(user?)) }))));
    }
    let rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(from).into_records();
    Ok(Box::new(rows.filter_map(move |row| {
        let row = match row.context("--from: a row is not CSV") {
            Ok(row) => row,
            Err(error) => return Some(Err(error)),
        };
        let named =
            found.iter().find_map(|(place, kind)| Some((row.get(*place).filter(|value| !value.is_empty())?, kind)));
        named.map(|(value, kind)| Ok(Subject { kind: Some(kind(value.to_owned())) }))
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(text: &str) -> anyhow::Result<Vec<String>> {
        let text = std::io::Cursor::new(text.to_owned().into_bytes());
        let told = |subject: anyhow::Result<Subject>| {
            subject.map(|subject| match subject.kind {
                Some(Kind::UserId(id)) => format!("id {id}"),
                Some(Kind::Email(email)) => format!("email {email}"),
                None => String::new(),
            })
        };
        read(Box::new(text))?.map(told).collect()
    }

    #[test]
    fn a_list_is_lines_or_csv_by_its_heading() -> anyhow::Result<()> {
        assert_eq!(users("u1\r\nu 2\n\n\"u3\",x\nu4")?, ["id u1", "id u 2", "id \"u3\",x", "id u4"]);
        assert_eq!(users("name,user_id\nAda,u1\n\"B, C\",\"u\"\"2\"\nD,\n")?, ["id u1", "id u\"2"]);
        assert_eq!(users("\u{feff}email,user_id\na@b.example,\nc@b.example,u2\n")?, ["email a@b.example", "id u2"]);
        assert_eq!(users("email\na@b.example")?, ["email a@b.example"]);
        assert_eq!(users("")?, Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn a_first_line_without_end_is_a_mistake() {
        assert!(users(&"x".repeat(65_535)).is_ok());
        assert!(users(&"x".repeat(65_536)).is_err());
    }
}
