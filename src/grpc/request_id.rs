//! Names each request, so that its answer, its lines in the log and its records in the audit log can be found by each
//! other. A caller that has a name for it already sends that as `x-request-id`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, Request, Response};
use tower::{Layer, Service};

/// The metadata that holds it, in requests and answers.
pub const HEADER: &str = "x-request-id";
/// Characters that a caller's own name may have.
const LENGTH: std::ops::RangeInclusive<usize> = 1..=64;

/// The name of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

impl RequestId {
    /// The caller's own, where it is of few plain characters; else 128 random bits.
    fn of(header: Option<&HeaderValue>) -> Self {
        let plain = |text: &&str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            LENGTH.contains(&text.len()) && text.bytes().all(is_plain)
        };
        match header.and_then(|header| header.to_str().ok()).filter(plain) {
            Some(theirs) => Self(theirs.into()),
            None => {
                let mut bytes = [0; 16];
                // Without randomness requests have the same name, and are answered all the same.
                aws_lc_rs::rand::fill(&mut bytes).unwrap_or_default();
                Self(URL_SAFE_NO_PAD.encode(bytes).into())
            }
        }
    }
}

/// Wraps a server's services.
#[derive(Clone, Copy, Debug, Default)]
pub struct Naming;

/// What [`Naming`] makes of a service.
#[derive(Clone, Debug)]
pub struct Named<S>(S);

impl<S> Layer<S> for Naming {
    type Service = Named<S>;

    fn layer(&self, inner: S) -> Named<S> {
        Named(inner)
    }
}

impl<S, B, A> Service<Request<B>> for Named<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Future: Send + 'static,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let id = RequestId::of(request.headers().get(HEADER));
        request.extensions_mut().insert(id.clone());
        let answer = self.0.call(request);
        Box::pin(async move {
            let mut answer = answer.await?;
            if let Ok(value) = HeaderValue::from_str(&id.0) {
                answer.headers_mut().insert(HEADER, value);
            }
            Ok(answer)
        })
    }
}
