//! `docs/writing-a-source.md`, held against the files of `plugins/examples` that it shows. Those of the crate are compiled
//! and run here, as if this were that crate; `examples` runs the process.

extern crate self as countersign_claim_source_json_lines;

#[path = "../../../examples/crate/tests/conformance.rs"]
mod conformance;
#[path = "../../../examples/crate/src/lib.rs"]
mod kind;

pub use self::kind::JsonLines;

#[test]
fn the_guide_shows_the_examples_word_by_word() {
    let guide = include_str!("../../../../docs/writing-a-source.md");
    for (language, text) in [
        ("toml", include_str!("../../../examples/crate/Cargo.toml")),
        ("rust", include_str!("../../../examples/crate/src/lib.rs")),
        ("rust", include_str!("../../../examples/crate/tests/conformance.rs")),
        ("python", include_str!("../../../examples/python/scores.py")),
        ("json", include_str!("../../../examples/python/users.json")),
    ] {
        let block = format!("```{language}\n{text}```\n");
        let first = text.lines().next().unwrap_or_default();
        assert!(guide.contains(&block), "the guide does not show the file that begins with {first:?} as it is");
    }
}
