//! Every way we say no. What the caller reads is static text from the table below, so that nothing of a request is
//! ever echoed; the names of claims that a message may hold come from the profile or the configuration.
//!
//! Only `grpc/status.rs` knows what becomes of a refusal on the wire.

use std::fmt;

macro_rules! reasons {
    ($($variant:ident $name:literal $text:literal $remedy:literal)*) => {
        /// Why something was refused. Mirrors `countersign.v1.Reason`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $text] $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name on the wire, without the enum's prefix.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What happened, for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What to do about it, for people.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

reasons! {
    RequestInvalid "REQUEST_INVALID"
        "The request is malformed or over a limit."
        "Correct the fields that the violations name."
    ClaimTypeInvalid "CLAIM_TYPE_INVALID"
        "A claim has the wrong type, or is over a limit."
        "Sign the claim with the type that the profile and the application declare."
    ClaimMissing "CLAIM_MISSING"
        "A required claim is missing."
        "Give the claim that the profile or the application requires."
    CallerUnknown "CALLER_UNKNOWN"
        "The caller sent no credentials, or none that are known."
        "Send the metadata `authorization: Bearer TOKEN` of a caller in the configuration."
    CallerNotAllowed "CALLER_NOT_ALLOWED"
        "This caller may not call this RPC."
        "Add the permission to `may` of the caller in the configuration."
    ApplicationUnknown "APPLICATION_UNKNOWN"
        "There is no such application, or it is not this caller's."
        "Check the application's name and the caller's `applications`."
    HashNoLongerIssued "HASH_NO_LONGER_ISSUED"
        "This application's legacy hashes are no longer issued."
        "Call Sign and send the JWT instead of the hash."
    JwtNotYetIssued "JWT_NOT_YET_ISSUED"
        "This application's JWTs are not issued yet."
        "Call LegacyHash until `acceptance.issue_jwt_from` has come."
    SubjectPrivileged "SUBJECT_PRIVILEGED"
        "The identifier belongs to a privileged account."
        "Privileged accounts sign in to the product itself; test with another user."
    NoSigningKey "NO_SIGNING_KEY"
        "No key of the needed purpose may sign now."
        "Add a key with this purpose to the application, or correct its `not_before` and `retire_at`."
    AuditUnavailable "AUDIT_UNAVAILABLE"
        "The audit record is required and cannot be written."
        "Try again; if it stays, look at the audit sinks."
    SourceUnavailable "SOURCE_UNAVAILABLE"
        "A claim source failed, and its policy is to refuse."
        "Try again; if it stays, look at the source."
    SourceTimedOut "SOURCE_TIMED_OUT"
        "A claim source did not answer in time, and its policy is to refuse."
        "Try again; if it stays, look at the source or raise its `timeout_ms`."
    SourceMalformed "SOURCE_MALFORMED"
        "A claim source answered something that the application does not declare."
        "Correct the source, or the declared type of the attribute."
    StoreUnavailable "STORE_UNAVAILABLE"
        "The store is needed for this answer and cannot be reached."
        "Try again; if it stays, look at the store."
    VersionConflict "VERSION_CONFLICT"
        "What you changed was changed by somebody else since you read it."
        "Read it again and repeat the change."
    RateLimited "RATE_LIMITED"
        "This caller sends more than it may."
        "Try again later, and send less at once."
    Overloaded "OVERLOADED"
        "The server has more work than it takes on."
        "Try again later."
    Draining "DRAINING"
        "The server is shutting down."
        "Try again: another replica answers."
    Internal "INTERNAL"
        "An internal error. The incident id is in the server's log."
        "Report the incident id."
    NotImplemented "NOT_IMPLEMENTED"
        "This version of the server does not do this."
        "Upgrade the server."
    CredentialMissing "CREDENTIAL_MISSING"
        "Neither a JWT nor a legacy hash was sent."
        "Send the JWT in `jwt`, or the hash in `legacy.user_hash`."
    TokenMalformed "TOKEN_MALFORMED"
        "The JWT is not a compact JWS (RFC 7515) with a JSON object as payload."
        "Send the token exactly as it was signed. Diagnose says what is wrong with it."
    TokenTooLarge "TOKEN_TOO_LARGE"
        "The JWT is over 16 KiB."
        "Sign fewer or shorter attributes."
    AlgorithmNotAllowed "ALGORITHM_NOT_ALLOWED"
        "The JWT's algorithm is not allowed here."
        "Sign with the algorithm of the application's key."
    KeyUnknown "KEY_UNKNOWN"
        "No key of this application fits the credential."
        "Sign with a key of this application, and name it by its `kid` where the profile has one."
    KeyRetired "KEY_RETIRED"
        "The credential was made with a key that has been retired."
        "Use the application's current key."
    KeyNotYetValid "KEY_NOT_YET_VALID"
        "The credential was made with a key that is not valid yet."
        "Use the application's current key until the new one's `not_before`."
    SignatureInvalid "SIGNATURE_INVALID"
        "The JWT's signature does not fit the application's key."
        "Check which secret signs, and its encoding. Diagnose tries the usual mistakes."
    TokenExpired "TOKEN_EXPIRED"
        "The JWT has expired; its signature is good."
        "Sign again, a little before a token ends."
    TokenNotYetValid "TOKEN_NOT_YET_VALID"
        "The JWT is not valid yet (`nbf`)."
        "Check the clock of the machine that signs."
    IssuedInFuture "ISSUED_IN_FUTURE"
        "The JWT says that it was issued in the future (`iat`)."
        "Check the clock of the machine that signs; NumericDates are seconds."
    LifetimeTooLong "LIFETIME_TOO_LONG"
        "The JWT lives longer than this application allows."
        "Sign with a shorter lifetime; NumericDates are seconds."
    AudienceMismatch "AUDIENCE_MISMATCH"
        "The JWT is not for the audience that is expected (`aud`)."
        "Sign with one of the application's audiences."
    IssuerMismatch "ISSUER_MISMATCH"
        "The JWT is not from the issuer that is expected (`iss`)."
        "Sign with the application's issuer; check that the token belongs to this application."
    TokenRevoked "TOKEN_REVOKED"
        "The JWT, its subject or its key has been revoked."
        "Let the user sign in again."
    TokenReplayed "TOKEN_REPLAYED"
        "This one-time JWT was used before."
        "Sign a new token for each use."
    IdentityMismatch "IDENTITY_MISMATCH"
        "An identifier sent beside the JWT is not the one in it."
        "Send the same identifier, or none; after an account switch, get a new token."
    HashMalformed "HASH_MALFORMED"
        "The hash is not an HMAC-SHA256 digest in the encoding of this profile."
        "Send the digest as it was made. Diagnose says what is wrong with it."
    HashMismatch "HASH_MISMATCH"
        "The hash does not fit the identifier."
        "Check which secret and which identifier were hashed. Diagnose tries the usual mistakes."
    HashRevoked "HASH_REVOKED"
        "The hashes of this user have been revoked."
        "Send a JWT."
    HashNotYetAccepted "HASH_NOT_YET_ACCEPTED"
        "Legacy hashes are not accepted yet."
        "Wait until `acceptance.hash_from`."
    HashNoLongerAccepted "HASH_NO_LONGER_ACCEPTED"
        "Legacy hashes are no longer accepted."
        "Send a JWT."
    HashBrownout "HASH_BROWNOUT"
        "Legacy hashes are refused for a short while, on purpose, to show who still sends them."
        "Send a JWT; the hash works again after the brownout, but not for ever."
    HashRolledOut "HASH_ROLLED_OUT"
        "For this user, legacy hashes are no longer accepted."
        "Send a JWT."
    HashSuperseded "HASH_SUPERSEDED"
        "This user already came with a JWT, so the hash no longer counts."
        "Send a JWT from every client of this user."
    JwtNotYetAccepted "JWT_NOT_YET_ACCEPTED"
        "JWTs are not accepted yet."
        "Send the legacy hash until `acceptance.jwt_from` has come."
    ExchangeNotAllowed "EXCHANGE_NOT_ALLOWED"
        "This credential cannot be exchanged, or its session has lasted long enough."
        "Let the user sign in again and call Sign."
    AttributeNotProven "ATTRIBUTE_NOT_PROVEN"
        "The attribute is secure and came outside a JWT."
        "Sign the attribute in the JWT."
    AttributeUndeclared "ATTRIBUTE_UNDECLARED"
        "The application does not declare this attribute."
        "Declare the attribute in the configuration, or do not send it."
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field, such as `identity.companies[0].id`.
    pub field: String,
    /// What is wrong and what the limit is.
    pub description: String,
}

impl Violation {
    /// A violation of `field`.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// The verdict "no" on a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// Which claim it is about, by the name that the profile or the configuration gives it.
    pub claim: Option<Box<str>>,
}

impl Refused {
    /// The refusal because of one claim.
    pub fn claim(reason: Reason, claim: impl Into<Box<str>>) -> Self {
        Self { reason, claim: Some(claim.into()) }
    }
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self { reason, claim: None }
    }
}

/// Every way we say no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The credential was judged and refused. Not an error: the answer is the verdict.
    Verdict(Refused),
    /// The request is wrong, and these fields say where.
    Invalid(Reason, Vec<Violation>),
    /// We do not know who calls.
    CallerUnknown,
    /// We know who calls, and they may not.
    CallerNotAllowed,
    /// No such application, or not theirs.
    ApplicationUnknown,
    /// Nothing is made for a privileged identifier.
    Privileged,
    /// The request is right, the state of the application is not.
    Precondition(Refused),
    /// A claim source failed and its policy is to refuse.
    SourceFailed(Reason),
    /// The store is needed and away.
    StoreUnavailable,
    /// Somebody else changed it since it was read.
    VersionConflict,
    /// The record of the audit log is needed, and cannot be written.
    AuditUnavailable,
    /// Not in this version.
    NotImplemented,
    /// A bug, or a machine without randomness.
    Internal,
}

