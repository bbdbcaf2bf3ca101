//! The kinds of claim sources that are built in: one line each in [`KINDS`], and nowhere else.

use std::sync::Arc;

use async_trait::async_trait;
use countersign_claim_source::{ClaimSource, ConfigProblem, OpenError, SourceKind};
use countersign_claim_source_static::Static;
use serde_json::Value;

/// Every kind that this binary has.
pub const KINDS: &[&dyn Kind] = &[&Of::<Static>::KIND];

/// A kind of claim source, with the type of its configuration forgotten.
pub trait Kind: Send + Sync {
    /// What `kind` says.
    fn name(&self) -> &'static str;

    /// Checks a source's own table without any IO and makes it ready to open.
    fn prepare(&self, config: Value, sets: &[String]) -> Result<Box<dyn Prepared>, Vec<ConfigProblem>>;
}

/// A checked source that is not open yet.
#[async_trait]
pub trait Prepared: Send + Sync {
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

    fn prepare(&self, config: Value, sets: &[String]) -> Result<Box<dyn Prepared>, Vec<ConfigProblem>> {
        let config: K::Config = serde_path_to_error::deserialize(config).map_err(|error| {
            vec![ConfigProblem {
                // The path alone: the parser's own text quotes values.
                key: error.path().to_string(),
                wrong: format!("is not what kind {} has", K::NAME),
                right: "docs/sources.md has every key of every kind, with its type".to_owned(),
            }]
        })?;
        let problems = K::validate(&config, sets);
        if problems.is_empty() { Ok(Box::new(Ready::<K>(config))) } else { Err(problems) }
    }
}

struct Ready<K: SourceKind>(K::Config);

#[async_trait]
impl<K: SourceKind> Prepared for Ready<K> {
    async fn open(self: Box<Self>) -> Result<Arc<dyn ClaimSource>, OpenError> {
        K::open(self.0).await
    }
}
