//! Finds out who calls, before anything of the message is read.

use std::sync::Arc;

use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::request_id::RequestId;
use super::status::status;
use crate::caller::Caller;
use crate::config::Callers;
use crate::observe::{Metrics, events};
use crate::refusal::{Reason, Refusal};

/// Lets known callers in.
#[derive(Clone, Debug)]
pub struct Gate {
    callers: Arc<Callers>,
    anyone: Option<Arc<Caller>>,
    metrics: Arc<Metrics>,
}

impl Gate {
    /// Only those who show a caller's token.
    #[must_use]
    pub fn known(callers: Callers, metrics: Arc<Metrics>) -> Self {
        Self { callers: Arc::new(callers), anyone: None, metrics }
    }

    /// Everybody, under one name. For loopback.
    #[must_use]
    pub fn open(name: &str, metrics: Arc<Metrics>) -> Self {
        Self { callers: Arc::default(), anyone: Some(Arc::new(Caller::anyone(name))), metrics }
    }

    fn find(&self, metadata: &MetadataMap) -> Result<Arc<Caller>, Refusal> {
        if let Some(anyone) = &self.anyone {
            return Ok(Arc::clone(anyone));
        }
        let mut headers = metadata.get_all("authorization").iter();
        let (Some(header), None) = (headers.next(), headers.next()) else { return Err(Refusal::CallerUnknown) };
        let (scheme, token) = header.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
        let caller = self.callers.with_token(token.trim().as_bytes());
        // RFC 9110 section 11.1: the scheme's name is not case-sensitive.
        caller.filter(|_| scheme.eq_ignore_ascii_case("bearer")).cloned().ok_or(Refusal::CallerUnknown)
    }
}

impl Interceptor for Gate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        match self.find(request.metadata()) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Ok(request)
            }
            Err(refusal) => {
                let reason = Some(Reason::CallerUnknown);
                let RequestId(request_id) = request.extensions().get().cloned().unwrap_or_default();
                let request_id = &request_id;
                events::Decided { request_id, rpc: "", caller: "", application: "", key: "", reason }
                    .emit(&self.metrics);
                Err(status(&refusal))
            }
        }
    }
}

/// The caller that the gate let in.
pub fn of<T>(request: &Request<T>) -> Result<Arc<Caller>, Refusal> {
    request.extensions().get::<Arc<Caller>>().cloned().ok_or(Refusal::CallerUnknown)
}
