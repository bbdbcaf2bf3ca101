//! What was asked for, and whether there is a credential at all.

use super::judged::{Judged, Mistake, named};
use super::{Case, Judging, parties};
use crate::identity::SubjectKind;
use crate::refusal::Reason;

/// The audience that Verify is asked for.
pub(super) fn audience(case: &Case<'_>) -> Judged {
    let own = &case.application.expected.audiences;
    if case.audience.is_empty() {
        return Judged::not_applicable("Verify was not asked for one audience.");
    }
    if own.iter().any(|audience| audience == case.audience) {
        return Judged::passed("The requested audience is one of the application's.");
    }
    let what = if own.is_empty() {
        "The request asks for an audience, and the application has none configured.".to_owned()
    } else if own.iter().any(|audience| parties::nearly(audience, case.audience)) {
        "The requested audience differs from one of the application's only in capital letters, white space or a \
         slash at the end."
            .to_owned()
    } else if let Some(other) =
        case.neighbours().find(|other| other.expected.audiences.iter().any(|audience| audience == case.audience))
    {
        format!("The requested audience is one of {}, not of this application.", named(other))
    } else {
        "The requested audience is none of the application's.".to_owned()
    };
    Judged::failed(Mistake::new(what, "Ask for one of the application's `tokens.audiences`, or for none."))
}

/// Whether anything was sent that could prove an identity.
pub(super) fn credential(case: &Case<'_>, judging: Judging<'_>) -> Judged {
    match judging {
        Judging::Jwt(_) if !case.user_hash.is_empty() => {
            Judged::passed("A JWT and a hash were sent. The JWT decides alone.")
        }
        Judging::Jwt("") => Judged::passed("A JWT was sent, and it is empty. It decides alone all the same."),
        Judging::Jwt(_) => Judged::passed("A JWT was sent."),
        Judging::Hash if case.jwt.is_some() => {
            Judged::passed("A hash and a JWT were sent. JWTs are not accepted yet, so the hash is judged.")
        }
        Judging::Hash => Judged::passed("A user hash was sent."),
        Judging::Nothing => {
            let what = if !case.company_hashes.is_empty() {
                "Only company hashes were sent. They prove companies, not the user: the user hash is missing."
            } else if SubjectKind::ALL.into_iter().any(|kind| case.asserted.identifier(kind).is_some()) {
                "An identifier was sent, and nothing that proves it: neither a JWT nor a user hash."
            } else {
                Reason::CredentialMissing.text()
            };
            let remedy = "Send the JWT in `jwt`, or the hash in `user_hash`, with every call and not only with the \
                first; check that the variable that should hold it is set.";
            Judged::failed(Mistake::new(what, remedy))
        }
    }
}
