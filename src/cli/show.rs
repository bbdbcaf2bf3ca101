//! The answers of Sign, Verify, LegacyHash and Exchange, for people and for scripts.

use super::answer::Answer;
use super::json;
use super::text::{self, Table, line, plain};
use super::trouble::Trouble;
use crate::grpc::proto;
use proto::{exchange_response, verify_response};

/// The token alone on standard output.
pub(super) fn signed(response: &proto::SignResponse, as_json: bool) -> Result<Answer, Trouble> {
    if as_json {
        return Ok(Answer::done(json::line("SignResponse", response)?, String::new()));
    }
    Ok(Answer::done(format!("{}\n", plain(&response.token)), about_token(response)))
}

fn about_token(response: &proto::SignResponse) -> String {
    let mut remarks = String::new();
    let mut table = Table::default();
    table.row("token id", &response.token_id);
    table.row("key", &response.key_id);
    table.time("issued", response.issued_at.as_ref());
    table.time("expires", response.expires_at.as_ref());
    table.write("", &mut remarks);
    if !response.origins.is_empty() {
        let mut table = Table::default();
        for origin in &response.origins {
            table.row(&origin.claim, format!("from {}{}", origin.source, age(origin)));
        }
        remarks.push_str("claims\n");
        table.write("  ", &mut remarks);
    }
    notices(&response.notices, &mut remarks);
    remarks
}

fn age(origin: &proto::ClaimOrigin) -> String {
    let seconds = origin.age.map_or(0, |age| age.seconds);
    match (seconds, origin.stale) {
        (0, false) => String::new(),
        (seconds, false) => format!(", {seconds} s ago"),
        (seconds, true) => format!(", {seconds} s ago: stale"),
    }
}

/// The hashes alone on standard output: the user's, else those of the companies in the order that was asked for.
pub(super) fn hashed(
    response: &proto::LegacyHashResponse,
    companies: &[String],
    as_json: bool,
) -> Result<Answer, Trouble> {
    if as_json {
        return Ok(Answer::done(json::line("LegacyHashResponse", response)?, String::new()));
    }
    let mut output = String::new();
    let mut remarks = String::new();
    let of_user = !response.user_hash.is_empty();
    if of_user {
        line(&mut output, format_args!("{}", plain(&response.user_hash)));
    }
    for id in companies {
        let Some(hash) = response.company_hashes.get(id) else {
            return Err(Trouble::response("The server's answer lacks the hash of a company."));
        };
        if of_user {
            line(&mut remarks, format_args!("company {} {}", plain(id), plain(hash)));
        } else {
            line(&mut output, format_args!("{}", plain(hash)));
        }
    }
    let mut table = Table::default();
    table.row("made over", identifier(response.hashed));
    table.row("key", &response.key_id);
    match &response.accepted_until {
        Some(until) => table.time("accepted until", Some(until)),
        None => table.row("accepted until", "no end has been set"),
    }
    table.write("", &mut remarks);
    notices(&response.notices, &mut remarks);
    Ok(Answer::done(output, remarks))
}

const fn identifier(hashed: i32) -> &'static str {
    const USER_ID: i32 = proto::HashedIdentifier::UserId as i32;
    const EMAIL: i32 = proto::HashedIdentifier::Email as i32;
    match hashed {
        USER_ID => "user_id",
        EMAIL => "email",
        _ => "",
    }
}

/// Nothing on standard output: there is nothing to hand on.
pub(super) fn revoked(response: &proto::RevokeResponse, as_json: bool) -> Result<Answer, Trouble> {
    if as_json {
        return Ok(Answer::done(json::line("RevokeResponse", response)?, String::new()));
    }
    let at = response.revoked_at.as_ref().map(text::instant).unwrap_or_default();
    Ok(Answer::done(String::new(), format!("revoked at {at}: it stays so, on every server of this store\n")))
}

pub(super) fn restored(response: &proto::RestoreResponse, as_json: bool) -> Result<Answer, Trouble> {
    if as_json {
        return Ok(Answer::done(json::line("RestoreResponse", response)?, String::new()));
    }
    let told = if response.was_revoked { "restored: hashes of this user count again" } else { "nothing to restore" };
    Ok(Answer::done(String::new(), format!("{told}\n")))
}

pub(super) fn invalidated(response: &proto::admin::InvalidateResponse, as_json: bool) -> Result<Answer, Trouble> {
    if as_json {
        return Ok(Answer::done(json::line("countersign.admin.v1.InvalidateResponse", response)?, String::new()));
    }
    Ok(Answer::done(String::new(), "dropped: the next token for this user asks every source again\n".to_owned()))
}

/// The new token alone on standard output, or why there is none.
pub(super) fn exchanged(response: &proto::ExchangeResponse, as_json: bool) -> Result<Answer, Trouble> {
    let Some(outcome) = &response.outcome else {
        return Err(no_verdict());
    };
    let refused = matches!(outcome, exchange_response::Outcome::Refused(_));
    if as_json {
        return Ok(judged(json::line("ExchangeResponse", response)?, String::new(), refused));
    }
    Ok(match outcome {
        exchange_response::Outcome::Signed(signed) => {
            Answer::done(format!("{}\n", plain(&signed.token)), about_token(signed))
        }
        // Standard output is for a token; a script must not take a refusal for one.
        exchange_response::Outcome::Refused(refused) => Answer::refused(String::new(), refusal(refused)),
    })
}

