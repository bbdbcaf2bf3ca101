//! Claims from a database: PostgreSQL, MySQL, MariaDB or SQLite.
//!
//! One query of the operator finds a user's row, or the rows of a list. What is asked with is only ever bound to the
//! query's placeholders, never written into it. Each question is one read-only transaction that ends with the time of
//! the question. Deadlines, retries and caches are the host's; names are mapped by the query itself (`as`).

mod address;
mod binary;
mod cell;
mod dialect;
mod mysql;
mod placeholders;
mod pool;
mod postgres;
mod question;
mod source;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use countersign_claim_source::{Check, ClaimSource, OpenError, SourceKind, Text};
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::{AssertSqlSafe, MySql, Postgres, SqlSafeStr as _, Sqlite};

use self::address::{Address, Database};
use self::question::{Question, Value};

/// `kind = "sql"`
#[derive(Clone, Copy, Debug)]
pub struct Sql;

/// `[sources.<name>.config]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the database is: `postgres://`, `mysql://` (MariaDB too) or `sqlite://`.
    url: Text,
    /// The query, with a placeholder for each value: `$1`, `$2`, in MySQL `?`. It gives one row, whose columns are
    /// claims, or with `many` any number of rows.
    query: String,
    /// What is bound to the placeholders, in order: `"{user_id}"`, or `{ value = "{user_id}", type = "integer" }`.
    #[serde(default)]
    bind: Vec<Bind>,
    /// The claim that is a list, such as `companies`: every row is an element of it, an object by column names.
    many: Option<String>,
    /// The columns of text that is JSON, where the database has no such type (SQLite, MariaDB).
    #[serde(default)]
    json_columns: Vec<String>,
    /// How many connections there may be, 1 to 64.
    #[serde(default = "default_pool")]
    pool: usize,
}

/// A value of `bind`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Bind {
    /// Bound as text. PostgreSQL itself says where it takes it for an integer or a UUID.
    Template(String),
    /// Bound as what `type` says.
    Typed(Typed),
}

/// A value of `bind` with its type.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Typed {
    /// The value, with placeholders.
    value: String,
    /// What it is bound as.
    r#type: Type,
}

/// What a value is bound as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// As text.
    Text,
    /// As an integer of 64 bits, written as such: `7`, and not `007`. MySQL needs it for a column of integers: it would
    /// find the user `7` for the text `7up`.
    Integer,
}

/// Connections to one database: enough for any source, and no database is drowned by a typing error.
const MAX_POOL: usize = 64;

const fn default_pool() -> usize {
    8
}

/// A configuration in which nothing is wrong.
#[derive(Debug)]
pub struct Checked {
    address: Address,
    question: Question,
    pool: usize,
}

#[async_trait]
impl SourceKind for Sql {
    const NAME: &'static str = "sql";
    type Config = Config;
    type Checked = Checked;

    fn check(config: Config, check: &Check<'_>) -> Option<Checked> {
        let address = Address::check(&config.url, check);
        let values = config.bind.iter().enumerate().map(|(index, bind)| value(index, bind, check));
        // All of them are looked at before the first that is wrong ends it.
        let values = values.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>();
        check_query(&config, address.as_ref().map(|address| address.database), check);
        check_claims(&config, check);
        if !(1..=MAX_POOL).contains(&config.pool) {
            check.problem("pool", "is out of range", format!("1 to {MAX_POOL}"));
        }
        Some(Checked {
            address: address?,
            question: Question {
                sql: AssertSqlSafe(Arc::<str>::from(config.query)).into_sql_str(),
                values: values?,
                sets: check.sets().to_vec(),
                many: config.many,
                json_columns: config.json_columns,
            },
            pool: config.pool,
        })
    }

    async fn open(Checked { address, question, pool }: Checked) -> Result<Arc<dyn ClaimSource>, OpenError> {
        match address.database {
            Database::Postgres => source::open::<Postgres>(&address.url, question, pool),
            Database::MySql => source::open::<MySql>(&address.url, question, pool),
            Database::Sqlite => source::open::<Sqlite>(&address.url, question, pool),
        }
    }
}

