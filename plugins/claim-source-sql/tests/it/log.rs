//! What the driver logs, on PostgreSQL.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_test_services::Postgres;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{about, outcome, query};

const PLAN: [&str; 1] = ["plan"];

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn nothing_of_a_user_or_of_the_server_reaches_a_log() {
    let server = Postgres::start();
    server.sql(
        "create table users (id text, plan text); insert into users values ('ada-lovelace', 'very-secret'); \
         create function loud(id text) returns text language plpgsql as $$ begin \
           raise warning 'loud: %', id; return (select plan from users u where u.id = loud.id); end $$",
    );
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::info!("this is heard");
    for (select, expected) in [
        ("select plan from users where id = $1", "found"),
        ("select loud($1) as plan", "found"),
        // The server quotes the value in what it says.
        ("select $1::text::int::text as plan", "malformed"),
        ("select plan, pg_sleep(1.1)::text from users where id = $1", "found"),
    ] {
        let source = query(&server.url(), select, &PLAN).await;
        let answer = about(&source, "ada-lovelace", &PLAN).await;
        assert_eq!(outcome(&answer), expected, "{select}: {answer:?}");
        assert!(!format!("{answer:?}").contains("lovelace"));
        drop(tokio::time::timeout(Duration::from_millis(5), about(&source, "ada-lovelace", &PLAN)).await);
    }
    let heard = String::from_utf8(log.0.lock().expect("not poisoned").clone()).expect("text");
    assert!(heard.contains("this is heard"));
    for secret in ["lovelace", "very-secret", "select", "loud", "secret@"] {
        assert!(!heard.contains(secret), "{secret}: {heard}");
    }
}