/// The verdict.
pub(super) fn verified(response: &proto::VerifyResponse, as_json: bool) -> Result<Answer, Trouble> {
    let Some(outcome) = &response.outcome else {
        return Err(no_verdict());
    };
    let refused = matches!(outcome, verify_response::Outcome::Refused(_));
    let text = match outcome {
        _ if as_json => json::line("VerifyResponse", response)?,
        verify_response::Outcome::Accepted(accepted) => acceptance(accepted)?,
        verify_response::Outcome::Refused(refused) => refusal(refused),
    };
    Ok(judged(text, String::new(), refused))
}

const fn judged(output: String, remarks: String, refused: bool) -> Answer {
    if refused { Answer::refused(output, remarks) } else { Answer::done(output, remarks) }
}

fn no_verdict() -> Trouble {
    Trouble::response("The server's answer holds no verdict that this version knows: use the version of the server.")
}

fn acceptance(accepted: &proto::Accepted) -> Result<String, Trouble> {
    let mut text = String::new();
    let credential = match proto::CredentialKind::try_from(accepted.credential) {
        Ok(proto::CredentialKind::Jwt) => "JWT",
        Ok(proto::CredentialKind::LegacyHash) => "legacy hash",
        Ok(proto::CredentialKind::Unspecified) | Err(_) => return Err(no_verdict()),
    };
    line(&mut text, format_args!("accepted: {credential}"));
    section("verified", accepted.verified.as_ref(), &mut text)?;
    section("unverified, use it where no proof is needed", accepted.unverified.as_ref(), &mut text)?;
    if !accepted.refused_attributes.is_empty() {
        let mut table = Table::default();
        for refused in &accepted.refused_attributes {
            table.row(&refused.name, reason(refused.reason));
        }
        text.push_str("refused attributes\n");
        table.write("  ", &mut text);
    }
    let mut table = Table::default();
    table.row("token id", &accepted.token_id);
    table.row("key", &accepted.key_id);
    table.time("issued", accepted.issued_at.as_ref());
    table.time("expires", accepted.expires_at.as_ref());
    table.write("", &mut text);
    notices(&accepted.notices, &mut text);
    Ok(text)
}

fn refusal(refused: &proto::Refused) -> String {
    let mut text = String::new();
    line(&mut text, format_args!("refused: {}", reason(refused.reason)));
    text::indented(&mut text, "  ", &refused.message);
    if !refused.remedy.is_empty() {
        line(&mut text, format_args!("what to do: {}", plain(&refused.remedy)));
    }
    notices(&refused.notices, &mut text);
    text
}

/// A reason as people read it: without the enum's prefix.
pub(super) fn reason(number: i32) -> String {
    proto::Reason::try_from(number).map_or_else(
        |_unknown| format!("reason {number}, which this version does not know"),
        |reason| reason.as_str_name().trim_start_matches("REASON_").to_owned(),
    )
}

fn notices(notices: &[proto::Notice], to: &mut String) {
    for notice in notices {
        let code = proto::NoticeCode::try_from(notice.code).map_or("", |code| code.as_str_name());
        let deadline =
            notice.deadline.as_ref().map(|deadline| format!(" [{}]", text::instant(deadline))).unwrap_or_default();
        let code = code.trim_start_matches("NOTICE_CODE_");
        line(to, format_args!("notice: {code}{deadline} {}", plain(&notice.message)));
    }
}

fn section(title: &str, identity: Option<&proto::Identity>, to: &mut String) -> Result<(), Trouble> {
    let Some(identity) = identity else {
        return Ok(());
    };
    let mut table = Table::default();
    table.row("user_id", &identity.user_id);
    table.row("email", &identity.email);
    table.row("name", &identity.name);
    table.row("profile_picture", &identity.profile_picture);
    table.row("locale", &identity.locale);
    table.time("created_at", identity.created_at.as_ref());
    for company in &identity.companies {
        let path = format!("companies[{}]", company.id);
        if company.name.is_empty() {
            table.row(&path, "(its id alone)");
        } else {
            table.row(&path, &company.name);
        }
        if let Some(spend) = company.monthly_spend {
            table.row(format!("{path}.monthly_spend"), spend.to_string());
        }
        table.time(&format!("{path}.created_at"), company.created_at.as_ref());
        attributes(&format!("{path}."), company.attributes.as_ref(), &mut table)?;
    }
    attributes("", identity.attributes.as_ref(), &mut table)?;
    if !table.is_empty() {
        line(to, format_args!("{title}"));
        table.write("  ", to);
    }
    Ok(())
}

/// Text in quotes, so that `"5"` and `5` differ; a name is the path that the server uses for it.
fn attributes(prefix: &str, attributes: Option<&prost_types::Struct>, table: &mut Table) -> Result<(), Trouble> {
    for (name, value) in attributes.iter().flat_map(|attributes| &attributes.fields) {
        table.row(format!("{prefix}{name}"), json::value(value)?);
    }
    Ok(())
}

#[cfg(test)]
#[path = "show_tests.rs"]
mod tests;
