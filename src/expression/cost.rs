//! What an expression names, and what it can cost: every part of it is looked at once, before it is ever evaluated.
//!
//! The library evaluates without a limit, and loops in loops and texts that double would take any time and memory. So
//! the cost is worked out for the largest values that can come, as Kubernetes does for its CEL rules. For each part
//! that is: how often it is evaluated at most, and how large all that it comes to is *together*. Together, because the
//! elements of a list are no larger than the list, and most expressions go over the elements of a list.

use std::collections::BTreeMap;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::size::Size;
use super::{DEPTH, ORDERED, STEPS};
use crate::attributes::Kind;

/// The functions that an expression may call, by what they come to.
const FUNCTIONS: [(&str, Yield); 14] = [
    ("bool", Yield::Plain),
    ("contains", Yield::Plain),
    ("double", Yield::Plain),
    ("endsWith", Yield::Plain),
    ("int", Yield::Plain),
    ("join", Yield::Joined),
    ("lowerAscii", Yield::Text),
    ("size", Yield::Plain),
    ("split", Yield::Pieces),
    ("startsWith", Yield::Plain),
    ("string", Yield::Text),
    ("substring", Yield::Text),
    ("trim", Yield::Text),
    ("upperAscii", Yield::Text),
];

/// How large the result of a function is.
#[derive(Clone, Copy)]
enum Yield {
    /// A number or a boolean.
    Plain,
    /// A text no larger than the first argument; of a number it has some 300 digits at most.
    Text,
    /// A list of texts with no more characters than the first argument has bytes.
    Pieces,
    /// The elements of the first argument with the second between them.
    Joined,
}

/// Looks at an expression.
pub(super) struct Cost<'n> {
    names: &'n BTreeMap<&'n str, Kind>,
    reads: BTreeMap<String, Size>,
    /// The variables of the loops around, the innermost last, with the size of all their values together.
    loops: Vec<(String, Size)>,
    steps: u64,
}

impl<'n> Cost<'n> {
    /// The names that the expression reads, each with the largest value that was reckoned with; else what is wrong.
    /// What is made into a list goes through [`ORDERED`] afterwards.
    pub(super) fn check(
        code: &mut IdedExpr,
        names: &'n BTreeMap<&'n str, Kind>,
    ) -> Result<BTreeMap<String, Size>, String> {
        let mut cost = Self { names, reads: BTreeMap::new(), loops: Vec::new(), steps: 0 };
        cost.part(code, 1, 0)?;
        if cost.steps > STEPS {
            return Err(format!("may take more than {STEPS} steps with the largest values"));
        }
        Ok(cost.reads)
    }

    /// The size of all that a part comes to, which is evaluated so many `times` in one evaluation of the expression.
    fn part(&mut self, part: &mut IdedExpr, times: u64, depth: usize) -> Result<Size, String> {
        if depth >= DEPTH {
            return Err(format!("has more than {DEPTH} levels"));
        }
        self.spend(times);
        let depth = depth + 1;
        match &mut part.expr {
            Expr::Ident(name) => self.name(name, times),
            Expr::Literal(literal) => Ok(size_of(literal).times(times)),
            Expr::Select(select) => {
                let whole = self.part(&mut select.operand, times, depth)?;
                Ok(if select.test { Size::ONE.times(times) } else { whole.part() })
            }
            Expr::Call(call) => self.call(call, times, depth),
            Expr::List(list) => self.built(list.elements.iter_mut(), times, depth),
            Expr::Map(map) => {
                let mut parts = Vec::new();
                for entry in &mut map.entries {
                    let EntryExpr::MapEntry(entry) = &mut entry.expr else { return Err(NO_MESSAGES.to_owned()) };
                    parts.extend([&mut entry.key, &mut entry.value]);
                }
                self.built(parts.into_iter(), times, depth)
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, times, depth),
            Expr::Struct(_) | Expr::Unspecified => Err(NO_MESSAGES.to_owned()),
        }
    }

    fn spend(&mut self, steps: u64) {
        self.steps = self.steps.saturating_add(steps);
    }

    fn name(&mut self, name: &str, times: u64) -> Result<Size, String> {
        if name == RESULT {
            // What a loop has gathered is counted where it is put there.
            return Ok(Size::default());
        }
        let around = self.loops.iter().rposition(|(variable, _)| variable == name);
        let (size, is_innermost) = match around.and_then(|at| Some((at, self.loops.get(at)?.1))) {
            Some((at, size)) => (size, at + 1 == self.loops.len()),
            None => {
                let kind = self.names.get(name).ok_or_else(|| self.unknown(name))?;
                let size = Size::largest(name, *kind);
                self.reads.insert(name.to_owned(), size);
                (size, self.loops.is_empty())
            }
        };
        // In a loop further in, each value may be the one that all the rounds fall to.
        Ok(if is_innermost { size } else { size.times(times) })
    }

    fn unknown(&self, name: &str) -> String {
        let known: Vec<&str> = self.names.keys().copied().filter(|name| is_identifier(name)).collect();
        format!("names {name}, which is not known here; known: {}", known.join(", "))
    }

