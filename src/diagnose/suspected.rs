//! Whether the secret that the integrator believes in made this credential. It is tried on the credential and compared
//! with nothing else.

use super::form::Opened;
use super::judged::{Judged, Mistake};
use super::maker::{self, How};
use super::secrets::{Candidate, tried};
use super::signer::{self, By, Signer, Written};
use super::{Case, FindingResult};
use crate::identity::SubjectKind;
use crate::limits;

/// Where there is nothing to try it on.
pub(super) fn without_credential(case: &Case<'_>) -> Judged {
    given(case).unwrap_or_else(|| Judged::inconclusive("There is no credential that it could be tried on."))
}

/// Tried on a token.
pub(super) fn of_token(case: &Case<'_>, opened: &Opened, signer: Option<&Signer<'_>>) -> Judged {
    if let Some(judged) = given(case) {
        return judged;
    }
    let genuine = signer.is_some_and(|signer| {
        matches!(signer.by, By::Key(_)) && signer.written == Written::AsItShould && signer.exact_input
    });
    let input = opened.inputs.first().map_or(&[][..], Vec::as_slice);
    if signer::suspected_pair(case, input, &opened.signature).is_some() {
        return verdict(case, genuine, None, false);
    }
    match signer::by_suspected(case, opened) {
        Some(candidate) => verdict(case, genuine, Some(&candidate), is_pem(case)),
        None => unfitting(case, genuine),
    }
}

/// Tried on a hash.
pub(super) fn of_hash(case: &Case<'_>, digest: &[u8], expected: Option<SubjectKind>, genuine: bool) -> Judged {
    if let Some(judged) = given(case) {
        return judged;
    }
    match maker::suspected(case, digest, expected) {
        Some(made) if made.how == How::RIGHT || !genuine => verdict(case, genuine, made.candidate.as_ref(), false),
        Some(_) | None => unfitting(case, genuine),
    }
}

/// What can be said without trying.
fn given(case: &Case<'_>) -> Option<Judged> {
    let length = case.suspected_secret.len();
    if length == 0 {
        return Some(Judged::not_applicable("No suspected secret was given."));
    }
    (length > limits::SUSPECTED_SECRET_BYTES)
        .then(|| Judged::inconclusive("The suspected secret is over 16 KiB and was not tried."))
}

fn is_pem(case: &Case<'_>) -> bool {
    case.suspected_secret.windows(10).any(|window| window == b"-----BEGIN")
}

/// It made the credential.
fn verdict(case: &Case<'_>, genuine: bool, candidate: Option<&Candidate<'_>>, pem: bool) -> Judged {
    let change = candidate.and_then(|candidate| candidate.change);
    let decoded = change.is_some_and(|change| change.how.starts_with("decoded"));
    let how = change.map_or_else(String::new, |change| format!(", {}", change.how));
    if pem {
        let what = "The suspected secret is a key in PEM form, and its text was used as a shared secret.";
        return refused(
            case,
            Mistake::new(what, "Tell the library the algorithm of the key pair, so that it signs with the key itself."),
        );
    }
    match (genuine, change) {
        (true, None) => Judged::passed("The suspected secret made this credential, and so does the application's."),
        (true, Some(_)) if decoded => {
            Judged::passed(format!("The suspected secret made this credential{how}, and so does the application's."))
        }
        (true, Some(change)) => refused(
            case,
            Mistake::new(
                format!("The suspected secret made this credential only when it is taken {}.", change.how),
                format!("Correct the secret as you hold it. {}", change.remedy),
            ),
        ),
        (false, _) => refused(
            case,
            Mistake::new(
                format!("The suspected secret made this credential{how}. It is not what this application takes."),
                "See the checks before this one: use the application's secret for this purpose, exactly as it was \
                 handed out.",
            ),
        ),
    }
}

/// It did not make the credential.
fn unfitting(case: &Case<'_>, genuine: bool) -> Judged {
    if genuine {
        return refused(
            case,
            Mistake::new(
                "The suspected secret did not make this credential, in none of the usual forms; the application's \
                 own did.",
                "Look for the secret that is really used where the credential is made.",
            ),
        );
    }
    Judged::inconclusive(format!(
        "The suspected secret did not make this credential, in none of the usual forms. {}",
        tried(case)
    ))
}

/// A mistake; one that works where the credential is accepted.
fn refused(case: &Case<'_>, mistake: Mistake) -> Judged {
    if case.verdict.is_some() {
        return Judged::failed(mistake);
    }
    // The credential is good; it is only the suspicion that is wrong.
    Judged { result: FindingResult::Inconclusive, ..Judged::failed(mistake) }
}
