//! What is wrong with a credential, for the developer who sends it: every check of Verify, in its order, and for those
//! that fail the mistake itself, found by trying the known ones.
//!
//! Whether a check holds is decided by the same functions that Verify calls; what is tried beyond them only explains,
//! so that a good credential is never blamed. Nothing has an effect, and nothing of the credential is repeated: no text
//! of a token, no identifier, no digest, no secret.
//!
//! One file for each family of mistakes:
//! `request`, `form` (over `wrapping`), `algorithm`, `signature` (over `signer`), `payload`, `times`,
//! `parties`, `claims` (over `spelling`), `companies`, `identity`, `digest`, `hash` (over `maker` and
//! `messages`), `company_hashes`, `policy`, `suspected`; `secrets` is what is tried as a key.

mod algorithm;
mod claims;
mod companies;
mod company_hashes;
mod digest;
mod form;
mod hash;
mod identity;
mod judged;
mod maker;
mod messages;
mod parties;
mod payload;
mod policy;
mod request;
mod secrets;
mod signature;
mod signer;
mod spelling;
mod suspected;
mod times;
mod wrapping;

#[cfg(test)]
mod tests;

use std::fmt;

use time::UtcDateTime;

use self::judged::{Judged, Mistake};
use crate::application::Application;
use crate::caller::Caller;
use crate::identity::{Identity, SubjectKind};
use crate::refusal::{Reason, Refused};

/// Other applications whose secrets are tried at most.
pub const OTHERS: usize = 16;

/// Every check, in the order in which Verify judges. Each is in every answer once.
pub const CHECKS: [&str; 19] = [
    "request.audience",
    "credential.present",
    "token.form",
    "token.algorithm",
    "token.key",
    "token.signature",
    "token.payload",
    "token.times",
    "token.issuer",
    "token.audience",
    "token.claims",
    "token.companies",
    "token.identity",
    "hash.form",
    "hash.identifier",
    "hash.secret",
    "hash.companies",
    "policy.privileged",
    "policy.acceptance",
];

/// The check that comes last, because Verify has none like it.
pub const SUSPECTED: &str = "secret.suspected";

/// What is looked at: a credential, everything that was sent beside it, and what Verify says of it.
pub struct Case<'a> {
    /// The application that the credential is for.
    pub application: &'a Application,
    /// The caller's other applications; the first [`OTHERS`] are looked at.
    pub others: Vec<&'a Application>,
    /// Who asks.
    pub caller: &'a Caller,
    /// The JWT, exactly as it was sent.
    pub jwt: Option<&'a str>,
    /// The user hash; empty: none was sent.
    pub user_hash: &'a str,
    /// Which identifier the hash is said to be made over.
    pub hashed: Option<SubjectKind>,
    /// Company hashes by company id.
    pub company_hashes: &'a [(String, String)],
    /// What was sent beside the credential.
    pub asserted: &'a Identity,
    /// The audience that Verify is asked for; empty: any.
    pub audience: &'a str,
    /// The client label.
    pub client: &'a str,
    /// A secret that the integrator believes is the right one; empty: none was given.
    pub suspected_secret: &'a [u8],
    /// What Verify says now; none: it accepts.
    pub verdict: Option<&'a Refused>,
    /// The present instant.
    pub now: UtcDateTime,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingResult {
    /// As it should be.
    Passed,
    /// A mistake of the integrator that makes Verify refuse.
    Failed,
    /// A mistake of the integrator that works for now.
    Warning,
    /// Does not concern this credential.
    NotApplicable,
    /// Cannot be told, or is not the integrator's to change; the message says what is known.
    Inconclusive,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check's stable name.
    pub check: &'static str,
    /// How it went.
    pub result: FindingResult,
    /// What was found, for people.
    pub message: String,
    /// What to change; empty where there is nothing to change.
    pub remedy: String,
}

/// Looks for what is wrong: one finding for each of [`CHECKS`], and [`SUSPECTED`].
#[must_use]
pub fn diagnose(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = examine(case);
    settle(case.verdict, &mut findings);
    findings
}