    fn built<'p>(
        &mut self,
        parts: impl ExactSizeIterator<Item = &'p mut IdedExpr>,
        times: u64,
        depth: usize,
    ) -> Result<Size, String> {
        let mut size = Size { weight: times, items: (parts.len() as u64).saturating_mul(times) };
        for part in parts {
            size.weight = size.weight.saturating_add(self.part(part, times, depth)?.weight);
        }
        self.spend(size.weight);
        Ok(size)
    }

    fn call(&mut self, call: &mut CallExpr, times: u64, depth: usize) -> Result<Size, String> {
        let mut sizes = Vec::new();
        for part in call.target.as_deref_mut().into_iter().chain(&mut call.args) {
            sizes.push(self.part(part, times, depth)?);
        }
        let all = sizes.iter().fold(Size::default(), |all, size| all.and(*size));
        let (copied, size) = match (call.func_name.as_str(), sizes.as_slice()) {
            (operators::CONDITIONAL, [_, yes, no]) => (0, yes.and(*no)),
            (operators::ADD, [_, _]) => (all.weight, all),
            (operators::INDEX, [whole, _]) => (all.weight, whole.part()),
            // Two values are compared until one of them ends.
            (operators::EQUALS | operators::NOT_EQUALS, [a, b]) => (a.weight.min(b.weight), Size::ONE.times(times)),
            // The library copies both into the error where it cannot do it.
            (name, _) if OPERATORS.contains(&name) => (all.weight, Size::ONE.times(times)),
            (name, [first, rest @ ..]) => {
                let (_, yields) =
                    FUNCTIONS.iter().find(|(known, _)| *known == name).ok_or_else(|| no_function(name))?;
                let size = yields.of(*first, rest.first().copied().unwrap_or_default(), times);
                (all.and(size).weight, size)
            }
            (name, []) => return Err(no_function(name)),
        };
        self.spend(copied);
        if let (operators::ADD, [_, added]) = (call.func_name.as_str(), call.args.as_mut_slice()) {
            self.through_ordered(added, times);
        }
        Ok(size)
    }

    fn comprehension(&mut self, of: &mut ComprehensionExpr, times: u64, depth: usize) -> Result<Size, String> {
        let range = self.part(&mut of.iter_range, times, depth)?;
        self.through_ordered(&mut of.iter_range, times);
        self.part(&mut of.accu_init, times, depth)?;
        // Each element is copied into the loop's variable.
        self.spend(range.weight);
        self.loops.push((of.iter_var.clone(), range.part()));
        self.part(&mut of.loop_cond, range.items, depth)?;
        let step = self.part(&mut of.loop_step, range.items, depth)?;
        self.loops.pop();
        self.part(&mut of.result, times, depth)?;
        let gathers = matches!(of.accu_init.expr, Expr::List(_));
        Ok(if gathers { step.and(Size::ONE.times(times)) } else { Size::ONE.times(times) })
    }

    /// What is written as a list, a text or a number needs no look.
    fn through_ordered(&mut self, part: &mut IdedExpr, times: u64) {
        if !matches!(part.expr, Expr::List(_) | Expr::Literal(_)) {
            self.spend(times);
            let argument = std::mem::take(part);
            let call = CallExpr { func_name: ORDERED.to_owned(), target: None, args: vec![argument] };
            part.expr = Expr::Call(call);
        }
    }
}

impl Yield {
    /// The size of the results of so many calls, whose first and second arguments are that large together.
    fn of(self, first: Size, second: Size, times: u64) -> Size {
        match self {
            Self::Plain => Size::ONE.times(times),
            Self::Text => Size { items: 0, ..first.and(Size::of_text(NUMBER_BYTES).times(times)) },
            Self::Pieces => {
                let items = first.bytes().saturating_add(times);
                Size { items, ..first.and(Size { weight: items, items }) }
            }
            Self::Joined => Size { items: 0, ..first.and(second.times(first.items)) },
        }
    }
}

/// Bytes of the longest number as text, a `double` of some 10^308.
const NUMBER_BYTES: usize = 330;

/// The variable in which the library's macros gather their result. Nobody can write it.
const RESULT: &str = "@result";

/// The operators that come to a number or a boolean.
const OPERATORS: [&str; 14] = [
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::NOT_STRICTLY_FALSE,
    operators::NEGATE,
    operators::SUBSTRACT,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::LESS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::GREATER_EQUALS,
    operators::IN,
];

const NO_MESSAGES: &str = "makes a message, and there are none here";

fn no_function(name: &str) -> String {
    let known = FUNCTIONS.map(|(known, _)| known).join(", ");
    format!("calls {name}, which is not known here; known: {known}; macros: has, all, exists, exists_one, map, filter")
}

/// Whether CEL can name it: an attribute may have a name that it cannot.
fn is_identifier(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

fn size_of(literal: &LiteralValue) -> Size {
    match literal {
        LiteralValue::String(text) => Size::of_text(text.inner().len()),
        LiteralValue::Bytes(bytes) => Size::of_text(bytes.inner().len()),
        LiteralValue::Boolean(_)
        | LiteralValue::Double(_)
        | LiteralValue::Int(_)
        | LiteralValue::Null
        | LiteralValue::UInt(_) => Size::ONE,
    }
}
