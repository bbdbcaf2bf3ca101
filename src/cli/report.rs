//! The answer of Diagnose: one line for each check, what to do below it, the verdict last.

use super::answer::{Answer, in_colour};
use super::text::{line, plain};
use super::trouble::Trouble;
use super::{json, show};
use crate::grpc::proto::{DiagnoseResponse, Finding, FindingResult, Reason};

/// How a mark looks on a terminal.
const RED: &str = "\u{1b}[1;31m";
const YELLOW: &str = "\u{1b}[33m";
const END: &str = "\u{1b}[0m";

/// Nothing wrong is one thing that is said twice: no check failed, and Verify would accept.
pub(super) fn diagnosed(response: &DiagnoseResponse, all: bool, as_json: bool) -> Result<Answer, Trouble> {
    let failed = response.findings.iter().any(|finding| result(finding) == FindingResult::Failed);
    let wrong = failed || response.verdict != i32::from(Reason::Unspecified);
    let output = if as_json { json::line("DiagnoseResponse", response)? } else { text(response, all, in_colour()) };
    Ok(if wrong { Answer::refused(output, String::new()) } else { Answer::done(output, String::new()) })
}

fn result(finding: &Finding) -> FindingResult {
    FindingResult::try_from(finding.result).unwrap_or(FindingResult::Unspecified)
}

/// The mark of a result, and its colour.
const fn mark(result: FindingResult) -> (&'static str, &'static str) {
    match result {
        FindingResult::Passed => ("ok  ", ""),
        FindingResult::Failed => ("FAIL", RED),
        FindingResult::Warning => ("warn", YELLOW),
        FindingResult::NotApplicable => ("-   ", ""),
        FindingResult::Inconclusive | FindingResult::Unspecified => ("?   ", ""),
    }
}

fn text(response: &DiagnoseResponse, all: bool, colour: bool) -> String {
    let shown: Vec<&Finding> =
        response.findings.iter().filter(|finding| all || result(finding) != FindingResult::NotApplicable).collect();
    let width = shown.iter().map(|finding| plain(&finding.check).chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in shown {
        let (mark, paint) = mark(result(finding));
        let (paint, end) = if colour && !paint.is_empty() { (paint, END) } else { ("", "") };
        let check = plain(&finding.check);
        line(&mut text, format_args!("{paint}{mark}{end}  {check:width$}  {}", plain(&finding.message)));
        if !finding.remedy.is_empty() {
            line(&mut text, format_args!("{:width$}  what to do: {}", "", plain(&finding.remedy), width = width + 6));
        }
    }
    let verdict = if response.verdict == i32::from(Reason::Unspecified) {
        "Verify would accept this".to_owned()
    } else {
        format!("Verify would refuse this: {}", show::reason(response.verdict))
    };
    line(&mut text, format_args!("verdict: {verdict}"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(check: &str, result: FindingResult, message: &str, remedy: &str) -> Finding {
        Finding {
            check: check.to_owned(),
            result: result.into(),
            message: message.to_owned(),
            remedy: remedy.to_owned(),
        }
    }

    fn response() -> DiagnoseResponse {
        DiagnoseResponse {
            findings: vec![
                finding("hash.shape", FindingResult::Passed, "64 hexadecimal digits.", ""),
                finding("hash.secret", FindingResult::Failed, "Made with the JWT secret.", "Use the other one."),
                finding("jwt.shape", FindingResult::NotApplicable, "No JWT was sent.", ""),
            ],
            verdict: Reason::HashMismatch.into(),
        }
    }

    #[test]
    fn what_failed_is_seen_and_what_does_not_concern_is_not() {
        let wanted = "\
ok    hash.shape   64 hexadecimal digits.
FAIL  hash.secret  Made with the JWT secret.
                   what to do: Use the other one.
verdict: Verify would refuse this: HASH_MISMATCH
";
        assert_eq!(text(&response(), false, false), wanted);
        assert!(text(&response(), true, false).contains("-     jwt.shape    No JWT was sent."));
        assert!(text(&response(), false, true).contains("\u{1b}[1;31mFAIL\u{1b}[0m  hash.secret"));
    }

    #[test]
    fn a_failed_check_or_a_verdict_is_a_problem() -> Result<(), Trouble> {
        let refused = Answer::refused(String::new(), String::new()).exit;
        let mut response = response();
        assert_eq!(diagnosed(&response, false, true)?.exit, refused);
        response.verdict = Reason::Unspecified.into();
        assert_eq!(diagnosed(&response, false, true)?.exit, refused);
        response.findings.retain(|finding| result(finding) != FindingResult::Failed);
        assert_ne!(diagnosed(&response, false, true)?.exit, refused);
        response.verdict = Reason::HashBrownout.into();
        assert_eq!(diagnosed(&response, false, true)?.exit, refused);
        Ok(())
    }
}
