//! A real server on a free port, with a clock that stands where the test puts it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use countersign::account::Books;
use countersign::authority::Authority;
use countersign::clock::{Clock, Fixed};
use countersign::config::{self, Problem, Settings, World};
use countersign::grpc::caller::Gate;
use countersign::grpc::proto::token_authority_client::TokenAuthorityClient;
use countersign::grpc::proto::{self, Reason};
use countersign::ledger::{Added, Batch, EVERY_APPLICATION, Evidence, Ledger, Sighting};
use countersign::observe::Metrics;
use countersign::pipeline::registry::{KINDS, Kind};
use countersign::pseudonym::Pseudonyms;
use countersign::serve::{Listeners, audit, follow_policies, pipeline, serve, shared_redis, state};
use countersign::store::{
    Away, Counting, Document, Documents, FactKey, Facts, Memory, Name, OneTime, Revocations, Revoked, Revoking, State,
    Use,
};
use countersign_test_services::Redis;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Date, UtcDateTime};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

pub type Client = TokenAuthorityClient<Channel>;

pub const APP: &str = "acme/feedback";
pub const TOKEN: &str = "billing-token";
pub const JWT_SECRET: &str = "jwt-secret-of-the-tests-0123456789abcdef";
pub const IV_SECRET: &str = "iv_secret-of-the-tests-0123456789abcdef";
/// 2026-06-01T00:00:00Z
pub const NOW: i64 = 1_780_272_000;

/// The configuration that most tests start from; `EXTRA` marks where a test adds to the application.
pub const CONFIG: &str = r#"
[callers.billing]
token_sha256 = "33bcdd5d2ccae8b4b9ab5e2aedb3ec48d5a21f0c5d8a3c0ebb5b0f52fb8a2ffb"
may = ["sign", "verify", "legacy_hash", "exchange", "diagnose", "revoke", "admin"]
applications = ["acme/*"]
clients = ["web", "ios"]
[store]
kind = "embedded"
path = "unused"
[applications."acme/feedback"]
profile = "featurebase"
privileged = { user_ids = ["root"], emails = ["boss@b.example"], domains = ["acme.example"] }
[applications."acme/feedback".keys.jwt-2026]
purpose = "jwt"
secret = { env = "JWT_SECRET" }
[applications."acme/feedback".keys.iv]
purpose = "legacy"
secret = { env = "IV_SECRET" }
[applications."acme/feedback".attributes.plan]
type = "string"
[applications."acme/feedback".attributes.title]
type = "string"
[applications."acme/feedback".attributes.number]
type = "string"
[applications."acme/feedback".attributes.seats]
type = "number"
[applications."acme/feedback".attributes.theme]
type = "string"
secure = false
[applications."acme/feedback".company_attributes.industry]
type = "string"
[applications."acme/feedback".company_attributes.location]
type = "string"
secure = false
"#;

/// What a server is started with.
pub struct Setup {
    pub config: String,
    pub env: BTreeMap<String, String>,
    pub now: i64,
    pub kinds: Vec<&'static dyn Kind>,
    pub state: Arc<dyn State>,
    /// Whether state is where `[store]` says, and not in `state`.
    pub as_configured: bool,
}

/// A running server.
pub struct Running {
    pub client: Client,
    pub channel: Channel,
    pub clock: Arc<Fixed>,
    pub state: Arc<dyn State>,
    pub address: SocketAddr,
    serving: Serving,
}

/// Ends the server when dropped.
struct Serving {
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Default for Setup {
    fn default() -> Self {
        let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(TOKEN));
        let config = CONFIG.replace("33bcdd5d2ccae8b4b9ab5e2aedb3ec48d5a21f0c5d8a3c0ebb5b0f52fb8a2ffb", &digest);
        let env = [("JWT_SECRET", JWT_SECRET), ("IV_SECRET", IV_SECRET)];
        Self {
            config,
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            now: NOW,
            kinds: KINDS.to_vec(),
            state: Arc::new(Memory::default()),
            as_configured: false,
        }
    }
}

impl Setup {
    /// Keeps state in the Redis, beside others with the same prefix.
    pub fn on(self, redis: &Redis) -> Self {
        self.on_any(&redis.url(), "")
    }

    /// The same with a Redis that is reached in some other way. `more`: what stands in `[store]` besides.
    pub fn on_any(self, url: &str, more: &str) -> Self {
        let store = format!("kind = \"redis\"\nurl = {{ env = \"STORE_URL\" }}\nprefix = \"test\"\n{more}\n");
        let setup = self.replace("kind = \"embedded\"\npath = \"unused\"", &store);
        let setup = setup.replace("[store]", "[server]\npseudonym_secret = { env = \"PSEUDONYM\" }\n[store]");
        let setup = setup.env("STORE_URL", url).env("PSEUDONYM", "a secret of the tests that all servers have");
        Self { as_configured: true, ..setup }
    }

