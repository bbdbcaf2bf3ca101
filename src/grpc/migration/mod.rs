//! `countersign.admin.v1.Migration`: the evidence, what it says, and the policy that is set at run time. For callers that
//! may `admin`.

mod acceptance;

use std::sync::Arc;

use tonic::{Request, Response};

use super::answer::timestamp;
use super::proto::admin as wire;
use super::proto::admin::migration_server::Migration;
use super::service::{Answer, Call};
use super::{convert, status};
use crate::account::{Account, Ending};
use crate::authority::Authority;
use crate::caller::Permission;
use crate::order::{ResetOrder, SetOrder};
use crate::refusal::Refusal;

/// The service on the wire.
#[derive(Clone, Debug)]
pub struct MigrationService {
    authority: Arc<Authority>,
}

impl MigrationService {
    /// The service over an authority.
    #[must_use]
    pub const fn new(authority: Arc<Authority>) -> Self {
        Self { authority }
    }

    /// Writes down what came of a call, and answers.
    async fn close<T>(&self, account: Account<'_>, result: Result<T, Refusal>) -> Answer<T> {
        let result = self.authority.close(account, Ending::of(&result)).await.and(result);
        result.map(Response::new).map_err(|refusal| status::status(&refusal))
    }

    async fn acceptance(&self, account: &Account<'_>) -> Result<wire::GetAcceptanceResponse, Refusal> {
        let (application, version) = self.authority.acceptance(account).await?;
        let runtime = application.set.as_ref().map(|set| wire::RuntimeAcceptance {
            acceptance: Some(acceptance::write(&application.acceptance)),
            caller: set.caller.clone(),
            set_at: Some(timestamp(set.at)),
            reason: set.reason.clone(),
            file_changed: set.file_changed,
        });
        Ok(wire::GetAcceptanceResponse {
            in_force: Some(acceptance::write(&application.acceptance)),
            file: Some(acceptance::write(application.file_acceptance())),
            runtime,
            version,
        })
    }
}

#[tonic::async_trait]
impl Migration for MigrationService {
    type WatchReportStream = futures::stream::Empty<Result<wire::WatchReportResponse, tonic::Status>>;

    async fn get_report(&self, _request: Request<wire::GetReportRequest>) -> Answer<wire::GetReportResponse> {
        Err(status::status(&Refusal::NotImplemented))
    }

    async fn watch_report(&self, _request: Request<wire::WatchReportRequest>) -> Answer<Self::WatchReportStream> {
        Err(status::status(&Refusal::NotImplemented))
    }

    async fn list_stragglers(
        &self,
        _request: Request<wire::ListStragglersRequest>,
    ) -> Answer<wire::ListStragglersResponse> {
        Err(status::status(&Refusal::NotImplemented))
    }

    async fn find_subject(&self, _request: Request<wire::FindSubjectRequest>) -> Answer<wire::FindSubjectResponse> {
        Err(status::status(&Refusal::NotImplemented))
    }

    async fn find_subjects(&self, _request: Request<wire::FindSubjectsRequest>) -> Answer<wire::FindSubjectsResponse> {
        Err(status::status(&Refusal::NotImplemented))
    }

    async fn rehearse(&self, _request: Request<wire::RehearseRequest>) -> Answer<wire::RehearseResponse> {
        Err(status::status(&Refusal::NotImplemented))
    }

    async fn get_acceptance(
        &self,
        request: Request<wire::GetAcceptanceRequest>,
    ) -> Answer<wire::GetAcceptanceResponse> {
        let call = Call::of(&request)?;
        let account = call.account("GetAcceptance", &request.into_inner().application);
        let result = match call.allowed(Permission::Admin) {
            Ok(()) => self.acceptance(&account).await,
            Err(refusal) => Err(refusal),
        };
        self.close(account, result).await
    }

    async fn set_acceptance(
        &self,
        request: Request<wire::SetAcceptanceRequest>,
    ) -> Answer<wire::SetAcceptanceResponse> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let account = call.account("SetAcceptance", &request.application);
        let order = call.allowed(Permission::Admin).and_then(|()| set(request));
        let result = match order {
            Ok(order) => self.authority.set_acceptance(&account, &order).await,
            Err(refusal) => Err(refusal),
        };
        let result = result.map(|(version, warnings)| wire::SetAcceptanceResponse { version, warnings });
        self.close(account, result).await
    }

    async fn reset_acceptance(
        &self,
        request: Request<wire::ResetAcceptanceRequest>,
    ) -> Answer<wire::ResetAcceptanceResponse> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let account = call.account("ResetAcceptance", &request.application);
        let order = call.allowed(Permission::Admin).and_then(|()| reset(request));
        let result = match order {
            Ok(order) => self.authority.reset_acceptance(&account, &order).await,
            Err(refusal) => Err(refusal),
        };
        self.close(account, result.map(|version| wire::ResetAcceptanceResponse { version })).await
    }
}

fn set(request: wire::SetAcceptanceRequest) -> Result<SetOrder, Refusal> {
    let mut reader = convert::Reader::default();
    reader.application(request.application);
    let reason = reader.required("reason", request.reason, REASON_BYTES);
    let policy = request.acceptance.as_ref().map(acceptance::read);
    if policy.is_none() {
        reader.wrong("acceptance", "is required");
    }
    reader.finish(SetOrder { policy: policy.unwrap_or_default(), version: request.version, reason })
}

fn reset(request: wire::ResetAcceptanceRequest) -> Result<ResetOrder, Refusal> {
    let mut reader = convert::Reader::default();
    reader.application(request.application);
    let reason = reader.required("reason", request.reason, REASON_BYTES);
    reader.finish(ResetOrder { version: request.version, reason })
}

/// Bytes of the words of who sets a policy.
const REASON_BYTES: usize = 512;
