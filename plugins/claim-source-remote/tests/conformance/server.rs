//! A process that answers as a test says. It has a runtime of its own that ends with the value, as abruptly as a process
//! that is killed.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use countersign_test_services::Certificates;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, async_trait};

use self::proto::claim_source_server::{ClaimSource, ClaimSourceServer};
use self::proto::fetch_response::Outcome;
use self::proto::{
    DescribeRequest, DescribeResponse, FetchRequest, FetchResponse, Found, Problem, ValidateRequest, ValidateResponse,
};

#[allow(
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::too_many_lines,
    clippy::allow_attributes_without_reason,
    reason = "generated; documented in proto/"
)]
pub(crate) mod proto {
    //! What `build.rs` makes of the protocol: the side that answers.

    include!(concat!(env!("OUT_DIR"), "/service/countersign.plugin.v1.rs"));
}

/// What Fetch answers; none: it never does.
type Fetch = dyn Fn(&Request<FetchRequest>) -> Option<Result<FetchResponse, Status>> + Send + Sync;

/// What a process answers.
#[derive(Clone)]
pub(crate) struct Script {
    described: DescribeResponse,
    /// What Validate finds; may change while the process runs.
    pub(crate) problems: Arc<Mutex<Vec<Problem>>>,
    fetch: Arc<Fetch>,
    /// The calls so far: `describe`, `validate`, `fetch`, and `cancelled` for a Fetch that was given up.
    calls: Arc<Mutex<Vec<&'static str>>>,
}

impl Script {
    pub(crate) fn new(
        fetch: impl Fn(&Request<FetchRequest>) -> Option<Result<FetchResponse, Status>> + Send + Sync + 'static,
    ) -> Self {
        let described = DescribeResponse::default();
        Self { described, problems: Arc::default(), fetch: Arc::new(fetch), calls: Arc::default() }
    }

    /// Always the same answer.
    pub(crate) fn always(answer: Result<FetchResponse, Status>) -> Self {
        Self::new(move |_| Some(answer.clone()))
    }

    /// Always these claims.
    pub(crate) fn finds(claims_json: impl Into<Vec<u8>>) -> Self {
        Self::always(Ok(found(claims_json)))
    }

    /// One that describes itself so.
    pub(crate) fn describing(self, described: DescribeResponse) -> Self {
        Self { described, ..self }
    }

    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().clone()
    }

    fn note(&self, call: &'static str) {
        self.calls.lock().unwrap().push(call);
    }
}

/// An answer with these claims.
pub(crate) fn found(claims_json: impl Into<Vec<u8>>) -> FetchResponse {
    outcome(Outcome::Found(Found { claims_json: claims_json.into(), fresh_for: None }))
}

pub(crate) fn outcome(outcome: Outcome) -> FetchResponse {
    FetchResponse { outcome: Some(outcome) }
}

/// Tells when it is dropped.
struct Guard(Script);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.note("cancelled");
    }
}

#[async_trait]
impl ClaimSource for Script {
    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        self.note("describe");
        Ok(Response::new(self.described.clone()))
    }

    async fn validate(&self, _: Request<ValidateRequest>) -> Result<Response<ValidateResponse>, Status> {
        self.note("validate");
        Ok(Response::new(ValidateResponse { problems: self.problems.lock().unwrap().clone() }))
    }

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<FetchResponse>, Status> {
        self.note("fetch");
        match (self.fetch)(&request) {
            Some(answer) => answer.map(Response::new),
            None => {
                let _guard = Guard(self.clone());
                std::future::pending().await
            }
        }
    }
}

/// A running process.
pub(crate) struct Process {
    runtime: Option<Runtime>,
    /// Its port, where it has one.
    pub(crate) port: u16,
}

impl Process {
    /// One that listens on a Unix socket, in place of whoever did.
    pub(crate) fn on(socket: &Path, script: Script) -> Self {
        let runtime = runtime();
        drop(std::fs::remove_file(socket));
        let inside = runtime.enter();
        let listener = UnixListener::bind(socket).unwrap();
        drop(inside);
        let served = Server::builder().add_service(ClaimSourceServer::new(script));
        runtime.spawn(served.serve_with_incoming(UnixListenerStream::new(listener)));
        Self { runtime: Some(runtime), port: 0 }
    }

    /// One that listens on a port with this certificate, and takes clients of that authority.
    pub(crate) fn secure(certificate: (&Certificates, &str), clients: &Certificates, script: Script) -> Self {
        let (own, name) = certificate;
        let read = |certificates: &Certificates, name: &str| std::fs::read(certificates.path(name)).unwrap();
        let identity = Identity::from_pem(read(own, &format!("{name}.pem")), read(own, &format!("{name}.key")));
        let authority = Certificate::from_pem(read(clients, "ca.pem"));
        let tls = ServerTlsConfig::new().identity(identity).client_ca_root(authority);
        let runtime = runtime();
        let inside = runtime.enter();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        drop(inside);
        let port = listener.local_addr().unwrap().port();
        let served = Server::builder().tls_config(tls).unwrap().add_service(ClaimSourceServer::new(script));
        runtime.spawn(served.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { runtime: Some(runtime), port }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

impl Drop for Process {
    fn drop(&mut self) {
        // Without waiting: it may be dropped inside another runtime.
        self.runtime.take().unwrap().shutdown_background();
    }
}