    /// Adds to the configuration.
    pub fn and(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self
    }

    /// Adds to the application's own table.
    pub fn policy(self, toml: &str) -> Self {
        self.and(&format!("[applications.\"acme/feedback\".acceptance]\n{toml}\n"))
    }

    pub fn replace(mut self, from: &str, to: &str) -> Self {
        assert!(self.config.contains(from), "{from} is not in the configuration");
        self.config = self.config.replace(from, to);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub const fn at(mut self, now: i64) -> Self {
        self.now = now;
        self
    }

    pub fn check(&self) -> Result<Settings, Vec<Problem>> {
        let now = UtcDateTime::from_unix_timestamp(self.now).unwrap();
        let world = World { env: &self.env, now, kinds: &self.kinds, dev: false };
        config::parse("countersign.toml", &self.config, world)
    }

    pub async fn start(self) -> Running {
        let (address, clock, state, serving) = self.serve().await;
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let client = TokenAuthorityClient::new(channel.clone());
        Running { client, channel, clock, state, address, serving }
    }

    /// Serves until the test ends, for clients that connect in their own way.
    pub async fn listen(self) -> SocketAddr {
        let (address, _, _, serving) = self.serve().await;
        std::mem::forget(serving.stop);
        address
    }

    async fn serve(self) -> (SocketAddr, Arc<Fixed>, Arc<dyn State>, Serving) {
        let settings = self.check().unwrap_or_else(|problems| panic!("{problems:#?}"));
        let (metrics, tasks, redis) = (Arc::new(Metrics::default()), TaskTracker::new(), shared_redis(&settings));
        // A store that is new is older than the tokens that are made from now on.
        let now = UtcDateTime::from_unix_timestamp(self.now).unwrap();
        let clock = Arc::new(Fixed::at(now - std::time::Duration::from_secs(1)));
        let state = if self.as_configured {
            let clock = Arc::clone(&clock) as Arc<dyn Clock>;
            state(&settings, redis.clone(), clock, Arc::clone(&metrics), &tasks).await.unwrap()
        } else {
            self.state
        };
        clock.set(now);
        let pipeline = pipeline(&settings, redis, &tasks).await.unwrap();
        let pseudonyms = Pseudonyms::from_secret(b"of the tests");
        let telling: Arc<Fixed> = Arc::clone(&clock);
        let audit = audit(&settings, telling, &state, &pseudonyms, &metrics).unwrap();
        let (server, callers, snapshot) = settings.open(&metrics).await.unwrap();
        let gate = Gate::known(callers, Arc::clone(&metrics));
        let shared: Arc<Fixed> = Arc::clone(&clock);
        let names = snapshot.applications.keys().map(String::as_str);
        let ledger = Ledger::new(names, Arc::<dyn State>::clone(&state), Arc::clone(&metrics), clock.now());
        let books = Books { metrics, pseudonyms, ledger, audit };
        let authority = Arc::new(Authority::new(shared, snapshot, Arc::clone(&state), pipeline, books));
        // Known before the first request comes, where the store is there.
        authority.follow_policies(None).await.map(|_followed| ()).unwrap_or_default();
        authority.ledger().introduce(now).await.unwrap_or_default();
        #[expect(clippy::disallowed_methods, reason = "the server of a test ends with its runtime")]
        tokio::spawn(follow_policies(Arc::clone(&authority)));
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = grpc.local_addr().unwrap();
        let admin = match server.admin_listen {
            None => None,
            Some(address) => Some(TcpListener::bind(address).await.unwrap()),
        };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        #[expect(clippy::disallowed_methods, reason = "the server of a test ends with its runtime")]
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve(Listeners { grpc, admin }, authority, gate, server.tls.as_ref(), stopped).await.unwrap();
        });
        (address, clock, state, Serving { stop, task })
    }
}

/// A store that went away after the start.
#[derive(Default)]
pub struct NoStore(Revocations);

#[tonic::async_trait]
impl OneTime for NoStore {
    async fn is_used(&self, _token: Name, _now: UtcDateTime) -> Result<bool, Away> {
        Err(Away)
    }

    async fn use_up(&self, _used: Use, _now: UtcDateTime) -> Result<bool, Away> {
        Err(Away)
    }
}

#[tonic::async_trait]
impl Revoking for NoStore {
    fn revoked(&self) -> &Revocations {
        &self.0
    }

