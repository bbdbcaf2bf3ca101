//! `migration stragglers`: who still uses hashes, by pseudonym; or which users of a list do, by name.

use std::path::Path;

use super::{args, users, window};
use crate::cli::answer::Answer;
use crate::cli::client::Session;
use crate::cli::commands::run as wait;
use crate::cli::input::Input;
use crate::cli::json;
use crate::cli::text::{Columns, instant, line, plain};
use crate::cli::trouble::Trouble;
use crate::grpc::proto::admin::{
    FindSubjectsRequest, FindSubjectsResponse, FoundSubject, ListStragglersRequest, Sighting, Stragglers,
};
use crate::grpc::proto::subject::Kind;
use crate::grpc::proto::{CredentialKind, Subject};
use crate::words::grouped;

/// As many users are asked for at once.
const BATCH: usize = 1_000;

pub(super) fn run(args: &args::Stragglers) -> Result<Answer, Trouble> {
    match &args.from {
        Some(list) => wait(of_list(args, list)),
        None => wait(of_server(args)),
    }
}

async fn of_server(args: &args::Stragglers) -> Result<Answer, Trouble> {
    let session = Session::open(&args.client.connection, &mut Input::default()).await?;
    let application = args.client.application.clone();
    let request = ListStragglersRequest { application, window: window(&args.window), limit: args.limit };
    let response = session.answer(session.migration().list_stragglers(request)).await?;
    if args.client.json {
        let line = json::line("countersign.admin.v1.ListStragglersResponse", &response)?;
        return Ok(Answer::done(line, String::new()));
    }
    Ok(Answer::done(text(&response.stragglers.unwrap_or_default()), String::new()))
}

fn text(stragglers: &Stragglers) -> String {
    let mut text = String::new();
    let kinds = [("caller", &stragglers.callers), ("client", &stragglers.clients), ("key", &stragglers.keys)];
    for (title, usages) in kinds {
        let mut columns = Columns::new(&[title, "hashes", "made", "subjects", "last"]);
        for usage in usages {
            let name = if usage.name.is_empty() { "(no label)" } else { &usage.name };
            let numbers = [usage.hashes, usage.hashes_issued, usage.hash_subjects].map(grouped);
            let last = usage.last_hash.as_ref().map(instant).unwrap_or_default();
            columns.row(name, numbers.into_iter().chain([last]));
        }
        if !columns.is_empty() {
            columns.write("", &mut text);
            text.push('\n');
        }
    }
    if text.is_empty() && stragglers.subjects.is_empty() {
        return "nobody\n".to_owned();
    }
    for straggler in &stragglers.subjects {
        let sighting = straggler.sighting.clone().unwrap_or_default();
        line(&mut text, format_args!("{}  {}", plain(&straggler.pseudonym), seen(&sighting)));
    }
    text
}

/// When and where, on one line.
fn seen(sighting: &Sighting) -> String {
    let at = sighting.last_seen.as_ref().map(instant).unwrap_or_default();
    let client = if sighting.client.is_empty() { "(no label)" } else { &sighting.client };
    format!("{at}  {} of {}", plain(client), plain(&sighting.caller))
}

/// What became of a list.
#[derive(Debug, Default)]
struct Matched {
    /// Lines of those with a hash.
    lines: String,
    /// How many were asked for, were seen with a hash, and were not seen at all.
    asked: u64,
    with_hash: u64,
    unseen: u64,
    /// The answers, where they are asked for as JSON.
    found: Vec<FoundSubject>,
}

async fn of_list(args: &args::Stragglers, list: &Path) -> Result<Answer, Trouble> {
    let mut input = Input::default();
    let mut users = users::read(input.stream("--from", list)?)?.peekable();
    let mut session = Session::open(&args.client.connection, &mut input).await?;
    let mut matched = Matched::default();
    while users.peek().is_some() {
        let batch: Vec<Subject> = users.by_ref().take(BATCH).collect::<Result<_, _>>()?;
        let application = args.client.application.clone();
        let request = FindSubjectsRequest { application, subjects: batch.clone() };
        session.rewind();
        let response = session.answer(session.migration().find_subjects(request)).await?;
        if response.found.len() != batch.len() {
            return Err(Trouble::response("The server's answer lacks some of the users."));
        }
        matched.add(&batch, response.found, args.client.json);
    }
    if args.client.json {
        let response = FindSubjectsResponse { found: matched.found };
        let line = json::line("countersign.admin.v1.FindSubjectsResponse", &response)?;
        return Ok(Answer::done(line, String::new()));
    }
    let remarks = matched.remarks();
    Ok(Answer::done(matched.lines, remarks))
}

impl Matched {
    fn add(&mut self, batch: &[Subject], found: Vec<FoundSubject>, keep: bool) {
        for (subject, found) in batch.iter().zip(&found) {
            let with = |kind| found.sightings.iter().find(|sighting| sighting.credential() == kind);
            self.asked += 1;
            self.unseen += u64::from(found.sightings.is_empty());
            let Some(hash) = with(CredentialKind::LegacyHash) else { continue };
            self.with_hash += 1;
            let jwt = with(CredentialKind::Jwt).and_then(|sighting| sighting.last_seen.as_ref()).map(instant);
            let jwt = jwt.map_or("no JWT yet".to_owned(), |at| format!("JWT at {at}"));
            line(&mut self.lines, format_args!("{}  {}  {jwt}", plain(value(subject)), seen(hash)));
        }
        if keep {
            self.found.extend(found);
        }
    }

    fn remarks(&self) -> String {
        let (asked, with_hash, unseen) = (grouped(self.asked), grouped(self.with_hash), grouped(self.unseen));
        format!("{asked} users: {with_hash} were seen with a hash, {unseen} were not seen at all\n")
    }
}

fn value(subject: &Subject) -> &str {
    match &subject.kind {
        Some(Kind::UserId(value) | Kind::Email(value)) => value,
        None => "",
    }
}

#[cfg(test)]
#[path = "stragglers_tests.rs"]
mod tests;
