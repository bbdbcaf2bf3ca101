//! The adoption curve in plain characters: for each day, or some days together, how much of what was genuine was a hash
//! and how much a JWT.

use crate::cli::text::{line, plain};
use crate::grpc::proto::admin::DayCount;

/// Rows of the curve: ten per cent each.
const ROWS: u64 = 10;
/// Columns of the curve: with the scale beside it, a line has at most 80.
const COLUMNS: usize = 72;
/// A column of a short window is so wide that it can be told from the next.
const WIDEST: usize = 2;

/// Draws the days, oldest first.
pub(super) fn draw(days: &[DayCount], to: &mut String) {
    let together = days.len().div_ceil(COLUMNS).max(1);
    // From the end, so that the last column holds today.
    let mut columns: Vec<Column> = days.rchunks(together).map(Column::of).collect();
    columns.reverse();
    let wide = (COLUMNS / columns.len().max(1)).clamp(1, WIDEST);
    for row in (0..ROWS).rev() {
        let scale = match row + 1 {
            ROWS => "100 %",
            row if row == ROWS / 2 => " 50 %",
            _ => "",
        };
        let cells: String = columns.iter().map(|column| column.cell(row).to_string().repeat(wide)).collect();
        line(to, format_args!("{scale:>5} |{}", cells.trim_end()));
    }
    let length = columns.len() * wide;
    line(to, format_args!("{:>5} +{}", "0 %", "-".repeat(length)));
    dates(days, length, to);
    let one = if together == 1 { "a day".to_owned() } else { format!("{together} days") };
    line(to, format_args!("       # hashes  + hashes, under 5 %  . JWTs  a column is {one}"));
}

/// The first and the last day, at the ends of the axis where there is room.
fn dates(days: &[DayCount], length: usize, to: &mut String) {
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return };
    let (first, last) = (plain(&first.date), plain(&last.date));
    let room = length.saturating_sub(first.len());
    if room > last.len() {
        line(to, format_args!("       {first}{last:>room$}"));
    } else {
        line(to, format_args!("       {first} to {last}"));
    }
}

/// Days that are drawn together.
struct Column {
    hashes: u64,
    jwts: u64,
}

impl Column {
    fn of(days: &[DayCount]) -> Self {
        let sum = |of: fn(&DayCount) -> u64| days.iter().map(of).fold(0, u64::saturating_add);
        Self {
            hashes: sum(|day| day.hash_accepted.saturating_add(day.hash_refused)),
            jwts: sum(|day| day.jwt_accepted.saturating_add(day.jwt_refused)),
        }
    }

    /// What stands in a row, counted from below: hashes at the bottom, JWTs above, nothing where nothing came. Even a
    /// single hash is seen.
    fn cell(&self, row: u64) -> char {
        let all = u128::from(self.hashes) + u128::from(self.jwts);
        if all == 0 {
            return ' ';
        }
        let rows = u128::from(ROWS);
        let filled = (2 * rows * u128::from(self.hashes) + all) / (2 * all);
        match filled {
            0 if row == 0 && self.hashes > 0 => '+',
            filled if u128::from(row) < filled => '#',
            _ => '.',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(date: &str, hash_accepted: u64, jwt_accepted: u64) -> DayCount {
        DayCount { date: date.to_owned(), hash_accepted, jwt_accepted, ..DayCount::default() }
    }

    fn drawn(days: &[DayCount]) -> String {
        let mut text = String::new();
        draw(days, &mut text);
        text
    }

    #[test]
    fn the_curve_falls_and_a_single_hash_is_seen() {
        let days = [
            day("2026-05-01", 10, 0),
            day("2026-05-02", 75, 25),
            day("2026-05-03", 50, 50),
            day("2026-05-04", 0, 0),
            day("2026-05-05", 1, 1_000_000),
            day("2026-05-06", 0, 7),
        ];
        let wanted = "\
100 % |##....  ....
      |##....  ....
      |####..  ....
      |####..  ....
      |####..  ....
 50 % |######  ....
      |######  ....
      |######  ....
      |######  ....
      |######  ++..
  0 % +------------
       2026-05-01 to 2026-05-06
       # hashes  + hashes, under 5 %  . JWTs  a column is a day
";
        assert_eq!(drawn(&days), wanted);
    }

    #[test]
    fn no_window_is_wider_than_a_terminal() {
        for count in [1, 2, 28, 29, 36, 37, 72, 73, 90, 91, 366] {
            let days: Vec<DayCount> = (0..count).map(|_| day("2026-05-01", 1, 1)).collect();
            let text = drawn(&days);
            let widest = text.lines().map(str::len).max().unwrap_or_default();
            assert!(widest <= 80, "{count}: {widest}\n{text}");
            assert_eq!(text.lines().count(), 13, "{count}");
        }
        assert!(drawn(&vec![day("2026-05-01", 1, 1); 91]).contains("a column is 2 days"));
    }

    #[test]
    fn the_last_column_is_of_today_in_a_long_window_too() {
        let mut days = vec![day("2026-05-01", 1, 1); 90];
        days.push(day("2026-08-01", 9, 0));
        let text = drawn(&days);
        let top = text.lines().next().unwrap_or_default();
        assert!(top.ends_with('.'), "{top}");
        assert!(text.lines().nth(2).is_some_and(|row| row.ends_with('#')), "{text}");
    }

    #[test]
    fn a_window_in_which_nothing_came_is_empty() {
        assert!(drawn(&[day("2026-05-01", 0, 0)]).starts_with("100 % |\n"));
        assert!(drawn(&[]).starts_with("100 % |\n"));
    }
}
