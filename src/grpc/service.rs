//! `countersign.v1.TokenAuthority`: each RPC finds its caller, reads its request, asks the authority and writes the
//! answer. An item of a batch goes the same way as a single call.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::stream::{self, StreamExt as _};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::proto::token_authority_server::TokenAuthority;
use super::{answer, caller, convert, deadline, proto, status};
use crate::authority::Authority;
use crate::caller::{Caller, Permission};
use crate::order::{ExchangeOrder, Outcome, SignOrder};
use crate::refusal::{Reason, Refusal};

/// The service on the wire.
#[derive(Clone, Debug)]
pub struct Service {
    authority: Arc<Authority>,
}

pub(super) type Answer<T> = Result<Response<T>, Status>;

/// Who calls, and until when they wait.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) caller: Arc<Caller>,
    pub(super) deadline: Option<Instant>,
}

impl Call {
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let caller = caller::of(request).map_err(|refusal| status::status(&refusal))?;
        Ok(Self { caller, deadline: deadline::of(request.metadata()) })
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

    async fn sign_one(&self, call: &Call, request: proto::SignRequest) -> Result<proto::SignResponse, Refusal> {
        let explain = request.explain;
        let name = request.application.clone();
        let result = match call.allowed(Permission::Sign).and_then(|()| convert::sign(request)) {
            Ok(order) => {
                let order = SignOrder { deadline: call.deadline, ..order };
                self.authority.sign(&call.caller, &order).await
            }
            Err(refusal) => Err(refusal),
        };
        let key = result.as_ref().map_or("", |signed| signed.key_id.as_str());
        self.authority.decided("Sign", &call.caller, &name, key, result.as_ref().err().map(Refusal::reason));
        result.map(|signed| answer::signed(signed, explain))
    }

    async fn verify_one(&self, call: &Call, request: proto::VerifyRequest) -> Result<proto::VerifyResponse, Refusal> {
        let name = request.application.clone();
        let result = match call.allowed(Permission::Verify).and_then(|()| convert::verify(request)) {
            Ok(order) => self.authority.verify(&call.caller, &order).await,
            Err(refusal) => Err(refusal),
        };
        let (key, reason) = outcome(&result, |accepted| &accepted.proof.key_id);
        self.authority.decided("Verify", &call.caller, &name, key, reason);
        result.map(answer::verified)
    }

    async fn hash_one(
        &self,
        call: &Call,
        request: proto::LegacyHashRequest,
    ) -> Result<proto::LegacyHashResponse, Refusal> {
        let name = request.application.clone();
        let order = call.allowed(Permission::LegacyHash).and_then(|()| convert::legacy_hash(request));
        let result = order.and_then(|order| self.authority.legacy_hash(&call.caller, &order));
        let key = result.as_ref().map_or("", |hashed| hashed.key_id.as_str());
        self.authority.decided("LegacyHash", &call.caller, &name, key, result.as_ref().err().map(Refusal::reason));
        result.map(answer::hashed)
    }

    async fn exchange_one(
        &self,
        call: &Call,
        request: proto::ExchangeRequest,
    ) -> Result<proto::ExchangeResponse, Refusal> {
        let name = request.application.clone();
        let result = match call.allowed(Permission::Exchange).and_then(|()| convert::exchange(request)) {
            Ok(order) => {
                let order = ExchangeOrder { deadline: call.deadline, ..order };
                self.authority.exchange(&call.caller, &order).await
            }
            Err(refusal) => Err(refusal),
        };
        let (key, reason) = outcome(&result, |signed| &signed.key_id);
        self.authority.decided("Exchange", &call.caller, &name, key, reason);
        result.map(answer::exchanged)
    }

    async fn diagnose_one(
        &self,
        call: &Call,
        request: proto::DiagnoseRequest,
    ) -> Result<proto::DiagnoseResponse, Refusal> {
        let name = request.application.clone();
        let result = match call.allowed(Permission::Diagnose).and_then(|()| convert::diagnose(request)) {
            Ok(order) => self.authority.diagnose(&call.caller, &order).await,
            Err(refusal) => Err(refusal),
        };
        self.authority.decided("Diagnose", &call.caller, &name, "", result.as_ref().err().map(Refusal::reason));
        result.map(answer::diagnosed)
    }

