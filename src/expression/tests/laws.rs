//! What holds for every expression: nothing panics, overflows the stack, takes long, or comes out another way the second
//! time.

use std::sync::atomic::{AtomicU64, Ordering};

use cel::common::value::Val;
use cel::context::VariableResolver;
use proptest::prelude::*;

use super::*;

/// Counts how often names are looked up while an expression is evaluated.
struct Counting<'v> {
    values: BTreeMap<&'v str, Box<dyn Val + 'v>>,
    lookups: AtomicU64,
}

impl VariableResolver for Counting<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        self.values.get(name).map(|value| CowVal::Borrowed(&**value))
    }
}

/// Evaluates with the largest values: how often names were looked up, and the size of the result.
fn counted(expression: &Expression) -> (u64, Option<Value>) {
    let values = largest();
    let values = values.iter().map(|(name, value)| (name.as_str(), values::to_cel(value))).collect();
    let counting = Counting { values, lookups: AtomicU64::new(0) };
    let mut context = Context::with_env(Arc::clone(&LANGUAGE));
    context.set_variable_resolver(&counting);
    let value = cel::Value::resolve(&expression.code, &context).ok().and_then(values::from_cel);
    (counting.lookups.load(Ordering::Relaxed), value)
}

/// Expressions with a meaning: what may stand in them where so many loops are around, each with a variable.
#[derive(Clone)]
struct Written {
    list: BoxedStrategy<String>,
    boolean: BoxedStrategy<String>,
    text: BoxedStrategy<String>,
    any: BoxedStrategy<String>,
}

fn written(levels: usize, loops: usize) -> Written {
    let leaf =
        |leaves: &'static str| prop::sample::select(leaves.split(' ').collect::<Vec<_>>()).prop_map(str::to_owned);
    let variables: Vec<String> = (0..loops).map(|n| format!("x{n}")).collect();
    let variable = prop::sample::select([variables, vec!["seats".to_owned(), "null".to_owned()]].concat());
    let (list, boolean, text) =
        (leaf("tags companies [1,2]"), leaf("active true"), leaf("first plan 'a' string(seats)"));
    let leaves = Written {
        any: prop_oneof![2 => variable, 1 => list.clone(), 1 => text.clone(), 1 => leaf("address")].boxed(),
        list: list.boxed(),
        boolean: boolean.boxed(),
        text: text.boxed(),
    };
    if levels == 0 {
        return leaves;
    }
    let (same, inner) = (written(levels - 1, loops), written(levels - 1, loops + 1));
    let two = |a: &BoxedStrategy<String>, b: &BoxedStrategy<String>| (a.clone(), b.clone());
    let of_three = (same.boolean.clone(), same.list.clone(), same.list.clone());
    let list = prop_oneof![
        leaves.list,
        two(&same.list, &same.list).prop_map(|(a, b)| format!("({a} + {b})")),
        two(&same.list, &inner.any).prop_map(move |(a, b)| format!("{a}.map(x{loops}, {b})")),
        two(&same.list, &inner.text).prop_map(move |(a, b)| format!("{a}.map(x{loops}, {b})")),
        two(&same.list, &inner.list).prop_map(move |(a, b)| format!("{a}.map(x{loops}, {b})")),
        two(&same.list, &inner.boolean).prop_map(move |(a, b)| format!("{a}.filter(x{loops}, {b})")),
        of_three.prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        prop::collection::vec(same.any.clone(), 1..4).prop_map(|items| format!("[{}]", items.join(", "))),
        same.text.clone().prop_map(|a| format!("{a}.split('')")),
    ];
    let boolean = prop_oneof![
        leaves.boolean,
        two(&same.any, &same.any).prop_map(|(a, b)| format!("({a} == {b})")),
        two(&same.any, &same.list).prop_map(|(a, b)| format!("({a} in {b})")),
        two(&same.boolean, &same.boolean).prop_map(|(a, b)| format!("({a} && {b})")),
        two(&same.list, &inner.boolean).prop_map(move |(a, b)| format!("{a}.all(x{loops}, {b})")),
        two(&same.list, &inner.boolean).prop_map(move |(a, b)| format!("{a}.exists(x{loops}, {b})")),
    ];
    let text = prop_oneof![
        leaves.text,
        two(&same.text, &same.text).prop_map(|(a, b)| format!("({a} + {b})")),
        (same.list, inner.text, same.text).prop_map(move |(a, b, c)| format!("{a}.map(x{loops}, {b}).join({c})")),
    ];
    let (list, boolean, text) = (list.boxed(), boolean.boxed(), text.boxed());
    let any = prop_oneof![leaves.any, list.clone(), boolean.clone(), text.clone()].boxed();
    Written { list, boolean, text, any }
}

