//! `[applications.X]`

use std::collections::BTreeMap;
use std::sync::Arc;

use time::Duration;

use super::reader::{Table, plainly};
use super::sources::{Checked, LONGEST_MS};
use super::{World, acceptance, attributes, keys};
use crate::application::{Application, Exchange, Readiness};
use crate::attributes::Attributes;
use crate::caller::is_application_name;
use crate::identity::{Field, Privileged};
use crate::limits;
use crate::pipeline::{Circle, Plan};
use crate::profile::{Presence, Profile};
use crate::report::Days;
use crate::schema::Schema;
use crate::token::jwt::Expected;
use crate::token::times::Rules;

const DEFAULT_TTL_SECS: i64 = 3_600;
const MAX_TTL_SECS: i64 = 86_400;
const LEEWAY_SECS: i64 = 30;
const MAX_SESSION_SECS: i64 = 86_400;
/// How long all sources of a request may take together where the operator says nothing.
const BUDGET: std::time::Duration = std::time::Duration::from_secs(1);
/// Ten years: nobody means more.
const LONGEST_SECS: i64 = 315_360_000;
/// Four weeks: whoever comes once a month is seen.
const WINDOW_DAYS: u16 = 28;
/// A window has today besides.
const MOST_WINDOW_DAYS: i64 = Days::MOST as i64 - 1;
const MOST_DAILY: i64 = 1_000_000_000;

pub(super) fn read(
    root: &Table<'_>,
    world: World<'_>,
    profiles: &BTreeMap<String, Profile>,
    sources: &BTreeMap<String, Checked>,
) -> Vec<Application> {
    let mut fingerprints = Vec::new();
    let mut applications = Vec::new();
    for (name, table) in root.tables("applications") {
        if !is_application_name(&name) || name.len() > limits::IDENTIFIER_BYTES {
            table.problem("profile", "is of an application whose name cannot be used", "[a-z0-9_-]+(/[a-z0-9_-]+)*");
        }
        let Some(profile) = profile(&table, profiles) else {
            // Keys, attributes and tokens cannot be judged without one; the rest can.
            for below in ["keys", "attributes", "company_attributes", "tokens"] {
                table.table(below);
            }
            table.text("environment");
            drop((privileged(&table), exchange(&table), acceptance::read(&table), readiness(&table), claims(&table)));
            table.done();
            continue;
        };
        let format = profile.jwt.as_ref();
        let users = attributes::users(&table, format, sources);
        let companies = attributes::companies(&table, format, &users);
        let keys = keys::read((&name, &table), world, profile, &mut fingerprints);
        let plan = plan(&table, &name, &users, sources);
        let (budget, schema) = claims(&table);
        let application = Application {
            environment: table.text("environment").unwrap_or_else(|| "production".to_owned()),
            privileged: privileged(&table),
            expected: tokens(&table, profile),
            exchange: exchange(&table),
            acceptance: acceptance::read(&table),
            set: None,
            readiness: readiness(&table),
            budget,
            plan,
            schema: schema.map(Arc::new),
            profile: profile.clone(),
            name,
            keys,
            users,
            companies,
        };
        check_keys(&table, &application, world);
        table.done();
        applications.push(application);
    }
    if applications.is_empty() && !world.dev {
        root.warning("applications", "is missing: there is nothing to sign or verify", "add [applications.\"NAME\"]");
    }
    keys::check_shared(root, &fingerprints);
    applications
}

fn profile<'p>(table: &Table<'_>, profiles: &'p BTreeMap<String, Profile>) -> Option<&'p Profile> {
    let words: Vec<(&str, &Profile)> = profiles.iter().map(|(name, profile)| (name.as_str(), profile)).collect();
    if !table.has("profile") {
        let names: Vec<&str> = profiles.keys().map(String::as_str).collect();
        table.problem("profile", "is missing", &format!("must be one of {}", names.join(", ")));
    }
    table.word("profile", &words)
}

