//! Starts the authority: configuration, log, listener, and an orderly end. The one place that spawns.

mod admin;
mod audit;
mod banner;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt as _;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tonic::server::NamedService as _;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

pub use self::audit::audit;
use crate::account::Books;
use crate::application::Application;
use crate::authority::Authority;
use crate::clock::{Clock, System};
use crate::config::{self, Problem, Settings, Store, Tls, World, dev};
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
use crate::ledger::Ledger;
use crate::limits;
use crate::observe::{Metrics, events};
use crate::pipeline::registry::KINDS;
use crate::pipeline::{Pipeline, Seal};
use crate::pseudonym::Pseudonyms;
use crate::revocation::least_end;
use crate::runtime;
use crate::store::{Documents as _, Embedded, Heard, Memory, Place, Replicated, SharedClaims, SharedRedis, State};

/// Requests that one connection may have under way; more wait.
const STREAMS: u32 = 128;
/// Bytes of a request's headers.
const HEADER_BYTES: u32 = 16 * 1024;
/// How long a silent connection is kept before it is asked for a sign of life, and how long that may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// How long a request may take, its arrival included: half-sent ones do not stay.
const REQUEST: Duration = Duration::from_secs(30);
/// How often it is asked for policies that were set at run time.
const POLICIES: Duration = Duration::from_millis(500);
/// The pause after a task that must not end has ended.
const AGAIN: Duration = Duration::from_secs(1);
/// How long requests under way may take after the signal to stop.
const DRAIN: Duration = Duration::from_secs(20);
/// How long the store may take after that to have what was counted last.
const LAST: Duration = Duration::from_secs(5);

/// What `countersign serve` is told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Development: loopback only, state in memory, any local caller.
    pub dev: bool,
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// Where to listen, in place of what the configuration says.
    pub listen: Option<SocketAddr>,
}

/// Serves until a signal. Exit 0 after an orderly end, 1 for a configuration with problems, 2 where it could not start.
pub fn run(options: &Options) -> ExitCode {
    let mut env: BTreeMap<String, String> = environment();
    if let Some(listen) = options.listen {
        // As the environment would say it, so that it is checked like any other address.
        env.insert("COUNTERSIGN__SERVER__LISTEN".to_owned(), listen.to_string());
    }
    let generated = if options.dev && options.config.is_none() { dev::fill_secrets(&mut env) } else { Ok(false) };
    let settings = match settings(options, &env) {
        Ok(settings) => settings,
        Err(problems) => return report(&problems),
    };
    let address = settings.server.listen;
    if options.dev && !address.ip().is_loopback() {
        return report(&[Problem {
            file: "command line".to_owned(),
            key: "--dev".to_owned(),
            wrong: "listens on loopback only".to_owned(),
            right: "use 127.0.0.1 or [::1], or a configuration without --dev".to_owned(),
        }]);
    }
    let started = generated.and_then(|generated| {
        let runtime = tokio::runtime::Runtime::new().context("the runtime")?;
        runtime.block_on(until_signal(options, settings, address, generated))
    });
    match started {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("countersign: cannot serve: {error:#}\n"));
            ExitCode::from(2)
        }
    }
}

/// Checks a configuration file and says everything that is wrong with it. Exit 1 where anything is.
pub fn check_config(path: &Path) -> ExitCode {
    let env = environment();
    let world = World { env: &env, now: System.now(), kinds: KINDS, dev: false };
    match config::load(path, world).and_then(check_tls) {
        Err(problems) => report(&problems),
        Ok(settings) => {
            warn(&settings.warnings);
            say(&banner::checked(&settings, &runtime_policies(&settings), world.now));
            ExitCode::SUCCESS
        }
    }
}

