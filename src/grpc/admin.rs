//! `countersign.admin.v1`: what operators do, for callers that may `admin`.

use std::sync::Arc;

use tonic::{Request, Response};

use super::proto::admin;
use super::proto::admin::sources_server::Sources;
use super::service::{Answer, Call};
use super::{convert, status};
use crate::account::Ending;
use crate::authority::Authority;
use crate::caller::Permission;

/// The service on the wire.
#[derive(Clone, Debug)]
pub struct SourcesService {
    authority: Arc<Authority>,
}

impl SourcesService {
    /// The service over an authority.
    #[must_use]
    pub const fn new(authority: Arc<Authority>) -> Self {
        Self { authority }
    }
}

#[tonic::async_trait]
impl Sources for SourcesService {
    async fn invalidate(&self, request: Request<admin::InvalidateRequest>) -> Answer<admin::InvalidateResponse> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let mut account = call.account("Invalidate", &request.application);
        let result = match call.allowed(Permission::Admin).and_then(|()| convert::invalidate(request)) {
            Ok(order) => self.authority.invalidate(&mut account, &order).await,
            Err(refusal) => Err(refusal),
        };
        let result = self.authority.close(account, Ending::of(&result)).await.and(result);
        result.map(|()| Response::new(admin::InvalidateResponse {})).map_err(|refusal| status::status(&refusal))
    }
}
