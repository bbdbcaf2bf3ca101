//! What is worth knowing besides an answer. A notice refuses nothing.

use time::UtcDateTime;

/// Something worth knowing that refuses nothing. Mirrors `countersign.v1.NoticeCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeCode {
    /// A legacy hash was accepted or made.
    LegacyHashDeprecated,
    /// A brownout is near.
    BrownoutAnnounced,
    /// LegacyHash stops soon.
    HashNotIssuedSoon,
    /// The key that was used retires soon.
    KeyRetiresSoon,
    /// The key that was used is short.
    WeakKey,
    /// The token has no end.
    NoExpiry,
    /// A company hash proves no membership.
    CompanyNotBound,
    /// Only one of user id and e-mail was given.
    IdentifierMissing,
    /// A claim came from the cache, past its freshness.
    StaleClaims,
    /// A claim was left out because its source failed.
    ClaimOmitted,
    /// Undeclared attributes were dropped.
    AttributeUndeclared,
    /// A claim source failed.
    SourceUnavailable,
    /// A JWT came before JWTs are accepted, beside a hash.
    JwtIgnored,
}

impl NoticeCode {
    /// The notice in a sentence.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::LegacyHashDeprecated => {
                "Legacy hashes are deprecated: send a JWT. The deadline, if there is one, is when they stop being accepted."
            }
            Self::BrownoutAnnounced => "Legacy hashes will be refused for a short while from the deadline on.",
            Self::HashNotIssuedSoon => "LegacyHash stops making hashes at the deadline.",
            Self::KeyRetiresSoon => "The key that was used retires at the deadline.",
            Self::WeakKey => "The key that was used is shorter than 32 bytes (RFC 7518 section 3.2).",
            Self::NoExpiry => "The token has no end.",
            Self::CompanyNotBound => "A company hash proves the company's id only, not that the user is a member.",
            Self::IdentifierMissing => "Only one of user id and email was given; give both where you have them.",
            Self::StaleClaims => "A claim is older than it should be: its source did not say anything newer yet.",
            Self::ClaimOmitted => "A claim was left out because its source failed.",
            Self::AttributeUndeclared => "Attributes that the application does not declare were dropped.",
            Self::SourceUnavailable => "A claim source failed.",
            Self::JwtIgnored => "JWTs are not accepted yet: the hash was judged and the JWT ignored.",
        }
    }
}

/// A notice, with the instant from which on it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is.
    pub code: NoticeCode,
    /// From when on it matters.
    pub deadline: Option<UtcDateTime>,
    /// Since when it holds, where it is about something that was given up.
    pub since: Option<UtcDateTime>,
}

impl Notice {
    /// A notice that holds until `deadline`, where there is one.
    #[must_use]
    pub const fn until(code: NoticeCode, deadline: Option<UtcDateTime>) -> Self {
        Self { code, deadline, since: None }
    }
}

impl From<NoticeCode> for Notice {
    fn from(code: NoticeCode) -> Self {
        Self::until(code, None)
    }
}