    async fn revoke(&self, _revoked: Vec<Revoked>, _now: UtcDateTime) -> Result<(), Away> {
        Err(Away)
    }

    async fn restore(&self, _name: Name, _now: UtcDateTime) -> Result<bool, Away> {
        Err(Away)
    }
}

#[tonic::async_trait]
impl Facts for NoStore {
    async fn first_jwt(&self, _key: FactKey<'_>) -> Result<Option<UtcDateTime>, Away> {
        Err(Away)
    }

    async fn saw_jwt(&self, _key: FactKey<'_>, _at: UtcDateTime) -> Result<(), Away> {
        Err(Away)
    }
}

#[tonic::async_trait]
impl Counting for NoStore {
    async fn add(&self, batch: &Arc<Batch>) -> Result<Added, Away> {
        // At the start it was there, and took the first word of the server.
        if batch.application == EVERY_APPLICATION && batch.number == 1 { Ok(Added::Kept) } else { Err(Away) }
    }

    async fn evidence(
        &self,
        _application: &str,
        _days: RangeInclusive<Date>,
        _now: UtcDateTime,
    ) -> Result<Evidence, Away> {
        Err(Away)
    }

    async fn stragglers(&self, _application: &str, _since: UtcDateTime, _limit: usize) -> Result<Vec<Sighting>, Away> {
        Err(Away)
    }

    async fn sightings(&self, _application: &str, _pseudonyms: &[String]) -> Result<Vec<Sighting>, Away> {
        Err(Away)
    }
}

#[tonic::async_trait]
impl Documents for NoStore {
    /// Nothing was there at the start.
    async fn documents(&self, _kind: &str) -> Result<BTreeMap<String, Document>, Away> {
        Ok(BTreeMap::new())
    }

    async fn document(&self, _kind: &str, _name: &str) -> Result<Option<Document>, Away> {
        Err(Away)
    }

    async fn keep(&self, _kind: &str, _name: &str, _known: u64, _bytes: Vec<u8>) -> Result<bool, Away> {
        Err(Away)
    }

    async fn number(&self, _kind: &str) -> Result<u64, Away> {
        Ok(0)
    }
}

/// A server with the usual configuration.
pub async fn start() -> Running {
    Setup::default().start().await
}

/// The request, from the caller `billing`.
pub fn from_billing<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    request
}

impl Running {
    pub async fn sign(&mut self, request: proto::SignRequest) -> Result<proto::SignResponse, Status> {
        self.client.sign(from_billing(request)).await.map(tonic::Response::into_inner)
    }

    pub async fn verify(&mut self, request: proto::VerifyRequest) -> Result<proto::VerifyResponse, Status> {
        self.client.verify(from_billing(request)).await.map(tonic::Response::into_inner)
    }

    pub async fn hash(&mut self, request: proto::LegacyHashRequest) -> Result<proto::LegacyHashResponse, Status> {
        self.client.legacy_hash(from_billing(request)).await.map(tonic::Response::into_inner)
    }

    pub async fn exchange(&mut self, request: proto::ExchangeRequest) -> Result<proto::ExchangeResponse, Status> {
        self.client.exchange(from_billing(request)).await.map(tonic::Response::into_inner)
    }

    pub async fn accepted(&mut self, request: proto::VerifyRequest) -> proto::Accepted {
        match self.verify(request).await.unwrap().outcome.unwrap() {
            proto::verify_response::Outcome::Accepted(accepted) => accepted,
            proto::verify_response::Outcome::Refused(refused) => panic!("refused: {refused:?}"),
        }
    }

    pub async fn refused(&mut self, request: proto::VerifyRequest) -> proto::Refused {
        match self.verify(request).await.unwrap().outcome.unwrap() {
            proto::verify_response::Outcome::Refused(refused) => refused,
            proto::verify_response::Outcome::Accepted(accepted) => panic!("accepted: {accepted:?}"),
        }
    }

    /// Returns when health says SERVING.
    pub async fn until_serving(&self) {
        until_serving(&self.channel).await;
    }

    /// Why Verify refuses.
    pub async fn why(&mut self, request: proto::VerifyRequest) -> Reason {
        self.refused(request).await.reason()
    }

    /// Stops the server, and returns when it has written everything.
    pub async fn stop(self) {
        let Self { serving: Serving { stop, task }, client, channel, .. } = self;
        // It waits for connections to end.
        drop((stop, client, channel));
        task.await.unwrap();
    }

    pub fn set_now(&self, at: i64) {
        self.clock.set(UtcDateTime::from_unix_timestamp(at).unwrap());
    }
}

/// Returns when the health of the server there says SERVING.
pub async fn until_serving(channel: &Channel) {
    let mut health = HealthClient::new(channel.clone());
    let mut changes = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let serving = async { while changes.message().await.unwrap().unwrap().status != 1 {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), serving).await.expect("it serves");
}

