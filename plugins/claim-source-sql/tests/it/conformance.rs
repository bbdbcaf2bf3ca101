//! The contract's suite on each database.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use countersign_claim_source::ClaimSource;
use countersign_claim_source::conformance::{Fault, Place, SETS, User, ada, run};
use countersign_test_services::{MariaDb, Postgres, free_port};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{about, open, query, sqlite, table};

/// A text that is JSON, of 100,000 lists in one another, and that is the whole list of companies.
const DEEP: &str = "select repeat('[', 100000) || repeat(']', 100000) as companies";

struct OnPostgres(Mutex<Postgres>);

impl OnPostgres {
    const QUERY: &str = "select plan, title, seats, active, companies from users where id = $1";

    fn server(&self) -> MutexGuard<'_, Postgres> {
        self.0.lock().expect("not poisoned")
    }

    fn url(&self) -> String {
        self.server().url()
    }
}

#[async_trait]
impl Place for OnPostgres {
    async fn open(&self, users: &[User]) -> Arc<dyn ClaimSource> {
        let text = |hex: &str| format!("convert_from('\\x{hex}', 'UTF8')");
        let table = table(["text", "jsonb"], users, text, |text| format!("cast({text} as jsonb)"));
        self.server().sql(&table);
        query(&self.url(), Self::QUERY, &SETS).await
    }

    async fn with(&self, fault: Fault) -> Option<Arc<dyn ClaimSource>> {
        // It may stand still since the fault before.
        self.server().resume();
        Some(match fault {
            Fault::Down => query(&format!("postgres://127.0.0.1:{}/x", free_port()), Self::QUERY, &SETS).await,
            Fault::Hanging | Fault::Flapping => {
                let source = self.open(&[ada(true)]).await;
                about(&source, "ada", &SETS).await;
                if fault == Fault::Hanging {
                    self.server().pause()
                } else {
                    self.server().restart()
                }
                source
            }
            Fault::Garbage => query(&self.url(), "select 'x'::bytea as plan", &["plan"]).await,
            Fault::Huge => query(&self.url(), "select repeat('x', 100000000) as plan", &["plan"]).await,
            Fault::Deep => {
                open(&self.url(), json!({"query": DEEP, "json_columns": ["companies"]}), &["companies"]).await
            }
            Fault::Denying => {
                self.server().sql("create role nobody login password 'nothing'");
                let url = self.server().url_of("nobody", "nothing");
                query(&url, Self::QUERY, &SETS).await
            }
        })
    }
}

struct OnMariaDb(Mutex<MariaDb>);

impl OnMariaDb {
    fn server(&self) -> MutexGuard<'_, MariaDb> {
        self.0.lock().expect("not poisoned")
    }

    fn url(&self) -> String {
        self.server().url()
    }

    async fn source(url: &str) -> Arc<dyn ClaimSource> {
        let query = OnPostgres::QUERY.replace("$1", "?");
        open(url, json!({"query": query, "bind": ["{user_id}"], "json_columns": ["companies"]}), &SETS).await
    }
}

#[async_trait]
impl Place for OnMariaDb {
    async fn open(&self, users: &[User]) -> Arc<dyn ClaimSource> {
        let text = |hex: &str| format!("convert(x'{hex}' using utf8mb4)");
        let id = "varchar(600) character set utf8mb4 collate utf8mb4_bin";
        self.server().sql(&format!("use test; {}", table([id, "json"], users, text, |text| text)));
        Self::source(&self.url()).await
    }

    async fn with(&self, fault: Fault) -> Option<Arc<dyn ClaimSource>> {
        self.server().resume();
        Some(match fault {
            Fault::Down => Self::source(&format!("mysql://127.0.0.1:{}/x", free_port())).await,
            Fault::Hanging | Fault::Flapping => {
                let source = self.open(&[ada(true)]).await;
                about(&source, "ada", &SETS).await;
                if fault == Fault::Hanging {
                    self.server().pause()
                } else {
                    self.server().restart()
                }
                source
            }
            Fault::Garbage => query(&self.url(), "select x'00' as plan", &["plan"]).await,
            Fault::Huge => query(&self.url(), "select repeat('x', 100000000) as plan", &["plan"]).await,
            Fault::Deep => {
                let deep = DEEP.replace("select ", "select concat(").replace(" || ", ", ").replace(" as", ") as");
                open(&self.url(), json!({"query": deep, "json_columns": ["companies"]}), &["companies"]).await
            }
            Fault::Denying => {
                self.server().sql("create user nobody identified by 'nothing'; create table test.other (id int)");
                self.server().sql("grant select on test.other to nobody");
                let url = self.server().url_of("nobody", "nothing");
                Self::source(&url).await
            }
        })
    }
}

struct OnSqlite(TempDir);

impl OnSqlite {
    fn url(&self, name: &str) -> String {
        format!("sqlite://{}", self.0.path().join(name).display())
    }

    async fn source(&self, name: &str) -> Arc<dyn ClaimSource> {
        let config = json!({"query": OnPostgres::QUERY, "bind": ["{user_id}"], "json_columns": ["companies"]});
        open(&self.url(name), config, &SETS).await
    }
}

#[async_trait]
impl Place for OnSqlite {
    async fn open(&self, users: &[User]) -> Arc<dyn ClaimSource> {
        let text = |hex: &str| format!("cast(x'{hex}' as text)");
        let table = table(["text", "text"], users, text, |text| text);
        sqlite(&self.0.path().join("users.db"), &table).await;
        self.source("users.db").await
    }

    async fn with(&self, fault: Fault) -> Option<Arc<dyn ClaimSource>> {
        let url = self.url("users.db");
        let path = |name: &str| self.0.path().join(name);
        Some(match fault {
            Fault::Down => self.source("none.db").await,
            Fault::Hanging => {
                let endless = "with recursive n(x) as (select 1 union all select x + 1 from n) select max(x) from n";
                query(&url, &format!("select ({endless}) as plan"), &["plan"]).await
            }
            Fault::Flapping => {
                let source = self.open(&[ada(true)]).await;
                std::fs::rename(path("users.db"), path("away.db")).expect("moved");
                about(&source, "ada", &SETS).await;
                std::fs::rename(path("away.db"), path("users.db")).expect("moved");
                source
            }
            Fault::Garbage => {
                std::fs::write(path("garbage.db"), "nothing of a database".repeat(1000)).expect("a file");
                self.source("garbage.db").await
            }
            Fault::Huge => query(&url, "select hex(zeroblob(50000000)) as plan", &["plan"]).await,
            Fault::Deep => {
                let repeat = |sign: &str| format!("replace(hex(zeroblob(50000)), '0', '{sign}')");
                let deep = format!("select {} || {} as companies", repeat("["), repeat("]"));
                open(&url, json!({"query": deep, "json_columns": ["companies"]}), &["companies"]).await
            }
            // A file that may not be read is not told from one that is not there.
            Fault::Denying => return None,
        })
    }
}

#[tokio::test]
async fn postgresql_keeps_the_contract() {
    run(&OnPostgres(Mutex::new(Postgres::start()))).await;
}

#[tokio::test]
async fn mariadb_keeps_the_contract() {
    run(&OnMariaDb(Mutex::new(MariaDb::start()))).await;
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    run(&OnSqlite(tempfile::tempdir().expect("a folder"))).await;
}
