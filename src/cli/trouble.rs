//! What could not be judged, told so that it helps at three in the morning: what happened, why, what to do.

use std::error::Error;
use std::io;
use std::time::Duration;

use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::answer::Answer;
use super::text::{indented, line, plain};
use crate::refusal::Reason;

/// Why there is no verdict.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trouble(Box<Details>);

#[derive(Debug, PartialEq, Eq)]
struct Details {
    /// For programs: `usage`, `unreachable`, `timeout`, `rpc`, `response`.
    kind: &'static str,
    /// The gRPC status code by its name; empty where the server was not asked or did not answer.
    code: &'static str,
    /// The reason in `google.rpc.ErrorInfo`; empty without one.
    reason: String,
    /// What happened.
    message: String,
    /// The fields that are wrong, and how.
    fields: Vec<(String, String)>,
    /// When to try again.
    retry: Option<Duration>,
    /// What to do.
    hints: Vec<String>,
}

impl Trouble {
    fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind,
            code: "",
            reason: String::new(),
            message: message.into(),
            fields: Vec::new(),
            retry: None,
            hints: Vec::new(),
        }))
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// The command was used wrongly.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", message)
    }

    /// The server answered something that this version does not understand.
    pub(super) fn response(message: impl Into<String>) -> Self {
        Self::new("response", message)
    }

    /// No answer in time.
    pub(super) fn timeout(server: &str, seconds: u32) -> Self {
        Self::new("timeout", format!("{server} did not answer within {seconds} s."))
            .hint("Give it longer with --timeout, or look at the server's log.")
    }

    /// No connection, or none that lasted.
    pub(super) fn unreachable(server: &str, error: &(dyn Error + 'static)) -> Self {
        let cause = root(error);
        let trouble = Self::new("unreachable", format!("{server} cannot be reached: {cause}."));
        if cause.starts_with("failed to lookup address") {
            trouble.hint("Check the name in --server or COUNTERSIGN_SERVER.")
        } else if refused(error) {
            trouble
                .hint("Nothing listens there. Start a server to try things with: countersign serve --dev")
                .hint("Or name another one with --server or COUNTERSIGN_SERVER.")
        } else if !server.starts_with("https:") {
            trouble.hint("If the server has TLS, say https:// in --server; 7400 is the usual port of gRPC.")
        } else if cause.contains("InvalidContentType") {
            trouble.hint("The server has no TLS there: say http:// in --server.")
        } else if cause.contains("UnknownIssuer") {
            trouble.hint("If the server's certificate is of an authority of your own, name that with --ca.")
        } else {
            trouble.hint("If the server wants a certificate of yours, give --cert and --key.")
        }
    }

    /// The server said that it could not judge.
    pub(super) fn status(server: &str, status: &Status, with_token: bool) -> Self {
        // A status that has a cause was made here, of a connection that broke.
        if let Some(cause) = status.source() {
            return Self::unreachable(server, cause);
        }
        let details = status.get_error_details();
        let mut trouble = *Self::new("rpc", status.message()).0;
        trouble.code = code(status.code());
        trouble.reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
        trouble.retry = details.retry_info().and_then(|retry| retry.retry_delay);
        if let Some(request) = details.bad_request() {
            for field in &request.field_violations {
                trouble.fields.push((field.field.clone(), field.description.clone()));
            }
        }
        trouble.hints = hints(status.code(), &trouble.reason, with_token);
        Self(Box::new(trouble))
    }

    /// The answer: JSON for programs on standard output, where they look for it; text for people on standard error.
    pub(super) fn answer(&self, as_json: bool) -> Answer {
        if as_json {
            Answer::unjudged(self.0.json(), String::new())
        } else {
            Answer::unjudged(String::new(), self.0.text())
        }
    }
}