/// What Verify judges: one credential, even where two were sent.
#[derive(Clone, Copy, Debug)]
enum Judging<'a> {
    Jwt(&'a str),
    Hash,
    Nothing,
}

fn examine(case: &Case<'_>) -> Vec<Finding> {
    let judging = Judging::of(case);
    let mut checks = vec![request::audience(case), request::credential(case, judging)];
    let suspected = match judging {
        Judging::Jwt(text) => {
            let (token, suspected) = examine_token(case, text);
            checks.extend(token);
            checks.extend(not_applicable::<4>("The JWT decides alone; no hash is looked at."));
            suspected
        }
        Judging::Hash => {
            let ignored = "A hash is judged. No JWT was sent, or JWTs are not accepted yet and it is ignored.";
            checks.extend(not_applicable::<11>(ignored));
            let (hash, suspected) = hash::examine(case);
            checks.extend(hash);
            suspected
        }
        Judging::Nothing => {
            checks.extend(not_applicable::<11>("No JWT was sent."));
            checks.extend(not_applicable::<4>("No user hash was sent."));
            suspected::without_credential(case)
        }
    };
    checks.push(policy::privileged(case, judging));
    checks.push(policy::acceptance(case, judging));
    let mut findings: Vec<Finding> =
        CHECKS.into_iter().zip(checks).map(|(check, judged)| judged.named(check)).collect();
    findings.push(suspected.named(SUSPECTED));
    findings
}

fn examine_token(case: &Case<'_>, text: &str) -> ([Judged; 11], Judged) {
    let (judged_form, opened) = form::judge(case, text);
    let Some(format) = case.application.profile.jwt.as_ref() else {
        let none = || Judged::not_applicable("This application's profile has no JWT.");
        let checks = [
            judged_form,
            algorithm::no_jwt(case),
            none(),
            none(),
            none(),
            none(),
            none(),
            none(),
            none(),
            none(),
            none(),
        ];
        return (checks, suspected::without_credential(case));
    };
    let Some(opened) = opened else {
        let unread = || Judged::inconclusive("Cannot be told before the token can be read: see token.form.");
        let mut checks = not_applicable::<11>("");
        checks.fill_with(unread);
        if let Some(first) = checks.first_mut() {
            *first = judged_form;
        }
        return (checks, suspected::without_credential(case));
    };
    let signer = signer::find(case, &opened);
    let (key, signature) = signature::judge(case, format, &opened, signer.as_ref());
    let (judged_payload, claims) = payload::judge(case, format, &opened);
    let suspected = suspected::of_token(case, &opened, signer.as_ref());
    let algorithm = algorithm::judge(case, format, &opened);
    let head = [judged_form, algorithm, key, signature, judged_payload];
    let [form, algorithm, key, signature, payload] = head;
    let Some(claims) = claims else {
        let unread = || Judged::inconclusive("Cannot be told before the payload can be read: see token.payload.");
        let (times, issuer, audience) = (unread(), unread(), unread());
        let (claims, companies, identity) = (unread(), unread(), unread());
        let checks = [form, algorithm, key, signature, payload, times, issuer, audience, claims, companies, identity];
        return (checks, suspected);
    };
    let checks = [
        form,
        algorithm,
        key,
        signature,
        payload,
        times::judge(case, format, &claims),
        parties::issuer(case, &claims),
        parties::audience(case, &claims),
        claims::judge(case, format, &claims),
        companies::judge(case, format, &claims),
        identity::judge(case, format, &claims),
    ];
    (checks, suspected)
}

impl<'a> Judging<'a> {
    /// The same choice as in Verify.
    fn of(case: &Case<'a>) -> Self {
        let legacy = !case.user_hash.is_empty() || !case.company_hashes.is_empty();
        match case.jwt {
            Some(token) if !legacy || case.application.acceptance.accepts_jwt_at(case.now) => Self::Jwt(token),
            Some(_) | None if !case.user_hash.is_empty() => Self::Hash,
            Some(_) | None => Self::Nothing,
        }
    }
}

