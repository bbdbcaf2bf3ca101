//! From the wire into neutral form, with the limits of `limits.rs`. All violations of a request come at once.

use prost_types::value::Kind;
use serde_json::{Map, Value};
use time::{Duration, UtcDateTime};

use super::proto;
use crate::attributes::Attributes;
use crate::identity::{Company, Field, Identity, Subject, SubjectKind};
use crate::order::{
    DiagnoseOrder, ExchangeOrder, HashOrder, InvalidateOrder, LegacyProof, RestoreOrder, RevokeOrder, SignOrder,
    VerifyOrder,
};
use crate::refusal::{Reason, Refusal, Violation};
use crate::report::Days;
use crate::revocation::Target;
use crate::{json, limits};

/// What is wrong with a request so far.
#[derive(Debug, Default)]
pub(super) struct Reader(Vec<Violation>);

/// Reads a request of Sign.
pub fn sign(request: proto::SignRequest) -> Result<SignOrder, Refusal> {
    let mut reader = Reader::default();
    if request.identity.is_none() {
        reader.wrong("identity", "is required");
    }
    let order = SignOrder {
        application: reader.application(request.application),
        identity: reader.identity("identity", request.identity),
        ttl: reader.ttl(request.ttl),
        audience: reader.text("audience", request.audience, limits::IDENTIFIER_BYTES).unwrap_or_default(),
        client: reader.client(&request.client),
        deadline: None,
    };
    reader.finish(order)
}

/// Reads a request of Verify.
pub fn verify(request: proto::VerifyRequest) -> Result<VerifyOrder, Refusal> {
    let mut reader = Reader::default();
    let order = VerifyOrder {
        application: reader.application(request.application),
        jwt: request.jwt,
        legacy: reader.legacy(request.legacy),
        asserted: reader.identity("asserted", request.asserted),
        audience: reader.text("audience", request.audience, limits::IDENTIFIER_BYTES).unwrap_or_default(),
        client: reader.client(&request.client),
    };
    reader.finish(order)
}

/// Reads a request of LegacyHash.
pub fn legacy_hash(request: proto::LegacyHashRequest) -> Result<HashOrder, Refusal> {
    let mut reader = Reader::default();
    reader.at_most("company_ids", request.company_ids.len(), limits::COMPANIES);
    let mut company_ids = Vec::new();
    for (index, id) in request.company_ids.into_iter().take(limits::COMPANIES).enumerate() {
        let place = format!("company_ids[{index}]");
        match reader.text(&place, id, limits::IDENTIFIER_BYTES) {
            None => reader.wrong(&place, "is empty"),
            Some(id) => company_ids.push(id),
        }
    }
    let identity = Identity {
        user_id: reader.text("user_id", request.user_id, limits::IDENTIFIER_BYTES),
        email: reader.text("email", request.email, limits::IDENTIFIER_BYTES),
        ..Identity::default()
    };
    let order = HashOrder {
        application: reader.application(request.application),
        identity,
        company_ids,
        client: reader.client(&request.client),
    };
    reader.finish(order)
}

/// Reads a request of Exchange.
pub fn exchange(request: proto::ExchangeRequest) -> Result<ExchangeOrder, Refusal> {
    let ttl = request.ttl;
    let credential = verify(proto::VerifyRequest {
        application: request.application,
        jwt: request.jwt,
        legacy: request.legacy,
        asserted: request.asserted,
        audience: request.audience,
        client: request.client,
    });
    let mut reader = Reader::default();
    let ttl = reader.ttl(ttl);
    match (credential, reader.finish(())) {
        (Ok(credential), Ok(())) => Ok(ExchangeOrder { credential, ttl, deadline: None }),
        (Err(Refusal::Invalid(reason, mut violations)), Err(Refusal::Invalid(_, more))) => {
            violations.extend(more);
            Err(Refusal::Invalid(reason, violations))
        }
        (Err(refusal), _) | (Ok(_), Err(refusal)) => Err(refusal),
    }
}

/// Reads a request to drop what is remembered of a subject.
pub fn invalidate(request: proto::admin::InvalidateRequest) -> Result<InvalidateOrder, Refusal> {
    let mut reader = Reader::default();
    let application = reader.application(request.application);
    let subject = reader.subject("subject", request.subject);
    reader.finish(InvalidateOrder { application, subject })
}

