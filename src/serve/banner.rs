//! What an operator reads when the server starts and when a configuration is checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use super::Options;
use crate::acceptance::Acceptance;
use crate::application::Application;
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

/// What a good configuration comes to, and what was set at run time over it.
pub(super) fn checked(
    settings: &Settings,
    set: &Result<BTreeMap<String, Option<Application>>, &'static str>,
    now: UtcDateTime,
) -> String {
    let mut text = String::new();
    for application in &settings.applications {
        let line = format!(
            "{}: profile {}, {} jwt and {} legacy keys, {}\n",
            application.name,
            application.profile.name,
            application.keys.jwt.len(),
            application.keys.legacy.len(),
            policy(&application.acceptance, now),
        );
        text.push_str(&line);
        match set.as_ref().ok().and_then(|set| set.get(&application.name)) {
            None => {}
            Some(None) => text.push_str("  set at run time and wins over this: cannot be read by this version\n"),
            Some(Some(set)) => text.push_str(&format!("  {}\n", runtime(set, now))),
        }
    }
    if let Err(why) = set {
        text.push_str(&format!("what was set at run time is not shown: {why}\n"));
    }
    text.push_str("no problems\n");
    text
}

fn policy(acceptance: &Acceptance, now: UtcDateTime) -> String {
    let until = acceptance.hash_until.map_or_else(|| "no end set".to_owned(), instant);
    format!("phase {}, hashes until: {until}", acceptance.phase_at(now).name())
}

fn runtime(application: &Application, now: UtcDateTime) -> String {
    let Some(set) = &application.set else { return String::new() };
    let changed = if set.file_changed { "; THE FILE HAS CHANGED SINCE: set it again, or reset it" } else { "" };
    let (policy, caller, at) = (policy(&application.acceptance, now), &set.caller, instant(set.at));
    format!("set at run time by {caller} at {at} and wins over this: {policy}{changed}")
}

fn instant(at: UtcDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_beyond| at.to_string())
}

/// This program, as it can be called from where it was started: after `cargo run` it is on nobody's path.
fn binary() -> String {
    let Ok(path) = std::env::current_exe() else { return "countersign".to_owned() };
    let here = std::env::current_dir().ok();
    let relative = here.as_ref().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(&path);
    let text = relative.display().to_string();
    if text.contains(char::is_whitespace) { format!("'{text}'") } else { text }
}
