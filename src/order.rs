//! What is asked of the authority and what it answers, in neutral form: no protobuf here.

use time::{Duration, UtcDateTime};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::diagnose::Finding;
use crate::identity::{Identity, Subject, SubjectKind};
use crate::mint::{Minted, Provenance};
use crate::notice::{Notice, NoticeCode};
use crate::pipeline::ClaimOrigin;
use crate::profile::HashFormat;
use crate::refusal::{Reason, Refusal, Refused};
use crate::revocation::Target;
use crate::split::Split;
use crate::token::times::Times;

/// Asks for a token.
#[derive(Clone, Debug, Default)]
pub struct SignOrder {
    /// The application's name.
    pub application: String,
    /// Who it is for.
    pub identity: Identity,
    /// How long it lives; none: the application's default.
    pub ttl: Option<Duration>,
    /// One of the application's audiences; empty: all of them.
    pub audience: String,
    /// The client label.
    pub client: String,
    /// Until when the caller waits for the answer.
    pub deadline: Option<Instant>,
}

/// Asks for a verdict.
#[derive(Clone, Debug, Default)]
pub struct VerifyOrder {
    /// The application's name.
    pub application: String,
    /// The JWT; an empty one is a bad one.
    pub jwt: Option<String>,
    /// The legacy proof.
    pub legacy: Option<LegacyProof>,
    /// What was sent beside the credential.
    pub asserted: Identity,
    /// The audience that is expected; empty: any of the application's.
    pub audience: String,
    /// The client label.
    pub client: String,
}

/// The old credential.
#[derive(Clone, Debug, Default)]
pub struct LegacyProof {
    /// The user's hash, as it was sent.
    pub user_hash: String,
    /// Which identifier it was made over, if that was said.
    pub hashed: Option<SubjectKind>,
    /// Company hashes by company id.
    pub company_hashes: Vec<(String, String)>,
}

/// Asks for legacy hashes.
#[derive(Clone, Debug, Default)]
pub struct HashOrder {
    /// The application's name.
    pub application: String,
    /// The user's identifiers.
    pub identity: Identity,
    /// The companies.
    pub company_ids: Vec<String>,
    /// The client label.
    pub client: String,
}

/// Asks for a fresh token in exchange for a credential.
#[derive(Clone, Debug, Default)]
pub struct ExchangeOrder {
    /// The credential; its `audience` is the new token's.
    pub credential: VerifyOrder,
    /// How long the new token lives.
    pub ttl: Option<Duration>,
    /// Until when the caller waits for the answer.
    pub deadline: Option<Instant>,
}

/// Asks to drop what claim sources are remembered to have said.
#[derive(Clone, Debug)]
pub struct InvalidateOrder {
    /// The application's name.
    pub application: String,
    /// About whom.
    pub subject: Subject,
}

/// Asks to refuse something from now on.
#[derive(Clone, Debug)]
pub struct RevokeOrder {
    /// The application's name.
    pub application: String,
    /// What is refused.
    pub target: Target,
    /// Until when tokens may be around that this server would not make.
    pub expires_at: Option<UtcDateTime>,
}

/// Asks to accept a subject's hashes again.
#[derive(Clone, Debug)]
pub struct RestoreOrder {
    /// The application's name.
    pub application: String,
    /// Whose hashes.
    pub subject: Subject,
}

/// Asks to set the policy at run time.
#[derive(Clone, Debug)]
pub struct SetOrder {
    /// The policy, in the shape of `acceptance_json.rs`.
    pub policy: serde_json::Value,
    /// The version that is known; 0: nothing was ever set.
    pub version: u64,
    /// Why.
    pub reason: String,
}

/// Asks to go back to the file's policy.
#[derive(Clone, Debug)]
pub struct ResetOrder {
    /// The version that is known.
    pub version: u64,
    /// Why.
    pub reason: String,
}

/// A signed token and what is known of it.
#[derive(Debug)]
pub struct Signed {
    /// The token.
    pub token: Minted,
    /// Which key signed it.
    pub key_id: String,
    /// Where each claim came from.
    pub origins: Vec<ClaimOrigin>,
    /// Worth knowing besides.
    pub notices: Vec<Notice>,
}

/// Legacy hashes.
#[derive(Debug)]
pub struct Hashed {
    /// The user's, with the identifier it was made over.
    pub user: Option<(SubjectKind, String)>,
    /// By company id.
    pub companies: Vec<(String, String)>,
    /// Which key made them.
    pub key_id: String,
    /// Until when they are accepted from this caller and client.
    pub accepted_until: Option<UtcDateTime>,
    /// Worth knowing besides.
    pub notices: Vec<Notice>,
}

/// The verdict on a credential.
#[derive(Debug)]
pub enum Outcome<T> {
    /// Yes.
    Accepted(T),
    /// No.
    Refused(Refused, Vec<Notice>),
}

