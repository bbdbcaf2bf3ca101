//! What expressions come to, and what is refused.

mod laws;

use serde_json::json;

use super::*;
use crate::limits;

/// Names of every type.
fn names() -> BTreeMap<&'static str, Kind> {
    BTreeMap::from([
        ("first", Kind::String),
        ("last", Kind::String),
        ("plan", Kind::String),
        ("seats", Kind::Number),
        ("active", Kind::Boolean),
        ("since", Kind::Date),
        ("tags", Kind::List),
        ("address", Kind::Object),
        ("companies", Kind::List),
        ("full-name", Kind::String),
    ])
}

fn parse(text: &str, kind: Kind) -> Expression {
    Expression::parse(text, &names(), kind).unwrap_or_else(|wrong| panic!("{text}: {wrong}"))
}

#[track_caller]
fn refused(text: &str, kind: Kind, wrong: &str) {
    let found = Expression::parse(text, &names(), kind).map(|_| ());
    assert!(found.as_ref().is_err_and(|found| found.starts_with(wrong)), "{text}: {found:?}");
}

/// What it comes to for the values of an object.
fn value(text: &str, kind: Kind, values: &Value) -> Result<Option<Value>, Failed> {
    parse(text, kind).evaluate(values.as_object().expect("an object"))
}

/// The largest values that the limits let through.
fn largest() -> Map<String, Value> {
    let text = "x".repeat(limits::ATTRIBUTE_BYTES - 2);
    let company = json!({"id": "c", "name": "sample", "tags": [0, 0, 0], "n": {"a": [0, 0]}});
    let values = json!({
        "first": text, "last": text, "plan": text, "since": "2026-01-01", "seats": 1, "active": true,
        "tags": vec![0; limits::ATTRIBUTE_BYTES / 2 - 1],
        "address": (0..limits::ATTRIBUTE_BYTES / 10).map(|n| (format!("{n:04}"), json!(0))).collect::<Map<_, _>>(),
        "companies": vec![company; limits::COMPANIES],
    });
    assert!(values["tags"].to_string().len() <= limits::ATTRIBUTE_BYTES);
    assert!(values["companies"].to_string().len() <= limits::CLAIMS_BYTES);
    values.as_object().cloned().expect("an object")
}

#[test]
fn expressions_come_to_values() {
    let ada = json!({
        "first": "Ada", "last": "Byron", "plan": "pro", "seats": 3, "active": true, "since": "2025-05-19",
        "tags": ["x", 1], "address": {"city": "London", "zip": null},
        "companies": [{"id": "1", "name": "One", "monthly_spend": 10}, {"id": "2", "monthly_spend": 99.5}],
    });
    for (text, kind, expected) in [
        ("first + ' ' + last", Kind::String, json!("Ada Byron")),
        ("plan == 'pro' ? 'gold' : 'basic'", Kind::String, json!("gold")),
        ("{'free': 0, 'pro': 10}[plan]", Kind::Number, json!(10)),
        ("plan in ['pro', 'team'] && active", Kind::Boolean, json!(true)),
        ("seats * 2 + 1", Kind::Number, json!(7)),
        ("seats / 2", Kind::Number, json!(1)),
        ("double(seats) / 2.0", Kind::Number, json!(1.5)),
        ("seats > 2.5", Kind::Boolean, json!(true)),
        ("int('7') - seats", Kind::Number, json!(4)),
        ("string(seats)", Kind::String, json!("3")),
        ("since", Kind::Date, json!("2025-05-19")),
        ("size(tags) + size(first)", Kind::Number, json!(5)),
        ("tags + [null]", Kind::List, json!(["x", 1, null])),
        ("address.city", Kind::String, json!("London")),
        ("has(address.zip) && !has(address.street)", Kind::Boolean, json!(true)),
        ("address", Kind::Object, json!({"city": "London", "zip": null})),
        ("{'b': 1, 'a': [first]}", Kind::Object, json!({"a": ["Ada"], "b": 1})),
        ("companies[0].name", Kind::String, json!("One")),
        ("companies.map(c, c.id).join(', ')", Kind::String, json!("1, 2")),
        ("companies.filter(c, c.monthly_spend > 50).map(c, c.id)", Kind::List, json!(["2"])),
        ("companies.map(c, has(c.name), c.name)", Kind::List, json!(["One"])),
        ("companies.exists(c, c.id == '2')", Kind::Boolean, json!(true)),
        ("companies.all(c, c.monthly_spend > 50)", Kind::Boolean, json!(false)),
        ("companies.exists_one(c, c.id == '2')", Kind::Boolean, json!(true)),
        ("'a@b.example'.split('@')[1].upperAscii()", Kind::String, json!("B.EXAMPLE")),
        ("first.lowerAscii().startsWith('a') && last.endsWith('n')", Kind::Boolean, json!(true)),
        ("' x '.trim() + first.substring(1, 2)", Kind::String, json!("xd")),
    ] {
        assert_eq!(value(text, kind, &ada), Ok(Some(expected)), "{text}");
    }
}