impl Details {
    fn json(&self) -> String {
        let fields: Vec<_> = self
            .fields
            .iter()
            .map(|(field, description)| json!({ "field": field, "description": description }))
            .collect();
        let error = json!({
            "kind": self.kind, "code": self.code, "reason": self.reason, "message": self.message, "fields": fields,
            "retry_after_seconds": self.retry.map(|retry| retry.as_secs_f64()), "hints": self.hints,
        });
        format!("{}\n", json!({ "error": error }))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if self.code.is_empty() {
            let mut lines = self.message.lines();
            line(&mut text, format_args!("countersign: {}", plain(lines.next().unwrap_or_default())));
            for more in lines {
                indented(&mut text, "  ", more);
            }
        } else {
            let reason = if self.reason.is_empty() { String::new() } else { format!(" / {}", plain(&self.reason)) };
            line(&mut text, format_args!("countersign: the server could not do this: {}{reason}", self.code));
            indented(&mut text, "  ", &self.message);
        }
        // The server's message may name the first ones.
        let named = |field: &str, description: &str| self.message.contains(&format!("{field}: {description}"));
        for (field, description) in self.fields.iter().filter(|(field, description)| !named(field, description)) {
            line(&mut text, format_args!("  {}: {}", plain(field), plain(description)));
        }
        if let Some(retry) = self.retry {
            line(&mut text, format_args!("  Try again in {} s.", retry.as_secs_f64()));
        }
        for hint in &self.hints {
            line(&mut text, format_args!("  {hint}"));
        }
        text
    }
}

impl From<anyhow::Error> for Trouble {
    /// What fails before the server is asked is something that was given: a file, a flag.
    fn from(error: anyhow::Error) -> Self {
        Self::usage(format!("{error:#}"))
    }
}

fn hints(code: Code, reason: &str, with_token: bool) -> Vec<String> {
    if code == Code::Unauthenticated {
        let hint = if with_token {
            "The server does not know the token that was sent: look at --token-file or COUNTERSIGN_TOKEN."
        } else {
            "No token was sent: give --token-file, or set COUNTERSIGN_TOKEN."
        };
        return vec![hint.to_owned()];
    }
    if code == Code::Unimplemented && reason.is_empty() {
        return vec![
            "Is this Countersign's gRPC address, and not that of health and metrics, or another server?".to_owned(),
        ];
    }
    Reason::ALL.iter().filter(|known| known.name() == reason).map(|known| known.remedy().to_owned()).collect()
}

/// The names of the gRPC specification.
const fn code(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The deepest cause: "transport error" helps nobody.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

fn refused(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    fn invalid() -> Trouble {
        let mut details = ErrorDetails::with_error_info("REQUEST_INVALID", "countersign", [] as [(String, String); 0]);
        details.add_bad_request_violation("identity.user_id", "at most 512 bytes");
        details.set_retry_info(Some(Duration::from_millis(1500)));
        let status = Status::with_error_details(Code::InvalidArgument, "The request is malformed.", details);
        Trouble::status("http://127.0.0.1:7400", &status, false)
    }

    #[test]
    fn people_read_what_happened_and_what_to_do() {
        let wanted = "\
countersign: the server could not do this: INVALID_ARGUMENT / REQUEST_INVALID
  The request is malformed.
  identity.user_id: at most 512 bytes
  Try again in 1.5 s.
  Correct the fields that the violations name.
";
        assert_eq!(invalid().answer(false), Answer::unjudged(String::new(), wanted.to_owned()));
    }

    #[test]
    fn programs_read_the_same() -> anyhow::Result<()> {
        let answer = invalid().answer(true);
        let wanted = json!({ "error": {
            "kind": "rpc", "code": "INVALID_ARGUMENT", "reason": "REQUEST_INVALID", "message": "The request is malformed.",
            "fields": [{ "field": "identity.user_id", "description": "at most 512 bytes" }],
            "retry_after_seconds": 1.5, "hints": ["Correct the fields that the violations name."],
        }});
        assert_eq!(serde_json::from_str::<serde_json::Value>(&answer.output)?, wanted);
        Ok(())
    }

    #[test]
    fn who_sends_no_token_is_told_how_to() {
        let status = Status::unauthenticated("The caller sent no credentials.");
        assert!(Trouble::status("", &status, false).answer(false).remarks.contains("COUNTERSIGN_TOKEN"));
        assert!(Trouble::status("", &status, true).answer(false).remarks.contains("does not know the token"));
    }
}