/// Reads a request of Revoke. A token id may be as long as a token: a `jti` has no limit of its own.
pub fn revoke(request: proto::RevokeRequest) -> Result<RevokeOrder, Refusal> {
    use proto::revoke_request::Target as Wire;
    let mut reader = Reader::default();
    let application = reader.application(request.application);
    let target = match request.target {
        Some(Wire::TokenId(id)) => Target::Token(reader.required("token_id", id, limits::TOKEN_BYTES)),
        Some(Wire::Subject(subject)) => Target::Subject(reader.subject("subject", Some(subject))),
        Some(Wire::KeyId(id)) => Target::Key(reader.required("key_id", id, limits::IDENTIFIER_BYTES)),
        None => Target::Token(reader.required("target", String::new(), 0)),
    };
    let expires_at = reader.instant("expires_at", request.expires_at);
    reader.finish(RevokeOrder { application, target, expires_at })
}

/// Reads a request of Restore.
pub fn restore(request: proto::RestoreRequest) -> Result<RestoreOrder, Refusal> {
    let mut reader = Reader::default();
    let application = reader.application(request.application);
    let subject = reader.subject("subject", request.subject);
    reader.finish(RestoreOrder { application, subject })
}

/// Reads a request of FindSubject.
pub fn find(request: proto::admin::FindSubjectRequest) -> Result<Subject, Refusal> {
    let mut reader = Reader::default();
    reader.application(request.application);
    let subject = reader.subject("subject", request.subject);
    reader.finish(subject)
}

/// Reads a request of FindSubjects.
pub fn find_many(request: proto::admin::FindSubjectsRequest) -> Result<Vec<Subject>, Refusal> {
    let mut reader = Reader::default();
    reader.application(request.application);
    reader.at_most("subjects", request.subjects.len(), limits::BATCH);
    if request.subjects.is_empty() {
        reader.wrong("subjects", "is required");
    }
    let numbered = request.subjects.into_iter().take(limits::BATCH).enumerate();
    let subjects: Vec<_> =
        numbered.map(|(index, subject)| reader.subject(&format!("subjects[{index}]"), Some(subject))).collect();
    reader.finish(subjects)
}

/// Reads a request of Diagnose.
pub fn diagnose(request: proto::DiagnoseRequest) -> Result<DiagnoseOrder, Refusal> {
    let mut reader = Reader::default();
    if request.suspected_secret.len() > limits::SUSPECTED_SECRET_BYTES {
        reader.wrong("suspected_secret", format!("at most {} bytes", limits::SUSPECTED_SECRET_BYTES));
    }
    let legacy = proto::LegacyProof {
        user_hash: request.user_hash,
        hashed: request.hashed,
        company_hashes: request.company_hashes,
    };
    let credential = VerifyOrder {
        application: reader.application(request.application),
        jwt: request.jwt,
        legacy: reader.proof("", legacy),
        asserted: reader.identity("asserted", request.asserted),
        audience: reader.text("audience", request.audience, limits::IDENTIFIER_BYTES).unwrap_or_default(),
        client: reader.client(&request.client),
    };
    reader.finish(DiagnoseOrder { credential, suspected_secret: request.suspected_secret.into() })
}

/// Refuses a batch that is over the limit, whole.
pub fn batch<T>(requests: Vec<T>) -> Result<Vec<T>, Refusal> {
    let mut reader = Reader::default();
    reader.at_most("requests", requests.len(), limits::BATCH);
    reader.finish(requests)
}

impl Reader {
    pub(super) fn wrong(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(Violation::new(field, description));
    }

    pub(super) fn finish<T>(self, order: T) -> Result<T, Refusal> {
        if self.0.is_empty() { Ok(order) } else { Err(Refusal::Invalid(Reason::RequestInvalid, self.0)) }
    }

    pub(super) fn at_most(&mut self, field: &str, count: usize, limit: usize) {
        if count > limit {
            self.wrong(field, format!("at most {limit}"));
        }
    }

    /// Text within its limit; none where it is empty.
    fn text(&mut self, field: &str, text: String, limit: usize) -> Option<String> {
        if text.len() > limit {
            self.wrong(field, format!("at most {limit} bytes"));
            return None;
        }
        if text.contains('\0') {
            self.wrong(field, "must not hold NUL (U+0000)");
            return None;
        }
        (!text.is_empty()).then_some(text)
    }

