//! Pseudonyms: what ledger and audit call a subject. Keyed, so that nobody who reads them can try out identifiers; of one
//! application and one use, so that they cannot be joined. Who has the secret and the identifier finds the pseudonym.

use std::fmt;

use aws_lc_rs::{hkdf, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::identity::Subject;

/// Bytes of a pseudonym: 128 bits, so that a hundred million subjects do not collide.
const BYTES: usize = 16;

/// Where a pseudonym stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// In the ledger.
    Ledger,
    /// In the audit log.
    Audit,
}

/// Makes pseudonyms.
pub struct Pseudonyms {
    root: hkdf::Prk,
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pseudonyms").finish_non_exhaustive()
    }
}

impl Pseudonyms {
    /// Keyed by a secret that all replicas have.
    #[must_use]
    pub fn from_secret(secret: &[u8]) -> Self {
        Self { root: hkdf::Salt::new(hkdf::HKDF_SHA256, b"countersign pseudonyms").extract(secret) }
    }

    /// The seed of a key that all replicas share, for a purpose of its own.
    ///
    /// # Errors
    ///
    /// Never for a seed of this length.
    pub fn seed(&self, purpose: &str) -> Result<[u8; 32], aws_lc_rs::error::Unspecified> {
        let mut seed = [0; 32];
        self.root.expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)?.fill(&mut seed)?;
        Ok(seed)
    }

    /// The subject's pseudonym in an application, for a use: base64url, 22 characters.
    ///
    /// HMAC-SHA256 of kind and value, cut to 128 bits, with a key of its own for each application and use (RFC 5869).
    #[must_use]
    pub fn of(&self, application: &str, of: Use, subject: &Subject) -> String {
        self.named(application, of, subject.kind.name(), &subject.value)
    }

    /// The same of anything else that has a kind, such as the id of a token.
    #[must_use]
    pub fn named(&self, application: &str, of: Use, kind: &str, value: &str) -> String {
        let info = [of.name().as_bytes(), b"\0", application.as_bytes()];
        // It fails for keys of thousands of bytes alone.
        let Ok(okm) = self.root.expand(&info, hmac::HMAC_SHA256) else { return String::new() };
        let mut context = hmac::Context::with_key(&hmac::Key::from(okm));
        context.update(kind.as_bytes());
        context.update(b"\0");
        context.update(value.as_bytes());
        let tag = context.sign();
        URL_SAFE_NO_PAD.encode(tag.as_ref().get(..BYTES).unwrap_or_default())
    }
}

impl Use {
    const fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Audit => "audit",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::identity::SubjectKind;

    #[test]
    fn a_pseudonym_is_of_one_secret_application_use_kind_and_value() {
        let pseudonym = |secret: &str, application: &str, of, kind, value: &str| {
            let subject = Subject { kind, value: value.to_owned() };
            Pseudonyms::from_secret(secret.as_bytes()).of(application, of, &subject)
        };
        let (user, email) = (SubjectKind::UserId, SubjectKind::Email);
        let base = pseudonym("s", "a/b", Use::Ledger, user, "ada");
        assert_eq!(base, pseudonym("s", "a/b", Use::Ledger, user, "ada"));
        assert_eq!(base.len(), 22);
        let others = [
            base,
            pseudonym("t", "a/b", Use::Ledger, user, "ada"),
            pseudonym("s", "a/c", Use::Ledger, user, "ada"),
            pseudonym("s", "a/b", Use::Audit, user, "ada"),
            pseudonym("s", "a/b", Use::Ledger, email, "ada"),
            pseudonym("s", "a/b", Use::Ledger, user, "Ada"),
        ];
        assert_eq!(BTreeSet::from(others.clone()).len(), others.len());
    }
}
