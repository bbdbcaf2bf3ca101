//! The connection to the server: its address, TLS, who calls, and how long to wait.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::time::{Instant, timeout_at};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Response, Status};

use super::args::Connection;
use super::input::Input;
use super::trouble::Trouble;
use crate::grpc::proto::admin::migration_client::MigrationClient;
use crate::grpc::proto::admin::sources_client::SourcesClient;
use crate::grpc::proto::token_authority_client::TokenAuthorityClient;

/// The variable that holds the caller's token.
const TOKEN: &str = "COUNTERSIGN_TOKEN";

/// The client of the contract, with the caller's token in each request.
pub(super) type Client = TokenAuthorityClient<Known>;

/// The channel, with the caller's token in each request.
type Known = InterceptedService<Channel, Bearer>;

/// Puts the caller's token into each request.
#[derive(Clone)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// One connection, for one command.
pub(super) struct Session {
    pub(super) client: Client,
    channel: Known,
    server: String,
    with_token: bool,
    timeout: u32,
    deadline: Instant,
}

impl Session {
    pub(super) async fn open(connection: &Connection, input: &mut Input) -> Result<Self, Trouble> {
        let deadline = Instant::now() + Duration::from_secs(connection.timeout.into());
        let server = address(&connection.server);
        let endpoint = endpoint(&server, connection, input)?;
        let bearer = Bearer(token(connection, input)?);
        let with_token = bearer.0.is_some();
        let channel = timeout_at(deadline, endpoint.connect())
            .await
            .map_err(|_elapsed| Trouble::timeout(&server, connection.timeout))?
            .map_err(|error| Trouble::unreachable(&server, &error))?;
        let channel = InterceptedService::new(channel, bearer);
        let client = Client::new(channel.clone());
        Ok(Self { client, channel, server, with_token, timeout: connection.timeout, deadline })
    }

    /// The client of the operators' service for sources.
    pub(super) fn sources(&self) -> SourcesClient<Known> {
        SourcesClient::new(self.channel.clone())
    }

    /// The client of the operators' service for the move.
    pub(super) fn migration(&self) -> MigrationClient<Known> {
        MigrationClient::new(self.channel.clone())
    }

    /// Gives the next call as long as the first one had.
    pub(super) fn rewind(&mut self) {
        self.deadline = Instant::now() + Duration::from_secs(self.timeout.into());
    }

    /// What became of a stream that had begun.
    pub(super) fn trouble(&self, status: &Status) -> Trouble {
        Trouble::status(&self.server, status, self.with_token)
    }

    /// The answer to a call, if it comes in time.
    pub(super) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Trouble> {
        match timeout_at(self.deadline, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Trouble::status(&self.server, &status, self.with_token)),
            Err(_elapsed) => Err(Trouble::timeout(&self.server, self.timeout)),
        }
    }
}

/// `host:port` means plain HTTP, as everywhere.
fn address(server: &str) -> String {
    if server.contains("://") { server.to_owned() } else { format!("http://{server}") }
}

fn endpoint(server: &str, connection: &Connection, input: &mut Input) -> anyhow::Result<Endpoint> {
    const RIGHT: &str = "--server: give an address such as http://127.0.0.1:7400 or https://countersign.example:7400";
    let endpoint = Endpoint::from_shared(server.to_owned()).ok().context(RIGHT)?;
    let with_tls = match endpoint.uri().scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(_) | None => anyhow::bail!(RIGHT),
    };
    // Without this, the token would travel in an address that is shown in process lists and logs.
    ensure!(endpoint.uri().authority().is_some_and(|authority| !authority.as_str().contains('@')), RIGHT);
    if !with_tls {
        let flags = connection.ca.is_some() || connection.cert.is_some();
        ensure!(!flags, "--ca, --cert and --key are for servers with https://");
        return Ok(endpoint);
    }
    let mut tls = ClientTlsConfig::new();
    tls = match &connection.ca {
        Some(path) => tls.ca_certificate(Certificate::from_pem(pem("--ca", path, "CERTIFICATE", input)?)),
        None => tls.with_native_roots(),
    };
    if let (Some(cert), Some(key)) = (&connection.cert, &connection.key) {
        tls = tls.identity(Identity::from_pem(
            pem("--cert", cert, "CERTIFICATE", input)?,
            pem("--key", key, "PRIVATE KEY", input)?,
        ));
    }
    endpoint.tls_config(tls).context("the certificates cannot be used")
}

/// What is no PEM would count as an empty list, and every server as one that cannot be trusted.
fn pem(flag: &'static str, path: &Path, label: &str, input: &mut Input) -> anyhow::Result<String> {
    let text = input.text(flag, path)?;
    ensure!(text.contains(label), "{flag}: {} holds no `{label}` in PEM", path.display());
    Ok(text)
}

/// The caller's token; a file that is named goes before the variable.
fn token(connection: &Connection, input: &mut Input) -> anyhow::Result<Option<MetadataValue<Ascii>>> {
    let (place, token) = match &connection.token_file {
        Some(path) => ("--token-file", input.text("--token-file", path)?),
        None => match std::env::var_os(TOKEN) {
            Some(token) => (TOKEN, token.into_string().ok().with_context(|| format!("{TOKEN}: this is not text"))?),
            None => return Ok(None),
        },
    };
    let token = token.trim();
    if token.is_empty() {
        // A variable that is set to nothing is one that is not set; a file without a token is a mistake.
        ensure!(place == TOKEN, "{place}: the file holds no token");
        return Ok(None);
    }
    let mut bearer = MetadataValue::try_from(format!("Bearer {token}"))
        .ok()
        .with_context(|| format!("{place}: a token is printable ASCII on one line"))?;
    bearer.set_sensitive(true);
    Ok(Some(bearer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(server: &str) -> Connection {
        Connection { server: server.to_owned(), token_file: None, ca: None, cert: None, key: None, timeout: 1 }
    }

    #[test]
    fn an_address_may_leave_the_scheme_out() -> anyhow::Result<()> {
        for (given, meant) in
            [("localhost:7400", "http://localhost:7400/"), ("http://[::1]:7400", "http://[::1]:7400/")]
        {
            let endpoint = endpoint(&address(given), &connection(given), &mut Input::default())?;
            assert_eq!(endpoint.uri().to_string(), meant);
        }
        Ok(())
    }

    #[test]
    fn an_address_is_http_or_https_and_holds_no_secret() {
        for wrong in ["ftp://localhost", "http://", "http://user:secret@localhost:7400", "", "http://a b"] {
            assert!(endpoint(&address(wrong), &connection(wrong), &mut Input::default()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn certificates_without_tls_are_a_mistake() {
        let mut connection = connection("http://localhost:7400");
        connection.ca = Some("ca.pem".into());
        assert!(endpoint("http://localhost:7400", &connection, &mut Input::default()).is_err());
    }
}
