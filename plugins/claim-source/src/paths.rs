//! Claims picked out of a JSON document by JSONPath (RFC 9535).

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use serde_json_path::JsonPath;

use crate::{Ask, Check};

/// A JSONPath. A singular query (RFC 9535 section 2.3.5.1) finds a value; any other finds a list of all that fits.
#[derive(Clone, Debug)]
pub struct Path {
    path: JsonPath,
    singular: bool,
}

/// Claim by claim, where it stands in a document.
#[derive(Clone, Debug)]
pub struct Paths(BTreeMap<String, Path>);

/// Bytes of one path.
const PATH_BYTES: usize = 1024;

impl Path {
    /// What is right, for messages.
    pub const RIGHT: &str = "a JSONPath (RFC 9535), as in \"$.subscription.plan\", at most 1024 bytes";

    /// Reads a path of at most 1,024 bytes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let path = JsonPath::parse(Some(text).filter(|text| text.len() <= PATH_BYTES)?).ok()?;
        // Only a singular query may be compared, so the grammar itself says which this is.
        let singular = JsonPath::parse(&format!("$[?{text} == 1]")).is_ok();
        Some(Self { path, singular })
    }

    /// What stands there; none where nothing does, or `null`, or no element of a list.
    #[must_use]
    pub fn find(&self, document: &Value) -> Option<Value> {
        let mut found = self.path.query(document).all().into_iter().cloned();
        if self.singular {
            return found.next().filter(|value| !value.is_null());
        }
        let list: Vec<Value> = found.collect();
        (!list.is_empty()).then_some(Value::Array(list))
    }
}

impl Check<'_> {
    /// Reads `claims = { claim = "$.path" }`. A claim of `sets` without a path stands under its own name.
    pub fn paths(&self, key: &str, written: &BTreeMap<String, String>) -> Option<Paths> {
        self.undeclared(key, written.keys());
        let mut paths = BTreeMap::new();
        for claim in self.sets() {
            let own = || format!("$[{}]", Value::String(claim.clone()));
            match Path::parse(&written.get(claim).cloned().unwrap_or_else(own)) {
                Some(path) => drop(paths.insert(claim.clone(), path)),
                None => self.problem(&format!("{key}.{claim}"), "is not a path that can be read", Path::RIGHT),
            }
        }
        (paths.len() == self.sets().len()).then_some(Paths(paths))
    }
}

impl Paths {
    /// The wanted claims that the document has.
    #[must_use]
    pub fn pick(&self, document: &Value, ask: &Ask) -> Map<String, Value> {
        let wanted = self.0.iter().filter(|(claim, _)| ask.wants(claim));
        wanted.filter_map(|(claim, path)| Some((claim.clone(), path.find(document)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_singular_path_is_the_value_and_any_other_a_list() {
        for (text, singular) in [
            ("$.a.b", true),
            ("$['a'][0]", true),
            ("$.a[*]", false),
            ("$..b", false),
            ("$.a[0,1]", false),
            ("$.a[?@.b == 'x']", false),
        ] {
            assert_eq!(Path::parse(text).map(|path| path.singular), Some(singular), "{text}");
        }
        let longest = format!("$.{}", "a".repeat(PATH_BYTES - 2));
        assert!(Path::parse(&longest).is_some());
        for bad in ["", "a.b", "$.", "$.a == 1 || $.b", "$[?", &format!("{longest}a")] {
            assert!(Path::parse(bad).is_none(), "{bad}");
        }
        let document = json!({"a": [{"b": 1}, {"b": 2}], "n": null});
        let paths = [("one", "$.a[1].b"), ("all", "$.a[*].b"), ("null", "$.n"), ("none", "$.x"), ("empty", "$.x[*]")];
        let paths = Paths(paths.map(|(claim, text)| (claim.to_owned(), Path::parse(text).expect(text))).into());
        let ask = Ask {
            application: "a".into(),
            user_id: None,
            email: None,
            known: Map::new(),
            wanted: ["one", "all", "null", "none", "empty"].map(str::to_owned).into(),
            time: std::time::Duration::from_secs(1),
        };
        assert_eq!(Value::Object(paths.pick(&document, &ask)), json!({"all": [1, 2], "one": 2}));
    }
}