    /// Text within its limit that has to be there.
    pub(super) fn required(&mut self, field: &str, text: String, limit: usize) -> String {
        self.text(field, text, limit).unwrap_or_else(|| {
            self.wrong(field, "is required");
            String::new()
        })
    }

    pub(super) fn subject(&mut self, field: &str, subject: Option<proto::Subject>) -> Subject {
        use proto::subject::Kind;
        let (kind, below, value) = match subject.and_then(|subject| subject.kind) {
            Some(Kind::UserId(value)) => (SubjectKind::UserId, ".user_id", value),
            Some(Kind::Email(value)) => (SubjectKind::Email, ".email", value),
            None => (SubjectKind::UserId, "", String::new()),
        };
        Subject { kind, value: self.required(&format!("{field}{below}"), value, limits::IDENTIFIER_BYTES) }
    }

    /// The days of a window.
    pub(super) fn window(&mut self, window: Option<prost_types::Duration>) -> Option<u16> {
        let window = window?;
        let whole = window.nanos == 0 && window.seconds % DAY_SECS == 0;
        let days = u16::try_from(window.seconds / DAY_SECS).ok().filter(|days| (1..=Days::MOST).contains(days));
        let days = days.filter(|_| whole);
        if days.is_none() {
            self.wrong("window", format!("must be whole days, 1 to {}", Days::MOST));
        }
        days
    }

    pub(super) fn application(&mut self, name: String) -> String {
        if name.is_empty() {
            self.wrong("application", "is required");
        }
        self.text("application", name, limits::IDENTIFIER_BYTES).unwrap_or_default()
    }

    fn client(&mut self, label: &str) -> String {
        self.text("client", label.to_owned(), limits::CLIENT_BYTES).unwrap_or_default()
    }

    fn ttl(&mut self, ttl: Option<prost_types::Duration>) -> Option<Duration> {
        let ttl = ttl?;
        if ttl.seconds < 1 || ttl.nanos != 0 {
            self.wrong("ttl", "must be whole seconds, at least 1");
            return None;
        }
        Some(Duration::seconds(ttl.seconds))
    }

    pub(super) fn instant(&mut self, field: &str, at: Option<prost_types::Timestamp>) -> Option<UtcDateTime> {
        let read = instant(at?);
        if read.is_none() {
            self.wrong(field, "must be a time from year 1 to year 9999");
        }
        read
    }

    fn identity(&mut self, place: &str, identity: Option<proto::Identity>) -> Identity {
        let identity = identity.unwrap_or_default();
        let mut read = Identity {
            created_at: self.instant(&format!("{place}.created_at"), identity.created_at),
            attributes: self.attributes(&format!("{place}.attributes"), identity.attributes),
            ..Identity::default()
        };
        for (field, text) in [
            (Field::UserId, identity.user_id),
            (Field::Email, identity.email),
            (Field::Name, identity.name),
            (Field::ProfilePicture, identity.profile_picture),
            (Field::Locale, identity.locale),
        ] {
            let limit = if Field::TEXTS.contains(&field) { limits::ATTRIBUTE_BYTES } else { limits::IDENTIFIER_BYTES };
            let text = self.text(&format!("{place}.{}", field.name()), text, limit);
            if let Some(place) = read.text_mut(field) {
                *place = text;
            }
        }
        read.companies = self.companies(&format!("{place}.companies"), identity.companies);
        read
    }

    fn companies(&mut self, place: &str, companies: Vec<proto::Company>) -> Vec<Company> {
        self.at_most(place, companies.len(), limits::COMPANIES);
        let mut read: Vec<Company> = Vec::new();
        for (index, company) in companies.into_iter().take(limits::COMPANIES).enumerate() {
            let place = format!("{place}[{index}]");
            let id = self.text(&format!("{place}.id"), company.id, limits::IDENTIFIER_BYTES);
            let Some(id) = id else {
                self.wrong(&format!("{place}.id"), "is required");
                continue;
            };
            if read.iter().any(|known| known.id == id) {
                self.wrong(&format!("{place}.id"), "is another company's too");
            }
            let monthly_spend = company.monthly_spend.map(|spend| {
                let exact = json::exact(spend);
                if exact.is_none() {
                    self.wrong(&format!("{place}.monthly_spend"), NUMBER);
                }
                exact
            });
            read.push(Company {
                name: self.text(&format!("{place}.name"), company.name, limits::ATTRIBUTE_BYTES),
                monthly_spend: monthly_spend.flatten(),
                created_at: self.instant(&format!("{place}.created_at"), company.created_at),
                attributes: self.attributes(&format!("{place}.attributes"), company.attributes),
                id,
            });
        }
        read
    }

