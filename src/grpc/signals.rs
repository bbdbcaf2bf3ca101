//! What old backends can notice without reading an answer: its deprecation, in the metadata that HTTP has for that.
//! `deprecation` (RFC 9745): since when there is something better. `sunset` (RFC 8594): when hashes end for this caller
//! and client. `countersign-brownout`: when they are refused next, for a short while; a date as in `sunset`.

use std::time::SystemTime;

use time::UtcDateTime;
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::notice::{Notice, NoticeCode};

/// What an answer tells of the end of hashes; of a batch, the earliest of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    deprecated: Option<UtcDateTime>,
    sunset: Option<UtcDateTime>,
    brownout: Option<UtcDateTime>,
}

impl Signals {
    /// What these notices say.
    #[must_use]
    pub fn of(notices: &[Notice]) -> Self {
        let mut signals = Self::default();
        for notice in notices {
            match notice.code {
                NoticeCode::LegacyHashDeprecated => {
                    // Where JWTs were never not accepted, they always were the better way.
                    signals.deprecated = Some(notice.since.unwrap_or(UtcDateTime::UNIX_EPOCH));
                    signals.sunset = notice.deadline;
                }
                NoticeCode::BrownoutAnnounced => signals.brownout = notice.deadline,
                NoticeCode::HashNotIssuedSoon
                | NoticeCode::KeyRetiresSoon
                | NoticeCode::WeakKey
                | NoticeCode::NoExpiry
                | NoticeCode::CompanyNotBound
                | NoticeCode::IdentifierMissing
                | NoticeCode::StaleClaims
                | NoticeCode::ClaimOmitted
                | NoticeCode::AttributeUndeclared
                | NoticeCode::SourceUnavailable
                | NoticeCode::JwtIgnored => {}
            }
        }
        signals
    }

    /// Both in one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let earliest = |one: Option<UtcDateTime>, other| one.into_iter().chain(other).min();
        Self {
            deprecated: earliest(self.deprecated, other.deprecated),
            sunset: earliest(self.sunset, other.sunset),
            brownout: earliest(self.brownout, other.brownout),
        }
    }

    /// Adds them to the metadata of an answer.
    pub fn write(self, metadata: &mut MetadataMap) {
        // There is no such date before 1970, and writing one is a panic.
        let date = |at: UtcDateTime| httpdate::fmt_http_date(SystemTime::from(at.max(UtcDateTime::UNIX_EPOCH)));
        let values = [
            ("deprecation", self.deprecated.map(|at| format!("@{}", at.unix_timestamp()))),
            ("sunset", self.sunset.map(date)),
            ("countersign-brownout", self.brownout.map(date)),
        ];
        for (name, value) in values {
            if let Some(value) = value.and_then(|value| MetadataValue::try_from(value).ok()) {
                metadata.insert(name, value);
            }
        }
    }
}
