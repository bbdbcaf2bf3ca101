//! Whether each company in the token has what it needs, under the right names.

use serde_json::{Map, Value};

use super::claims::{at, attribute_fault, kind_of, time_fault};
use super::judged::{Judged, Mistake, count};
use super::{Case, spelling};
use crate::identity::{CompanyField, Field};
use crate::json;
use crate::limits;
use crate::profile::{CompanyFormat, JwtFormat};
use crate::refusal::{Reason, Refused};

pub(super) fn judge(case: &Case<'_>, format: &JwtFormat, claims: &Map<String, Value>) -> Judged {
    let Some(company_format) = format.company.as_ref() else {
        return Judged::not_applicable("This profile has no companies in tokens.");
    };
    let claim = format.claim_name(Field::Companies);
    let required = case.application.users.rule(Field::Companies).required;
    let value = at(format, claims, Field::Companies).filter(|value| !value.is_null());
    let Some(value) = value else {
        let instead = spelling::instead(case, format, claims, Field::Companies);
        let said = instead.map_or_else(String::new, |name| format!(" {}", spelling::said(name)));
        let mistake = Mistake::new(
            format!("There is no claim `{claim}`.{said}"),
            format!("Sign the user's companies in `{claim}`."),
        );
        return match instead {
            _ if required => Judged::failed(mistake),
            Some(_) => Judged::warning(mistake),
            None => Judged::not_applicable("The token names no companies."),
        };
    };
    let read = format.read(claims, &case.application.users, &case.application.companies);
    let looked = Looking { case, format, company: company_format, claim: &claim };
    let mistakes = looked.mistakes(value, required);
    match read {
        Ok(_) => Judged::warned_by(looked.warnings(value), "Every company has what it needs."),
        Err(_) if !mistakes.is_empty() => {
            Judged::failed_by(mistakes, &Refused::claim(Reason::ClaimTypeInvalid, claim.as_str()))
        }
        Err(refused) if refused.claim.as_deref().is_some_and(|named| named.starts_with(&format!("{claim}."))) => {
            Judged::failed(Mistake::of(&refused))
        }
        Err(_) => Judged::passed("Every company has what it needs."),
    }
}

struct Looking<'l> {
    case: &'l Case<'l>,
    format: &'l JwtFormat,
    company: &'l CompanyFormat,
    claim: &'l str,
}

