//! Who calls: an authenticated service, never the end user. Everything that is not allowed is forbidden.

use std::collections::BTreeSet;

use crate::acceptance::first_segment;
use crate::refusal::Refusal;

/// An authenticated service.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its name in the configuration, and in every decision and log line.
    pub name: String,
    /// What it may call.
    pub may: BTreeSet<Permission>,
    /// Which applications it may use.
    pub applications: Vec<Pattern>,
    /// Which labels steer policy when it sends them.
    pub clients: Clients,
}

/// What a caller may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Permission {
    Sign,
    Verify,
    LegacyHash,
    Exchange,
    Diagnose,
    Revoke,
    Admin,
}

impl Permission {
    /// Every permission with its name in the configuration.
    pub const ALL: [(&'static str, Self); 7] = [
        ("sign", Self::Sign),
        ("verify", Self::Verify),
        ("legacy_hash", Self::LegacyHash),
        ("exchange", Self::Exchange),
        ("diagnose", Self::Diagnose),
        ("revoke", Self::Revoke),
        ("admin", Self::Admin),
    ];
}

/// Which labels steer policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Any.
    Any,
    /// Those whose first segment is here.
    Only(BTreeSet<String>),
}

impl Caller {
    /// The one that every request comes from where nobody is asked who they are.
    #[must_use]
    pub fn anyone(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            may: Permission::ALL.into_iter().map(|(_, permission)| permission).collect(),
            applications: vec![Pattern::ANY],
            clients: Clients::Any,
        }
    }

    /// Refuses what this caller may not call.
    pub fn require(&self, permission: Permission) -> Result<(), Refusal> {
        if self.may.contains(&permission) { Ok(()) } else { Err(Refusal::CallerNotAllowed) }
    }

    /// Whether the application is this caller's.
    #[must_use]
    pub fn may_use(&self, application: &str) -> bool {
        self.applications.iter().any(|pattern| pattern.matches(application))
    }

    /// The label, if it steers policy when this caller sends it; otherwise it is judged as none.
    #[must_use]
    pub fn steering<'c>(&self, client: &'c str) -> Option<&'c str> {
        let counts = match &self.clients {
            Clients::Any => true,
            Clients::Only(known) => known.contains(first_segment(client)),
        };
        (counts && !client.is_empty()).then_some(client)
    }
}

/// A pattern of application names: `acme/*`, where `*` is one whole segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Option<Vec<String>>);

impl Pattern {
    /// Matches every application.
    pub const ANY: Self = Self(None);

    /// Reads a pattern; none where a segment is neither `*` nor a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let segments: Vec<String> = text.split('/').map(str::to_owned).collect();
        segments.iter().all(|segment| segment == "*" || is_segment(segment)).then_some(Self(Some(segments)))
    }

    /// Whether the name fits, segment by segment.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|segments| {
            segments.len() == name.split('/').count()
                && segments.iter().zip(name.split('/')).all(|(pattern, segment)| pattern == "*" || pattern == segment)
        })
    }
}

/// Whether the text is an application's name: `[a-z0-9_-]+(/[a-z0-9_-]+)*`.
#[must_use]
pub fn is_application_name(text: &str) -> bool {
    text.split('/').all(is_segment)
}

fn is_segment(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_whole_segment() {
        let matches = |pattern: &str, name: &str| Pattern::parse(pattern).is_some_and(|p| p.matches(name));
        assert!(matches("acme/*", "acme/feedback"));
        assert!(matches("*", "demo"));
        assert!(matches("*/feedback", "acme/feedback"));
        for (pattern, name) in
            [("acme/*", "acme"), ("acme/*", "acme/a/b"), ("acme/*", "acmex/a"), ("*", "a/b"), ("acme", "acme/a")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        for bad in ["", "acme/", "acme/f*", "Acme", "a//b", "**"] {
            assert_eq!(Pattern::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_known_labels_steer() {
        let caller = Caller { clients: Clients::Only(["ios".to_owned()].into()), ..Caller::anyone("x") };
        assert_eq!(caller.steering("ios/3.2"), Some("ios/3.2"));
        assert_eq!(caller.steering("iosx"), None);
        assert_eq!(caller.steering(""), None);
        assert_eq!(Caller::anyone("x").steering("web"), Some("web"));
    }
}