    async fn revoke_one(&self, call: &Call, request: proto::RevokeRequest) -> Result<proto::RevokeResponse, Refusal> {
        let name = request.application.clone();
        let key = matches!(request.target, Some(proto::revoke_request::Target::KeyId(_)));
        let needs = if key { Permission::Admin } else { Permission::Revoke };
        let result = match call.allowed(needs).and_then(|()| convert::revoke(request)) {
            Ok(order) => self.authority.revoke(&call.caller, &order).await,
            Err(refusal) => Err(refusal),
        };
        self.authority.decided("Revoke", &call.caller, &name, "", result.as_ref().err().map(Refusal::reason));
        result.map(answer::revoked)
    }

    async fn restore_one(
        &self,
        call: &Call,
        request: proto::RestoreRequest,
    ) -> Result<proto::RestoreResponse, Refusal> {
        let name = request.application.clone();
        let result = match call.allowed(Permission::Admin).and_then(|()| convert::restore(request)) {
            Ok(order) => self.authority.restore(&call.caller, &order).await,
            Err(refusal) => Err(refusal),
        };
        self.authority.decided("Restore", &call.caller, &name, "", result.as_ref().err().map(Refusal::reason));
        result.map(|was_revoked| proto::RestoreResponse { was_revoked })
    }
}

fn outcome<'r, T>(
    result: &'r Result<Outcome<T>, Refusal>,
    key: impl FnOnce(&'r T) -> &'r String,
) -> (&'r str, Option<Reason>) {
    match result {
        Ok(Outcome::Accepted(accepted)) => (key(accepted), None),
        Ok(Outcome::Refused(refused, _)) => ("", Some(refused.reason)),
        Err(refusal) => ("", Some(refusal.reason())),
    }
}

/// Answers one call.
macro_rules! one {
    ($self:ident.$method:ident($request:ident)) => {{
        let call = Call::of(&$request)?;
        let answer = $self.$method(&call, $request.into_inner()).await;
        answer.map(Response::new).map_err(|refusal| status::status(&refusal))
    }};
}

/// Items of a batch that are under way at once: while one waits for a claim source, others go on.
const BATCH_AT_ONCE: usize = 32;

/// Answers a batch: every item as its own call, off the runtime's workers, because a thousand asymmetric signatures
/// would keep one of them from everybody else.
macro_rules! many {
    ($self:ident.$method:ident($request:ident), $permission:expr, $result:ident, $outcome:path) => {{
        use $outcome as Wire;
        let call = Call::of(&$request)?;
        call.allowed($permission).map_err(|refusal| status::status(&refusal))?;
        let requests = convert::batch($request.into_inner().requests).map_err(|refusal| status::status(&refusal))?;
        let service = $self.clone();
        let runtime = tokio::runtime::Handle::current();
        let work = move || {
            let item = async |request| {
                let answer = AssertUnwindSafe(service.$method(&call, request)).catch_unwind();
                let outcome = match answer.await.unwrap_or(Err(Refusal::Internal)) {
                    Ok(response) => Wire::Response(response),
                    Err(refusal) => Wire::Failure(status::failure(&refusal)),
                };
                proto::$result { outcome: Some(outcome) }
            };
            let items = stream::iter(requests.into_iter().map(item)).buffered(BATCH_AT_ONCE);
            runtime.block_on(items.collect::<Vec<_>>())
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
        let answer = tokio::task::spawn_blocking(work).await.map_err(|_panic| status::incident())?;
        answer.map(Response::new).map_err(|refusal| status::status(&refusal))
    }

    async fn revoke(&self, request: Request<proto::RevokeRequest>) -> Answer<proto::RevokeResponse> {
        one!(self.revoke_one(request))
    }

    async fn restore(&self, request: Request<proto::RestoreRequest>) -> Answer<proto::RestoreResponse> {
        one!(self.restore_one(request))
    }

    async fn batch_sign(&self, request: Request<proto::BatchSignRequest>) -> Answer<proto::BatchSignResponse> {
        let results = many!(self.sign_one(request), Permission::Sign, SignResult, proto::sign_result::Outcome);
        Ok(Response::new(proto::BatchSignResponse { results }))
    }

    async fn batch_verify(&self, request: Request<proto::BatchVerifyRequest>) -> Answer<proto::BatchVerifyResponse> {
        let results = many!(self.verify_one(request), Permission::Verify, VerifyResult, proto::verify_result::Outcome);
        Ok(Response::new(proto::BatchVerifyResponse { results }))
    }

    async fn batch_legacy_hash(
        &self,
        request: Request<proto::BatchLegacyHashRequest>,
    ) -> Answer<proto::BatchLegacyHashResponse> {
        let results =
            many!(self.hash_one(request), Permission::LegacyHash, LegacyHashResult, proto::legacy_hash_result::Outcome);
        Ok(Response::new(proto::BatchLegacyHashResponse { results }))
    }
}
