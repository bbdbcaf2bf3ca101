//! Each mistake made for real, and found; good credentials, and nothing found. Whatever is looked at, the laws of
//! [`World::look`] hold.

mod good;
mod hashes;
mod laws;
mod payloads;
mod suspects;
mod tokens;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use time::UtcDateTime;
use time::macros::utc_datetime;
use tokio_util::task::TaskTracker;

use super::FindingResult::{Failed, Inconclusive, NotApplicable, Passed, Warning};
use super::{CHECKS, Case, Finding, FindingResult, SUSPECTED, checks_of, diagnose, examine};
use crate::account::{Account, Books};
use crate::application::Snapshot;
use crate::audit::Audit;
use crate::authority::Authority;
use crate::caller::{Caller, Clients, Pattern};
use crate::clock::Fixed;
use crate::config::{self, World as Surroundings};
use crate::identity::{Company, Identity, SubjectKind};
use crate::ledger::Ledger;
use crate::observe::Metrics;
use crate::order::{DiagnoseOrder, LegacyProof, VerifyOrder};
use crate::pipeline::registry::KINDS;
use crate::pipeline::{Pipeline, Seal};
use crate::pseudonym::Pseudonyms;
use crate::refusal::{Reason, Refused};
use crate::secret::Secret;
use crate::store::Memory;
use crate::token::algorithm::Algorithm;
use crate::token::keys::HmacKey;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const NOW: UtcDateTime = utc_datetime!(2026-06-01 12:00:00);

const JWT: &str = "feedback-jwt-secret-0123456789abcdef";
const IV: &str = "iv_feedback-hash-secret-0123456789abc";
const STAGING_JWT: &str = "staging-jwt-secret-0123456789abcdef0";
const STAGING_IV: &str = "iv_staging-hash-secret-0123456789abcd";
const FOREIGN_JWT: &str = "foreign-jwt-secret-0123456789abcdef0";
const FOREIGN_IV: &str = "iv_foreign-hash-secret-0123456789abcd";
const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddee01";
const BASE64: &str = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=";
const PYLON: &str = "f0e1d2c3b4a5968778695a4b3c2d1e0ff0e1d2c3b4a5968778695a4b3c2d1e0f";
const ONE: &str = "messenger-secret-0123456789abcdefghij";
const OWN_JWT: &str = "own-jwt-secret-0123456789abcdefghijkl";
const OWN_IV: &str = "own-hash-secret-0123456789abcdefghijk";
const ZENDESK: &str = "zendesk-secret-0123456789abcdefghijkl";
const ONESIGNAL: &str = "onesignal-rest-api-key-0123456789abcd";
const OLD_JWT: &str = "old-jwt-secret-0123456789abcdefghijkl";
const OLD_IV: &str = "iv_old-hash-secret-0123456789abcdefgh";
const NEXT_JWT: &str = "next-jwt-secret-0123456789abcdefghijk";
const NEXT_IV: &str = "iv_next-hash-secret-0123456789abcdefg";
const WEAK: &str = "short-secret";
const SECRETS: [&str; 19] = [
    JWT,
    IV,
    STAGING_JWT,
    STAGING_IV,
    FOREIGN_JWT,
    FOREIGN_IV,
    HEX,
    BASE64,
    PYLON,
    ONE,
    OWN_JWT,
    OWN_IV,
    ZENDESK,
    ONESIGNAL,
    OLD_JWT,
    OLD_IV,
    NEXT_JWT,
    NEXT_IV,
    WEAK,
];

const ID: &str = "user-4711";
const EMAIL: &str = "Ada.Lovelace@example.com";

/// What is sent to Verify, and to Diagnose.
#[derive(Clone, Default)]
struct Sent {
    application: &'static str,
    jwt: Option<String>,
    hash: String,
    hashed: Option<SubjectKind>,
    company_hashes: Vec<(String, String)>,
    asserted: Identity,
    audience: String,
    suspected: Vec<u8>,
}

/// The result of looking.
struct Seen {
    verdict: Option<Refused>,
    findings: Vec<Finding>,
}

struct World {
    authority: Authority,
    runtime: tokio::runtime::Runtime,
    caller: Caller,
    /// The private key of `acme/signal`.
    pem: String,
}

