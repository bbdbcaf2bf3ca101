//! What a caller may assert of a user, and what must be there before anything is signed.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::application::Application;
use crate::attributes::{Attributes, Origin, Rule};
use crate::identity::{Company, CompanyField, Field, Identity};
use crate::profile::{CompanyFormat, JwtFormat};
use crate::refusal::{Reason, Refusal, Refused, Violation};
use crate::schema::Breach;

/// What is wrong with a request, all of it.
#[derive(Debug, Default)]
struct Found(Vec<(Reason, Violation)>);

impl Found {
    fn add(&mut self, reason: Reason, field: String, description: &str) {
        self.0.push((reason, Violation::new(field, description)));
    }

    /// One reason where all violations share it; mixed ones are simply a malformed request.
    fn into_result(self) -> Result<(), Refusal> {
        let Some((first, _)) = self.0.first() else { return Ok(()) };
        let same = self.0.iter().all(|(reason, _)| reason == first);
        let reason = if same { *first } else { Reason::RequestInvalid };
        Err(Refusal::Invalid(reason, self.0.into_iter().map(|(_, violation)| violation).collect()))
    }
}

/// Refuses what the caller may not assert in Sign: fields that the profile cannot write, attributes that are not
/// declared or not the caller's to give, wrong types. Nothing is dropped silently.
pub fn admit(application: &Application, format: &JwtFormat, identity: &Identity) -> Result<(), Refusal> {
    let mut found = Found::default();
    for field in Field::ALL.into_iter().filter(|field| identity.has(*field)) {
        let place = format!("identity.{}", field.name());
        if !format.claims.contains_key(&field) {
            found.add(Reason::RequestInvalid, place, "this application's profile has no claim for it");
        } else if !gives(application.users.rule(field)) {
            found.add(Reason::RequestInvalid, place, NOT_THE_CALLERS);
        } else if let (Some(max), Some(text)) = (format.max_chars.get(&field), identity.text(field))
            && !format.takes(field, text)
        {
            found.add(Reason::RequestInvalid, place, &format!("at most {max} characters in this profile"));
        }
    }
    attributes(&mut found, "identity.attributes", &identity.attributes, &application.users);
    if let Some(company_format) = &format.company {
        if company_format.single && identity.companies.len() > 1 {
            found.add(Reason::RequestInvalid, "identity.companies".to_owned(), "this profile takes one company");
        }
        for (index, company) in identity.companies.iter().enumerate() {
            let place = format!("identity.companies[{index}]");
            if identity.companies.iter().take(index).any(|other| other.id == company.id) {
                found.add(Reason::RequestInvalid, format!("{place}.id"), "an earlier company has it too");
            }
            self::company(&mut found, &place, company, company_format, &application.companies);
        }
    }
    found.into_result()
}

fn company(found: &mut Found, place: &str, company: &Company, format: &CompanyFormat, declared: &Attributes) {
    for field in [CompanyField::Name, CompanyField::MonthlySpend, CompanyField::CreatedAt] {
        let place = format!("{place}.{}", field.name());
        if company.has(field) && !format.claims.contains_key(&field) {
            found.add(Reason::RequestInvalid, place, "this application's profile has no claim for it");
        } else if !company.has(field) && format.require.contains(&field) {
            found.add(Reason::ClaimMissing, place, "the profile requires it");
        }
    }
    attributes(found, &format!("{place}.attributes"), &company.attributes, declared);
    for (name, attribute) in &declared.custom {
        if attribute.rule.required && !company.attributes.contains_key(name) {
            found.add(Reason::ClaimMissing, format!("{place}.attributes.{name}"), "the application requires it");
        }
    }
}

fn attributes(found: &mut Found, place: &str, asserted: &Map<String, Value>, declared: &Attributes) {
    for (name, value) in asserted {
        let place = format!("{place}.{name}");
        match declared.custom.get(name) {
            None => found.add(Reason::RequestInvalid, place, "the application does not declare this attribute"),
            Some(attribute) if !gives(&attribute.rule) => found.add(Reason::RequestInvalid, place, NOT_THE_CALLERS),
            Some(attribute) if !attribute.kind.fits(value) => {
                found.add(Reason::ClaimTypeInvalid, place, &format!("must be of type {}", attribute.kind.name()));
            }
            Some(_) => {}
        }
    }
}

fn gives(rule: &Rule) -> bool {
    rule.from.contains(&Origin::Caller)
}

