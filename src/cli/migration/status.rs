//! `migration status`: the curve, the verdict and the policy, once or whenever something has changed.

use std::process::ExitCode;

use super::{args, chart, policy, window};
use crate::cli::answer::{Answer, goes_on};
use crate::cli::client::Session;
use crate::cli::commands::run;
use crate::cli::input::Input;
use crate::cli::text::{Columns, Table, instant, line, plain, second};
use crate::cli::trouble::Trouble;
use crate::cli::{conclude, json, show};
use crate::grpc::proto::admin::{
    Acceptance, GetAcceptanceRequest, GetAcceptanceResponse, GetReportRequest, GetReportResponse, MigrationReport,
    Phase, Verdict, WatchReportRequest,
};
use crate::words::grouped;

/// Complete days of which the numbers are shown, and today.
const NUMBERED: usize = 8;
/// As many clients and callers are named.
const NAMED: usize = 5;
/// As many events of the policy are named.
const EVENTS: usize = 3;

pub(super) fn once(args: &args::Status) -> Result<Answer, Trouble> {
    run(async {
        let session = Session::open(&args.client.connection, &mut Input::default()).await?;
        let application = args.client.application.clone();
        let request = GetReportRequest { application, window: window(&args.window) };
        let response = session.answer(session.migration().get_report(request)).await?;
        answer(&session, args, response).await
    })
}

/// Ends as the last report does.
pub(super) fn watch(args: &args::Status) -> ExitCode {
    let json = args.client.json;
    conclude(
        json,
        run(async {
            let mut session = Session::open(&args.client.connection, &mut Input::default()).await?;
            let application = args.client.application.clone();
            let request = WatchReportRequest { application, window: window(&args.window) };
            let mut reports = session.answer(session.migration().watch_report(request)).await?;
            let mut last = Err(Trouble::response("The server's answer holds no report."));
            while let Some(response) = reports.message().await.map_err(|status| session.trouble(&status))? {
                session.rewind();
                let answer = answer(&session, args, GetReportResponse { report: response.report }).await?;
                let output = if json { answer.output } else { format!("{}\n", answer.output) };
                last = Ok(Answer::new(String::new(), String::new(), answer.exit));
                if !goes_on(&output) {
                    break;
                }
            }
            last
        }),
    )
}

async fn answer(session: &Session, args: &args::Status, response: GetReportResponse) -> Result<Answer, Trouble> {
    let no_verdict = || Trouble::response("The server's answer holds no verdict.");
    let report = response.report.as_ref().ok_or_else(no_verdict)?;
    let verdict = report.verdict.as_ref().ok_or_else(no_verdict)?;
    let output = if args.client.json {
        json::line("countersign.admin.v1.GetReportResponse", &response)?
    } else {
        let request = GetAcceptanceRequest { application: args.client.application.clone() };
        let policy = session.answer(session.migration().get_acceptance(request)).await?;
        text(report, verdict, &policy)
    };
    Ok(if verdict.ready { Answer::done(output, String::new()) } else { Answer::refused(output, String::new()) })
}

fn text(report: &MigrationReport, verdict: &Verdict, policy: &GetAcceptanceResponse) -> String {
    let mut text = String::new();
    let phase = report.phase().as_str_name().trim_start_matches("PHASE_").to_lowercase();
    let phase = if report.phase() == Phase::Unspecified { "?" } else { &phase };
    let at = report.at.as_ref().map(second).unwrap_or_default();
    line(&mut text, format_args!("{}: {phase}, at {at}\n", plain(&report.application)));
    chart::draw(&report.days, &mut text);
    text.push('\n');
    numbers(report, &mut text);
    let (hashes, jwts) = (grouped(report.hash_subjects), grouped(report.jwt_subjects));
    line(&mut text, format_args!("distinct subjects, about: {hashes} with a hash, {jwts} with a JWT\n"));
    judged(verdict, &mut text);
    users(report, &mut text);
    tried(report, &mut text);
    in_force(policy, &mut text);
    next(policy.in_force.as_ref(), report.at.map_or(0, |at| at.seconds), &mut text);
    text
}

fn numbers(report: &MigrationReport, to: &mut String) {
    let heading = ["", "hashes", "refused", "invalid", "made", "JWTs", "refused", "invalid", "made"];
    let mut columns = Columns::new(&heading);
    for day in report.days.iter().skip(report.days.len().saturating_sub(NUMBERED)) {
        let hash = [day.hash_accepted, day.hash_refused, day.hash_invalid, day.hash_issued];
        let jwt = [day.jwt_accepted, day.jwt_refused, day.jwt_invalid, day.jwt_issued];
        columns.row(&day.date, hash.into_iter().chain(jwt).map(grouped));
    }
    columns.write("", to);
}

