//! `migration set` and `reset`: reads the policy, changes it, and sets it only if nobody else did in between.

use super::args;
use super::edit;
use super::policy::changes;
use crate::cli::answer::Answer;
use crate::cli::client::Session;
use crate::cli::commands::run;
use crate::cli::input::Input;
use crate::cli::json;
use crate::cli::text::plain;
use crate::cli::trouble::Trouble;
use crate::grpc::proto::admin;

/// Changes the policy in force as the flags say.
pub(super) fn set(args: &args::Set) -> Result<Answer, Trouble> {
    run(async {
        let session = Session::open(&args.client.connection, &mut Input::default()).await?;
        let read = read(&session, &args.client.application).await?;
        let before = read.in_force.unwrap_or_default();
        let after = edit::apply(args, &before)?;
        let changes = changes(&before, &after);
        // The file has changed: setting the same again says that it is to stay.
        let undecided = read.runtime.is_some_and(|runtime| runtime.file_changed);
        if args.dry_run || changes.is_empty() && !undecided {
            return told(args.client.json.then_some(("Acceptance", &after)), &changes, "nothing is set");
        }
        let request = admin::SetAcceptanceRequest {
            application: args.client.application.clone(),
            acceptance: Some(after),
            version: read.version,
            reason: args.reason.clone(),
        };
        let response = session.answer(session.migration().set_acceptance(request)).await?;
        let warnings = response.warnings.iter().map(|warning| format!("\nwarning: {}", plain(warning)));
        let done = format!("set, as version {}{}", response.version, warnings.collect::<String>());
        told(args.client.json.then_some(("SetAcceptanceResponse", &response)), &changes, &done)
    })
}

/// Goes back to the policy of the file.
pub(super) fn reset(args: &args::Reset) -> Result<Answer, Trouble> {
    run(async {
        let session = Session::open(&args.client.connection, &mut Input::default()).await?;
        let read = read(&session, &args.client.application).await?;
        let (before, after) = (read.in_force.unwrap_or_default(), read.file.unwrap_or_default());
        let changes = changes(&before, &after);
        if args.dry_run || read.runtime.is_none() {
            return told(args.client.json.then_some(("Acceptance", &after)), &changes, "nothing is reset");
        }
        let request = admin::ResetAcceptanceRequest {
            application: args.client.application.clone(),
            version: read.version,
            reason: args.reason.clone(),
        };
        let response = session.answer(session.migration().reset_acceptance(request)).await?;
        let done = format!("reset, as version {}: the policy of the file holds", response.version);
        told(args.client.json.then_some(("ResetAcceptanceResponse", &response)), &changes, &done)
    })
}

async fn read(session: &Session, application: &str) -> Result<admin::GetAcceptanceResponse, Trouble> {
    let request = admin::GetAcceptanceRequest { application: application.to_owned() };
    session.answer(session.migration().get_acceptance(request)).await
}

/// The changes on standard output, what came of them on standard error; or the message as JSON.
fn told<M: prost::Message>(as_json: Option<(&str, &M)>, changes: &str, done: &str) -> Result<Answer, Trouble> {
    if let Some((name, message)) = as_json {
        return Ok(Answer::done(json::line(&format!("countersign.admin.v1.{name}"), message)?, String::new()));
    }
    let changes = if changes.is_empty() { "no change\n" } else { changes };
    Ok(Answer::done(changes.to_owned(), format!("{done}\n")))
}