/// What the language is written with, in any order.
fn tokens() -> impl Strategy<Value = String> {
    const TOKENS: &str = "first tags companies x ( ) [ ] { } ? : . , + - ! * / % == < && || in 'a' \" ''' r' b' ` \\ \
        1 1u 0x 1e9 9223372036854775808 .map(x, .filter(x, .exists(x, has( size( null true // é @ ..";
    let tokens: Vec<&str> = TOKENS.split_whitespace().chain([" ", "\n", "\0"]).collect();
    prop::collection::vec(prop::sample::select(tokens), 0..200).prop_map(|tokens| tokens.concat())
}

/// Runs on the stack that a worker of the runtime has.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(work);
    thread.expect("a thread").join().expect("no panic and no overflow");
}

fn check_all(text: &str) {
    let (values, nothing) = (largest(), Map::new());
    for (_, kind) in Kind::ALL {
        match Expression::parse(text, &names(), kind) {
            Ok(expression) => {
                for values in [&values, &nothing] {
                    let value = expression.evaluate(values);
                    let again = expression.evaluate(values);
                    assert_eq!(format!("{value:?}"), format!("{again:?}"), "{text} is not the same twice");
                    assert!(value.ok().flatten().is_none_or(|value| kind.fits(&value)), "{text}");
                }
            }
            // Only that is another answer for another type.
            Err(wrong) if wrong.starts_with("comes to") => {}
            Err(_) => return,
        }
    }
}

#[test]
fn no_text_panics_or_overflows_the_stack() {
    on_a_small_stack(|| proptest!(ProptestConfig::with_cases(600), |(text in tokens())| check_all(&text)));
    on_a_small_stack(|| proptest!(ProptestConfig::with_cases(300), |(text in "\\PC{0,300}")| check_all(&text)));
    on_a_small_stack(|| proptest!(ProptestConfig::with_cases(300), |(text in written(4, 0).any)| check_all(&text)));
}

#[test]
fn what_repeats_breaks_no_stack() {
    on_a_small_stack(|| {
        let repeated = "( [ { {1: ! - .a first. 1+ true?1: true? first( [1].map(a, .map(a,a) 1== a||";
        for repeated in repeated.split_whitespace() {
            for times in [10, 31, 32, 33, 63, 64, 65, 200, 1024] {
                let text: String = repeated.repeat(times).chars().take(EXPRESSION_BYTES).collect();
                let closed = format!("{text}1{}", ")".repeat(text.matches('(').count()));
                for text in [&text, &format!("{text}1"), &closed, &format!("first{text}")] {
                    check_all(text);
                }
            }
        }
    });
}

#[test]
fn what_is_loaded_takes_no_more_than_its_steps() {
    on_a_small_stack(|| {
        let (loaded, heaviest) = (AtomicU64::new(0), AtomicU64::new(0));
        proptest!(ProptestConfig::with_cases(1_000), |(text in written(4, 0).any)| {
            for kind in [Kind::List, Kind::Boolean, Kind::String] {
                if let Ok(expression) = Expression::parse(&text, &names(), kind) {
                    let (lookups, value) = counted(&expression);
                    let weight = value.map_or(0, |value| Size::of(&value).weight);
                    assert!(lookups.max(weight) <= STEPS, "{text}: {lookups} lookups, a result of {weight}");
                    loaded.fetch_add(1, Ordering::Relaxed);
                    heaviest.fetch_max(lookups.max(weight), Ordering::Relaxed);
                }
            }
        });
        let (loaded, heaviest) = (loaded.into_inner(), heaviest.into_inner());
        assert!(loaded > 100 && heaviest > STEPS / 100, "{loaded} were loaded, the heaviest took {heaviest}");
    });
    // The heaviest that is let through, of several sorts.
    for (text, kind) in [
        (format!("tags.all(t, {})", ["t == seats"; 17].join(" && ")), Kind::Boolean),
        (format!("tags.map(t, [{}])", ["seats"; 20].join(", ")), Kind::List),
        ("companies.map(c, c.tags.map(t, t == seats))".to_owned(), Kind::List),
        (["first"; 60].join(" + "), Kind::String),
    ] {
        let (lookups, value) = counted(&parse(&text, kind));
        assert!(lookups <= STEPS && value.is_some(), "{text}: {lookups}");
    }
}
