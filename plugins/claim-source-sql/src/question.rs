//! What is asked, and what its rows are worth as claims. Knows no database.

use countersign_claim_source::{Answer, Ask, Template, Why};
use serde_json::{Map, Value as Json};
use sqlx::SqlStr;

use crate::Type;
use crate::dialect::{Bound, NotBound, integer};

/// The query, and what becomes of its rows.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) sql: SqlStr,
    pub(crate) values: Vec<Value>,
    /// The claims that the source sets.
    pub(crate) sets: Vec<String>,
    /// The claim that is the list of all rows.
    pub(crate) many: Option<String>,
    /// The columns of text that is JSON.
    pub(crate) json_columns: Vec<String>,
}

/// A value that is bound.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) template: Template,
    pub(crate) r#type: Type,
}

/// Rows of a list: as many as a user may have companies.
pub(crate) const MAX_ROWS: usize = 200;

impl Question {
    /// What is bound, in order.
    pub(crate) fn bound(&self, ask: &Ask) -> Result<Vec<Bound>, Answer> {
        self.values.iter().map(|value| value.bound(ask)).collect()
    }

    /// How many rows there may be.
    pub(crate) const fn max_rows(&self) -> usize {
        if self.many.is_some() { MAX_ROWS } else { 1 }
    }

    /// What one row more means.
    pub(crate) const fn too_many(&self) -> &'static str {
        if self.many.is_some() { "the list has too many rows" } else { "more than one row is the user's" }
    }

    /// Whether this column is wanted: in a list, every one.
    pub(crate) fn wants(&self, column: &str, ask: &Ask) -> bool {
        self.many.is_some() || ask.wants(column)
    }

    /// Whether the text of this column is JSON.
    pub(crate) fn is_json(&self, column: &str) -> bool {
        self.json_columns.iter().any(|json| json == column)
    }

    /// Whether the query has a column for every claim that is wanted. Without, the claim would be absent for everybody.
    pub(crate) fn is_served_by(&self, columns: &[&str], ask: &Ask) -> bool {
        let mut wanted = self.sets.iter().filter(|claim| ask.wants(claim));
        self.many.is_some() || wanted.all(|claim| columns.contains(&claim.as_str()))
    }

    /// The claims of all rows.
    pub(crate) fn answer(&self, rows: Vec<Map<String, Json>>) -> Answer {
        let claims = match &self.many {
            None => rows.into_iter().next().unwrap_or_default(),
            Some(_) if rows.is_empty() => Map::new(),
            Some(claim) => Map::from_iter([(claim.clone(), rows.into())]),
        };
        Answer::found(claims)
    }
}

impl Value {
    fn bound(&self, ask: &Ask) -> Result<Bound, Answer> {
        let text = self.template.render(ask, |value, text| {
            if value.contains('\0') {
                return Err("has a NUL character, which SQL text cannot hold");
            }
            text.push_str(value);
            Ok(())
        })?;
        match self.r#type {
            Type::Text => Ok(Bound::Text(text)),
            Type::Integer => integer(&text)
                .map(Bound::Integer)
                .ok_or_else(|| self.unfit(NotBound::Value("is not an integer, and is bound as one"))),
        }
    }

    /// What it means that this value could not be bound.
    pub(crate) fn unfit(&self, why: NotBound) -> Answer {
        match (why, self.template.names().next()) {
            (NotBound::Value(why), Some(name)) => Answer::Unfit(name.to_owned(), Why::from(why)),
            (NotBound::Value(_), None) => Answer::malformed("a value of `bind` cannot stand where it is bound"),
            (NotBound::Type(why), _) => Answer::Malformed(why),
        }
    }
}
