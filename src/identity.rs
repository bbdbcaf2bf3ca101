//! Who the user is, in our own neutral form. Profiles write it as claims; nothing here knows a wire format.

use serde_json::{Map, Number, Value};
use time::UtcDateTime;
use unicase::UniCase;

/// An end user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The product's identifier of the user.
    pub user_id: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The display name.
    pub name: Option<String>,
    /// The address of a picture.
    pub profile_picture: Option<String>,
    /// A BCP 47 language tag.
    pub locale: Option<String>,
    /// When the account was created.
    pub created_at: Option<UtcDateTime>,
    /// The organisations of the user.
    pub companies: Vec<Company>,
    /// Custom attributes.
    pub attributes: Map<String, Value>,
}

/// An organisation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Company {
    /// The product's identifier of the company.
    pub id: String,
    /// The display name.
    pub name: Option<String>,
    /// What it spends in a month.
    pub monthly_spend: Option<Number>,
    /// When its account was created.
    pub created_at: Option<UtcDateTime>,
    /// Custom attributes.
    pub attributes: Map<String, Value>,
}

/// The neutral fields of an identity, identifiers first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// `user_id`
    UserId,
    /// `email`
    Email,
    /// `name`
    Name,
    /// `profile_picture`
    ProfilePicture,
    /// `locale`
    Locale,
    /// `created_at`
    CreatedAt,
    /// `companies`
    Companies,
}

impl Field {
    /// Every field, in the order in which claims are written.
    pub const ALL: [Self; 7] =
        [Self::UserId, Self::Email, Self::Name, Self::ProfilePicture, Self::Locale, Self::CreatedAt, Self::Companies];

    /// The fields that are plain text and no identifiers.
    pub const TEXTS: [Self; 3] = [Self::Name, Self::ProfilePicture, Self::Locale];

    /// The neutral name, in messages, profiles and configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserId => "user_id",
            Self::Email => "email",
            Self::Name => "name",
            Self::ProfilePicture => "profile_picture",
            Self::Locale => "locale",
            Self::CreatedAt => "created_at",
            Self::Companies => "companies",
        }
    }

    /// The field of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

impl Identity {
    /// Whether the field is there.
    #[must_use]
    pub const fn has(&self, field: Field) -> bool {
        match field {
            Field::UserId => self.user_id.is_some(),
            Field::Email => self.email.is_some(),
            Field::Name => self.name.is_some(),
            Field::ProfilePicture => self.profile_picture.is_some(),
            Field::Locale => self.locale.is_some(),
            Field::CreatedAt => self.created_at.is_some(),
            Field::Companies => !self.companies.is_empty(),
        }
    }

    /// The place of a field that is text; none for `created_at` and `companies`.
    pub const fn text_mut(&mut self, field: Field) -> Option<&mut Option<String>> {
        match field {
            Field::UserId => Some(&mut self.user_id),
            Field::Email => Some(&mut self.email),
            Field::Name => Some(&mut self.name),
            Field::ProfilePicture => Some(&mut self.profile_picture),
            Field::Locale => Some(&mut self.locale),
            Field::CreatedAt | Field::Companies => None,
        }
    }

    /// A field that is text; none for `created_at` and `companies`.
    #[must_use]
    pub fn text(&self, field: Field) -> Option<&str> {
        match field {
            Field::UserId => self.user_id.as_deref(),
            Field::Email => self.email.as_deref(),
            Field::Name => self.name.as_deref(),
            Field::ProfilePicture => self.profile_picture.as_deref(),
            Field::Locale => self.locale.as_deref(),
            Field::CreatedAt | Field::Companies => None,
        }
    }

    /// The identifier of that kind.
    #[must_use]
    pub fn identifier(&self, kind: SubjectKind) -> Option<&str> {
        self.text(kind.field())
    }

