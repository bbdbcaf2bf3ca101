//! An open source: its process is asked whether it fits, then for claims.
//!
//! Deadlines, retries and the cache are the host's. What a failure is called, is in `failure.rs`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use countersign_claim_source::{Answer, Ask, ClaimSource, Why};
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::claims;
use crate::failure::{self, broke};
use crate::proto::claim_source_client::ClaimSourceClient;
use crate::proto::fetch_response::Outcome;
use crate::proto::{DescribeRequest, Found};
use crate::question::Question;

/// Bytes of the answer to Fetch.
const CLAIMS_BYTES: usize = 1024 * 1024;
/// Bytes of the answer to Describe and to Validate, whose many small parts take more room in memory than on the wire.
const DESCRIPTION_BYTES: usize = 64 * 1024;
/// The longest time that an answer may say it stays fresh: 365 days.
const FRESH: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// An open source.
pub(crate) struct Source {
    client: ClaimSourceClient<Channel>,
    question: Question,
    /// Whether the process at the other end said that it fits the question. It may have been replaced since, unnoticed:
    /// nothing but an early and clear word depends on this, since every question says everything.
    fits: AtomicBool,
}

#[async_trait]
impl ClaimSource for Source {
    async fn claims(&self, ask: &Ask) -> Answer {
        match self.question.missing(ask) {
            Some(identifier) => Answer::Missing(identifier.to_owned()),
            None => self.ask(ask).await.unwrap_or_else(|failure| failure),
        }
    }
}

impl Source {
    pub(crate) fn new(channel: Channel, question: Question) -> Self {
        let client = ClaimSourceClient::new(channel).max_decoding_message_size(CLAIMS_BYTES);
        Self { client, question, fits: AtomicBool::new(false) }
    }

    /// Asks for claims. The error is the answer to give, too.
    async fn ask(&self, ask: &Ask) -> Result<Answer, Answer> {
        let time = Time { began: Instant::now(), all: ask.time };
        if !self.fits.load(Ordering::Relaxed) {
            self.fit(time).await?;
            self.fits.store(true, Ordering::Relaxed);
        }
        let response = match self.client.clone().fetch(time.limit(self.question.fetch(ask))).await {
            Ok(response) => response.into_inner(),
            Err(status) if status.code() == Code::NotFound => return Ok(Answer::NotFound),
            Err(status) => return Err(self.failed(&status)),
        };
        Ok(match response.outcome {
            Some(Outcome::Found(found)) => self.found(&found, ask),
            Some(Outcome::NotFound(_)) => Answer::NotFound,
            Some(Outcome::Unavailable(why)) => Answer::Unavailable(coded("the process cannot answer now", &why.code)),
            Some(Outcome::Denied(why)) => Answer::Denied(coded("the process refuses to answer", &why.code)),
            Some(Outcome::Malformed(why)) => Answer::Malformed(coded("the process read what it should not", &why.code)),
            None => Answer::malformed("the process gave no outcome that is known here"),
        })
    }

    /// Asks the process whether it can answer this source's questions at all. The error is the answer to give.
    async fn fit(&self, time: Time) -> Result<(), Answer> {
        let mut client = self.client.clone().max_decoding_message_size(DESCRIPTION_BYTES);
        let described = client.describe(time.limit(DescribeRequest {})).await;
        let described = described.map_err(|status| self.failed(&status))?.into_inner();
        if !described.sets.is_empty() && !self.question.sets.iter().all(|claim| described.sets.contains(claim)) {
            return Err(Answer::malformed("the process cannot set every claim of `sets`"));
        }
        if !described.identifiers.iter().all(|name| self.question.tells(name)) {
            return Err(Answer::malformed("the process needs an identifier that it is not told"));
        }
        let validated = client.validate(time.limit(self.question.validate())).await;
        match validated.map_err(|status| self.failed(&status))?.into_inner().problems.first() {
            None => Ok(()),
            // The operator's own word, so it may be shown.
            Some(problem) if self.question.has_setting(&problem.key) => {
                Err(Answer::malformed(Why::code("the process refuses the setting", &problem.key)))
            }
            Some(_) => Err(Answer::malformed("the process refuses the settings")),
        }
    }

    /// The claims that are wanted and that the source may set.
    fn found(&self, found: &Found, ask: &Ask) -> Answer {
        let Some(mut claims) = claims::read(&found.claims_json) else {
            return Answer::malformed("the claims are not a JSON object with each claim once");
        };
        claims.retain(|name, value| self.question.sets.contains(name) && ask.wants(name) && !value.is_null());
        let fresh_for = found.fresh_for.map(Duration::try_from).transpose();
        match fresh_for.ok().filter(|fresh| fresh.is_none_or(|fresh| fresh <= FRESH)) {
            None => Answer::malformed("the claims are said to stay fresh for a time that cannot be"),
            Some(_) if claims.is_empty() => Answer::NotFound,
            Some(fresh_for) => Answer::Found { claims, fresh_for },
        }
    }

    /// What a gRPC status in place of an answer means. Behind a new connection there may be another process.
    fn failed(&self, status: &Status) -> Answer {
        if broke(status) {
            self.fits.store(false, Ordering::Relaxed);
        }
        failure::answer(status)
    }
}

/// How long there is for all that is asked on behalf of one question.
#[derive(Clone, Copy)]
struct Time {
    began: Instant,
    all: Duration,
}

impl Time {
    /// The request, with what is left of the time as its deadline (`grpc-timeout`).
    fn limit<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.all.saturating_sub(self.began.elapsed()));
        request
    }
}

/// What happened, with the code that the process gave, where it gave one.
fn coded(what: &'static str, code: &str) -> Why {
    if code.is_empty() { Why::from(what) } else { Why::code(what, code) }
}
