//! `countersign.v1.TokenAuthority`: each RPC finds its caller, reads its request, asks the authority and writes the
//! answer. An item of a batch goes the same way as a single call.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::stream::{self, StreamExt as _};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::proto::token_authority_server::TokenAuthority;
use super::request_id::RequestId;
use super::signals::Signals;
use super::{answer, caller, convert, deadline, proto, status};
use crate::account::{Account, Ending};
use crate::authority::Authority;
use crate::caller::{Caller, Permission};
use crate::order::{ExchangeOrder, SignOrder};
use crate::refusal::Refusal;

/// The service on the wire.
#[derive(Clone, Debug)]
pub struct Service {
    authority: Arc<Authority>,
}

pub(super) type Answer<T> = Result<Response<T>, Status>;

/// What is answered, and what its metadata tells.
type Told<T> = Result<(T, Signals), Refusal>;

/// Who calls, and until when they wait.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) caller: Arc<Caller>,
    pub(super) deadline: Option<Instant>,
    request_id: RequestId,
}

impl Call {
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let caller = caller::of(request).map_err(|refusal| status::status(&refusal))?;
        let request_id = request.extensions().get().cloned().unwrap_or_default();
        Ok(Self { caller, deadline: deadline::of(request.metadata()), request_id })
    }

    /// An account of this call of the RPC.
    pub(super) fn account(&self, rpc: &'static str, application: &str) -> Account<'_> {
        let request_id = self.request_id.0.to_string();
        Account { request_id, ..Account::open(rpc, &self.caller, application) }
    }

    pub(super) fn allowed(&self, permission: Permission) -> Result<(), Refusal> {
        self.caller.require(permission)
    }
}

impl Service {
    /// The service over an authority.
    #[must_use]
    pub const fn new(authority: Arc<Authority>) -> Self {
        Self { authority }
    }

    async fn sign_one(&self, call: &Call, request: proto::SignRequest) -> Told<proto::SignResponse> {
        let explain = request.explain;
        let mut account = call.account("Sign", &request.application);
        let result = match call.allowed(Permission::Sign).and_then(|()| convert::sign(request)) {
            Ok(order) => {
                let order = SignOrder { deadline: call.deadline, ..order };
                self.authority.sign(&mut account, &order).await
            }
            Err(refusal) => Err(refusal),
        };
        let result = self.authority.close(account, Ending::of(&result)).await.and(result);
        result.map(|signed| (answer::signed(signed, explain), Signals::default()))
    }

    async fn verify_one(&self, call: &Call, request: proto::VerifyRequest) -> Told<proto::VerifyResponse> {
        let mut account = call.account("Verify", &request.application);
        let result = match call.allowed(Permission::Verify).and_then(|()| convert::verify(request)) {
            Ok(order) => self.authority.verify(&mut account, &order).await,
            Err(refusal) => Err(refusal),
        };
        let outcome = self.authority.close(account, Ending::of_verdict(&result)).await.and(result)?;
        let signals = Signals::of(outcome.notices(|accepted| &accepted.notices));
        Ok((answer::verified(outcome), signals))
    }

    async fn hash_one(&self, call: &Call, request: proto::LegacyHashRequest) -> Told<proto::LegacyHashResponse> {
        let mut account = call.account("LegacyHash", &request.application);
        let order = call.allowed(Permission::LegacyHash).and_then(|()| convert::legacy_hash(request));
        let result = order.and_then(|order| self.authority.legacy_hash(&mut account, &order));
        let hashed = self.authority.close(account, Ending::of(&result)).await.and(result)?;
        let signals = Signals::of(&hashed.notices);
        Ok((answer::hashed(hashed), signals))
    }

    async fn exchange_one(&self, call: &Call, request: proto::ExchangeRequest) -> Told<proto::ExchangeResponse> {
        let mut account = call.account("Exchange", &request.application);
        let result = match call.allowed(Permission::Exchange).and_then(|()| convert::exchange(request)) {
            Ok(order) => {
                let order = ExchangeOrder { deadline: call.deadline, ..order };
                self.authority.exchange(&mut account, &order).await
            }
            Err(refusal) => Err(refusal),
        };
        let outcome = self.authority.close(account, Ending::of_verdict(&result)).await.and(result)?;
        let signals = Signals::of(outcome.notices(|signed| &signed.notices));
        Ok((answer::exchanged(outcome), signals))
    }

    async fn diagnose_one(&self, call: &Call, request: proto::DiagnoseRequest) -> Told<proto::DiagnoseResponse> {
        let mut account = call.account("Diagnose", &request.application);
        let result = match call.allowed(Permission::Diagnose).and_then(|()| convert::diagnose(request)) {
            Ok(order) => self.authority.diagnose(&mut account, &order).await,
            Err(refusal) => Err(refusal),
        };
        let result = self.authority.close(account, Ending::of(&result)).await.and(result);
        result.map(|diagnosis| (answer::diagnosed(diagnosis), Signals::default()))
    }

    async fn revoke_one(&self, call: &Call, request: proto::RevokeRequest) -> Told<proto::RevokeResponse> {
        let mut account = call.account("Revoke", &request.application);
        let key = matches!(request.target, Some(proto::revoke_request::Target::KeyId(_)));
        let needs = if key { Permission::Admin } else { Permission::Revoke };
        let result = match call.allowed(needs).and_then(|()| convert::revoke(request)) {
            Ok(order) => self.authority.revoke(&mut account, &order).await,
            Err(refusal) => Err(refusal),
        };
        let result = self.authority.close(account, Ending::of(&result)).await.and(result);
        result.map(|revoked_at| (answer::revoked(revoked_at), Signals::default()))
    }

