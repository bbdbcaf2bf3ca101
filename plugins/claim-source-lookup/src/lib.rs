//! Claims from an HTTP upstream: one request for each question, GET or POST, answered with JSON.
//!
//! What is asked with stands in the url, in headers or in the body, always as one value (`address`, `headers`,
//! `body`); what is not one value there is never sent. Of the answer, claims are picked by JSONPath. It asks once and
//! reads at most so many bytes: deadlines, retries and caches are the host's. No proxy, no cookie, no compression, and
//! nothing is ever sent to another origin.

mod address;
mod answer;
mod body;
mod connection;
mod freshness;
mod headers;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use countersign_claim_source::{Answer, Ask, Check, ClaimSource, OpenError, SourceKind, Template, Text, Tls};
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use schemars::JsonSchema;
use serde::Deserialize;

use self::address::Address;
use self::answer::{Reader, Sames};
use self::connection::Connection;
use self::headers::Headers;

/// `kind = "lookup"`
#[derive(Clone, Copy, Debug)]
pub struct Lookup;

/// `[sources.<name>.config]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address, `http://` or `https://`, with placeholders in its path and in its query:
    /// `"https://billing.example/users/{user_id}"`.
    url: Text,
    /// `"GET"` or `"POST"`.
    #[serde(default)]
    method: Verb,
    /// Headers: text, one placeholder, or a reference to a secret.
    #[serde(default)]
    headers: BTreeMap<String, Text>,
    /// The body of a POST: JSON, in which a placeholder is the whole of a string.
    body: Option<String>,
    /// Claim by claim, where it stands in the answer: a JSONPath. A claim that is not here stands under its own name.
    #[serde(default)]
    claims: BTreeMap<String, String>,
    /// What the answer must repeat, and where: `{ user_id = "$.id" }`. With another value there, or with claims and no
    /// value, it is another user's answer, and nothing of it is taken.
    #[serde(default)]
    same: BTreeMap<String, String>,
    /// How many bytes an answer may have.
    #[serde(default = "answer::default_bytes")]
    max_bytes: usize,
    /// Authorities and the client certificate of `https://`.
    #[serde(default)]
    tls: Tls,
}

/// How it asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verb {
    /// Without a body.
    #[default]
    Get,
    /// With a body.
    Post,
}

/// A configuration in which nothing is wrong.
pub struct Checked {
    connection: Connection,
    request: Request,
    reader: Reader,
}

/// What is sent.
struct Request {
    address: Address,
    headers: Headers,
    /// Of a POST.
    body: Option<Template>,
}

#[async_trait]
impl SourceKind for Lookup {
    const NAME: &'static str = "lookup";
    type Config = Config;
    type Checked = Checked;

    fn check(config: Config, check: &Check<'_>) -> Option<Checked> {
        // Each of these tells its own problems, so none may keep another from being looked at.
        let address = Address::check(&config.url, check);
        let headers = Headers::check(&config.headers, check);
        let body = config.body.as_deref().and_then(|text| body::check(text, check));
        match (config.method, &config.body) {
            (Verb::Get, Some(_)) => {
                check.problem("body", "is there, and method is GET", "method = \"POST\", or no body")
            }
            (Verb::Post, None) => {
                check.problem("body", "is not there, and method is POST", "body = '{\"id\": \"{user_id}\"}'")
            }
            (Verb::Get, None) | (Verb::Post, Some(_)) => (),
        }
        let claims = check.paths("claims", &config.claims);
        let sames = Sames::check(&config.same, check);
        answer::check_bytes(config.max_bytes, check);
        let secure = address.as_ref().is_none_or(Address::is_secure);
        let connection = Connection::check(&config.tls, secure, config.method, check);
        Some(Checked {
            connection: connection?,
            request: Request { address: address?, headers: headers?, body },
            reader: Reader { claims: claims?, sames: sames?, max_bytes: config.max_bytes },
        })
    }

    async fn open(checked: Checked) -> Result<Arc<dyn ClaimSource>, OpenError> {
        let client = checked.connection.client(checked.request.headers.fixed())?;
        Ok(Arc::new(Open { client, request: checked.request, reader: checked.reader }))
    }
}

struct Open {
    client: Client,
    request: Request,
    reader: Reader,
}

#[async_trait]
impl ClaimSource for Open {
    async fn claims(&self, ask: &Ask) -> Answer {
        self.look_up(ask).await.unwrap_or_else(|failure| failure)
    }
}

impl Open {
    async fn look_up(&self, ask: &Ask) -> Result<Answer, Answer> {
        let expected = self.reader.sames.fill(ask)?;
        let url = self.request.address.fill(ask)?;
        let headers = self.request.headers.fill(ask)?;
        let request = match &self.request.body {
            None => self.client.get(url),
            Some(body) => {
                let json = body.render(ask, body::string)?;
                self.client.post(url).header(CONTENT_TYPE, "application/json").body(json)
            }
        };
        let response = request.headers(headers).send().await.map_err(|error| connection::failed(&error))?;
        self.reader.read(response, &expected, ask).await
    }
}

impl fmt::Debug for Checked {
    // The url may come from a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").finish_non_exhaustive()
    }
}
