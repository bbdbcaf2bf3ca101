//! Starts the authority: configuration, log, listeners (`listen.rs`), what is kept (`state.rs`), and an orderly end. The one
//! place that spawns.

mod admin;
mod audit;
mod banner;
mod listen;
mod state;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tonic::transport::Server;

pub use self::audit::audit;
use self::listen::tls_config;
pub use self::listen::{Listeners, serve};
use self::state::{books, runtime_policies};
pub use self::state::{follow_policies, pipeline, shared_redis, state};
use crate::authority::Authority;
use crate::clock::{Clock as _, System};
use crate::config::{self, Problem, Settings, World, dev};
use crate::grpc::caller::Gate;
use crate::observe::Metrics;
use crate::pipeline::registry::KINDS;

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
    let authority = Arc::new(Authority::new(Arc::new(System), snapshot, state, pipeline, books));
    // Who reads that we listen is not too early. A store that is away is asked again.
    authority.follow_policies(None).await.map(drop).unwrap_or_default();
    authority.ledger().introduce(authority.present().1).await.unwrap_or_default();
    say(&banner);
    tasks.spawn(follow_policies(Arc::clone(&authority)));
    serve(Listeners { grpc: listener, admin }, authority, gate(callers, metrics), server.tls.as_ref(), stop).await
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
