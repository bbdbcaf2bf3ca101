//! What the tests of all databases need: sources, tables of users, questions.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use countersign_claim_source::conformance::{self, User, ask};
use countersign_claim_source::{Answer, Ask, ClaimSource};
use countersign_claim_source_sql::Sql;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

/// A source on this address, which may hold a password, with the rest of its configuration.
pub(crate) async fn open(url: &str, mut config: Value, sets: &[&str]) -> Arc<dyn ClaimSource> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(url.as_bytes()).expect("an address");
    config["url"] = json!({"file": file.path()});
    conformance::open::<Sql>(config, sets, &[]).await
}

/// A source that asks this query, with the user id where it has a placeholder.
pub(crate) async fn query(url: &str, query: &str, sets: &[&str]) -> Arc<dyn ClaimSource> {
    let bind = if query.contains(['$', '?']) { json!(["{user_id}"]) } else { json!([]) };
    open(url, json!({"query": query, "bind": bind}), sets).await
}

/// What a source answers about this user, of whom everything is wanted.
pub(crate) async fn about(source: &Arc<dyn ClaimSource>, user_id: &str, sets: &[&str]) -> Answer {
    source.claims(&ask(Some(user_id), sets)).await
}

/// A question that the host waits for so long.
pub(crate) fn within(time: Duration, sets: &[&str]) -> Ask {
    Ask { time, ..ask(Some("ada"), sets) }
}

/// What is answered, or went wrong, without its reasons.
pub(crate) fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Answer::Found { .. } => "found",
        Answer::NotFound => "absent",
        Answer::Unavailable(_) => "unavailable",
        Answer::Denied(_) => "denied",
        Answer::Malformed(_) => "malformed",
        Answer::Missing(_) => "missing",
        Answer::Unfit(..) => "unfit",
    }
}

/// The claims.
pub(crate) fn found(claims: &Value) -> Answer {
    Answer::Found { claims: claims.as_object().cloned().expect("an object"), fresh_for: None }
}

/// Statements that make a table of these users. `text` writes a text whose bytes are given in hexadecimal, and `json`
/// turns a text into the database's JSON.
pub(crate) fn table(types: [&str; 2], users: &[User], text: fn(&str) -> String, json: fn(String) -> String) -> String {
    let [id, list] = types;
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let rows = users.iter().map(|user| {
        let columns = ["plan", "title", "seats", "active", "companies"].map(|claim| match user.claims.get(claim) {
            None => "null".to_owned(),
            Some(Value::String(value)) => text(&hex(value)),
            Some(value @ Value::Array(_)) => json(text(&hex(&value.to_string()))),
            Some(value) => value.to_string(),
        });
        format!("({}, {})", text(&hex(&user.user_id)), columns.join(", "))
    });
    format!(
        "drop table if exists users; \
         create table users (id {id}, plan text, title text, seats int, active boolean, companies {list}); \
         insert into users values {};",
        rows.collect::<Vec<_>>().join(", ")
    )
}

/// Runs statements on a file of SQLite, which is made where it is not there.
pub(crate) async fn sqlite(path: &Path, statements: &str) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.connect().await.expect("a file");
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.expect("statements");
    connection.close().await.expect("closed");
}
