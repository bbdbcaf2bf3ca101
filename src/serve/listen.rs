//! The listeners: gRPC with its layers, metrics and health over HTTP, and an orderly end of both.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tonic::server::NamedService as _;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::admin;
use super::state::{keep_counts, keep_last_counts};
use crate::authority::Authority;
use crate::config::Tls;
use crate::grpc::admin::SourcesService;
use crate::grpc::caller::Gate;
use crate::grpc::migration::MigrationService;
use crate::grpc::proto::DESCRIPTORS;
use crate::grpc::proto::admin::migration_server::MigrationServer;
use crate::grpc::proto::admin::sources_server::SourcesServer;
use crate::grpc::proto::token_authority_server::TokenAuthorityServer;
use crate::grpc::request_id::Naming;
use crate::grpc::rescue::Rescue;
use crate::grpc::service::Service;
use crate::limits;

/// Requests that one connection may have under way; more wait.
const STREAMS: u32 = 128;
/// Bytes of a request's headers.
const HEADER_BYTES: u32 = 16 * 1024;
/// How long a silent connection is kept before it is asked for a sign of life, and how long that may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// How long a request may take, its arrival included: half-sent ones do not stay.
const REQUEST: Duration = Duration::from_secs(30);
/// How long requests under way may take after the signal to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// Where a server listens.
#[derive(Debug)]
pub struct Listeners {
    /// gRPC.
    pub grpc: TcpListener,
    /// Metrics and health over HTTP.
    pub admin: Option<TcpListener>,
}

/// Serves an authority on a listener until `stop`; then lets what is under way come to its end.
pub async fn serve(
    listeners: Listeners,
    authority: Arc<Authority>,
    gate: Gate,
    tls: Option<&Tls>,
    stop: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let (health_reporter, health) = tonic_health::server::health_reporter();
    announce(&health_reporter, false).await;
    let Listeners { grpc: listener, admin } = listeners;
    let (serving, ready) = tokio::sync::watch::channel(false);
    let pages = admin::pages(Arc::clone(&authority), ready);
    let (stop_answers, stopping) = tokio::sync::watch::channel(false);
    let sources = SourcesServer::new(SourcesService::new(Arc::clone(&authority)));
    let sources = sources.max_decoding_message_size(limits::REQUEST_BYTES);
    let service = TokenAuthorityServer::new(Service::new(Arc::clone(&authority)))
        .max_decoding_message_size(limits::REQUEST_BYTES);
    let migration = MigrationServer::new(MigrationService::new(Arc::clone(&authority), stopping));
    let migration = migration.max_decoding_message_size(limits::REQUEST_BYTES);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls_config(tls)).context("server.tls")?;
    }
    let router = server
        .timeout(REQUEST)
        .max_concurrent_streams(STREAMS)
        .http2_max_header_list_size(HEADER_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .layer(Naming)
        .layer(Rescue)
        .add_service(health)
        .add_service(InterceptedService::new(reflection().build_v1()?, gate.clone()))
        // Clients from before the first stable version of reflection ask for this one.
        .add_service(InterceptedService::new(reflection().build_v1alpha()?, gate.clone()))
        .add_service(InterceptedService::new(sources, gate.clone()))
        .add_service(InterceptedService::new(migration, gate.clone()))
        .add_service(InterceptedService::new(service, gate));
    let (drain, drained) = tokio::sync::oneshot::channel::<()>();
    let stopped = Arc::clone(&authority);
    let stop = async move {
        let loaded = async {
            stopped.revoked().loaded().await;
            stopped.policies_known().await;
            stopped.ledger().known().await;
            announce(&health_reporter, true).await;
            serving.send_replace(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = stop => {}
            () = loaded => {}
        }
        tracing::info!("Stopping: what is under way comes to its end");
        announce(&health_reporter, false).await;
        drop((drain, serving.send(false), stop_answers.send(true)));
    };
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = router.serve_with_incoming_shutdown(incoming, stop);
    let ended = tokio::select! {
        ended = serving => ended.context("the listener").map(|()| false),
        ended = show(admin, pages) => ended.context("the admin listener").map(|()| true),
        () = overdue(drained) => {
            tracing::warn!("Stopped with requests still under way");
            Ok(true)
        }
        never = keep_counts(&authority) => match never {},
    };
    keep_last_counts(&authority, *ended.as_ref().unwrap_or(&true)).await;
    authority.books.audit.close().await;
    ended.map(drop)
}

/// Says to probes whether requests are taken.
async fn announce(health: &HealthReporter, serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    let names = [
        TokenAuthorityServer::<Service>::NAME,
        SourcesServer::<SourcesService>::NAME,
        MigrationServer::<MigrationService>::NAME,
        "",
    ];
    for name in names {
        health.set_service_status(name, status).await;
    }
}

/// Shows the pages of the admin listener for as long as anything is served.
async fn show(listener: Option<TcpListener>, pages: axum::Router) -> std::io::Result<()> {
    match listener {
        None => std::future::pending().await,
        Some(listener) => axum::serve(listener, pages).await,
    }
}

async fn overdue(drained: tokio::sync::oneshot::Receiver<()>) {
    // The sender is dropped when draining begins; either outcome means the same.
    drop(drained.await);
    tokio::time::sleep(DRAIN).await;
}

pub(super) fn tls_config(tls: &Tls) -> ServerTlsConfig {
    let config = ServerTlsConfig::new().identity(Identity::from_pem(&tls.cert, tls.key.expose()));
    match &tls.client_ca {
        Some(ca) => config.client_ca_root(Certificate::from_pem(ca)),
        None => config,
    }
}