    /// Each identifier that is there, as a subject.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> + '_ {
        SubjectKind::ALL.into_iter().filter_map(|kind| Some(Subject { kind, value: self.identifier(kind)?.to_owned() }))
    }

    /// The identity that holds nothing but this one's identifiers.
    #[must_use]
    pub fn identifiers(&self) -> Self {
        Self { user_id: self.user_id.clone(), email: self.email.clone(), ..Self::default() }
    }
}

/// The neutral fields of a company.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum CompanyField {
    Id,
    Name,
    MonthlySpend,
    CreatedAt,
}

impl CompanyField {
    /// Every field.
    pub const ALL: [Self; 4] = [Self::Id, Self::Name, Self::MonthlySpend, Self::CreatedAt];

    /// The neutral name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::MonthlySpend => "monthly_spend",
            Self::CreatedAt => "created_at",
        }
    }
}

impl Company {
    /// Whether the field is there.
    #[must_use]
    pub const fn has(&self, field: CompanyField) -> bool {
        match field {
            CompanyField::Id => !self.id.is_empty(),
            CompanyField::Name => self.name.is_some(),
            CompanyField::MonthlySpend => self.monthly_spend.is_some(),
            CompanyField::CreatedAt => self.created_at.is_some(),
        }
    }
}

/// The kinds of identifiers. `hashed` on the wire, and in a profile's order of a hash, names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// The product's identifier.
    UserId,
    /// The e-mail address.
    Email,
}

impl SubjectKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::UserId, Self::Email];

    /// The kind of that neutral name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The field of an identity that holds it.
    #[must_use]
    pub const fn field(self) -> Field {
        match self {
            Self::UserId => Field::UserId,
            Self::Email => Field::Email,
        }
    }

    /// The neutral name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.field().name()
    }
}

/// One identifier of an identity. Facts are kept for each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// What it is.
    pub kind: SubjectKind,
    /// Its exact value.
    pub value: String,
}

/// The identifiers that no credential may be made for or accepted from.
#[derive(Clone, Debug, Default)]
pub struct Privileged {
    user_ids: Vec<String>,
    emails: Vec<UniCase<String>>,
    domains: Vec<UniCase<String>>,
}

impl Privileged {
    /// The privileged user ids (exact), e-mail addresses and domains (case-folded).
    #[must_use]
    pub fn new(user_ids: Vec<String>, emails: Vec<String>, domains: Vec<String>) -> Self {
        Self {
            user_ids,
            emails: emails.into_iter().map(UniCase::new).collect(),
            domains: domains.into_iter().map(UniCase::new).collect(),
        }
    }

    /// Whether the value is privileged, whatever kind of identifier it is said to be: an HMAC does not bind the kind,
    /// so a hash over a company id is as good as one over an equal user id.
    #[must_use]
    pub fn covers(&self, value: &str) -> bool {
        self.user_ids.iter().any(|id| id == value)
            || self.emails.iter().any(|email| *email == UniCase::new(value))
            || value
                .rsplit_once('@')
                .is_some_and(|(_, domain)| self.domains.iter().any(|privileged| *privileged == UniCase::new(domain)))
    }

    /// Whether an identifier of the identity is privileged.
    #[must_use]
    pub fn covers_any(&self, identity: &Identity) -> bool {
        SubjectKind::ALL.into_iter().filter_map(|kind| identity.identifier(kind)).any(|value| self.covers(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privilege_folds_the_case_of_emails_and_domains_only() {
        let privileged =
            Privileged::new(vec!["root".into()], vec!["Straße@b.example".into()], vec!["Acme.example".into()]);
        for yes in ["root", "strasse@B.example", "x@acme.EXAMPLE", "a@b@acme.example"] {
            assert!(privileged.covers(yes), "{yes}");
        }
        for no in ["Root", "root ", "x@sub.acme.example", "acme.example", "x@acme.example.org", ""] {
            assert!(!privileged.covers(no), "{no}");
        }
    }
}
