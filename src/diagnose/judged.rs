//! The outcome of one check before it has its name, and the phrases that several families use.

use time::Duration;

use super::{Finding, FindingResult};
use crate::application::Application;
use crate::refusal::Refused;

/// What is wrong and what to change, each in whole sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) what: String,
    pub(super) remedy: String,
}

/// The outcome of one check.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) result: FindingResult,
    pub(super) message: String,
    pub(super) remedy: String,
}

impl Mistake {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }

    /// What Verify itself says.
    pub(super) fn of(refused: &Refused) -> Self {
        Self::new(refused.to_string(), refused.reason.remedy())
    }
}

impl Judged {
    pub(super) fn passed(message: impl Into<String>) -> Self {
        Self { result: FindingResult::Passed, message: message.into(), remedy: String::new() }
    }

    pub(super) fn not_applicable(message: impl Into<String>) -> Self {
        Self { result: FindingResult::NotApplicable, message: message.into(), remedy: String::new() }
    }

    /// Cannot be told.
    pub(super) fn inconclusive(message: impl Into<String>) -> Self {
        Self { result: FindingResult::Inconclusive, message: message.into(), remedy: String::new() }
    }

    /// Not the integrator's mistake, and yet they need to know.
    pub(super) fn operators(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { result: FindingResult::Inconclusive, message: message.into(), remedy: remedy.into() }
    }

    pub(super) fn failed(mistake: Mistake) -> Self {
        Self { result: FindingResult::Failed, message: mistake.what, remedy: mistake.remedy }
    }

    pub(super) fn warning(mistake: Mistake) -> Self {
        Self { result: FindingResult::Warning, ..Self::failed(mistake) }
    }

    /// All the mistakes in one; what Verify says where none was recognised.
    pub(super) fn failed_by(mistakes: Vec<Mistake>, otherwise: &Refused) -> Self {
        Self::failed(joined(mistakes).unwrap_or_else(|| Mistake::of(otherwise)))
    }

    /// A warning for all the mistakes, or else that it passed.
    pub(super) fn warned_by(mistakes: Vec<Mistake>, passed: impl Into<String>) -> Self {
        joined(mistakes).map_or_else(|| Self::passed(passed), Self::warning)
    }

    pub(super) fn named(self, check: &'static str) -> Finding {
        Finding { check, result: self.result, message: self.message, remedy: self.remedy }
    }
}

/// Several mistakes as one, each sentence once.
pub(super) fn joined(mistakes: Vec<Mistake>) -> Option<Mistake> {
    let mut all = mistakes.into_iter();
    let mut first = all.next()?;
    for Mistake { what, remedy } in all {
        for (text, more) in [(&mut first.what, what), (&mut first.remedy, remedy)] {
            if !text.contains(&more) {
                text.push(' ');
                text.push_str(&more);
            }
        }
    }
    Some(first)
}

/// `1 item`, `2 items`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A length of time in its two largest units: `3 days 4 hours`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.whole_seconds().unsigned_abs();
    let units = [("year", 31_536_000), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (name, size) in units {
        let number = rest / size;
        rest %= size;
        if number > 0 {
            parts.push(format!("{number} {name}{}", if number == 1 { "" } else { "s" }));
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() { "less than a second".to_owned() } else { parts.join(" ") }
}

/// An application in a message. Only those that the caller may use are ever named.
pub(super) fn named(application: &Application) -> String {
    format!("`{}` (environment `{}`)", application.name, application.environment)
}

/// Whether the text is what languages print for a variable that is not set, or for an object.
pub(super) fn is_unset(text: &str) -> bool {
    let printed = ["undefined", "null", "none", "nil", "nan", "[object object]", "[object promise]", "(null)", "<nil>"];
    printed.iter().any(|known| text.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_two_neighbouring_units() {
        for (seconds, text) in [
            (0, "less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (61, "1 minute 1 second"),
            (3_600, "1 hour"),
            (3_601, "1 hour"),
            (-90_000, "1 day 1 hour"),
            (31_536_000 * 2 + 86_400 * 3 + 5, "2 years 3 days"),
        ] {
            assert_eq!(span(Duration::seconds(seconds)), text);
        }
    }
}
