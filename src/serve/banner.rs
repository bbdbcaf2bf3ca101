//! What an operator reads when the server starts and when a configuration is checked.

use std::net::SocketAddr;

use time::UtcDateTime;

use super::Options;
use crate::config::dev::{APPLICATION, SECRETS};
use crate::config::{Settings, Store};

/// The first lines of a server.
pub(super) fn started(
    options: &Options,
    settings: &Settings,
    (address, admin): (SocketAddr, Option<SocketAddr>),
    generated: bool,
) -> String {
    let scheme = if settings.server.tls.is_some() { "https" } else { "http" };
    let mut text = format!("countersign {}\nlistening on {scheme}://{address}\n", env!("CARGO_PKG_VERSION"));
    if let Some(admin) = admin {
        text.push_str(&format!("metrics and health on http://{admin}\n"));
    }
    text.push_str(state(settings));
    if options.dev && options.config.is_none() {
        text.push_str(&dev(&format!("{scheme}://{address}"), generated));
    }
    text
}

fn state(settings: &Settings) -> &'static str {
    match &settings.store {
        None => "state: in memory; it ends with this process\n",
        Some(Store::Embedded { .. }) => "state: in the file of store.path\n",
        Some(Store::Redis { .. }) => "state: in Redis\n",
    }
}

fn dev(address: &str, generated: bool) -> String {
    let (names, binary) = (SECRETS.join(" and "), binary());
    let secrets =
        if generated { format!("generated for this run; set {names} to choose them") } else { format!("from {names}") };
    format!(
        "development mode: any local caller may do anything
application: {APPLICATION} (profile featurebase; JWTs and hashes are accepted)
secrets: {secrets}

Try, in another terminal:

  export COUNTERSIGN_SERVER={address} COUNTERSIGN_APPLICATION={APPLICATION}
  {binary} sign --user-id 123456 --email user@example.com --attribute plan=Premium
  {binary} verify --jwt \"$({binary} sign --user-id 123456)\"
  {binary} verify --user-id 123456 --user-hash \"$({binary} hash --user-id 123456)\"

"
    )
}

/// What a good configuration comes to.
pub(super) fn checked(settings: &Settings, now: UtcDateTime) -> String {
    let mut text = String::new();
    for application in &settings.applications {
        let until = application.acceptance.hash_until.map_or_else(|| "no end set".to_owned(), |end| end.to_string());
        let line = format!(
            "{}: profile {}, {} jwt and {} legacy keys, phase {}, hashes until: {until}\n",
            application.name,
            application.profile.name,
            application.keys.jwt.len(),
            application.keys.legacy.len(),
            application.acceptance.phase_at(now).name(),
        );
        text.push_str(&line);
    }
    text.push_str("no problems\n");
    text
}

/// This program, as it can be called from where it was started: after `cargo run` it is on nobody's path.
fn binary() -> String {
    let Ok(path) = std::env::current_exe() else { return "countersign".to_owned() };
    let here = std::env::current_dir().ok();
    let relative = here.as_ref().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(&path);
    let text = relative.display().to_string();
    if text.contains(char::is_whitespace) { format!("'{text}'") } else { text }
}