/// A credential that counts, and what was sent beside it.
#[derive(Debug)]
pub struct Accepted {
    /// What it proves.
    pub proof: Proof,
    /// What was sent beside it.
    pub split: Split,
    /// Worth knowing besides.
    pub notices: Vec<Notice>,
}

/// A credential that counts, and what it proves.
#[derive(Debug)]
pub struct Proof {
    /// What it proves.
    pub verified: Identity,
    /// Which key fits it.
    pub key_id: String,
    /// What there is besides, depending on the credential.
    pub credential: Proven,
}

/// What a proof has besides the identity.
#[derive(Debug)]
pub enum Proven {
    /// A legacy hash.
    Hash,
    /// A JWT.
    Jwt {
        /// Names it for revocation.
        token_id: String,
        /// Its payload, exactly as signed.
        claims_json: String,
        /// Its times.
        times: Times,
        /// Where it came from, if Exchange made it.
        provenance: Option<Provenance>,
        /// The paths of its claims that nobody declared.
        undeclared: Vec<String>,
    },
}

/// Asks what is wrong with a credential.
#[derive(Clone, Debug, Default)]
pub struct DiagnoseOrder {
    /// The credential, and what was sent beside it.
    pub credential: VerifyOrder,
    /// A secret to try on it.
    pub suspected_secret: Zeroizing<Vec<u8>>,
}

/// What is wrong with a credential.
#[derive(Debug)]
pub struct Diagnosis {
    /// Check by check.
    pub findings: Vec<Finding>,
    /// What Verify says now; none: it accepts.
    pub verdict: Option<Refused>,
}

impl HashOrder {
    /// Every value that a hash might be made over.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        let identifiers = SubjectKind::ALL.into_iter().filter_map(|kind| self.identity.identifier(kind));
        identifiers.chain(self.company_ids.iter().map(String::as_str))
    }

    /// Which identifier is hashed: the first of the format's order that is there; none where only companies are asked
    /// for.
    pub fn kind(&self, format: &HashFormat) -> Result<Option<SubjectKind>, Refusal> {
        if !self.company_ids.is_empty() && !format.companies {
            return Err(Refusal::field("company_ids", "this application's profile has no company hashes"));
        }
        let kind = format.order.iter().copied().find(|kind| self.identity.identifier(*kind).is_some());
        let only_companies = !self.company_ids.is_empty() && self.identity == Identity::default();
        match (kind, format.order.first()) {
            (None, Some(first)) if !only_companies => {
                Err(Refusal::field(first.name(), "it is required: it is what this application's profile hashes"))
            }
            (kind, _) => Ok(kind),
        }
    }
}

/// Adds notices, each code once.
pub fn notable(notices: &mut Vec<Notice>, more: impl IntoIterator<Item = Notice>) {
    for notice in more {
        if !notices.iter().any(|known| known.code == notice.code) {
            notices.push(notice);
        }
    }
}

impl Accepted {
    /// An accepted credential; undeclared claims and attributes become a notice and a list.
    #[must_use]
    pub fn new(proof: Proof, mut split: Split, mut notices: Vec<Notice>) -> Self {
        if let Proven::Jwt { undeclared, .. } = &proof.credential {
            for path in undeclared {
                if !split.refused.iter().any(|(known, _)| known == path) {
                    split.refused.push((path.clone(), Reason::AttributeUndeclared));
                }
            }
        }
        if split.refused.iter().any(|(_, reason)| *reason == Reason::AttributeUndeclared) {
            notices.push(NoticeCode::AttributeUndeclared.into());
        }
        Self { proof, split, notices }
    }
}

impl<T> Outcome<T> {
    /// Worth knowing besides the verdict; `of` finds it in what was accepted.
    pub fn notices<'o>(&'o self, of: impl FnOnce(&'o T) -> &'o Vec<Notice>) -> &'o [Notice] {
        match self {
            Self::Accepted(accepted) => of(accepted),
            Self::Refused(_, notices) => notices,
        }
    }
}

impl Proof {
    /// Whether the ratchet turns on it: a JWT that does not stem from a hash.
    #[must_use]
    pub fn turns_ratchet(&self) -> bool {
        match &self.credential {
            Proven::Hash => false,
            Proven::Jwt { provenance, .. } => !provenance.is_some_and(|provenance| provenance.from_hash),
        }
    }
}

impl Refusal {
    /// The verdict, where it is one; an error otherwise.
    pub fn into_outcome<T>(self, notices: Vec<Notice>) -> Result<Outcome<T>, Self> {
        match self {
            Self::Verdict(refused) => Ok(Outcome::Refused(refused, notices)),
            error @ (Self::Invalid(..)
            | Self::CallerUnknown
            | Self::CallerNotAllowed
            | Self::ApplicationUnknown
            | Self::Privileged
            | Self::Precondition(_)
            | Self::SourceFailed(_)
            | Self::StoreUnavailable
            | Self::VersionConflict
            | Self::AuditUnavailable
            | Self::NotImplemented
            | Self::Internal) => Err(error),
        }
    }
}