/// What was set at run time, where the store can be looked into from here.
fn runtime_policies(settings: &Settings) -> Result<BTreeMap<String, Option<Application>>, &'static str> {
    let look = async {
        match &settings.store {
            None => Ok(BTreeMap::new()),
            Some(Store::Embedded { path }) => Embedded::look(path, runtime::KIND),
            Some(Store::Redis(place)) => {
                let documents = SharedRedis::new(Place::clone(place)).documents(runtime::KIND).await;
                documents.map_err(|_away| "the store cannot be reached from here")
            }
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let documents = runtime.map_err(|_error| "this machine gives no timers or sockets")?.block_on(look)?;
    Ok(runtime::set_at_run_time(&settings.applications, &documents))
}

fn settings(options: &Options, env: &BTreeMap<String, String>) -> Result<Settings, Vec<Problem>> {
    let world = World { env, now: System.now(), kinds: KINDS, dev: options.dev };
    let settings = match &options.config {
        Some(path) => config::load(path, world),
        None if options.dev => config::parse("built-in development configuration", dev::CONFIGURATION, world),
        None => Err(vec![Problem {
            file: "command line".to_owned(),
            key: "--config".to_owned(),
            wrong: "is missing".to_owned(),
            right: "name a configuration file, or try things with --dev".to_owned(),
        }]),
    }?;
    check_tls(settings)
}

/// That certificate, key and client CA belong together, which only the TLS library can say.
fn check_tls(settings: Settings) -> Result<Settings, Vec<Problem>> {
    let fits = settings.server.tls.as_ref().is_none_or(|tls| Server::builder().tls_config(tls_config(tls)).is_ok());
    if fits {
        return Ok(settings);
    }
    Err(vec![Problem {
        file: "configuration".to_owned(),
        key: "server.tls".to_owned(),
        wrong: "cannot be served with".to_owned(),
        right: "cert must be a certificate chain, key its own private key (not encrypted), client_ca certificates"
            .to_owned(),
    }])
}

async fn until_signal(
    options: &Options,
    settings: Settings,
    address: SocketAddr,
    generated: bool,
) -> anyhow::Result<()> {
    log_to_stderr();
    warn(&settings.warnings);
    let stop = signal().context("the signals")?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("{address} cannot be listened on"))?;
    let address = listener.local_addr()?;
    if settings.callers.is_empty() && !options.dev {
        tracing::warn!("insecure = true: anyone on this machine may do anything");
    }
    let metrics = Arc::new(Metrics::default());
    let gate = |callers: config::Callers, metrics: Arc<Metrics>| match (callers.is_empty(), options.dev) {
        (false, _) => Gate::known(callers, metrics),
        (true, true) => Gate::open("local", metrics),
        (true, false) => Gate::open("anyone", metrics),
    };
    let admin = match settings.server.admin_listen {
        None => None,
        Some(address) => {
            let bound = TcpListener::bind(address).await;
            Some(bound.with_context(|| format!("{address} (server.admin_listen) cannot be listened on"))?)
        }
    };
    let shown = admin.as_ref().map(TcpListener::local_addr).transpose()?;
    let banner = banner::started(options, &settings, (address, shown), generated);
    let tasks = TaskTracker::new();
    let redis = shared_redis(&settings);
    let state = state(&settings, redis.clone(), Arc::new(System), Arc::clone(&metrics), &tasks).await?;
    let pipeline = pipeline(&settings, redis, &tasks).await?;
    let books = books(&settings, Arc::new(System), &state, &metrics).await?;
    let (server, callers, snapshot) = settings.open(&metrics).await?;
    say(&banner);
    let authority = Arc::new(Authority::new(Arc::new(System), snapshot, state, pipeline, books));
    tasks.spawn(follow_policies(Arc::clone(&authority)));
    serve(Listeners { grpc: listener, admin }, authority, gate(callers, metrics), server.tls.as_ref(), stop).await
}

/// The Redis that servers share, where there is one.
#[must_use]
pub fn shared_redis(settings: &Settings) -> Option<SharedRedis> {
    match &settings.store {
        Some(Store::Redis(place)) => Some(SharedRedis::new(Place::clone(place))),
        Some(Store::Embedded { .. }) | None => None,
    }
}

/// The state, where the configuration says that it is kept; in memory where it says nothing.
pub async fn state(
    settings: &Settings,
    redis: Option<SharedRedis>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    tasks: &TaskTracker,
) -> anyhow::Result<Arc<dyn State>> {
    let expected = settings.applications.iter().map(|one| (one.name.clone(), one.expected.clone()));
    let expected: BTreeMap<_, _> = expected.collect();
    let least = move |name: &str, at| expected.get(name).map_or(at, |expected| least_end(expected, at));
    if let Some(redis) = redis {
        let opened = Arc::new(Replicated::open(redis, clock.now(), Box::new(least)).await.context("store.url")?);
        tasks.spawn(hear_revocations(Arc::clone(&opened), clock, metrics));
        return Ok(opened);
    }
    let Some(Store::Embedded { path }) = &settings.store else { return Ok(Arc::new(Memory::default())) };
    let opened = Embedded::open(path, clock.now(), least);
    Ok(Arc::new(opened.with_context(|| format!("store.path, {}", path.display()))?))
}

