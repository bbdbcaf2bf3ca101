//! The last layer before the wire: turns panics, and what tonic says of messages that it cannot take, into the errors
//! of the contract.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use http::{Request, Response};
use tonic::Code;
use tonic::body::Body;
use tower::{Layer, Service};

use super::status::{incident, status, undecodable};
use crate::limits;
use crate::refusal::Refusal;

/// Wraps a server's services.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rescue;

/// What [`Rescue`] makes of a service.
#[derive(Clone, Debug)]
pub struct Rescued<S>(S);

impl<S> Layer<S> for Rescue {
    type Service = Rescued<S>;

    fn layer(&self, inner: S) -> Rescued<S> {
        Rescued(inner)
    }
}

impl<S> Service<Request<Body>> for Rescued<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = AssertUnwindSafe(self.0.call(request)).catch_unwind();
        Box::pin(async move {
            match answer.await {
                Ok(answer) => answer.map(translate),
                Err(_panic) => Ok(incident().into_http()),
            }
        })
    }
}

/// tonic says INTERNAL of a message that it cannot decode and OUT_OF_RANGE of one that is over the limit, and we never
/// say the one without details, or the other at all.
fn translate(answer: Response<Body>) -> Response<Body> {
    let code = answer.headers().get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()));
    let detailed = answer.headers().contains_key("grpc-status-details-bin");
    match code {
        Some(Code::OutOfRange) => {
            let description = format!("The request is over {} bytes.", limits::REQUEST_BYTES);
            undecodable(Code::ResourceExhausted, &description).into_http()
        }
        Some(Code::Internal) if !detailed => {
            let description = format!(
                "The request cannot be decoded: it is not this RPC's message, a text is not UTF-8, or it nests too deep \
                 (attributes: at most {} levels).",
                limits::ATTRIBUTE_DEPTH,
            );
            undecodable(Code::InvalidArgument, &description).into_http()
        }
        // Of compression and of methods that are not there, with the request's own words in it.
        Some(Code::Unimplemented) if !detailed => status(&Refusal::NotImplemented).into_http(),
        Some(_) | None => answer,
    }
}
