//! What was proven and what was only said. The two never mix: a value is in `verified`, in `unverified`, or among the
//! refused attributes, and in one of them only.

use serde_json::{Map, Value};

use crate::application::Application;
use crate::attributes::Attributes;
use crate::identity::{Company, Field, Identity};
use crate::refusal::Reason;

/// What may be used without proof, and what may not be used at all.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Asserted, not proven, and allowed so.
    pub unverified: Identity,
    /// The paths of attributes that are in neither identity, and why.
    pub refused: Vec<(String, Reason)>,
}

/// Splits what was asserted beside a credential that proves `verified`.
#[must_use]
pub fn split(application: &Application, verified: &Identity, asserted: &Identity) -> Split {
    let mut split = Split::default();
    let secure = |field: Field| application.users.fields.get(&field).is_some_and(|rule| rule.secure);
    for field in Field::ALL {
        if !asserted.has(field) || (verified.has(field) && field != Field::Companies) {
            continue;
        }
        match field {
            _ if secure(field) && field != Field::Companies => {
                split.refused.push((field.name().to_owned(), Reason::AttributeNotProven));
            }
            Field::CreatedAt => split.unverified.created_at = asserted.created_at,
            Field::Companies => split.companies(application, verified, asserted, secure(field)),
            Field::UserId | Field::Email | Field::Name | Field::ProfilePicture | Field::Locale => {
                if let Some(place) = split.unverified.text_mut(field) {
                    *place = asserted.text(field).map(str::to_owned);
                }
            }
        }
    }
    split.unverified.attributes =
        split.attributes(&application.users, &verified.attributes, &asserted.attributes, String::clone);
    split
}

impl Split {
    fn companies(&mut self, application: &Application, verified: &Identity, asserted: &Identity, secure: bool) {
        for company in &asserted.companies {
            let proven = verified.companies.iter().find(|proven| proven.id == company.id);
            let path = |name: &str| format!("companies[{}]{name}", company.id);
            if secure && proven.is_none() {
                self.refused.push((path(""), Reason::AttributeNotProven));
                continue;
            }
            let nothing = Company::default();
            let known = proven.unwrap_or(&nothing);
            let attributes = self.attributes(&application.companies, &known.attributes, &company.attributes, |name| {
                path(&format!(".{name}"))
            });
            let mut rest = Company {
                id: company.id.clone(),
                name: company.name.clone().filter(|_| known.name.is_none()),
                monthly_spend: company.monthly_spend.clone().filter(|_| known.monthly_spend.is_none()),
                created_at: company.created_at.filter(|_| known.created_at.is_none()),
                attributes,
            };
            if secure {
                rest = self.without_fields(rest);
            }
            let bare = Company { id: company.id.clone(), ..Company::default() };
            if proven.is_none() || rest != bare {
                self.unverified.companies.push(rest);
            }
        }
    }

    /// The company without what only a secure list of companies could prove.
    fn without_fields(&mut self, company: Company) -> Company {
        let there = [
            ("name", company.name.is_some()),
            ("monthly_spend", company.monthly_spend.is_some()),
            ("created_at", company.created_at.is_some()),
        ];
        for (name, _) in there.into_iter().filter(|(_, there)| *there) {
            self.refused.push((format!("companies[{}].{name}", company.id), Reason::AttributeNotProven));
        }
        Company { id: company.id, attributes: company.attributes, ..Company::default() }
    }

    /// The asserted attributes that need no proof; the others are noted. One that is proven needs no second word.
    fn attributes(
        &mut self,
        declared: &Attributes,
        verified: &Map<String, Value>,
        asserted: &Map<String, Value>,
        path: impl Fn(&String) -> String,
    ) -> Map<String, Value> {
        let mut unverified = Map::new();
        for (name, value) in asserted.iter().filter(|(name, _)| !verified.contains_key(*name)) {
            let why = match declared.custom.get(name) {
                None => Reason::AttributeUndeclared,
                Some(attribute) if attribute.rule.secure => Reason::AttributeNotProven,
                Some(attribute) if !attribute.kind.fits(value) => Reason::ClaimTypeInvalid,
                Some(_) => {
                    unverified.insert(name.clone(), value.clone());
                    continue;
                }
            };
            self.refused.push((path(name), why));
        }
        unverified
    }
}
