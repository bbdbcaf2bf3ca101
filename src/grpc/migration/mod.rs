//! `countersign.admin.v1.Migration`: the evidence, what it says, and the policy that is set at run time. For callers that
//! may `admin`.

mod acceptance;
mod report;
mod watch;

use std::sync::Arc;

use futures::stream::BoxStream;
use time::UtcDateTime;
use tonic::{Request, Response, Status};

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
    /// Whether the server stops.
    stopping: Stopping,
}

/// Whether the server stops, for answers that would go on for ever.
pub type Stopping = tokio::sync::watch::Receiver<bool>;

impl MigrationService {
    /// The service over an authority.
    #[must_use]
    pub const fn new(authority: Arc<Authority>, stopping: Stopping) -> Self {
        Self { authority, stopping }
    }

    /// Writes down what came of a call, and answers.
    async fn close<T>(&self, account: Account<'_>, result: Result<T, Refusal>) -> Answer<T> {
        let result = self.authority.close(account, Ending::of(&result)).await.and(result);
        result.map(Response::new).map_err(|refusal| status::status(&refusal))
    }

    async fn report(&self, account: &Account<'_>, days: Option<u16>) -> Result<wire::MigrationReport, Refusal> {
        let report = self.authority.report(account, days).await?;
        let subjects = self.authority.stragglers(account, days, report::HEADS).await?;
        Ok(report::write(report, subjects))
    }

    async fn stragglers(
        &self,
        account: &Account<'_>,
        days: Option<u16>,
        limit: usize,
    ) -> Result<wire::Stragglers, Refusal> {
        let report = self.authority.report(account, days).await?;
        let subjects = self.authority.stragglers(account, days, limit).await?;
        Ok(report::stragglers(&report, subjects))
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
    type WatchReportStream = BoxStream<'static, Result<wire::WatchReportResponse, Status>>;

    async fn get_report(&self, request: Request<wire::GetReportRequest>) -> Answer<wire::GetReportResponse> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let account = call.account("GetReport", &request.application);
        let result = match call.allowed(Permission::Admin).and_then(|()| window(request.application, request.window)) {
            Ok(days) => self.report(&account, days).await,
            Err(refusal) => Err(refusal),
        };
        self.close(account, result.map(|report| wire::GetReportResponse { report: Some(report) })).await
    }

    async fn watch_report(&self, request: Request<wire::WatchReportRequest>) -> Answer<Self::WatchReportStream> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let account = call.account("WatchReport", &request.application);
        let result = match call.allowed(Permission::Admin).and_then(|()| window(request.application, request.window)) {
            // Whoever may not see it is told at once, not in the stream.
            Ok(days) => self.report(&account, days).await.map(|_seen| days),
            Err(refusal) => Err(refusal),
        };
        let name = account.application.clone();
        let days = self.close(account, result).await?.into_inner();
        Ok(Response::new(watch::reports(self.clone(), call, name, days)))
    }

    async fn list_stragglers(
        &self,
        request: Request<wire::ListStragglersRequest>,
    ) -> Answer<wire::ListStragglersResponse> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let account = call.account("ListStragglers", &request.application);
        let result = match call.allowed(Permission::Admin).and_then(|()| list(request)) {
            Ok((days, limit)) => self.stragglers(&account, days, limit).await,
            Err(refusal) => Err(refusal),
        };
        let result = result.map(|stragglers| wire::ListStragglersResponse { stragglers: Some(stragglers) });
        self.close(account, result).await
    }

    async fn find_subject(&self, request: Request<wire::FindSubjectRequest>) -> Answer<wire::FindSubjectResponse> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let mut account = call.account("FindSubject", &request.application);
        let result = match call.allowed(Permission::Admin).and_then(|()| convert::find(request)) {
            Ok(subject) => {
                account.subjects = vec![subject];
                self.authority.find(&account, &account.subjects).await
            }
            Err(refusal) => Err(refusal),
        };
        let found = result.map(|found| found.into_iter().next().map(report::found));
        self.close(account, found.map(|found| wire::FindSubjectResponse { found })).await
    }

    async fn find_subjects(&self, request: Request<wire::FindSubjectsRequest>) -> Answer<wire::FindSubjectsResponse> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let account = call.account("FindSubjects", &request.application);
        let result = match call.allowed(Permission::Admin).and_then(|()| convert::find_many(request)) {
            Ok(subjects) => self.authority.find(&account, &subjects).await,
            Err(refusal) => Err(refusal),
        };
        let found = result.map(|found| found.into_iter().map(report::found).collect());
        self.close(account, found.map(|found| wire::FindSubjectsResponse { found })).await
    }

    async fn rehearse(&self, request: Request<wire::RehearseRequest>) -> Answer<wire::RehearseResponse> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let account = call.account("Rehearse", &request.application);
        let result = match call.allowed(Permission::Admin).and_then(|()| rehearsal(request)) {
            Ok((hash_until, days)) => self.authority.rehearse(&account, hash_until, days).await,
            Err(refusal) => Err(refusal),
        };
        self.close(account, result.map(report::rehearsal)).await
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
        let mut account = call.account("SetAcceptance", &request.application);
        let order = call.allowed(Permission::Admin).and_then(|()| set(request));
        let result = match order {
            Ok(order) => self.authority.set_acceptance(&mut account, &order).await,
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
        let mut account = call.account("ResetAcceptance", &request.application);
        let order = call.allowed(Permission::Admin).and_then(|()| reset(request));
        let result = match order {
            Ok(order) => self.authority.reset_acceptance(&mut account, &order).await,
            Err(refusal) => Err(refusal),
        };
        self.close(account, result.map(|version| wire::ResetAcceptanceResponse { version })).await
    }
}

/// The days of a window; none where it is not given.
fn window(application: String, window: Option<prost_types::Duration>) -> Result<Option<u16>, Refusal> {
    let mut reader = convert::Reader::default();
    reader.application(application);
    let days = reader.window(window);
    reader.finish(days)
}

fn list(request: wire::ListStragglersRequest) -> Result<(Option<u16>, usize), Refusal> {
    let mut reader = convert::Reader::default();
    reader.application(request.application);
    let days = reader.window(request.window);
    let limit = match usize::try_from(request.limit) {
        Ok(0) => STRAGGLERS,
        Ok(limit) if limit <= MOST_STRAGGLERS => limit,
        Ok(_) | Err(_) => {
            reader.wrong("limit", format!("at most {MOST_STRAGGLERS}"));
            0
        }
    };
    reader.finish((days, limit))
}

fn rehearsal(request: wire::RehearseRequest) -> Result<(UtcDateTime, Option<u16>), Refusal> {
    let mut reader = convert::Reader::default();
    reader.application(request.application);
    let days = reader.window(request.window);
    if request.hash_until.is_none() {
        reader.wrong("hash_until", "is required");
    }
    let hash_until = reader.instant("hash_until", request.hash_until);
    reader.finish((hash_until.unwrap_or(UtcDateTime::UNIX_EPOCH), days))
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

/// Subjects that are listed where nobody says how many.
const STRAGGLERS: usize = 100;
/// Subjects that are listed at most.
const MOST_STRAGGLERS: usize = 1_000;
/// Bytes of the words of who sets a policy.
const REASON_BYTES: usize = 512;