fn not_applicable<const N: usize>(why: &str) -> [Judged; N] {
    std::array::from_fn(|_| Judged::not_applicable(why))
}

/// Holds the findings to the verdict, which is the last word: what is accepted works at least for now, and what is
/// refused for a mistake of the integrator has that mistake among the findings.
fn settle(verdict: Option<&Refused>, findings: &mut [Finding]) {
    let failed = |finding: &Finding| finding.result == FindingResult::Failed;
    let Some(refused) = verdict else {
        for finding in findings.iter_mut().filter(|finding| failed(finding)) {
            finding.result = FindingResult::Warning;
        }
        return;
    };
    if findings.iter().any(failed) {
        return;
    }
    let concerned = |finding: &&mut Finding| finding.result != FindingResult::NotApplicable;
    let checks = checks_of(refused.reason);
    let mut places = findings.iter_mut().filter(|finding| checks.contains(&finding.check));
    let Some(finding) = places.find(concerned) else { return };
    // What is the operator's own doing has been said already.
    if finding.result != FindingResult::Inconclusive || finding.remedy.is_empty() {
        *finding = Judged::failed(Mistake::of(refused)).named(finding.check);
    }
}

/// The checks that a mistake of the integrator may belong to; none for what is the operator's policy, or no verdict on
/// a credential.
const fn checks_of(reason: Reason) -> &'static [&'static str] {
    match reason {
        Reason::CredentialMissing => &["credential.present"],
        Reason::TokenMalformed | Reason::TokenTooLarge => &["token.form"],
        Reason::AlgorithmNotAllowed => &["token.algorithm"],
        Reason::KeyUnknown | Reason::KeyRetired | Reason::KeyNotYetValid => &["token.key", "hash.secret"],
        Reason::SignatureInvalid => &["token.signature"],
        Reason::TokenExpired | Reason::TokenNotYetValid | Reason::IssuedInFuture | Reason::LifetimeTooLong => {
            &["token.times"]
        }
        Reason::IssuerMismatch => &["token.issuer"],
        Reason::AudienceMismatch => &["token.audience", "request.audience"],
        Reason::ClaimMissing | Reason::ClaimTypeInvalid => &["token.claims", "hash.identifier"],
        Reason::IdentityMismatch => &["token.identity"],
        Reason::HashMalformed => &["hash.form"],
        Reason::HashMismatch => &["hash.secret"],
        Reason::TokenReplayed => &["policy.acceptance"],
        Reason::RequestInvalid
        | Reason::CallerUnknown
        | Reason::CallerNotAllowed
        | Reason::ApplicationUnknown
        | Reason::HashNoLongerIssued
        | Reason::JwtNotYetIssued
        | Reason::SubjectPrivileged
        | Reason::NoSigningKey
        | Reason::AuditUnavailable
        | Reason::SourceUnavailable
        | Reason::SourceTimedOut
        | Reason::SourceMalformed
        | Reason::StoreUnavailable
        | Reason::VersionConflict
        | Reason::RateLimited
        | Reason::Overloaded
        | Reason::Draining
        | Reason::Internal
        | Reason::NotImplemented
        | Reason::TokenRevoked
        | Reason::HashRevoked
        | Reason::HashNotYetAccepted
        | Reason::HashNoLongerAccepted
        | Reason::HashBrownout
        | Reason::HashRolledOut
        | Reason::HashSuperseded
        | Reason::JwtNotYetAccepted
        | Reason::ExchangeNotAllowed
        | Reason::AttributeNotProven
        | Reason::AttributeUndeclared => &[],
    }
}

impl Case<'_> {
    /// The caller's other applications that are looked at.
    fn neighbours(&self) -> impl Iterator<Item = &Application> {
        self.others.iter().copied().filter(|other| other.name != self.application.name).take(OTHERS)
    }
}

impl fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({}, redacted)", self.application.name)
    }
}
