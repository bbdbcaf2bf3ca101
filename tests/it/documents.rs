//! The documentation, held against the code: configurations parse, links lead somewhere, examples are what they say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use countersign::config::{self, World};
use countersign::grpc::proto::{self, DESCRIPTORS};
use countersign::pipeline::registry::KINDS;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;
use time::UtcDateTime;

use crate::harness::{NOW, guide};

/// What follows the fence of a block that is a whole configuration; others are parts of one.
const WHOLE: &str = "toml countersign.toml";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fenced blocks with this info string, without their fences.
fn blocks(markdown: &str, info: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in markdown.lines() {
        open = match (open.take(), line.strip_prefix("```")) {
            (None, Some(opened)) => Some((opened.trim() == info, String::new())),
            (Some((wanted, block)), Some(_)) => {
                blocks.extend(wanted.then_some(block));
                None
            }
            (Some((wanted, block)), None) => Some((wanted, format!("{block}{line}\n"))),
            (None, None) => None,
        };
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}

/// Every Markdown file of the project, by its path below the root.
fn markdown() -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let skipped = name.starts_with('.') || ["target", "node_modules", "venv"].contains(&name.as_str());
            if path.is_dir() && !skipped {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.sort();
    found
}

/// What stands between `before` and the next `after`, each time.
fn between<'t>(text: &'t str, before: &str, after: &str) -> Vec<&'t str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
}

/// A configuration with its secrets in place: variables are set, files are written below `directory`. No secret twice.
fn with_secrets(text: &str, directory: &Path) -> (String, BTreeMap<String, String>) {
    let secret = |name: &str| format!("secret of {name}, long enough for HMAC-SHA256");
    let variables = between(text, "{ env = \"", "\"");
    let env = variables.into_iter().map(|name| (name.to_owned(), secret(name))).collect();
    let mut written = text.to_owned();
    for path in between(text, "{ file = \"", "\"") {
        let name = Path::new(path).file_name().unwrap();
        let place = directory.join(name);
        std::fs::write(&place, secret(&name.to_string_lossy())).unwrap();
        written = written.replace(&format!("\"{path}\""), &format!("{:?}", place.display().to_string()));
    }
    (written, env)
}

#[track_caller]
fn is_accepted(name: &str, text: &str) {
    let directory = tempfile::tempdir().unwrap();
    let (text, env) = with_secrets(text, directory.path());
    let now = UtcDateTime::from_unix_timestamp(NOW).unwrap();
    let world = World { env: &env, now, kinds: KINDS, dev: false };
    match config::parse(name, &text, world) {
        Ok(settings) => {
            // A page on which things are tried may say that it is not safe, and says so.
            let mut warnings = settings.warnings.iter().filter(|warning| warning.key != "server.insecure");
            assert_eq!(warnings.next(), None, "{name}");
        }
        Err(problems) => panic!("{name}: {problems:#?}"),
    }
}

#[test]
fn whole_configurations_are_accepted() {
    let mut pages = 0;
    for path in markdown() {
        let blocks = blocks(&read(&path), WHOLE);
        pages += usize::from(!blocks.is_empty());
        for (index, block) in blocks.iter().enumerate() {
            is_accepted(&format!("{}, configuration {}", path.display(), index + 1), block);
        }
    }
    assert!(pages >= 5, "{pages} pages have a configuration: are they marked with `{WHOLE}`?");
    for path in ["deploy/countersign.toml", "docs/examples/countersign.toml"] {
        is_accepted(path, &read(path));
    }
}

#[test]
fn every_block_of_toml_is_toml() {
    for path in markdown() {
        let text = read(&path);
        for block in blocks(&text, "toml").into_iter().chain(blocks(&text, WHOLE)) {
            let parsed = block.parse::<toml::Table>();
            assert!(parsed.is_ok(), "{}: {:?}", path.display(), parsed.err());
        }
    }
}

#[test]
fn links_lead_to_files() {
    let mut dead = Vec::new();
    for path in markdown() {
        let text = read(&path);
        for link in between(&text, "](", ")") {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if !root().join(path.parent().unwrap()).join(target).exists() {
                dead.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn links_into_a_page_lead_to_a_heading() {
    let slug = |heading: &str| -> String {
        let plain = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        plain.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    };
    let mut dead = Vec::new();
    for path in markdown() {
        let text = read(&path);
        for link in between(&text, "](", ")") {
            let Some((target, fragment)) = link.split_once('#') else { continue };
            if target.contains("://") {
                continue;
            }
            let page = if target.is_empty() { path.clone() } else { path.parent().unwrap().join(target) };
            let headings = read(&page).lines().filter(|line| line.starts_with('#')).map(slug).collect::<Vec<_>>();
            if !headings.iter().any(|heading| heading == fragment) {
                dead.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

fn message<M: prost::Message + Default>(name: &str, json: &str) -> M {
    let descriptor = DescriptorPool::decode(DESCRIPTORS).unwrap().get_message_by_name(name).unwrap();
    let mut reader = serde_json::Deserializer::from_str(json);
    let dynamic = DynamicMessage::deserialize(descriptor, &mut reader).unwrap();
    reader.end().unwrap();
    M::decode(dynamic.encode_to_vec().as_slice()).unwrap()
}

#[test]
fn the_examples_are_the_user_of_the_guide() {
    let file = read("docs/examples/guide-user.json");
    assert_eq!(message::<proto::Identity>("countersign.v1.Identity", &file), guide());
    let request: proto::SignRequest = message("countersign.v1.SignRequest", &read("docs/examples/sign-request.json"));
    assert_eq!((request.application.as_str(), request.identity), ("demo", Some(guide())));
}

#[test]
fn the_readme_shows_the_files_that_it_names() {
    let readme = read("README.md");
    let json = blocks(&readme, "json");
    let [shown] = json.as_slice() else { panic!("the README has one block of JSON") };
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(value(shown), value(&read("docs/examples/guide-user.json")));
    let toml = blocks(&readme, WHOLE);
    let [shown] = toml.as_slice() else { panic!("the README has one configuration") };
    assert_eq!(*shown, read("docs/examples/countersign.toml"));
}