fn judged(verdict: &Verdict, to: &mut String) {
    if verdict.ready {
        line(to, format_args!("READY: hashes can end."));
        return;
    }
    line(to, format_args!("NOT READY"));
    for blocker in &verdict.blockers {
        line(to, format_args!("  {}", plain(&blocker.message)));
    }
    match &verdict.projected_ready_at {
        Some(at) => line(to, format_args!("projected: ready at {}, if things go on as they do", instant(at))),
        None => line(to, format_args!("no projection: {}", plain(&verdict.why_not_projected))),
    }
}

fn users(report: &MigrationReport, to: &mut String) {
    let stragglers = report.stragglers.clone().unwrap_or_default();
    for (title, usages) in [("client", &stragglers.clients), ("caller", &stragglers.callers)] {
        let mut columns = Columns::new(&[title, "hashes", "made", "subjects", "last"]);
        for usage in usages.iter().take(NAMED) {
            let last = usage.last_hash.as_ref().map(instant).unwrap_or_default();
            let numbers = [usage.hashes, usage.hashes_issued, usage.hash_subjects].map(grouped);
            let name = if usage.name.is_empty() { "(no label)" } else { &usage.name };
            columns.row(name, numbers.into_iter().chain([last.chars().take("2027-03-31".len()).collect()]));
        }
        if !columns.is_empty() {
            text_of(&columns, to);
        }
    }
}

fn text_of(columns: &Columns, to: &mut String) {
    to.push('\n');
    columns.write("", to);
}

fn tried(report: &MigrationReport, to: &mut String) {
    if !report.shadow.is_empty() {
        to.push('\n');
        for shadow in &report.shadow {
            let (count, reason) = (grouped(shadow.count), show::reason(shadow.reason));
            line(to, format_args!("the shadow would have refused {count} more: {reason}"));
        }
    }
    for gap in &report.gaps {
        let at = |at: &Option<prost_types::Timestamp>| at.as_ref().map(second).unwrap_or_default();
        let lost = gap.lost.map_or("nobody can say how many".to_owned(), grouped);
        line(to, format_args!("not counted from {} to {}: {lost}", at(&gap.from), at(&gap.until)));
    }
}

fn in_force(response: &GetAcceptanceResponse, to: &mut String) {
    match &response.runtime {
        None => line(to, format_args!("\npolicy, from the file")),
        Some(runtime) => {
            let at = runtime.set_at.as_ref().map(instant).unwrap_or_default();
            line(to, format_args!("\npolicy, set at run time by {} at {at}", plain(&runtime.caller)));
            line(to, format_args!("  because: {}", plain(&runtime.reason)));
            if runtime.file_changed {
                line(to, format_args!("  The file has changed since: decide with `set` or `reset`."));
            }
        }
    }
    policy::write(&response.in_force.clone().unwrap_or_default(), "  ", to);
    if response.runtime.is_some() {
        line(to, format_args!("in the file"));
        policy::write(&response.file.clone().unwrap_or_default(), "  ", to);
    }
}

/// What the policy does next, by its dates.
fn next(policy: Option<&Acceptance>, now: i64, to: &mut String) {
    let Some(policy) = policy else { return };
    let mut events = vec![
        (policy.jwt_from, "JWTs count".to_owned()),
        (policy.issue_hash_until, "no more hashes are made".to_owned()),
        (policy.hash_until, "hashes end".to_owned()),
    ];
    events.extend(policy.brownouts.iter().map(|window| {
        let until = window.until.as_ref().map(instant).unwrap_or_default();
        (window.from, format!("brownout, until {until}"))
    }));
    events.extend(policy.rollout.iter().map(|step| (step.at, format!("{} % of the users need a JWT", step.percent))));
    events.extend(policy.exceptions.iter().map(|exception| {
        let of = [&exception.client, &exception.caller].into_iter().filter(|name| !name.is_empty());
        let of = of.cloned().collect::<Vec<_>>().join(" of ");
        (exception.hash_until, format!("hashes of {of} end"))
    }));
    let mut coming: Vec<_> = events.into_iter().filter_map(|(at, what)| Some((at?, what))).collect();
    coming.retain(|(at, _)| now < at.seconds);
    coming.sort_by_key(|(at, _)| at.seconds);
    let mut table = Table::default();
    for (at, what) in coming.iter().take(EVENTS) {
        table.row(instant(at), what);
    }
    if !table.is_empty() {
        line(to, format_args!("next"));
        table.write("  ", to);
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