/// The kinds of no, which decide how it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// An answer.
    Verdict,
    /// The caller's request is wrong.
    InvalidArgument,
    /// Who calls?
    Unauthenticated,
    /// Not theirs to do.
    PermissionDenied,
    /// Not there for them.
    NotFound,
    /// Not in this state.
    FailedPrecondition,
    /// Not now; trying again can help.
    Unavailable,
    /// Not on what is there now: read it again.
    Aborted,
    /// Not in this version.
    Unimplemented,
    /// A bug.
    Internal,
}

impl Refusal {
    /// One wrong field.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(Reason::RequestInvalid, vec![Violation::new(field, description)])
    }

    /// Why.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Verdict(refused) | Self::Precondition(refused) => refused.reason,
            Self::Invalid(reason, _) | Self::SourceFailed(reason) => *reason,
            Self::CallerUnknown => Reason::CallerUnknown,
            Self::CallerNotAllowed => Reason::CallerNotAllowed,
            Self::ApplicationUnknown => Reason::ApplicationUnknown,
            Self::Privileged => Reason::SubjectPrivileged,
            Self::StoreUnavailable => Reason::StoreUnavailable,
            Self::VersionConflict => Reason::VersionConflict,
            Self::AuditUnavailable => Reason::AuditUnavailable,
            Self::NotImplemented => Reason::NotImplemented,
            Self::Internal => Reason::Internal,
        }
    }

    /// How it is told.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Verdict(_) => Class::Verdict,
            Self::Invalid(..) => Class::InvalidArgument,
            Self::CallerUnknown => Class::Unauthenticated,
            Self::CallerNotAllowed | Self::Privileged => Class::PermissionDenied,
            Self::ApplicationUnknown => Class::NotFound,
            Self::Precondition(_) => Class::FailedPrecondition,
            Self::SourceFailed(_) | Self::StoreUnavailable | Self::AuditUnavailable => Class::Unavailable,
            Self::VersionConflict => Class::Aborted,
            Self::NotImplemented => Class::Unimplemented,
            Self::Internal => Class::Internal,
        }
    }

    /// What the caller reads: the reason's static text, with the claim it is about where there is one.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Verdict(refused) | Self::Precondition(refused) => refused.to_string(),
            Self::Invalid(..)
            | Self::SourceFailed(_)
            | Self::CallerUnknown
            | Self::CallerNotAllowed
            | Self::ApplicationUnknown
            | Self::Privileged
            | Self::StoreUnavailable
            | Self::VersionConflict
            | Self::AuditUnavailable
            | Self::NotImplemented
            | Self::Internal => self.reason().text().to_owned(),
        }
    }
}

