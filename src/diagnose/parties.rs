//! Who issued the token and whom it is for: `iss` and `aud`.

use serde_json::{Map, Value};

use super::Case;
use super::judged::{Judged, Mistake, named};
use crate::application::Application;

/// The longest difference in form that is not a difference in meaning: letters, white space, a slash at the end.
pub(super) fn nearly(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.trim().trim_end_matches('/').to_lowercase();
    plain(one) == plain(other)
}

/// `iss`.
pub(super) fn issuer(case: &Case<'_>, claims: &Map<String, Value>) -> Judged {
    let expected = case.application.expected.issuer.as_deref();
    let remedy = match expected {
        Some(_) => "Sign with `iss` exactly as `tokens.issuer` of the application says.",
        None => "Write `iss` as text, or leave it out.",
    };
    let failed = |what: String| Judged::failed(Mistake::new(what, remedy));
    let said = match claims.get("iss") {
        Some(Value::String(text)) => Some(text.as_str()).filter(|text| !text.is_empty()),
        None => None,
        Some(_) => return failed("`iss` is not text.".to_owned()),
    };
    let (Some(expected), said) = (expected, said) else {
        return Judged::passed("The application expects no issuer.");
    };
    let Some(said) = said else {
        let instead = claims.contains_key("issuer");
        let more = if instead { " There is a claim `issuer`, which is not the one that is meant." } else { "" };
        return failed(format!("`iss` is missing: the token does not say who issued it.{more}"));
    };
    if said == expected {
        return Judged::passed("The issuer is the application's.");
    }
    if nearly(said, expected) {
        return failed(
            "`iss` differs from the application's issuer only in capital letters, white space or a slash at the end."
                .to_owned(),
        );
    }
    let theirs = |other: &Application| other.expected.issuer.as_deref().is_some_and(|issuer| issuer == said);
    if let Some(other) = case.neighbours().find(|other| theirs(other)) {
        return failed(format!("`iss` is the issuer of {}: the token belongs to that application.", named(other)));
    }
    if is_audience(case.application, said) {
        return failed("`iss` is one of the application's audiences: `iss` and `aud` are swapped.".to_owned());
    }
    if said == case.application.name || said == case.application.environment {
        return failed("`iss` is the name of the application or its environment, and not the issuer.".to_owned());
    }
    failed(
        "`iss` is another one than the application expects: another organisation name, project, environment or \
         application."
            .to_owned(),
    )
}

/// `aud`.
pub(super) fn audience(case: &Case<'_>, claims: &Map<String, Value>) -> Judged {
    // An audience that is not the application's is the request's mistake, and no measure for the token.
    let asked = if is_audience(case.application, case.audience) { case.audience } else { "" };
    let expected = case.application.expected.narrowed_to(asked);
    let remedy = "Sign with one of `tokens.audiences` of the application in `aud`, exactly as it is there.";
    let failed = |what: String| Judged::failed(Mistake::new(what, remedy));
    let said: Vec<&str> = match claims.get("aud") {
        None => Vec::new(),
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
            list.iter().filter_map(Value::as_str).collect()
        }
        Some(_) => return failed("`aud` is neither text nor a list of texts.".to_owned()),
    };
    let own = &expected.audiences;
    if own.is_empty() {
        return Judged::passed("The application expects no audience.");
    }
    if said.iter().any(|audience| own.iter().any(|own| own == audience)) {
        return Judged::passed("The token is for an audience that is expected.");
    }
    if said.is_empty() {
        let instead = claims.contains_key("audience");
        let more = if instead { " There is a claim `audience`, which is not the one that is meant." } else { "" };
        return failed(format!("`aud` is missing: the token does not say whom it is for.{more}"));
    }
    if said.iter().any(|audience| own.iter().any(|own| nearly(own, audience))) {
        return failed(
            "`aud` differs from an expected audience only in capital letters, white space or a slash at the end."
                .to_owned(),
        );
    }
    let pieces = said.iter().flat_map(|text| text.split([',', ' '])).map(str::trim);
    if pieces.into_iter().any(|piece| own.iter().any(|own| own == piece)) {
        return failed("`aud` is one text with several audiences in it; a list of texts is meant.".to_owned());
    }
    if said.iter().any(|audience| is_audience(case.application, audience)) {
        return failed(
            "The token is for another of the application's audiences than the one that was asked for.".to_owned(),
        );
    }
    let theirs = |other: &Application| said.iter().any(|audience| is_audience(other, audience));
    if let Some(other) = case.neighbours().find(|other| theirs(other)) {
        return failed(format!("`aud` is an audience of {}: the token is meant for that application.", named(other)));
    }
    let issuer = case.application.expected.issuer.as_deref();
    if said.iter().any(|audience| Some(*audience) == issuer) {
        return failed("`aud` is the application's issuer: `iss` and `aud` are swapped.".to_owned());
    }
    failed("The token is meant for another audience than the application's (`aud`).".to_owned())
}

fn is_audience(application: &Application, text: &str) -> bool {
    application.expected.audiences.iter().any(|audience| audience == text)
}
