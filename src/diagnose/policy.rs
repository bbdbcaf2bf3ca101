//! What the operator decides and no integrator can mend. It is never a mistake, but a refusal all the same: such a check
//! is inconclusive, with the verdict in its message.

use super::judged::{Judged, Mistake};
use super::{Case, Judging};
use crate::acceptance::{Credential, Fact, Question, Verdict};
use crate::identity::Subject;
use crate::refusal::Reason;

/// Whether somebody privileged is meant. Looked at by Verify alone, and only for a genuine credential: nobody should
/// find out here who is privileged.
pub(super) fn privileged(case: &Case<'_>, judging: Judging<'_>) -> Judged {
    match case.verdict.map(|refused| refused.reason) {
        Some(Reason::SubjectPrivileged) => {
            Judged::operators(Reason::SubjectPrivileged.text(), Reason::SubjectPrivileged.remedy())
        }
        None => Judged::passed("No identifier belongs to a privileged account."),
        Some(reason) if is_policy(reason) && got_to_policy(case, judging) => {
            Judged::passed("No identifier belongs to a privileged account.")
        }
        Some(_) if matches!(judging, Judging::Nothing) => Judged::not_applicable("There is no credential."),
        Some(_) => Judged::inconclusive("Looked at once the credential is genuine and complete."),
    }
}

/// Whether the policy of the migration lets this kind of credential count now.
pub(super) fn acceptance(case: &Case<'_>, judging: Judging<'_>) -> Judged {
    let reason = case.verdict.map(|refused| refused.reason);
    if reason == Some(Reason::TokenReplayed) {
        return Judged::failed(Mistake::new(Reason::TokenReplayed.text(), Reason::TokenReplayed.remedy()));
    }
    if let Some(reason) = reason.filter(|reason| is_policy(*reason)) {
        let no_hash = reason == Reason::HashNoLongerAccepted && case.application.profile.hash.is_none();
        return if no_hash {
            Judged::not_applicable("This application's product has no hash at all: see hash.form.")
        } else if got_to_policy(case, judging) {
            refused(reason, "Nothing else is wrong with it.")
        } else {
            refused(reason, "Nothing else was judged.")
        };
    }
    if reason.is_none() {
        return Judged::passed("The application's policy accepts this credential now.");
    }
    let subject = hashed(case);
    let credential = match (judging, &subject) {
        (Judging::Jwt(_), _) => Credential::Jwt,
        (Judging::Hash, Some(subject)) => Credential::Hash(subject, Fact::None),
        (Judging::Hash, None) => return Judged::inconclusive("Cannot be told before it is known who is meant."),
        (Judging::Nothing, _) => return Judged::not_applicable("There is no credential."),
    };
    let verdict = case.application.acceptance.judge(&Question {
        application: &case.application.name,
        credential,
        caller: &case.caller.name,
        client: case.caller.steering(case.client),
        now: case.now,
    });
    match verdict {
        Verdict::Accept => Judged::passed("The application's policy would accept such a credential now."),
        Verdict::Refuse(reason) => refused(reason, "A credential without other mistakes would be refused too."),
        Verdict::StoreNeeded => Judged::inconclusive("Depends on what was seen of this user before."),
    }
}

/// Whether a refusal by the policy means that everything else was judged and found good. Where there is no key for
/// hashes, Verify asks the policy without that.
fn got_to_policy(case: &Case<'_>, judging: Judging<'_>) -> bool {
    match judging {
        Judging::Jwt(_) => true,
        Judging::Hash => case.application.profile.hash.is_some() && !case.application.keys.legacy.is_empty(),
        Judging::Nothing => false,
    }
}

/// What the hash is meant to be made over.
fn hashed(case: &Case<'_>) -> Option<Subject> {
    let order = &case.application.profile.hash.as_ref()?.order;
    let mut kinds = case.hashed.as_ref().map_or(order.as_slice(), std::slice::from_ref).iter();
    kinds.find_map(|kind| Some(Subject { kind: *kind, value: case.asserted.identifier(*kind)?.to_owned() }))
}

fn refused(reason: Reason, besides: &str) -> Judged {
    let message = format!("The operator's policy, not a mistake in the credential: {} {besides}", reason.text());
    Judged::operators(message, reason.remedy())
}

/// Whether it is the operator's policy that refuses, after everything in the credential was found good.
const fn is_policy(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::HashNotYetAccepted
            | Reason::HashNoLongerAccepted
            | Reason::HashBrownout
            | Reason::HashRolledOut
            | Reason::HashSuperseded
            | Reason::HashRevoked
            | Reason::TokenRevoked
            | Reason::JwtNotYetAccepted
    )
}
