//! Text for people. Names and values come out of credentials that strangers may have made, so nothing that a terminal
//! would obey, and nothing that would turn a line around, is written as it came.

use std::fmt::Write as _;

use prost_types::Timestamp;
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

/// The text on one line, with control characters and those that change the direction of writing escaped.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) {
            plain.extend(character.escape_unicode());
        } else {
            plain.push(character);
        }
    }
    plain
}

fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The instant in RFC 3339, with fractions where there are any.
pub(super) fn instant(timestamp: &Timestamp) -> String {
    let nanoseconds = i128::from(timestamp.seconds) * 1_000_000_000 + i128::from(timestamp.nanos);
    UtcDateTime::from_unix_timestamp_nanos(nanoseconds)
        .ok()
        .and_then(|instant| instant.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{} seconds since 1970", timestamp.seconds))
}

/// The same to the second, for what is put together at an instant and not about it.
pub(super) fn second(timestamp: &Timestamp) -> String {
    instant(&Timestamp { nanos: 0, ..*timestamp })
}

/// Names and values as a table: the values start in one column.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<(String, String)>);

impl Table {
    /// Adds a row, unless there is nothing to say.
    pub(super) fn row(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) {
        if !value.as_ref().is_empty() {
            self.0.push((plain(name.as_ref()), plain(value.as_ref())));
        }
    }

    /// The same for an instant, where there is one.
    pub(super) fn time(&mut self, name: &str, timestamp: Option<&Timestamp>) {
        if let Some(timestamp) = timestamp {
            self.row(name, instant(timestamp));
        }
    }

    /// Whether it has no rows.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes it, each row behind `indent`.
    pub(super) fn write(&self, indent: &str, to: &mut String) {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in &self.0 {
            line(to, format_args!("{indent}{name:width$}  {value}"));
        }
    }
}

/// A table with a heading: the first column is text, the others stand at their right edge.
#[derive(Debug)]
pub(super) struct Columns(Vec<Vec<String>>);

impl Columns {
    /// A table with that heading.
    pub(super) fn new(heading: &[&str]) -> Self {
        Self(vec![heading.iter().map(|title| (*title).to_owned()).collect()])
    }

    /// Adds a row, with as many fields as the heading has.
    pub(super) fn row(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        let name = shortened(&plain(name), NAME_WIDTH);
        self.0.push(std::iter::once(name).chain(values.into_iter().map(|value| plain(&value))).collect());
    }

    /// Whether it has nothing but its heading.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.len() <= 1
    }

    /// Writes it, each row behind `indent`.
    pub(super) fn write(&self, indent: &str, to: &mut String) {
        let columns = self.0.first().map_or(0, Vec::len);
        let longest =
            |column: usize| self.0.iter().filter_map(|row| row.get(column)).map(|field| field.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| longest(column).unwrap_or(0)).collect();
        for row in &self.0 {
            let fields = row.iter().zip(&widths).enumerate().map(|(place, (field, width))| match place {
                0 => format!("{field:width$}"),
                _ => format!("{field:>width$}"),
            });
            line(to, format_args!("{indent}{}", fields.collect::<Vec<_>>().join("  ").trim_end()));
        }
    }
}

/// The most characters of a name in a table, so that a row fits a terminal.
const NAME_WIDTH: usize = 24;

/// The text, cut to that many characters with a sign that it was.
fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['~']).collect()
}

/// Adds a line.
pub(super) fn line(to: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    to.write_fmt(text).unwrap_or_default();
    to.push('\n');
}

/// What [`plain`] promises, for text of several lines.
pub(super) fn indented(to: &mut String, indent: &str, text: &str) {
    for part in text.lines().filter(|part| !part.is_empty()) {
        line(to, format_args!("{indent}{}", plain(part)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey() {
        assert_eq!(plain("\u{1b}[2Jx\ny\u{202e}z\u{9b}"), "\\u{1b}[2Jx\\u{a}y\\u{202e}z\\u{9b}");
        assert_eq!(plain("Zoë Müller 東京"), "Zoë Müller 東京");
    }

    #[test]
    fn a_table_is_aligned_and_has_no_empty_rows() {
        let mut table = Table::default();
        table.row("key", "jwt");
        table.row("token id", "");
        table.time("expires", Some(&Timestamp { seconds: 0, nanos: 0 }));
        let mut text = String::new();
        table.write("  ", &mut text);
        assert_eq!(text, "  key      jwt\n  expires  1970-01-01T00:00:00Z\n");
    }

    #[test]
    fn columns_stand_under_each_other_and_long_names_are_cut() {
        let mut columns = Columns::new(&["client", "hashes"]);
        assert!(columns.is_empty());
        columns.row("web", ["1,204".to_owned()]);
        columns.row(&"x".repeat(30), ["7".to_owned()]);
        let mut text = String::new();
        columns.write(" ", &mut text);
        let wanted = [
            " client                    hashes".to_owned(),
            " web                        1,204".to_owned(),
            format!(" {}~       7", "x".repeat(23)),
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn an_instant_out_of_range_is_no_failure() {
        assert_eq!(instant(&Timestamp { seconds: i64::MAX, nanos: 0 }), format!("{} seconds since 1970", i64::MAX));
    }
}