#[test]
fn what_is_absent_is_null_and_makes_the_value_absent() {
    for (text, kind, expected) in [
        ("first + ' ' + last", Kind::String, None),
        ("first", Kind::String, None),
        ("first != null ? first : 'nobody'", Kind::String, Some(json!("nobody"))),
        ("address.city", Kind::String, None),
        ("tags.exists(t, t == 'x')", Kind::Boolean, None),
        ("plan == 'pro'", Kind::Boolean, Some(json!(false))),
        ("first == null && seats > 1", Kind::Boolean, None),
    ] {
        assert_eq!(value(text, kind, &json!({"last": "Byron", "tags": null})), Ok(expected), "{text}");
    }
    assert_eq!(value("plan == 'pro' ? 'gold' : null", Kind::String, &json!({"plan": "free"})), Ok(None));
}

#[test]
fn an_expression_without_a_value_of_its_type_has_failed() {
    let ada = json!({"first": "Ada", "plan": "free", "seats": 0.5, "tags": [], "address": {}, "companies": []});
    for (text, kind) in [
        ("{'pro': 1}[plan]", Kind::Number),
        ("tags[0]", Kind::String),
        ("address.city", Kind::String),
        ("companies[0].name", Kind::String),
        ("int(plan)", Kind::Number),
        ("seats * 2", Kind::Number),
        ("1 / int(seats)", Kind::Number),
        ("9223372036854775807 + int(seats)", Kind::Number),
        ("plan == 'sample' ? '2026-01-01' : plan", Kind::Date),
    ] {
        assert_eq!(value(text, kind, &ada), Err(Failed), "{text}");
    }
    assert_eq!(value("double(plan) * 10.0", Kind::Number, &json!({"plan": "1e308"})), Err(Failed), "no number of JSON");
    // A result of another type is wrong whatever is absent.
    assert_eq!(value("last == null ? '2026-01-01' + first : since", Kind::Date, &ada), Err(Failed));
}

#[test]
fn the_names_that_it_reads_are_known() {
    let expression = parse("companies.exists(last, last.name == first) ? plan : first", Kind::String);
    assert_eq!(expression.names().collect::<Vec<_>>(), ["companies", "first", "plan"]);
    assert_eq!(parse("1 + 1", Kind::Number).names().count(), 0);
}

#[test]
fn a_name_or_function_that_is_not_known_is_told_with_those_that_are() {
    let known = "active, address, companies, first, last, plan, seats, since, tags";
    for name in ["second", "c", "string", "now"] {
        let wrong = format!("names {name}, which is not known here; known: {known}");
        refused(&format!("[1].map(d, d) == [1] && {name} == 1"), Kind::Boolean, &wrong);
    }
    refused(".first", Kind::String, "names .first, which");
    refused("tags.map(t, t) + t", Kind::List, "names t, which");
    for (name, text) in [
        ("now", "now()"),
        ("matches", "first.matches('a')"),
        ("timestamp", "timestamp(since)"),
        ("type", "type(first)"),
        ("dyn", "dyn(first)"),
        ("format", "'%s'.format([first])"),
        ("replace", "first.replace('a', first)"),
        ("map", "tags.map(1)"),
        ("first", "first()"),
        ("getFullYear", "since.getFullYear()"),
        ("env", "env('HOME')"),
        ("@ordered", "ordered(tags)"),
    ] {
        let wrong = format!("calls {}, which is not known here; known: bool, contains,", name.trim_start_matches('@'));
        refused(text, Kind::String, &wrong);
    }
    refused("optional.of(first)", Kind::String, "names optional, which");
    refused("strings.quote(first)", Kind::String, "names strings, which");
}

#[test]
fn types_that_do_not_fit_are_found_when_it_is_loaded() {
    for (text, kind, wrong) in [
        ("first", Kind::Number, "comes to string with samples, not to number"),
        ("seats", Kind::String, "comes to int with samples, not to string"),
        ("first", Kind::Date, "comes to string with samples, not to date"),
        ("{1: first}", Kind::Object, "comes to map with samples, not to object"),
        ("b'x'", Kind::String, "comes to bytes with samples, not to string"),
        ("seats + first", Kind::Number, "uses add on int and string"),
        ("seats * 1.5", Kind::Number, "uses mul on int and float"),
        ("seats > first", Kind::Boolean, "uses _>_ on int and string"),
        ("first.city", Kind::String, "uses _._ on string and string"),
        ("size(seats)", Kind::Number, "uses size on int"),
        ("first ? 1 : 2", Kind::Number, "uses an operator or a function on what it is not for"),
        ("companies[0].name + 1", Kind::String, "uses add on string and int"),
        ("address.map(k, k)", Kind::List, "goes through an object, which has no order"),
        ("tags + address", Kind::List, "goes through an object, which has no order"),
        ("Person{name: first}", Kind::Object, "makes a message"),
    ] {
        refused(text, kind, wrong);
    }
    // What only a sample does not have is not held against it.
    for text in ["tags[3]", "address.city", "companies[7].name", "{'a': 'b'}[plan]"] {
        assert_eq!(parse(text, Kind::String).kind, Kind::String);
    }
}