fn tokens(application: &Table<'_>, profile: &Profile) -> Expected {
    let seconds = |secs: i64| Duration::seconds(secs);
    let format = profile.jwt.as_ref();
    let longest = format.and_then(|format| format.max_ttl_secs).and_then(|secs| i64::try_from(secs).ok());
    let longest = longest.unwrap_or(LONGEST_SECS);
    let mut expected = Expected {
        times: Rules {
            leeway: seconds(LEEWAY_SECS),
            require_exp: true,
            max_age: None,
            max_ttl: seconds(MAX_TTL_SECS.min(longest)),
            default_ttl: seconds(DEFAULT_TTL_SECS.min(longest)),
        },
        issuer: None,
        audiences: format.map(|format| format.audiences.clone()).unwrap_or_default(),
        one_time: false,
        strict_revocation: false,
    };
    if let Some(table) = application.table("tokens") {
        let times = &mut expected.times;
        if let Some(max) = table.integer("max_ttl_secs", 1..=longest) {
            times.max_ttl = seconds(max);
            times.default_ttl = times.default_ttl.min(times.max_ttl);
        }
        if let Some(default) = table.integer("default_ttl_secs", 1..=longest) {
            times.default_ttl = seconds(default);
        }
        if times.max_ttl < times.default_ttl {
            table.problem("default_ttl_secs", "is over max_ttl_secs", "at most max_ttl_secs");
        }
        times.leeway = table.integer("leeway_secs", 0..=600).map_or(times.leeway, seconds);
        times.max_age = table.integer("max_age_secs", 1..=LONGEST_SECS).map(seconds);
        times.require_exp = table.boolean("require_exp").unwrap_or(true);
        if !times.require_exp && format.is_some_and(|format| format.expiry == Presence::Required) {
            table.problem("require_exp", "is false, and the profile makes exp mandatory", "remove it");
        }
        expected.one_time = table.flag("one_time");
        if expected.one_time && !times.require_exp {
            table.problem("require_exp", "is false, and a one-time token needs an end", "remove it, or one_time");
        }
        expected.strict_revocation = table.flag("strict_revocation");
        expected.issuer = table.text("issuer");
        audiences(&table, &mut expected.audiences);
        table.done();
    }
    let needs = |presence: fn(&crate::profile::JwtFormat) -> Presence| {
        format.is_some_and(|format| presence(format) == Presence::Required)
    };
    if needs(|format| format.issuer) && expected.issuer.is_none() {
        application.problem("tokens.issuer", "is missing", "the profile requires it: who signs the tokens");
    }
    if needs(|format| format.audience) && expected.audiences.is_empty() {
        application.problem("tokens.audiences", "is missing", "the profile requires it: whom the tokens are for");
    }
    expected
}

/// The audiences that are written go before those that the profile fixes, and can only be some of them.
fn audiences(table: &Table<'_>, expected: &mut Vec<String>) {
    let written = table.texts("audiences");
    if !expected.is_empty() && table.has("audiences") {
        let right = format!("some of {}, or remove it", expected.join(", "));
        if written.is_empty() {
            table.problem("audiences", "is empty, and the profile fixes the audiences", &right);
        } else if written.iter().any(|audience| !expected.contains(audience)) {
            table.problem("audiences", "has one that the profile does not have", &right);
        }
    }
    if table.has("audiences") {
        *expected = written;
    }
}

fn exchange(application: &Table<'_>) -> Exchange {
    let default = Exchange { jwt: false, max_session: Duration::seconds(MAX_SESSION_SECS) };
    let Some(table) = application.table("exchange") else { return default };
    let max_session = table.integer("max_session_secs", 1..=LONGEST_SECS);
    let exchange =
        Exchange { jwt: table.flag("jwt"), max_session: max_session.map_or(default.max_session, Duration::seconds) };
    table.done();
    exchange
}