/// The guide's own user and company.
pub fn guide() -> proto::Identity {
    proto::Identity {
        user_id: "123456".to_owned(),
        email: "user@example.com".to_owned(),
        name: "User Name".to_owned(),
        profile_picture: "https://example.com/images/yourcustomer.png".to_owned(),
        companies: vec![proto::Company {
            id: "987654321".to_owned(),
            name: "Business Inc. 23".to_owned(),
            monthly_spend: Some(500.0),
            created_at: Some(timestamp("2023-05-19T15:35:49.915Z")),
            attributes: Some(attributes(json!({"industry": "Fintech", "location": "Canada"}))),
        }],
        attributes: Some(attributes(json!({"title": "Product Manager", "plan": "Premium", "number": "123"}))),
        ..proto::Identity::default()
    }
}

pub fn user(user_id: &str) -> proto::Identity {
    proto::Identity { user_id: user_id.to_owned(), ..proto::Identity::default() }
}

pub fn sign_for(identity: proto::Identity) -> proto::SignRequest {
    proto::SignRequest { application: APP.to_owned(), identity: Some(identity), ..proto::SignRequest::default() }
}

pub fn verify_jwt(token: impl Into<String>) -> proto::VerifyRequest {
    proto::VerifyRequest { application: APP.to_owned(), jwt: Some(token.into()), ..proto::VerifyRequest::default() }
}

pub fn verify_hash(user_id: &str, hash: impl Into<String>) -> proto::VerifyRequest {
    proto::VerifyRequest {
        application: APP.to_owned(),
        legacy: Some(proto::LegacyProof { user_hash: hash.into(), ..proto::LegacyProof::default() }),
        asserted: Some(user(user_id)),
        ..proto::VerifyRequest::default()
    }
}

pub fn hash_of(user_id: &str) -> proto::LegacyHashRequest {
    proto::LegacyHashRequest { application: APP.to_owned(), user_id: user_id.to_owned(), ..Default::default() }
}

pub fn timestamp(text: &str) -> prost_types::Timestamp {
    let at = UtcDateTime::parse(text, &Rfc3339).unwrap();
    prost_types::Timestamp { seconds: at.unix_timestamp(), nanos: at.nanosecond().try_into().unwrap() }
}

pub fn attributes(value: Value) -> prost_types::Struct {
    let Value::Object(members) = value else { panic!("attributes are an object") };
    prost_types::Struct { fields: members.into_iter().map(|(name, value)| (name, proto_value(value))).collect() }
}

pub fn proto_value(value: Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap()),
        Value::String(value) => Kind::StringValue(value),
        Value::Array(items) => {
            Kind::ListValue(prost_types::ListValue { values: items.into_iter().map(proto_value).collect() })
        }
        value @ Value::Object(_) => Kind::StructValue(attributes(value)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// An HS256 token over these claims, made by `jsonwebtoken` and not by us.
pub fn foreign_token(claims: &Value, secret: &str) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).unwrap()
}

/// A token of the usual application over these claims; `iat` and `exp` are there unless the claims say otherwise.
pub fn token(claims: Value) -> String {
    let mut all = json!({"userId": "123456", "iat": NOW, "exp": NOW + 3_600});
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    all.as_object_mut().unwrap().retain(|_, value| value != "absent");
    foreign_token(&all, JWT_SECRET)
}

/// The payload of a token.
pub fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// A compact JWS over exactly these bytes.
pub fn raw_token(header: &str, payload: &[u8], secret: &str) -> String {
    use base64::Engine as _;
    use hmac::{KeyInit as _, Mac as _};
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let input = format!("{}.{}", encode(header.as_bytes()), encode(payload));
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(input.as_bytes());
    format!("{input}.{}", encode(&mac.finalize().into_bytes()))
}

pub fn user_hash(identifier: &str, secret: &str) -> String {
    use hmac::{KeyInit as _, Mac as _};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(identifier.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// What an error says: code, reason, fields.
pub fn error(status: &Status) -> (Code, String, Vec<String>) {
    let details = status.get_error_details();
    let info = details.error_info().expect("every error has ErrorInfo");
    assert_eq!(info.domain, "countersign");
    let fields = details.bad_request().map(|bad| bad.field_violations.iter().map(|v| v.field.clone()).collect());
    (status.code(), info.reason.clone(), fields.unwrap_or_default())
}

/// The codes of the notices.
pub fn codes(notices: &[proto::Notice]) -> Vec<proto::NoticeCode> {
    notices.iter().map(proto::Notice::code).collect()
}