/// Refuses an identity that is not complete. A claim that only the caller can give is the request's fault; one that a
/// source should have had is the application's state.
pub fn complete(application: &Application, format: &JwtFormat, identity: &Identity) -> Result<(), Refusal> {
    let users = &application.users;
    for group in format.require.iter().chain(&format.exactly_one) {
        if !group.iter().any(|field| identity.has(*field)) {
            let from: BTreeSet<Origin> =
                group.iter().flat_map(|field| users.rule(*field).from.iter().cloned()).collect();
            let places = group.iter().map(|field| format!("identity.{}", field.name())).collect();
            return Err(missing(&format.group_name(group), places, from));
        }
    }
    for group in &format.exactly_one {
        let there: Vec<&Field> = group.iter().filter(|field| identity.has(**field)).collect();
        if there.len() > 1 {
            let violation = |field: &&Field| {
                Violation::new(format!("identity.{}", field.name()), "this profile takes exactly one of these")
            };
            return Err(Refusal::Invalid(Reason::RequestInvalid, there.iter().map(violation).collect()));
        }
    }
    for (field, rule) in &users.fields {
        if rule.required && !identity.has(*field) {
            let place = format!("identity.{}", field.name());
            return Err(missing(&format.claim_name(*field), vec![place], rule.from.iter().cloned().collect()));
        }
    }
    for (name, attribute) in &users.custom {
        if attribute.rule.required && !identity.attributes.contains_key(name) {
            let from = attribute.rule.from.iter().cloned().collect();
            return Err(missing(&format.attribute_name(name), vec![format!("identity.attributes.{name}")], from));
        }
    }
    writable(application, format, identity)
}

/// Refuses what could be signed and would then be refused, or would lose something on the way: what the caller asserts
/// was judged before, so it came from a source, or stands in the credential that is exchanged.
fn writable(application: &Application, format: &JwtFormat, identity: &Identity) -> Result<(), Refusal> {
    let wrong = |field: Field| {
        let sourced = application.users.rule(field).from.iter().any(|origin| *origin != Origin::Caller);
        if sourced {
            return Refusal::SourceFailed(Reason::SourceMalformed);
        }
        Refusal::Verdict(Refused::claim(Reason::ClaimTypeInvalid, format.claim_name(field)))
    };
    for field in Field::ALL {
        if identity.text(field).is_some_and(|text| !format.takes(field, text)) {
            return Err(wrong(field));
        }
    }
    let companies = &identity.companies;
    let ids: BTreeSet<&str> = companies.iter().map(|company| company.id.as_str()).collect();
    let single = format.company.as_ref().is_some_and(|company| company.single);
    if ids.len() < companies.len() || (single && companies.len() > 1) {
        return Err(wrong(Field::Companies));
    }
    Ok(())
}

/// Refuses claims that the application's own schema does not take. Like everything that is wrong with a claim: the
/// request's fault where only the caller can have given it, else the source's.
pub fn conforms(application: &Application, format: &JwtFormat, claims: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(schema) = &application.schema else { return Ok(()) };
    let mut violations = Vec::new();
    for breach in schema.breaches(claims) {
        let (claim, keyword) = match breach {
            Breach::Missing(claim) => (claim, None),
            Breach::Wrong(claim, keyword) => (claim, Some(keyword)),
        };
        let neutral = neutral_name(application, format, &claim);
        let rule = application.users.rules().find(|(name, _)| Some(*name) == neutral.as_deref()).map(|(_, rule)| rule);
        let place = match &neutral {
            Some(name) if Field::named(name).is_some() => format!("identity.{name}"),
            Some(name) => format!("identity.attributes.{name}"),
            None => "identity".to_owned(),
        };
        match (keyword, rule.is_some_and(|rule| !gives_alone(rule))) {
            (None, _) => {
                return Err(missing(&claim, vec![place], rule.into_iter().flat_map(|r| r.from.clone()).collect()));
            }
            (Some(_), true) => return Err(Refusal::SourceFailed(Reason::SourceMalformed)),
            (Some(keyword), false) => {
                let description = format!("the application's claim schema refuses it ({keyword})");
                violations.push(Violation::new(place, description));
            }
        }
    }
    if violations.is_empty() { Ok(()) } else { Err(Refusal::Invalid(Reason::ClaimTypeInvalid, violations)) }
}

/// What a member of the payload is in neutral form.
fn neutral_name(application: &Application, format: &JwtFormat, claim: &str) -> Option<String> {
    let lies_in =
        |written: &str| written == claim || written.strip_prefix(claim).is_some_and(|rest| rest.starts_with('.'));
    let field = Field::ALL.into_iter().find(|f| format.claims.contains_key(f) && lies_in(&format.claim_name(*f)));
    let custom = || application.users.custom.keys().find(|name| lies_in(&format.attribute_name(name)));
    field.map(|field| field.name().to_owned()).or_else(|| custom().cloned())
}

/// Whether nobody but the caller can have given it.
fn gives_alone(rule: &Rule) -> bool {
    rule.from.iter().all(|origin| *origin == Origin::Caller) && !rule.from.is_empty()
}

fn missing(claim: &str, places: Vec<String>, from: BTreeSet<Origin>) -> Refusal {
    // A computed claim has no origin at all.
    if from.is_empty() || from.into_iter().any(|origin| origin != Origin::Caller) {
        return Refusal::Precondition(Refused::claim(Reason::ClaimMissing, claim));
    }
    let description = if places.len() > 1 { "at least one of these is required" } else { "it is required" };
    Refusal::Invalid(Reason::ClaimMissing, places.into_iter().map(|place| Violation::new(place, description)).collect())
}

const NOT_THE_CALLERS: &str = "the application does not take it from the caller";