/// What requests are written down in. The secret of the pseudonyms is the configured one, or is made once and kept in the
/// store, where there is one server alone.
async fn books(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    state: &Arc<dyn State>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Books> {
    const SECRET: (&str, &str) = ("secrets", "pseudonyms");
    let pseudonyms = match &settings.server.pseudonym_secret {
        Some(secret) => Pseudonyms::from_secret(secret.expose()),
        None => {
            let mut made = vec![0; 32];
            aws_lc_rs::rand::fill(&mut made).context("this machine gives no randomness")?;
            // One that is there already is not replaced.
            state.keep(SECRET.0, SECRET.1, 0, made).await.context("the store")?;
            let kept = state.document(SECRET.0, SECRET.1).await.context("the store")?;
            Pseudonyms::from_secret(&kept.context("the store lost what it just kept")?.bytes)
        }
    };
    let applications = settings.applications.iter().map(|application| application.name.as_str());
    let ledger = Ledger::new(applications, Arc::<dyn State>::clone(state), Arc::clone(metrics), clock.now());
    let audit = audit(settings, clock, state, &pseudonyms, metrics)?;
    Ok(Books { metrics: Arc::clone(metrics), pseudonyms, ledger, audit })
}

/// Tells the store what is counted, for ever, also after a bug.
async fn keep_counts(authority: &Authority) -> Infallible {
    loop {
        let keeping = authority.ledger().keep(|| authority.present().1);
        drop(AssertUnwindSafe(keeping).catch_unwind().await);
        tokio::time::sleep(AGAIN).await;
    }
}

/// Tells the store the rest. Where something is still under way, this is not the orderly end, and whoever reads is told of a
/// gap; so it is where the store does not take it.
async fn keep_last_counts(authority: &Authority, under_way: bool) {
    let (ledger, now) = (authority.ledger(), authority.present().1);
    let last = async { if under_way { ledger.flush(now).await } else { ledger.end(now).await } };
    let told = tokio::time::timeout(LAST, last).await;
    if !matches!(told, Ok(Ok(()))) {
        events::LedgerKept { away: true }.emit();
    }
}

/// Hears what is revoked, for ever, also after a bug.
async fn hear_revocations(store: Arc<Replicated>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) {
    loop {
        let following = store.follow(&*clock, |unheard| metrics.revocations_unheard(unheard));
        drop(AssertUnwindSafe(following).catch_unwind().await);
        tokio::time::sleep(AGAIN).await;
    }
}

/// Takes over the policies that are set at run time, for ever.
pub async fn follow_policies(authority: Arc<Authority>) {
    let mut known = None;
    loop {
        let following = AssertUnwindSafe(authority.follow_policies(known)).catch_unwind().await;
        // A store that is away changes nothing: what was known last stays in force.
        known = following.ok().and_then(Result::ok).or(known);
        tokio::time::sleep(POLICIES).await;
    }
}

/// The pipeline: with what replicas share, where the store is one that they do.
pub async fn pipeline(
    settings: &Settings,
    redis: Option<SharedRedis>,
    tasks: &TaskTracker,
) -> anyhow::Result<Pipeline> {
    let (Some(redis), Some(secret)) = (redis, &settings.server.pseudonym_secret) else {
        let seal = Seal::random().context("this machine gives no randomness")?;
        return Ok(Pipeline::new(seal, tasks.clone()));
    };
    let claims = SharedClaims::open(redis).await;
    let seal = Seal::from_secret(secret.expose()).context("the keys of the shared cache")?;
    let pipeline = Pipeline::sharing(seal, Arc::new(claims.clone()), tasks.clone());
    tasks.spawn(hear_replicas(claims, pipeline.clone()));
    Ok(pipeline)
}

/// Does what other replicas say, for ever. After a bug it begins anew, with nothing that could have been missed.
async fn hear_replicas(claims: SharedClaims, pipeline: Pipeline) {
    let hear = |heard| {
        let pipeline = pipeline.clone();
        async move {
            match heard {
                Heard::Again => events::ReplicasHeard.emit(),
                Heard::Nothing => events::ReplicasUnheard.emit(),
                Heard::Gap => pipeline.forget_all(),
                Heard::Forget(tag) => pipeline.heard(tag, System.now()),
            }
        }
    };
    loop {
        let listening = AssertUnwindSafe(claims.listen(hear)).catch_unwind();
        drop(listening.await);
        pipeline.forget_all();
        tokio::time::sleep(AGAIN).await;
    }
}

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

fn tls_config(tls: &Tls) -> ServerTlsConfig {
    let config = ServerTlsConfig::new().identity(Identity::from_pem(&tls.cert, tls.key.expose()));
    match &tls.client_ca {
        Some(ca) => config.client_ca_root(Certificate::from_pem(ca)),
        None => config,
    }
}

/// Resolves at SIGINT or SIGTERM, from the moment that this returns: nobody who reads that we listen is too early.
#[cfg(unix)]
fn signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves at Ctrl-C.
#[cfg(not(unix))]
fn signal() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("COUNTERSIGN_LOG")
        .unwrap_or_else(|_unset| tracing_subscriber::EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_target(false).with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        subscriber.init();
    } else {
        subscriber.json().flatten_event(true).init();
    }
}

fn environment() -> BTreeMap<String, String> {
    // A variable that is not UTF-8 cannot be configuration or a text secret.
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn report(problems: &[Problem]) -> ExitCode {
    let list: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    let noun = if problems.len() == 1 { "problem" } else { "problems" };
    say(&format!("{list}{} {noun}\n", problems.len()));
    ExitCode::FAILURE
}

fn warn(warnings: &[Problem]) {
    for warning in warnings {
        say(&format!("warning: {warning}\n"));
    }
}

/// Tells the operator. A standard error that is closed is no reason to stop.
fn say(text: &str) {
    drop(std::io::stderr().write_all(text.as_bytes()));
}