impl World {
    fn new() -> Outcome<Self> {
        let pem = private_pem()?;
        let mut env: BTreeMap<String, String> =
            SECRETS.iter().map(|secret| (format!("S_{}", name_of(secret)), (*secret).to_owned())).collect();
        env.insert("PEM".to_owned(), pem.clone());
        let surroundings = Surroundings { env: &env, now: NOW, kinds: KINDS, dev: true };
        let settings =
            config::parse("test.toml", &configuration(), surroundings).map_err(|problems| format!("{problems:?}"))?;
        let applications =
            settings.applications.into_iter().map(|application| (application.name.clone(), Arc::new(application)));
        let snapshot = Snapshot { applications: applications.collect(), ..Snapshot::default() };
        let pipeline = Pipeline::new(Seal::random().ok_or("no randomness")?, TaskTracker::new());
        let (facts, metrics) = (Arc::new(Memory::default()), Arc::new(Metrics::default()));
        let ledger = Ledger::new([], Arc::<Memory>::clone(&facts), Arc::clone(&metrics), NOW);
        let books =
            Books { metrics, pseudonyms: Pseudonyms::from_secret(b"of the tests"), ledger, audit: Audit::default() };
        let authority = Authority::new(Arc::new(Fixed::at(NOW)), snapshot, facts, pipeline, books);
        let acme = Pattern::parse("acme/*").ok_or("a pattern")?;
        let caller = Caller { applications: vec![acme], clients: Clients::Any, ..Caller::anyone("tester") };
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(authority.follow_policies(None))?;
        runtime.block_on(authority.ledger().introduce(NOW))?;
        Ok(Self { authority, runtime, caller, pem })
    }

    /// Looks, and holds the laws: each check once and in order; nothing failed where Verify accepts; something failed
    /// where it refuses for a mistake of the integrator; nothing of the input in any text.
    fn look(&self, sent: &Sent) -> Outcome<Seen> {
        let (snapshot, now) = self.authority.present();
        let application =
            snapshot.application_for(&self.caller, sent.application).map_err(|refusal| format!("{refusal:?}"))?;
        let there = !sent.hash.is_empty() || !sent.company_hashes.is_empty();
        let proof = LegacyProof {
            user_hash: sent.hash.clone(),
            hashed: sent.hashed,
            company_hashes: sent.company_hashes.clone(),
        };
        let order = VerifyOrder {
            application: sent.application.to_owned(),
            jwt: sent.jwt.clone(),
            legacy: there.then_some(proof),
            asserted: sent.asserted.clone(),
            audience: sent.audience.clone(),
            client: String::new(),
        };
        let order = DiagnoseOrder { credential: order, suspected_secret: sent.suspected.clone().into() };
        // What is no verdict at all is an error there and never gets here.
        let verdict =
            match self.runtime.block_on(self.authority.diagnose(&mut Account::open("", &self.caller, ""), &order)) {
                Ok(diagnosis) => diagnosis.verdict,
                Err(error) => Some(error.reason().into()),
            };
        let case = Case {
            application,
            others: snapshot.applications_of(&self.caller).map(AsRef::as_ref).collect(),
            caller: &self.caller,
            jwt: sent.jwt.as_deref(),
            user_hash: &sent.hash,
            hashed: sent.hashed,
            company_hashes: &sent.company_hashes,
            asserted: &sent.asserted,
            audience: &sent.audience,
            client: "",
            suspected_secret: &sent.suspected,
            verdict: verdict.as_ref(),
            now,
        };
        let operators = matches!(&verdict, Some(refused) if refused.reason == Reason::KeyUnknown)
            && (application.keys.jwt.is_empty() || application.keys.legacy.is_empty());
        let unsettled = examine(&case);
        let failed = unsettled.iter().filter(|finding| finding.result == Failed).count();
        match &verdict {
            None => assert_eq!(failed, 0, "accepted, and yet: {unsettled:#?}"),
            Some(refused) if !checks_of(refused.reason).is_empty() && !operators => {
                assert!(failed > 0, "{refused:?} unexplained: {unsettled:#?}");
            }
            Some(_) => {}
        }
        let findings = diagnose(&case);
        let names: Vec<_> = findings.iter().map(|finding| finding.check).collect();
        assert_eq!(names, CHECKS.into_iter().chain([SUSPECTED]).collect::<Vec<_>>());
        silent(sent, &findings);
        Ok(Seen { verdict, findings })
    }

    /// Looks, and finds this.
    #[track_caller]
    fn expect(&self, name: &str, sent: &Sent, check: &str, result: FindingResult, texts: (&str, &str)) -> Outcome {
        let seen = self.look(sent)?;
        let finding = seen.findings.iter().find(|finding| finding.check == check).ok_or("no such check")?;
        let (message, remedy) = texts;
        assert_eq!(finding.result, result, "{name}: {:?} {:#?}", seen.verdict, seen.findings);
        assert!(finding.message.contains(message), "{name}: {message:?} is not in {finding:#?}");
        assert!(finding.remedy.contains(remedy), "{name}: {remedy:?} is not in {finding:#?}");
        assert!(result != Failed || seen.verdict.is_some(), "{name}: is accepted");
        Ok(())
    }

