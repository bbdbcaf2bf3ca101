//! How large values are, in the unit in which the cost of an expression is counted.

use serde_json::Value;

use crate::attributes::Kind;
use crate::identity::Field;
use crate::limits;

/// How large a value is, or many values together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// One for each value in it, itself too, and one for each [`CHUNK`] of a text. It is what a copy costs.
    pub(super) weight: u64,
    /// Elements of a list, members of an object.
    pub(super) items: u64,
}

/// Bytes of text that are copied in one step.
const CHUNK: usize = 64;

impl Size {
    /// Of a value with nothing in it.
    pub(super) const ONE: Self = Self { weight: 1, items: 0 };

    /// The largest value of a name, by the limits of attributes and tokens.
    pub(super) fn largest(name: &str, kind: Kind) -> Self {
        if name == Field::Companies.name() {
            // All of them are in the token, so a longer list of companies makes no token.
            return Self { items: limits::COMPANIES as u64, ..Self::of_json(limits::CLAIMS_BYTES) };
        }
        match kind {
            Kind::Number | Kind::Boolean => Self::ONE,
            Kind::String | Kind::Date => Self::of_text(limits::ATTRIBUTE_BYTES),
            Kind::List | Kind::Object => Self::of_json(limits::ATTRIBUTE_BYTES),
        }
    }

    /// Of a text.
    pub(super) const fn of_text(bytes: usize) -> Self {
        Self { weight: 1 + (bytes / CHUNK) as u64, items: 0 }
    }

    /// Of lists and objects at their heaviest: an element takes a comma and at least one more byte.
    const fn of_json(bytes: usize) -> Self {
        let items = (bytes / 2) as u64;
        Self { weight: 1 + items, items }
    }

    /// Whether a value is as large at most.
    pub(super) fn holds(self, value: &Value) -> bool {
        let Self { weight, items } = Self::of(value);
        weight <= self.weight && items <= self.items
    }

    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::ONE,
            Value::String(text) => Self::of_text(text.len()),
            Value::Array(items) => {
                let weight = items.iter().map(|item| Self::of(item).weight).sum::<u64>();
                Self { weight: 1 + weight, items: items.len() as u64 }
            }
            Value::Object(members) => {
                let member =
                    |(name, value): (&String, &Value)| Self::of_text(name.len()).weight + Self::of(value).weight;
                Self { weight: 1 + members.iter().map(member).sum::<u64>(), items: members.len() as u64 }
            }
        }
    }

    /// Bytes of a text of this size, at most.
    pub(super) const fn bytes(self) -> u64 {
        self.weight.saturating_mul(CHUNK as u64)
    }

    /// Of both together.
    pub(super) const fn and(self, other: Self) -> Self {
        Self { weight: self.weight.saturating_add(other.weight), items: self.items.saturating_add(other.items) }
    }

    /// Of so many as large as this.
    pub(super) const fn times(self, times: u64) -> Self {
        Self { weight: self.weight.saturating_mul(times), items: self.items.saturating_mul(times) }
    }

    /// Of some part of it, of which only is known that it is a part.
    pub(super) const fn part(self) -> Self {
        Self { weight: self.weight, items: self.weight }
    }
}
