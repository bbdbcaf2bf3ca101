//! A report that is told again whenever it has changed, until the client goes away or the server stops.

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::time::sleep;
use tonic::Status;

use super::MigrationService;
use crate::grpc::proto::admin as wire;
use crate::grpc::service::Call;
use crate::grpc::status;

/// How often it is looked whether something has changed.
const LOOK: Duration = Duration::from_secs(1);

/// What is told next.
struct Watch {
    service: MigrationService,
    call: Call,
    application: String,
    days: Option<u16>,
    told: Option<wire::MigrationReport>,
    ended: bool,
}

/// The report now, and whenever it has changed.
pub(super) fn reports(
    service: MigrationService,
    call: Call,
    application: String,
    days: Option<u16>,
) -> BoxStream<'static, Result<wire::WatchReportResponse, Status>> {
    let watch = Watch { service, call, application, days, told: None, ended: false };
    stream::unfold(watch, |mut watch| async move { watch.next().await.map(|told| (told, watch)) }).boxed()
}

impl Watch {
    async fn next(&mut self) -> Option<Result<wire::WatchReportResponse, Status>> {
        while !self.ended {
            if self.told.is_some() {
                let mut stopping = self.service.stopping.clone();
                tokio::select! {
                    () = sleep(LOOK) => {}
                    // It stops, or is gone already.
                    _ = stopping.wait_for(|stopping| *stopping) => return None,
                }
            }
            let account = self.call.account("WatchReport", &self.application);
            match self.service.report(&account, self.days).await {
                Ok(report) if self.has_changed(&report) => {
                    self.told = Some(report.clone());
                    return Some(Ok(wire::WatchReportResponse { report: Some(report) }));
                }
                Ok(_the_same) => {}
                Err(refusal) => {
                    self.ended = true;
                    return Some(Err(status::status(&refusal)));
                }
            }
        }
        None
    }

    /// When it was put together is no change.
    fn has_changed(&self, report: &wire::MigrationReport) -> bool {
        self.told.as_ref().is_none_or(|told| wire::MigrationReport { at: report.at, ..told.clone() } != *report)
    }
}