    /// Looks, and finds nothing.
    #[track_caller]
    fn expect_good(&self, name: &str, sent: &Sent) -> Outcome {
        let seen = self.look(sent)?;
        assert_eq!(seen.verdict, None, "{name}: {:#?}", seen.findings);
        for finding in &seen.findings {
            assert!(matches!(finding.result, Passed | NotApplicable), "{name}: {finding:?}");
            assert_eq!(finding.remedy, "", "{name}: {finding:?}");
        }
        Ok(())
    }
}

/// No text of the input is in any finding.
fn silent(sent: &Sent, findings: &[Finding]) {
    let mut inputs = vec![ID, EMAIL, sent.hash.as_str(), "Lovelace", "canary"];
    inputs.extend(SECRETS);
    inputs.extend(sent.jwt.iter().flat_map(|token| token.split('.')));
    inputs.extend(sent.company_hashes.iter().map(|(_, hash)| hash.as_str()));
    inputs.extend(std::str::from_utf8(&sent.suspected).ok());
    for finding in findings {
        let text = format!("{} {}", finding.message, finding.remedy);
        for input in inputs.iter().filter(|input| input.len() >= 9 && !PLAIN.contains(input)) {
            assert!(!text.contains(input), "{input:?} is in {finding:?}");
        }
    }
}

/// What is input and text of ours at once.
const PLAIN: [&str; 4] = ["undefined", "[object Object]", "[object Promise]", "Bearer "];

fn name_of(secret: &str) -> String {
    secret.bytes().take(20).filter(u8::is_ascii_alphanumeric).map(char::from).collect()
}

fn private_pem() -> Outcome<String> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let der: aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der()?;
    Ok(pem::encode(&pem::Pem::new("EC PRIVATE KEY", der.as_ref())))
}

fn configuration() -> String {
    let key = |application: &str, id: &str, purpose: &str, secret: &str, more: &str| {
        format!(
            "[applications.\"{application}\".keys.{id}]\npurpose = \"{purpose}\"\nsecret = {{ env = \"S_{}\" }}\n{more}\n",
            name_of(secret)
        )
    };
    let application =
        |name: &str, profile: &str, more: &str| format!("[applications.\"{name}\"]\nprofile = \"{profile}\"\n{more}\n");
    let both = |name: &str, jwt: &str, iv: &str| key(name, "jwt", "jwt", jwt, "") + &key(name, "iv", "legacy", iv, "");
    let end = "retire_at = \"2026-05-01T12:00:00Z\"";
    let start = "not_before = \"2026-07-01T12:00:00Z\"";
    let mut text = String::new();
    text += &application("acme/feedback", "featurebase", "privileged = { user_ids = [\"root\"] }");
    text += &both("acme/feedback", JWT, IV);
    text += "[applications.\"acme/feedback\".attributes.plan]\ntype = \"string\"\n\
             [applications.\"acme/feedback\".company_attributes.industry]\ntype = \"string\"\n";
    text += &application("acme/staging", "featurebase", "environment = \"staging\"");
    text += &both("acme/staging", STAGING_JWT, STAGING_IV);
    text += &application("globex/feedback", "featurebase", "");
    text += &both("globex/feedback", FOREIGN_JWT, FOREIGN_IV);
    text += &application("acme/encoded", "featurebase", "");
    text += &both("acme/encoded", HEX, BASE64);
    text += &application("acme/chat", "pylon", "");
    text += &key("acme/chat", "iv", "legacy", PYLON, "");
    text += &application("acme/messenger", "intercom", "");
    text += &(key("acme/messenger", "jwt", "jwt", ONE, "") + &key("acme/messenger", "iv", "legacy", ONE, ""));
    text += &application(
        "acme/own",
        "generic",
        "tokens = { issuer = \"https://id.acme.example/\", audiences = [\"web\", \"mobile\"] }",
    );
    text += &both("acme/own", OWN_JWT, OWN_IV);
    text += "[applications.\"acme/own\".attributes.plan]\ntype = \"string\"\nrequired = true\n";
    text += &application("acme/zendesk", "zendesk-messaging", "");
    text += &key("acme/zendesk", "main", "jwt", ZENDESK, "kid = \"app_1\"");
    text += &application("acme/signal", "onesignal", "tokens = { issuer = \"app-0815\" }");
    text += "[applications.\"acme/signal\".keys.jwt]\npurpose = \"jwt\"\nsecret = { env = \"PEM\" }\n";
    text += &key("acme/signal", "iv", "legacy", ONESIGNAL, "");
    text += &application("acme/rotating", "featurebase", "");
    text += &(key("acme/rotating", "old", "jwt", OLD_JWT, end) + &key("acme/rotating", "next", "jwt", NEXT_JWT, start));
    text += &(key("acme/rotating", "oldiv", "legacy", OLD_IV, end)
        + &key("acme/rotating", "nextiv", "legacy", NEXT_IV, start));
    text += &application("acme/weak", "help-scout", "");
    text += &key("acme/weak", "iv", "legacy", WEAK, "allow_weak = true");
    text += &application("acme/ended", "featurebase", "acceptance = { hash_until = \"2026-01-01T00:00:00Z\" }");
    text += &application("acme/soon", "featurebase", "acceptance = { jwt_from = \"2027-01-01T00:00:00Z\" }");
    text += "[applications.\"acme/soon\".keys.jwt]\npurpose = \"jwt\"\nsecret = { env = \"S_SOON_JWT\" }\n\
             [applications.\"acme/soon\".keys.iv]\npurpose = \"legacy\"\nsecret = { env = \"S_SOON_IV\" }\n";
    text.replace("S_SOON_JWT", &format!("S_{}\" }}\nshared_secret = true # \"", name_of(STAGING_JWT)))
        .replace("S_SOON_IV", &format!("S_{}\" }}\nshared_secret = true # \"", name_of(STAGING_IV)))
        .replace(&staging("jwt", STAGING_JWT), &(staging("jwt", STAGING_JWT) + "shared_secret = true\n"))
        .replace(&staging("iv", STAGING_IV), &(staging("iv", STAGING_IV) + "shared_secret = true\n"))
}