fn readiness(application: &Table<'_>) -> Readiness {
    let mut readiness = Readiness { window_days: WINDOW_DAYS, min_daily: 1 };
    let Some(table) = application.table("migration") else { return readiness };
    let window = table.integer("window_days", 1..=MOST_WINDOW_DAYS);
    readiness.window_days = window.and_then(|days| u16::try_from(days).ok()).unwrap_or(readiness.window_days);
    let daily = table.integer("min_daily", 1..=MOST_DAILY);
    readiness.min_daily = daily.and_then(|daily| u64::try_from(daily).ok()).unwrap_or(readiness.min_daily);
    table.done();
    readiness
}

fn privileged(application: &Table<'_>) -> Privileged {
    let Some(table) = application.table("privileged") else { return Privileged::default() };
    let domains = table.texts("domains");
    if domains.iter().any(|domain| domain.contains('@')) {
        table.problem("domains", "has an @", "the part after it, as in \"acme.example\"");
    }
    let privileged = Privileged::new(table.texts("user_ids"), table.texts("emails"), domains);
    table.done();
    privileged
}

/// The budget of all sources together, and the schema.
fn claims(application: &Table<'_>) -> (std::time::Duration, Option<Schema>) {
    let Some(table) = application.table("claims") else { return (BUDGET, None) };
    let millis = table.integer("budget_ms", 1..=LONGEST_MS).and_then(|millis| u64::try_from(millis).ok());
    let schema = table.file("schema").and_then(|path| {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {}", plainly(&error)));
        let parsed = text.and_then(|text| Schema::parse(&text).map_err(str::to_owned));
        parsed.map_err(|wrong| table.problem("schema", &wrong, "name a file with a JSON Schema, at most 256 KiB")).ok()
    });
    table.done();
    (millis.map_or(BUDGET, std::time::Duration::from_millis), schema)
}

/// Which source is asked for what, and when. That a source needs what is not declared, or claims wait for each other,
/// is a problem.
fn plan(table: &Table<'_>, name: &str, users: &Attributes, sources: &BTreeMap<String, Checked>) -> Plan {
    let declared = |claim: &String| Field::named(claim).is_some() || users.custom.contains_key(claim);
    for (claim, rule) in users.rules() {
        let used = rule.from.iter().filter_map(|origin| sources.get(origin.name()));
        for source in used.filter(|source| !source.needs.iter().all(declared)) {
            let wrong = format!("has a source that needs what is not declared here: {}", source.needs.join(", "));
            table.problem(&format!("attributes.{claim}.from"), &wrong, "declare the attribute, or correct its needs");
        }
    }
    let asked = sources.iter().map(|(name, source)| (name.clone(), source.asked())).collect();
    Plan::of(name, users, &asked).unwrap_or_else(|Circle(claims)| {
        let wrong = format!("wait for each other in a circle: {}", claims.join(", "));
        table.problem("attributes", &wrong, "remove one of the needs");
        Plan::default()
    })
}

fn check_keys(table: &Table<'_>, application: &Application, world: World<'_>) {
    let ended = application.acceptance.last_hash_until().is_some_and(|until| until <= world.now);
    // A key that was written and is broken has been reported already.
    let written =
        |purpose: &str| table.tables("keys").iter().any(|(_, key)| key.text("purpose").as_deref() == Some(purpose));
    if application.profile.hash.is_some() && application.keys.legacy.is_empty() && !ended && !written("legacy") {
        table.problem(
            "keys",
            "has no legacy key, and hashes are accepted",
            "add one with purpose = \"legacy\", or set acceptance.hash_until to a time that has passed",
        );
    }
    if application.profile.jwt.is_some() && application.keys.jwt.is_empty() && !written("jwt") {
        table.warning("keys", "has no jwt key: Sign and Exchange will refuse", "add one with purpose = \"jwt\"");
    }
}