#[test]
fn what_is_not_cel_is_told_by_its_place() {
    for (text, place) in [
        ("", "line 1, column 1"),
        ("first +", "line 1, column 8"),
        ("first\n  'x'", "line 2, column 3"),
        ("'abc", "line 1, column 1"),
        ("has(first)", "line 1, column 5"),
        ("first.?x", "line 1, column 6"),
        ("tags[?0]", "line 1, column 5"),
        ("first.`a`", "line 1, column 6"),
        ("full-name ? package : first", "line 1, column 13"),
    ] {
        refused(text, Kind::String, &format!("is not CEL: {place}"));
    }
}

#[test]
fn every_limit_holds_and_one_more_is_refused() {
    let text = |bytes: usize| format!("'{}'", "x".repeat(bytes - 2));
    assert!(Expression::parse(&text(EXPRESSION_BYTES), &names(), Kind::String).is_ok());
    refused(&text(EXPRESSION_BYTES + 1), Kind::String, "is longer than 1024 bytes");

    let lists = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(Expression::parse(&lists(OPENINGS), &names(), Kind::List).is_ok());
    refused(&lists(OPENINGS + 1), Kind::List, "has more than 64 opening brackets");
    refused(&format!("'{}'", "?".repeat(OPENINGS + 1)), Kind::String, "has more than 64 opening brackets");

    let sum = |levels: usize| format!("seats{}", " + 1".repeat(levels - 1));
    assert!(Expression::parse(&sum(DEPTH), &names(), Kind::Number).is_ok());
    refused(&sum(DEPTH + 1), Kind::Number, "has more than 64 levels");

    let loops = |comparisons: usize| format!("tags.all(t, {})", vec!["t == 1"; comparisons].join(" && "));
    let most = (1..60).take_while(|n| Expression::parse(&loops(*n), &names(), Kind::Boolean).is_ok()).last();
    assert_eq!(most, Some(17));
    refused(&loops(18), Kind::Boolean, "may take more than 250000 steps");
}

#[test]
fn values_over_the_limits_that_the_steps_were_counted_for_fail() {
    let (tags, companies) = (parse("size(tags)", Kind::Number), parse("size(companies)", Kind::Number));
    let values = largest();
    assert_eq!(tags.evaluate(&values), Ok(Some(json!(limits::ATTRIBUTE_BYTES / 2 - 1))));
    assert_eq!(companies.evaluate(&values), Ok(Some(json!(limits::COMPANIES))));
    let one = |name: &str, value: Value| Map::from_iter([(name.to_owned(), value)]);
    assert_eq!(tags.evaluate(&one("tags", json!(vec![0; limits::ATTRIBUTE_BYTES / 2 + 1]))), Err(Failed));
    assert_eq!(companies.evaluate(&one("companies", json!(vec![0; limits::COMPANIES + 1]))), Err(Failed));
    let heavy = json!([{"n": vec![0; limits::CLAIMS_BYTES / 2]}]);
    assert_eq!(companies.evaluate(&one("companies", heavy)), Err(Failed));
    let long = json!("x".repeat(limits::ATTRIBUTE_BYTES + 64));
    assert_eq!(parse("size(first)", Kind::Number).evaluate(&one("first", long)), Err(Failed));
}

#[test]
fn loops_in_loops_and_texts_that_double_are_refused_before_they_run() {
    let doubled = format!("[first]{}", ".map(t, t + t)".repeat(30));
    for text in [
        "tags.all(t, tags.all(u, t == u))",
        "tags.map(t, first)",
        "tags.map(t, first + last)",
        "tags.map(t, tags)",
        "companies.exists(c, companies.exists(d, c.id == d.id))",
        "first.split('').map(t, first.split(''))",
        "(tags + tags).map(t, t).join(first)",
        "[tags, tags, tags].map(t, t.map(u, tags))",
        &doubled,
    ] {
        refused(text, Kind::List, "may take more than 250000 steps");
    }
}

#[test]
fn threads_share_an_expression() {
    let expression = parse("first + ' ' + last", Kind::String);
    let values = json!({"first": "Ada", "last": "Byron"}).as_object().cloned().expect("an object");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(expression.evaluate(&values), Ok(Some(json!("Ada Byron")))));
        }
    });
}
