//! Counts the placeholders of a query, so that a wrong number is found when the configuration is loaded.
//!
//! It knows quotes and comments, and no more of SQL. The database has the last word, at the first question.

use std::collections::BTreeSet;

use crate::address::Database;

/// How many values the query takes; else what is wrong with its placeholders.
pub(crate) fn count(query: &str, database: Database) -> Result<usize, &'static str> {
    let (mut nameless, mut numbers) = (0, BTreeSet::new());
    let (mut before, mut rest) = (' ', query);
    while let Some(first) = rest.chars().next() {
        let after = rest.strip_prefix(first).unwrap_or_default();
        // A name may have `$1` in it.
        let in_name = before.is_alphanumeric() || before == '_';
        rest = match (first, database) {
            ('\'' | '"' | '`', _) => {
                // PostgreSQL writes `E'…'` where a backslash is to escape.
                let escapes = database == Database::MySql || before.eq_ignore_ascii_case(&'e');
                after_quote(after, first, escapes)
            }
            ('-', _) if after.starts_with('-') => after_pattern(after, "\n"),
            ('#', Database::MySql) => after_pattern(after, "\n"),
            ('/', _) if after.starts_with('*') => after_pattern(after, "*/"),
            ('?', Database::MySql | Database::Sqlite) | ('$', Database::Postgres | Database::Sqlite) if !in_name => {
                let (number, after_number) = number(after);
                match number.parse() {
                    Ok(number) => _ = numbers.insert(number),
                    Err(_) if first == '?' => nameless += 1,
                    Err(_) => {}
                }
                if number.is_empty() && first == '$' { after_dollar_quote(after) } else { after_number }
            }
            _ => after,
        };
        before = first;
    }
    let highest = numbers.last().copied().unwrap_or(0);
    if nameless > 0 && highest > 0 {
        return Err("has placeholders with and without a number");
    }
    // Each number once: as many as the highest one, and none is 0.
    if numbers.len() != highest || numbers.contains(&0) {
        return Err("leaves out the number of a placeholder, or begins with 0");
    }
    Ok(nameless.max(highest))
}

/// The digits in front, and what comes after them.
fn number(text: &str) -> (&str, &str) {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    text.split_at(text.len() - rest.len())
}

/// What comes after the quote that closes. A doubled quote closes and opens, to the same end.
fn after_quote(text: &str, quote: char, escapes: bool) -> &str {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == quote {
            break;
        }
        if character == '\\' && escapes {
            characters.next();
        }
    }
    characters.as_str()
}

/// What comes after `$tag$ … $tag$`, the tag of which may be empty; all of the text where none begins.
/// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-DOLLAR-QUOTING>
fn after_dollar_quote(text: &str) -> &str {
    match text.split_once('$') {
        Some((tag, quoted)) if tag.chars().all(|c| c.is_alphanumeric() || c == '_') => {
            after_pattern(quoted, &format!("${tag}$"))
        }
        Some(_) | None => text,
    }
}

fn after_pattern<'t>(text: &'t str, pattern: &str) -> &'t str {
    text.split_once(pattern).map_or("", |(_, after)| after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_counted_outside_of_quotes_and_comments() {
        use Database::{MySql, Postgres, Sqlite};
        for (database, query, expected) in [
            (Postgres, "select 1", 0),
            (Postgres, "select a from t where b = $1 and c = $2 or b = $1", 2),
            (Postgres, "select a from t where b=$1::bigint--$2\nand c=$2 /* $3 */", 2),
            (Postgres, "select '$2', \"$3\", 'it''s $4', E'\\'$5' from t where b = $1", 1),
            (Postgres, "select $$ $2 $$, $tag$ $3 $$ $tag$ from t where b = $1", 1),
            (Postgres, "select col$2 from t where tags ? 'x' and b = $1", 1),
            (Postgres, "select 'é$2' from t where ü = $1", 1),
            (Postgres, "select '$1", 0),
            (MySql, "select a from t where b = ? and c = ?", 2),
            (MySql, "select '?', \"?\", `?`, 'it\\'s ?' from t where b = ? -- ?\n# ?\nand c = ?", 2),
            (MySql, "select '$1' as $2 from t", 0),
            (Sqlite, "select a from t where b = ? and c = ?", 2),
            (Sqlite, "select a from t where b = $1 and c = ?2 and '?3' = '\\'", 2),
        ] {
            assert_eq!(count(query, database), Ok(expected), "{query}");
        }
    }

    #[test]
    fn placeholders_that_leave_no_clear_order_are_wrong() {
        for query in ["select $2", "select $0", "select $1, $3", "select $1, ?", "select $99999999999999999999, $1, ?"]
        {
            assert!(count(query, Database::Sqlite).is_err(), "{query}");
        }
    }
}