impl Looking<'_> {
    fn mistakes(&self, value: &Value, required: bool) -> Vec<Mistake> {
        let Self { claim, .. } = self;
        let single = self.company.single;
        let list = if single {
            value.is_object().then_some(std::slice::from_ref(value))
        } else {
            value.as_array().map(Vec::as_slice)
        };
        let Some(list) = list else {
            let wanted = if single { "one object" } else { "a list of objects" };
            return vec![Mistake::new(
                format!("`{claim}` is {} and should be {wanted}.", kind_of(Some(value))),
                format!("Write `{claim}` as {wanted}, even for a single company."),
            )];
        };
        if list.len() > limits::COMPANIES {
            let what = format!("`{claim}` has over {} companies.", limits::COMPANIES);
            return vec![Mistake::new(what, "Sign with the companies that matter for this user.")];
        }
        if required && list.is_empty() {
            return vec![Mistake::new(format!("`{claim}` is empty."), "Sign with at least one company.")];
        }
        let objects: Vec<&Map<String, Value>> = list.iter().filter_map(Value::as_object).collect();
        let mut found = Vec::new();
        if objects.len() < list.len() {
            found.push(Mistake::new(
                format!("{} in `{claim}` no object.", are(list.len() - objects.len(), list.len())),
                "Write each company as an object with its id and name.",
            ));
        }
        for field in CompanyField::ALL_FIELDS {
            found.extend(self.of_field(field, &objects));
        }
        found.extend(self.attributes(&objects));
        found
    }

    fn of_field(&self, field: CompanyField, companies: &[&Map<String, Value>]) -> Option<Mistake> {
        let name = self.company.claims.get(&field)?;
        let claim = format!("{}.{name}", self.claim);
        let needed = field == CompanyField::Id || self.company.require.contains(&field);
        let empty = |value: &Value| value.as_str() == Some("") || (value.is_null() && field != CompanyField::Id);
        let lacking = |company: &&&Map<String, Value>| company.get(name).is_none_or(empty);
        let without = companies.iter().filter(lacking).count();
        if needed && without > 0 {
            let instead = companies.iter().filter(lacking).find_map(|company| {
                spelling::in_company(self.case, Some(name), company, field, |other| self.is_own(other))
            });
            let said = instead.map_or_else(String::new, |other| format!(" {}", spelling::said(other)));
            return Some(Mistake::new(
                format!("{} without `{claim}`, which is needed.{said}", are(without, companies.len())),
                format!("Give every company its `{name}`, named exactly so."),
            ));
        }
        companies.iter().filter_map(|company| company.get(name)).find_map(|value| self.of_type(field, &claim, value))
    }

    fn of_type(&self, field: CompanyField, claim: &str, value: &Value) -> Option<Mistake> {
        let kind = kind_of(Some(value));
        match (field, value) {
            (CompanyField::Id, Value::String(text)) => (text.len() > limits::IDENTIFIER_BYTES || text.contains('\0'))
                .then(|| {
                    Mistake::new(
                        format!("`{claim}` has over {} bytes, or NUL in it.", limits::IDENTIFIER_BYTES),
                        "Sign with the company's id, and nothing else in it.",
                    )
                }),
            (CompanyField::Id, Value::Number(_)) => Some(Mistake::new(
                format!("`{claim}` is a number: identifiers are text, because large numbers lose digits."),
                format!("Write `{claim}` as a string, as with `String(id)`."),
            )),
            (CompanyField::Id, _) => Some(Mistake::new(
                format!("`{claim}` is {kind} and not text."),
                format!("Write `{claim}` as a string."),
            )),
            (_, Value::Null) => None,
            (CompanyField::Name, Value::String(text)) if !text.contains('\0') => None,
            (CompanyField::Name, _) => Some(Mistake::new(
                format!("`{claim}` is {kind}, or has NUL in it."),
                format!("Write `{claim}` as a string."),
            )),
            (CompanyField::MonthlySpend, value) => value.as_f64().and_then(json::exact).is_none().then(|| {
                Mistake::new(
                    format!("`{claim}` is {kind}, or too large, and should be a number."),
                    format!("Write `{claim}` as a number, without quotes and currency."),
                )
            }),
            (CompanyField::CreatedAt, value) => time_fault(self.format.time, claim, value),
        }
    }

    fn attributes(&self, companies: &[&Map<String, Value>]) -> Vec<Mistake> {
        let Some(here) = &self.company.attributes else { return Vec::new() };
        let place = |company: &&Map<String, Value>| -> Option<Map<String, Value>> {
            here.0.iter().try_fold((*company).clone(), |found, name| found.get(name)?.as_object().cloned())
        };
        let members: Vec<Option<Map<String, Value>>> = companies.iter().map(place).collect();
        let mut found = Vec::new();
        for (name, attribute) in &self.case.application.companies.custom {
            let values =
                members.iter().flatten().filter_map(|company| company.get(name)).filter(|value| !value.is_null());
            let path = format!("{}.{name}", self.claim);
            found.extend(values.into_iter().find_map(|value| attribute_fault(&path, attribute.kind, value)));
            let there = |company: &Option<Map<String, Value>>| {
                company.as_ref().and_then(|company| company.get(name)).is_some_and(|value| !value.is_null())
            };
            let without = members.iter().filter(|company| !there(company)).count();
            if attribute.rule.required && without > 0 {
                found.push(Mistake::new(
                    format!("{} without `{path}`, which the application requires.", are(without, members.len())),
                    format!("Give every company its `{name}`."),
                ));
            }
        }
        found
    }

    /// Members of a name that is nearly one of a company's and is not read.
    fn warnings(&self, value: &Value) -> Vec<Mistake> {
        let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        let objects: Vec<&Map<String, Value>> = list.iter().filter_map(Value::as_object).collect();
        let misspelt = |field: CompanyField| {
            let name = self.company.claims.get(&field)?;
            let company = objects.iter().find(|company| !company.contains_key(name))?;
            let other = spelling::company_misspelt(self.case, name, company, |other| self.is_own(other));
            other.then(|| {
                Mistake::new(
                    format!(
                        "A company has no `{name}`, and a member whose name differs only in capital letters or \
                         separators. It is not read."
                    ),
                    format!("Name it `{name}`."),
                )
            })
        };
        CompanyField::ALL_FIELDS.into_iter().filter_map(misspelt).collect()
    }

    fn is_own(&self, name: &str) -> bool {
        self.company.claims.values().any(|claim| claim == name)
    }
}

impl CompanyField {
    const ALL_FIELDS: [Self; 4] = [Self::Id, Self::Name, Self::MonthlySpend, Self::CreatedAt];
}

/// `2 of 3 companies are`.
fn are(some: usize, all: usize) -> String {
    let verb = if some == 1 { "is" } else { "are" };
    format!("{some} of {} {verb}", count(all, "company", "companies"))
}