impl Refusal {
    /// The same, where nothing of the identity is the caller's doing: a claim that is missing is a verdict on the
    /// credential, anything else about the claims the fault of a source.
    #[must_use]
    pub fn of_proven(self) -> Self {
        match self {
            Self::Precondition(refused) if refused.reason == Reason::ClaimMissing => Self::Verdict(refused),
            Self::Invalid(Reason::ClaimMissing, violations) => {
                let name = |violation: &Violation| {
                    let field = violation.field.trim_start_matches("identity.");
                    field.trim_start_matches("attributes.").to_owned()
                };
                let names: Vec<_> = violations.iter().map(name).collect();
                Self::Verdict(Refused::claim(Reason::ClaimMissing, names.join(" or ")))
            }
            Self::Invalid(..) => Self::SourceFailed(Reason::SourceMalformed),
            other @ (Self::Verdict(_)
            | Self::Precondition(_)
            | Self::CallerUnknown
            | Self::CallerNotAllowed
            | Self::ApplicationUnknown
            | Self::Privileged
            | Self::SourceFailed(_)
            | Self::StoreUnavailable
            | Self::VersionConflict
            | Self::AuditUnavailable
            | Self::NotImplemented
            | Self::Internal) => other,
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::Verdict(refused)
    }
}

impl From<Reason> for Refusal {
    /// A bare reason is a verdict: every other class has a variant of its own.
    fn from(reason: Reason) -> Self {
        Self::Verdict(reason.into())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.claim {
            Some(claim) => write!(f, "{} Claim: `{claim}`.", self.reason.text()),
            None => f.write_str(self.reason.text()),
        }
    }
}
