//! Computed claims: expressions in CEL (the Common Expression Language, cel.dev), which operators write and nobody else.
//!
//! An expression is a pure function of the values that it names: the same values give the same claim, byte for byte. It
//! reads no clock, no environment and no file, and what it may cost is bounded when it is loaded, because the library
//! has no limit while it evaluates. What the result means for the token is not decided here.

mod cost;
mod size;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cel::common::ast::IdedExpr;
use cel::common::types::{DYN_TYPE, Kind as CelKind};
use cel::common::value::CowVal;
use cel::{Context, Env, ExecutionError, extensions};
use serde_json::{Map, Value};

use self::cost::Cost;
use self::size::Size;
use crate::attributes::Kind;

/// Bytes of an expression.
pub const EXPRESSION_BYTES: usize = 1024;
/// Opening brackets and question marks of an expression, those in its texts too. Each may begin a level of nesting, and
/// the parser takes a stack frame of its own for each rule of each level. They are counted before it sees the text.
pub const OPENINGS: usize = 64;
/// Levels of an expression, which is evaluated level in level. A macro such as `map` has three.
pub const DEPTH: usize = 64;
/// Steps that an expression may take with the largest values: parts evaluated and values copied. All of them together
/// take some tens of milliseconds and megabytes at worst; going over all companies once takes a tenth of them.
pub const STEPS: u64 = 250_000;

/// An expression that was read, checked and tried.
#[derive(Clone, Debug)]
pub struct Expression {
    code: IdedExpr,
    /// The names that it reads, with the largest values that it was checked for.
    reads: BTreeMap<String, Size>,
    kind: Kind,
}

/// The expression has no value of its type for these values, although all that it reads is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

impl Expression {
    /// Reads an expression over these names that comes to a value of this type, and evaluates it once with samples. The
    /// error is what is wrong with it.
    pub fn parse(text: &str, names: &BTreeMap<&str, Kind>, kind: Kind) -> Result<Self, String> {
        if text.len() > EXPRESSION_BYTES {
            return Err(format!("is longer than {EXPRESSION_BYTES} bytes"));
        }
        if text.matches(['(', '[', '{', '?']).count() > OPENINGS {
            return Err(format!("has more than {OPENINGS} opening brackets and question marks"));
        }
        let mut code = LANGUAGE.parser().parse(text).map_err(|errors| {
            let (line, column) = errors.errors.first().map_or((1, 1), |error| error.pos);
            format!("is not CEL: line {line}, column {column}")
        })?;
        let reads = Cost::check(&mut code, names)?;
        let expression = Self { code, reads, kind };
        expression.try_with_samples(names)?;
        Ok(expression)
    }

    /// The names that it reads.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.reads.keys().map(String::as_str)
    }

    /// The value; none where it is absent: `null`, or no value while something that it reads is absent. A name that has
    /// no value is `null` in the expression.
    pub fn evaluate(&self, values: &Map<String, Value>) -> Result<Option<Value>, Failed> {
        let value_of = |name: &str| values.get(name).unwrap_or(&Value::Null);
        if self.reads.iter().any(|(name, largest)| !largest.holds(value_of(name))) {
            return Err(Failed);
        }
        match self.run(values) {
            Ok(cel::Value::Null) => Ok(None),
            Ok(value) => values::from_cel(value).filter(|value| self.kind.fits(value)).map(Some).ok_or(Failed),
            Err(_) if self.names().any(|name| value_of(name).is_null()) => Ok(None),
            Err(_) => Err(Failed),
        }
    }

    fn run(&self, values: &Map<String, Value>) -> Result<cel::Value, ExecutionError> {
        let mut context = Context::with_env(Arc::clone(&LANGUAGE));
        for name in self.names() {
            context.add_variable_as_val(name, values::to_cel(values.get(name).unwrap_or(&Value::Null)));
        }
        cel::Value::resolve(&self.code, &context)
    }

    /// Finds what types can tell. What only other values would do, such as an element that a sample does not have, is
    /// not held against the expression.
    fn try_with_samples(&self, names: &BTreeMap<&str, Kind>) -> Result<(), String> {
        let samples = names.iter().map(|(name, kind)| ((*name).to_owned(), values::sample(name, *kind)));
        match self.run(&samples.collect()) {
            Ok(cel::Value::Null) => Ok(()),
            Ok(value) => {
                let found = value.type_of();
                let fits = values::from_cel(value).is_some_and(|value| self.kind.fits(&value));
                fits.then_some(()).ok_or_else(|| format!("comes to {found} with samples, not to {}", self.kind.name()))
            }
            Err(error) if depends_on_values(&error) => Ok(()),
            Err(error) => Err(misuse(&error)),
        }
    }
}

/// Whether other values of the same types may do.
const fn depends_on_values(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::NoSuchKey(_)
            | ExecutionError::IndexOutOfBounds(_)
            | ExecutionError::FunctionError { .. }
            | ExecutionError::DivisionByZero(_)
            | ExecutionError::RemainderByZero(_)
            | ExecutionError::Overflow(..)
            | ExecutionError::DuplicateKey(_)
    )
}

/// What is used on which types.
fn misuse(error: &ExecutionError) -> String {
    if let ExecutionError::NoSuchOverload(call) = error {
        if call.function() == ORDERED {
            return "goes through an object, which has no order".to_owned();
        }
        return format!("uses {} on {}", call.function(), call.argument_types().join(" and "));
    }
    if let ExecutionError::UnsupportedBinaryOperator(operator, a, b) = error {
        return format!("uses {operator} on {} and {}", a.type_of(), b.type_of());
    }
    "uses an operator or a function on what it is not for".to_owned()
}

/// The function that every list goes through which is made into another one.
const ORDERED: &str = "@ordered";

/// CEL's own operators, macros and functions, and those on texts. What of it an expression may call is the cost's to
/// say.
static LANGUAGE: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib().with_optional_support(false);
    let declared = env
        .add_extension(extensions::strings)
        .and_then(|()| env.add_overload(ORDERED, ORDERED, vec![DYN_TYPE], ordered));
    #[expect(clippy::expect_used, reason = "a declaration fails only where the name is taken, and none of these is")]
    declared.expect("names of their own");
    Arc::new(env)
});

/// Its argument, unless that is an object: the library's objects give their names in an order that is another in every
/// process, and it would reach the token.
fn ordered<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let refused = || ExecutionError::no_such_overload(ORDERED, Vec::new());
    arguments.pop().filter(|value| value.get_type().kind() != CelKind::Map).ok_or_else(refused)
}