fn value(index: usize, bind: &Bind, check: &Check<'_>) -> Option<Value> {
    let (text, r#type) = match bind {
        Bind::Template(text) => (text, Type::Text),
        Bind::Typed(typed) => (&typed.value, typed.r#type),
    };
    Some(Value { template: check.template(&format!("bind[{index}]"), text)?, r#type })
}

fn check_query(config: &Config, database: Option<Database>, check: &Check<'_>) {
    if config.query.trim().is_empty() {
        check.problem("query", "is empty", "query = \"select title from users where id = $1\"");
        return;
    }
    if check.body("query", &config.query).is_some_and(|template| template.names().next().is_some()) {
        let right = "write $1 or ? in the query, and the value in `bind`: values are only ever bound";
        check.problem("query", "has a value written into it", right);
    }
    let Some(database) = database else { return };
    let right = || format!("{}, one for each value of `bind`", database.placeholders());
    match placeholders::count(&config.query, database) {
        Err(wrong) => check.problem("query", wrong, right()),
        Ok(count) if count != config.bind.len() => {
            check.problem("query", "has more placeholders or fewer than `bind` has values", right());
        }
        Ok(_) => {}
    }
}

fn check_claims(config: &Config, check: &Check<'_>) {
    match &config.many {
        None => check.undeclared("json_columns", config.json_columns.iter()),
        Some(many) if check.sets() == std::slice::from_ref(many) => {}
        Some(_) => {
            let wrong = "is not the one claim that the source says it sets";
            check.problem("many", wrong, "sets = [\"companies\"] and many = \"companies\"");
        }
    }
}

#[cfg(test)]
mod tests {
    use countersign_claim_source::conformance;
    use serde_json::{Value as Json, json};

    use super::*;

    const RIGHT: &str = "select title from users where id = $1";

    fn wrong_keys(change: &Json) -> Vec<String> {
        let mut config = json!({"url": "postgres://localhost/users", "query": RIGHT, "bind": ["{user_id}"]});
        for (key, value) in change.as_object().expect("a table") {
            config[key] = value.clone();
        }
        let problems = conformance::check::<Sql>(config, &["title"], &["plan"]).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn a_right_configuration_has_no_problem() {
        for change in [
            json!({}),
            json!({"bind": [{"value": "{user_id}", "type": "integer"}]}),
            json!({"bind": ["{plan}:{email}"]}),
            json!({"query": "select '{1,2}' as title, '{\"a\":1}' as x from users where id = $1"}),
            json!({"url": "mysql://localhost/users", "query": "select title from users where id = ?"}),
            json!({"url": "sqlite://users.db"}),
            json!({"pool": MAX_POOL}),
            json!({"many": "title", "json_columns": ["tags"]}),
            json!({"json_columns": ["title"]}),
        ] {
            assert_eq!(wrong_keys(&change), [""; 0], "{change}");
        }
    }

    #[test]
    fn what_is_wrong_is_found_when_the_configuration_is_loaded() {
        for (change, keys) in [
            (json!({"query": " "}), vec!["query"]),
            (json!({"query": "select title from users where id = '{user_id}'", "bind": []}), vec!["query"]),
            (json!({"query": "select title from users"}), vec!["query"]),
            (json!({"bind": []}), vec!["query"]),
            (json!({"bind": ["{user_id}", "{email}"]}), vec!["query"]),
            (json!({"query": "select title from users where id = ?"}), vec!["query"]),
            (json!({"bind": ["{userid}"]}), vec!["bind[0]"]),
            (json!({"bind": ["{a}", {"value": "{b}", "type": "text"}]}), vec!["bind[0]", "bind[1]", "query"]),
            (json!({"pool": 0}), vec!["pool"]),
            (json!({"pool": MAX_POOL + 1}), vec!["pool"]),
            (json!({"many": "companies"}), vec!["many"]),
            (json!({"json_columns": ["tags"]}), vec!["json_columns"]),
            (json!({"url": "redis://localhost", "query": "", "pool": 0}), vec!["url", "query", "pool"]),
        ] {
            assert_eq!(wrong_keys(&change), keys, "{change}");
        }
    }

    #[test]
    fn a_key_or_a_type_that_is_not_known_is_wrong() {
        for change in [
            json!({"qurey": "select 1"}),
            json!({"bind": [{"value": "{user_id}", "type": "uuid"}]}),
            json!({"bind": [{"value": "{user_id}", "type": "text", "length": 7}]}),
        ] {
            assert_eq!(wrong_keys(&change), [""], "{change}");
        }
    }
}