    async fn restore_one(&self, call: &Call, request: proto::RestoreRequest) -> Told<proto::RestoreResponse> {
        let mut account = call.account("Restore", &request.application);
        let result = match call.allowed(Permission::Admin).and_then(|()| convert::restore(request)) {
            Ok(order) => self.authority.restore(&mut account, &order).await,
            Err(refusal) => Err(refusal),
        };
        let result = self.authority.close(account, Ending::of(&result)).await.and(result);
        result.map(|was_revoked| (proto::RestoreResponse { was_revoked }, Signals::default()))
    }
}

impl Service {
    /// Writes down that a batch was turned away whole: no item of it is looked at.
    async fn turn_away(&self, call: &Call, rpc: &'static str, refusal: Refusal) -> Status {
        let account = call.account(rpc, "");
        let closed = self.authority.close(account, Ending::Failed(refusal.reason())).await;
        status::status(&closed.err().unwrap_or(refusal))
    }
}

/// An answer with what its metadata tells.
fn respond<T>(told: Told<T>) -> Answer<T> {
    let (message, signals) = told.map_err(|refusal| status::status(&refusal))?;
    let mut response = Response::new(message);
    signals.write(response.metadata_mut());
    Ok(response)
}

/// Answers one call.
macro_rules! one {
    ($self:ident.$method:ident($request:ident)) => {{
        let call = Call::of(&$request)?;
        respond($self.$method(&call, $request.into_inner()).await)
    }};
}

/// Items of a batch that are under way at once: while one waits for a claim source, others go on.
const BATCH_AT_ONCE: usize = 32;

/// Answers a batch: every item as its own call, off the runtime's workers, because a thousand asymmetric signatures
/// would keep one of them from everybody else.
macro_rules! many {
    ($self:ident.$method:ident($request:ident), $rpc:literal, $permission:expr, $result:ident, $outcome:path) => {{
        use $outcome as Wire;
        let call = Call::of(&$request)?;
        let requests = call.allowed($permission).and_then(|()| convert::batch($request.into_inner().requests));
        let requests = match requests {
            Ok(requests) => requests,
            Err(refusal) => return Err($self.turn_away(&call, $rpc, refusal).await),
        };
        let service = $self.clone();
        let runtime = tokio::runtime::Handle::current();
        let work = move || {
            let item = async |request| {
                let answer = AssertUnwindSafe(service.$method(&call, request)).catch_unwind();
                let (outcome, signals) = match answer.await.unwrap_or(Err(Refusal::Internal)) {
                    Ok((response, signals)) => (Wire::Response(response), signals),
                    Err(refusal) => (Wire::Failure(status::failure(&refusal)), Signals::default()),
                };
                (proto::$result { outcome: Some(outcome) }, signals)
            };
            let items = stream::iter(requests.into_iter().map(item)).buffered(BATCH_AT_ONCE);
            let (results, signals): (Vec<_>, Vec<_>) = runtime.block_on(items.unzip());
            (results, signals.into_iter().fold(Signals::default(), Signals::and))
        };
        tokio::task::spawn_blocking(work).await.map_err(|_panic| status::incident())?
    }};
}

#[tonic::async_trait]
impl TokenAuthority for Service {
    async fn sign(&self, request: Request<proto::SignRequest>) -> Answer<proto::SignResponse> {
        one!(self.sign_one(request))
    }

    async fn verify(&self, request: Request<proto::VerifyRequest>) -> Answer<proto::VerifyResponse> {
        one!(self.verify_one(request))
    }

    async fn legacy_hash(&self, request: Request<proto::LegacyHashRequest>) -> Answer<proto::LegacyHashResponse> {
        one!(self.hash_one(request))
    }

    async fn exchange(&self, request: Request<proto::ExchangeRequest>) -> Answer<proto::ExchangeResponse> {
        one!(self.exchange_one(request))
    }

    async fn diagnose(&self, request: Request<proto::DiagnoseRequest>) -> Answer<proto::DiagnoseResponse> {
        let call = Call::of(&request)?;
        // Off the runtime's workers: it tries hundreds of secrets.
        let (service, runtime) = (self.clone(), tokio::runtime::Handle::current());
        let work = move || runtime.block_on(service.diagnose_one(&call, request.into_inner()));
        respond(tokio::task::spawn_blocking(work).await.map_err(|_panic| status::incident())?)
    }

    async fn revoke(&self, request: Request<proto::RevokeRequest>) -> Answer<proto::RevokeResponse> {
        one!(self.revoke_one(request))
    }

    async fn restore(&self, request: Request<proto::RestoreRequest>) -> Answer<proto::RestoreResponse> {
        one!(self.restore_one(request))
    }

    async fn batch_sign(&self, request: Request<proto::BatchSignRequest>) -> Answer<proto::BatchSignResponse> {
        let (results, signals) =
            many!(self.sign_one(request), "BatchSign", Permission::Sign, SignResult, proto::sign_result::Outcome);
        respond(Ok((proto::BatchSignResponse { results }, signals)))
    }

    async fn batch_verify(&self, request: Request<proto::BatchVerifyRequest>) -> Answer<proto::BatchVerifyResponse> {
        let (results, signals) = many!(
            self.verify_one(request),
            "BatchVerify",
            Permission::Verify,
            VerifyResult,
            proto::verify_result::Outcome
        );
        respond(Ok((proto::BatchVerifyResponse { results }, signals)))
    }

    async fn batch_legacy_hash(
        &self,
        request: Request<proto::BatchLegacyHashRequest>,
    ) -> Answer<proto::BatchLegacyHashResponse> {
        let (results, signals) = many!(
            self.hash_one(request),
            "BatchLegacyHash",
            Permission::LegacyHash,
            LegacyHashResult,
            proto::legacy_hash_result::Outcome
        );
        respond(Ok((proto::BatchLegacyHashResponse { results }, signals)))
    }
}
