//! The commands of the client: flags to request, request to response, response to answer.

use std::future::Future;

use anyhow::Context as _;
use prost_types::Duration;

use super::answer::Answer;
use super::args;
use super::client::Session;
use super::input::{self, Input};
use super::trouble::Trouble;
use super::{identity, proof, report, show};
use crate::grpc::proto;

/// Runs one call; a thread is enough for that.
pub(super) fn run(call: impl Future<Output = Result<Answer, Trouble>>) -> Result<Answer, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("this machine gives no timers or sockets")?;
    runtime.block_on(call)
}

pub(super) fn sign(args: &args::Sign) -> Result<Answer, Trouble> {
    let mut input = Input::default();
    let request = proto::SignRequest {
        application: args.client.application.clone(),
        identity: identity::read(&args.who, &mut input)?,
        ttl: ttl(&args.token),
        audience: args.token.audience.clone().unwrap_or_default(),
        client: label(&args.client),
        explain: args.explain,
    };
    run(async {
        let session = Session::open(&args.client.connection, &mut input).await?;
        let response = session.answer(session.client.clone().sign(request)).await?;
        show::signed(&response, args.client.json)
    })
}

pub(super) fn verify(args: &args::Verify) -> Result<Answer, Trouble> {
    let mut input = Input::default();
    let request = proto::VerifyRequest {
        application: args.client.application.clone(),
        jwt: proof::jwt(&args.proof, &mut input)?,
        legacy: proof::legacy(&args.proof)?,
        asserted: identity::read(&args.who, &mut input)?,
        audience: args.audience.clone().unwrap_or_default(),
        client: label(&args.client),
    };
    run(async {
        let session = Session::open(&args.client.connection, &mut input).await?;
        let response = session.answer(session.client.clone().verify(request)).await?;
        show::verified(&response, args.client.json)
    })
}

pub(super) fn hash(args: &args::Hash) -> Result<Answer, Trouble> {
    let request = proto::LegacyHashRequest {
        application: args.client.application.clone(),
        user_id: args.user_id.clone().unwrap_or_default(),
        email: args.email.clone().unwrap_or_default(),
        company_ids: args.company_id.clone(),
        client: label(&args.client),
    };
    run(async {
        let session = Session::open(&args.client.connection, &mut Input::default()).await?;
        let response = session.answer(session.client.clone().legacy_hash(request)).await?;
        show::hashed(&response, &args.company_id, args.client.json)
    })
}

pub(super) fn exchange(args: &args::Exchange) -> Result<Answer, Trouble> {
    let mut input = Input::default();
    let request = proto::ExchangeRequest {
        application: args.client.application.clone(),
        jwt: proof::jwt(&args.proof, &mut input)?,
        legacy: proof::legacy(&args.proof)?,
        asserted: identity::read(&args.who, &mut input)?,
        ttl: ttl(&args.token),
        audience: args.token.audience.clone().unwrap_or_default(),
        client: label(&args.client),
    };
    run(async {
        let session = Session::open(&args.client.connection, &mut input).await?;
        let response = session.answer(session.client.clone().exchange(request)).await?;
        show::exchanged(&response, args.client.json)
    })
}

pub(super) fn diagnose(args: &args::Diagnose) -> Result<Answer, Trouble> {
    let mut input = Input::default();
    let jwt = proof::jwt(&args.proof, &mut input)?;
    let legacy = proof::legacy(&args.proof)?.unwrap_or_default();
    let request = proto::DiagnoseRequest {
        application: args.client.application.clone(),
        jwt,
        user_hash: legacy.user_hash,
        hashed: legacy.hashed,
        company_hashes: legacy.company_hashes,
        asserted: identity::read(&args.who, &mut input)?,
        audience: args.audience.clone().unwrap_or_default(),
        client: label(&args.client),
        suspected_secret: suspected_secret(args, &mut input)?,
    };
    run(async {
        let session = Session::open(&args.client.connection, &mut input).await?;
        let response = session.answer(session.client.clone().diagnose(request)).await?;
        report::diagnosed(&response, args.all, args.client.json)
    })
}

pub(super) fn revoke(args: &args::Revoke) -> Result<Answer, Trouble> {
    use proto::revoke_request::Target;
    let subject = subject(args.user_id.as_ref(), args.email.as_ref());
    let (token, key) = (args.token_id.clone().map(Target::TokenId), args.key_id.clone().map(Target::KeyId));
    let request = proto::RevokeRequest {
        application: args.client.application.clone(),
        target: token.or(key).or(subject.map(Target::Subject)),
        expires_at: args.expires_at.as_deref().map(|text| identity::timestamp("--expires-at", text)).transpose()?,
    };
    run(async {
        let session = Session::open(&args.client.connection, &mut Input::default()).await?;
        let response = session.answer(session.client.clone().revoke(request)).await?;
        show::revoked(&response, args.client.json)
    })
}

pub(super) fn restore(args: &args::Restore) -> Result<Answer, Trouble> {
    let request = proto::RestoreRequest {
        application: args.client.application.clone(),
        subject: subject(args.subject.user_id.as_ref(), args.subject.email.as_ref()),
    };
    run(async {
        let session = Session::open(&args.client.connection, &mut Input::default()).await?;
        let response = session.answer(session.client.clone().restore(request)).await?;
        show::restored(&response, args.client.json)
    })
}

pub(super) fn invalidate(args: &args::Invalidate) -> Result<Answer, Trouble> {
    let request = proto::admin::InvalidateRequest {
        application: args.client.application.clone(),
        subject: subject(args.subject.user_id.as_ref(), args.subject.email.as_ref()),
    };
    run(async {
        let session = Session::open(&args.client.connection, &mut Input::default()).await?;
        let response = session.answer(session.sources().invalidate(request)).await?;
        show::invalidated(&response, args.client.json)
    })
}

fn subject(user_id: Option<&String>, email: Option<&String>) -> Option<proto::Subject> {
    use proto::subject::Kind;
    let kind = user_id.cloned().map(Kind::UserId).or(email.cloned().map(Kind::Email))?;
    Some(proto::Subject { kind: Some(kind) })
}

fn label(client: &args::Client) -> String {
    client.client.clone().unwrap_or_default()
}

fn ttl(token: &args::NewToken) -> Option<Duration> {
    token.ttl.map(|seconds| Duration { seconds: seconds.into(), nanos: 0 })
}

fn suspected_secret(args: &args::Diagnose, input: &mut Input) -> anyhow::Result<Vec<u8>> {
    let Some(path) = &args.suspected_secret_file else {
        return Ok(Vec::new());
    };
    let mut secret = input.bytes("--suspected-secret-file", path)?;
    input::drop_line_end(&mut secret);
    anyhow::ensure!(!secret.is_empty(), "--suspected-secret-file: the file holds no secret");
    Ok(secret)
}