fn staging(id: &str, secret: &str) -> String {
    let purpose = if id == "iv" { "legacy" } else { "jwt" };
    format!(
        "[applications.\"acme/staging\".keys.{id}]\npurpose = \"{purpose}\"\nsecret = {{ env = \"S_{}\" }}\n",
        name_of(secret)
    )
}

/// Seconds since 1970, so many from now.
const fn at(seconds: i64) -> i64 {
    NOW.unix_timestamp() + seconds
}

fn claims() -> Value {
    json!({ "userId": ID, "email": EMAIL, "name": "Ada", "plan": "Premium", "iat": at(-60), "exp": at(3_600),
        "companies": [{ "id": "c-9", "name": "Acme", "monthlySpend": 500, "industry": "Fintech" }] })
}

/// The claims with a change.
fn with(mut claims: Value, change: Value) -> Value {
    if let (Value::Object(all), Value::Object(change)) = (&mut claims, change) {
        for (name, value) in change {
            all.insert(name, value);
        }
    }
    claims
}

fn without(mut claims: Value, names: &[&str]) -> Value {
    if let Value::Object(all) = &mut claims {
        for name in names {
            all.remove(*name);
        }
    }
    claims
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn mac(algorithm: Algorithm, secret: &[u8], message: &[u8]) -> Vec<u8> {
    HmacKey::new(algorithm, Secret::new(secret.to_vec())).map(|key| key.mac(message)).unwrap_or_default()
}

/// A token as a library makes it.
fn sign(secret: impl AsRef<[u8]>, claims: &Value) -> String {
    sign_as(&json!({ "alg": "HS256", "typ": "JWT" }), claims.to_string(), secret)
}

/// A token with that header over that payload, always by HS256.
fn sign_as(header: &Value, payload: impl AsRef<[u8]>, secret: impl AsRef<[u8]>) -> String {
    let input = format!("{}.{}", encode(header.to_string()), encode(payload));
    let signature = mac(Algorithm::HS256, secret.as_ref(), input.as_bytes());
    format!("{input}.{}", encode(signature))
}

fn hash(secret: impl AsRef<[u8]>, message: impl AsRef<[u8]>) -> String {
    hex::encode(mac(Algorithm::HS256, secret.as_ref(), message.as_ref()))
}

fn ada() -> Identity {
    Identity { user_id: Some(ID.to_owned()), email: Some(EMAIL.to_owned()), ..Identity::default() }
}

fn with_company() -> Identity {
    let company = Company { id: "c-9".to_owned(), name: Some("Acme Company".to_owned()), ..Company::default() };
    Identity { companies: vec![company], name: Some("Ada canary".to_owned()), ..ada() }
}

fn of_token(token: impl Into<String>) -> Sent {
    Sent { application: "acme/feedback", jwt: Some(token.into()), ..Sent::default() }
}

fn of_claims(claims: &Value) -> Sent {
    of_token(sign(JWT, claims))
}

fn of_hash(hash: impl Into<String>) -> Sent {
    Sent { application: "acme/feedback", hash: hash.into(), asserted: ada(), ..Sent::default() }
}

fn to(application: &'static str, sent: Sent) -> Sent {
    Sent { application, ..sent }
}

fn suspecting(secret: impl AsRef<[u8]>, sent: Sent) -> Sent {
    Sent { suspected: secret.as_ref().to_vec(), ..sent }
}