    /// `null` is the same as absent.
    fn attributes(&mut self, place: &str, attributes: Option<prost_types::Struct>) -> Map<String, Value> {
        let mut read = Map::new();
        let Some(attributes) = attributes else { return read };
        self.at_most(place, attributes.fields.len(), limits::ATTRIBUTES);
        for (name, value) in attributes.fields.into_iter().take(limits::ATTRIBUTES) {
            // A name that could not be an attribute's is not repeated.
            let nameable = name.len() <= limits::ATTRIBUTE_NAME_BYTES && !name.chars().any(char::is_control);
            let place = if nameable { format!("{place}.{name}") } else { place.to_owned() };
            match self::value(value) {
                None => self.wrong(&place, NUMBER),
                Some(Value::Null) => {}
                Some(value) => match Attributes::breach(&name, &value) {
                    Some(limit) => self.wrong(&place, limit),
                    None => drop(read.insert(name, value)),
                },
            }
        }
        read
    }

    fn legacy(&mut self, proof: Option<proto::LegacyProof>) -> Option<LegacyProof> {
        self.proof("legacy.", proof?)
    }

    /// A proof without any hash is none.
    fn proof(&mut self, place: &str, proof: proto::LegacyProof) -> Option<LegacyProof> {
        let hashed = match proto::HashedIdentifier::try_from(proof.hashed) {
            Ok(proto::HashedIdentifier::Unspecified) => None,
            Ok(proto::HashedIdentifier::UserId) => Some(SubjectKind::UserId),
            Ok(proto::HashedIdentifier::Email) => Some(SubjectKind::Email),
            Err(_) => {
                self.wrong(&format!("{place}hashed"), "is not a value of HashedIdentifier");
                None
            }
        };
        let field = format!("{place}company_hashes");
        self.at_most(&field, proof.company_hashes.len(), limits::COMPANIES);
        let mut company_hashes: Vec<_> = proof.company_hashes.into_iter().take(limits::COMPANIES).collect();
        company_hashes.sort();
        for (id, _) in &company_hashes {
            if self.text(&field, id.clone(), limits::IDENTIFIER_BYTES).is_none() {
                self.wrong(&field, "a company id must be there, and within its limits");
            }
        }
        let there = !proof.user_hash.is_empty() || !company_hashes.is_empty();
        there.then_some(LegacyProof { user_hash: proof.user_hash, hashed, company_hashes })
    }
}

/// The instant; none where it is not in the years 1 to 9999.
pub(super) fn instant(at: prost_types::Timestamp) -> Option<UtcDateTime> {
    let nanos = i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    let read = UtcDateTime::from_unix_timestamp_nanos(nanos).ok();
    read.filter(|read| (0..1_000_000_000).contains(&at.nanos) && read.year() >= 1)
}

/// The value as JSON; none where a number in it is not one that every reader keeps exact. Recursion is bounded by
/// prost's own limit on nested messages.
fn value(value: prost_types::Value) -> Option<Value> {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Some(Value::Null),
        Some(Kind::BoolValue(value)) => Some(Value::Bool(value)),
        Some(Kind::StringValue(value)) => Some(Value::String(value)),
        Some(Kind::NumberValue(value)) => json::exact(value).map(Value::Number),
        Some(Kind::ListValue(list)) => {
            list.values.into_iter().map(self::value).collect::<Option<_>>().map(Value::Array)
        }
        Some(Kind::StructValue(members)) => {
            let members = members.fields.into_iter().map(|(name, value)| Some((name, self::value(value)?)));
            members.collect::<Option<_>>().map(Value::Object)
        }
    }
}

const DAY_SECS: i64 = 86_400;
const NUMBER: &str = "numbers are finite and within ±(2^53−1)";
