//! The kinds of claim sources that are built in: one line each in [`KINDS`], and nowhere else.

use std::sync::Arc;

use async_trait::async_trait;
use countersign_claim_source::{Check, ClaimSource, OpenError, SourceKind};
use countersign_claim_source_lookup::Lookup;
use countersign_claim_source_redis::Redis;
use countersign_claim_source_remote::Remote;
use countersign_claim_source_sql::Sql;
use countersign_claim_source_static::Static;
use serde_json::Value;

/// Every kind that this binary has.
pub const KINDS: &[&dyn Kind] =
    &[&Of::<Static>::KIND, &Of::<Redis>::KIND, &Of::<Lookup>::KIND, &Of::<Sql>::KIND, &Of::<Remote>::KIND];

/// A kind of claim source, with the type of its configuration forgotten.
pub trait Kind: Send + Sync {
    /// What `kind` says.
    fn name(&self) -> &'static str;

    /// The JSON Schema of its table.
    fn schema(&self) -> Value;

    /// Checks a source's own table without any IO and makes it ready to open; tells `check` what is wrong.
    fn prepare(&self, config: Value, check: &Check<'_>) -> Option<Box<dyn Prepared>>;
}

/// A checked source that is not open yet.
#[async_trait]
pub trait Prepared: Send {
    /// Opens it.
    async fn open(self: Box<Self>) -> Result<Arc<dyn ClaimSource>, OpenError>;
}

/// The [`Kind`] of a [`SourceKind`].
#[derive(Debug)]
pub struct Of<K>(std::marker::PhantomData<fn() -> K>);

impl<K> Of<K> {
    /// For the table.
    pub const KIND: Self = Self(std::marker::PhantomData);
}

impl<K: SourceKind> Kind for Of<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn schema(&self) -> Value {
        schemars::schema_for!(K::Config).to_value()
    }

    fn prepare(&self, config: Value, check: &Check<'_>) -> Option<Box<dyn Prepared>> {
        let config: K::Config = match serde_path_to_error::deserialize(config) {
            Ok(config) => config,
            Err(error) => {
                // The path alone: the parser's own text quotes values.
                let path = error.path().to_string();
                let (path, schema) = (path.trim_matches('.'), self.schema());
                let key = path.split(['.', '[']).next().unwrap_or_default();
                let is_key = schema.get("properties").is_some_and(|keys| keys.get(key).is_some());
                if is_key {
                    let wrong = format!("has a value that kind {} does not know here", K::NAME);
                    check.problem(path, wrong, "docs/sources.md leads to each key with its type");
                } else {
                    check.problem(path, format!("is not what kind {} has", K::NAME), known(&schema));
                }
                return None;
            }
        };
        K::check(config, check).map(|checked| Box::new(Ready::<K>(checked)) as Box<dyn Prepared>)
    }
}

/// What a table may hold, for those who wrote something else.
fn known(schema: &Value) -> String {
    let keys = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|keys| keys.keys());
    let keys: Vec<&str> = keys.map(String::as_str).collect();
    format!("known here: {}; docs/sources.md leads to each with its type", keys.join(", "))
}

struct Ready<K: SourceKind>(K::Checked);

#[async_trait]
impl<K: SourceKind> Prepared for Ready<K> {
    async fn open(self: Box<Self>) -> Result<Arc<dyn ClaimSource>, OpenError> {
        K::open(self.0).await
    }
}
