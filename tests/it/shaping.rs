//! How values are made of what sources give: another name, a part, a default, an expression; and the schema that has the
//! last word.

use countersign::grpc::proto;
use countersign_claim_source::Answer;
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::*;
use crate::scripted::{SCRIPTED, Script, found, say};

fn with(script: &str, sets: &str, attributes: &str) -> Setup {
    let mut setup = Setup::default().and(attributes).and(&format!(
        "[sources.s]\nkind = \"scripted\"\nsets = {sets}\non_error = \"refuse\"\nconfig = {{ script = \"{script}\" }}\n"
    ));
    setup.kinds.push(SCRIPTED);
    setup
}

fn attribute(name: &str, keys: &str) -> String {
    format!("[applications.\"acme/feedback\".attributes.{name}]\n{keys}\n")
}

async fn explained(server: &mut Running, identity: proto::Identity) -> (Value, Vec<(String, String)>) {
    let signed = server.sign(proto::SignRequest { explain: true, ..sign_for(identity) }).await.unwrap();
    let origins = signed.origins.iter().map(|origin| (origin.claim.clone(), origin.source.clone())).collect();
    (claims(&signed.token), origins)
}

#[tokio::test]
async fn a_claim_is_renamed_picked_and_defaulted() {
    let script = Script::new("shapes", say(found(json!({"crm": {"tier": "Gold", "tags": ["a", "b"]}, "n": 7}))));
    let attributes = [
        attribute("tier", "type = \"string\"\nfrom = [\"s\"]\nrename = \"crm\"\npick = \"$.tier\""),
        attribute("tags", "type = \"list\"\nfrom = [\"s\"]\nrename = \"crm\"\npick = \"$.tags[*]\""),
        attribute("score", "type = \"number\"\nfrom = [\"s\"]\nrename = \"n\""),
        attribute("region", "type = \"string\"\nfrom = [\"caller\", \"s\"]\ndefault = \"EU\""),
    ]
    .concat();
    let mut server = with("shapes", "[\"crm\", \"n\", \"region\"]", &attributes).start().await;
    let (claims, origins) = explained(&mut server, user("1")).await;
    assert_eq!((&claims["tier"], &claims["tags"], &claims["score"]), (&json!("Gold"), &json!(["a", "b"]), &json!(7)));
    assert_eq!(claims["region"], "EU");
    assert!(origins.contains(&("region".to_owned(), "default".to_owned())));
    assert_eq!(script.last().wanted.as_ref(), ["crm", "n", "region"]);
    assert_eq!(script.calls(), 1);

    // A default stands for what nobody has, never for what could not be had.
    script.play(say(Answer::unavailable("no")));
    let refused = server.sign(sign_for(user("1"))).await.unwrap_err();
    assert_eq!(error(&refused).1, "SOURCE_UNAVAILABLE");
}

#[tokio::test]
async fn a_computed_claim_is_computed_of_what_is_known() {
    let script = Script::new("computed", say(found(json!({"first": "Ada", "last": "Byron"}))));
    let attributes = [
        attribute("first", "type = \"string\"\nfrom = [\"s\"]"),
        attribute("last", "type = \"string\"\nfrom = [\"s\"]"),
        attribute("full", "type = \"string\"\nvalue = \"first + ' ' + last\""),
        attribute("vip", "type = \"boolean\"\nvalue = \"full == 'Ada Byron' && seats > 10\"\ndefault = false"),
    ]
    .concat();
    let mut server = with("computed", "[\"first\", \"last\"]", &attributes).start().await;
    let (claims, origins) =
        explained(&mut server, proto::Identity { attributes: Some(attributes_of(json!({"seats": 12}))), ..user("1") })
            .await;
    assert_eq!((&claims["full"], &claims["vip"]), (&json!("Ada Byron"), &json!(true)));
    assert!(origins.contains(&("full".to_owned(), "value".to_owned())));
    let (claims, _) = explained(&mut server, user("1")).await;
    assert_eq!(claims["vip"], false, "what it reads is not there, so it is what the operator says");
    script.play(say(found(json!({"first": "Ada"}))));
    let (claims, _) = explained(&mut server, user("1")).await;
    assert_eq!(claims.get("full"), None);
    // What is computed is nobody's to assert.
    let asserted = proto::Identity { attributes: Some(attributes_of(json!({"full": "Eve"}))), ..user("1") };
    assert_eq!(error(&server.sign(sign_for(asserted)).await.unwrap_err()).2, ["identity.attributes.full"]);
}

fn attributes_of(value: Value) -> prost_types::Struct {
    attributes(value)
}

#[test]
fn shapes_are_checked_when_they_are_loaded() {
    let problem = |keys: &str, key: &str, wrong: &str| {
        let problems = with("unused", "[\"a\"]", &attribute("a", keys)).check().unwrap_err();
        let key = format!("applications.\"acme/feedback\".attributes.a.{key}");
        let found = problems.iter().any(|problem| problem.key == key && problem.wrong.contains(wrong));
        assert!(found, "{keys}: {problems:#?}");
    };
    let source = "type = \"string\"\nfrom = [\"s\"]\n";
    problem(&format!("{source}pick = \"tier\""), "pick", "path");
    problem(&format!("{source}rename = \"other\""), "from", "does not set it");
    problem(&format!("{source}default = 5"), "default", "type");
    problem(&format!("{source}value = \"'x'\""), "from", "computed");
    problem(&format!("{source}needs = [\"nothing\"]"), "needs", "not declared");
    problem("type = \"string\"\nvalue = \"nothing + 'x'\"", "value", "nothing");
    problem("type = \"string\"\nvalue = \"1 + 1\"", "value", "");
    problem("type = \"string\"\nvalue = \"(\"", "value", "");
    let empty = Setup::default().and(&attribute("name", "default = \"\"")).check().unwrap_err();
    assert!(empty[0].key.ends_with("attributes.name.default"), "an empty field is not there: {empty:?}");
    let circle =
        attribute("a", "type = \"string\"\nvalue = \"b\"") + &attribute("b", "type = \"string\"\nvalue = \"a\"");
    let problems = Setup::default().and(&circle).check().unwrap_err();
    assert!(problems.iter().any(|problem| problem.wrong.contains("circle: a, b")), "{problems:#?}");
    for name in ["value", "default", "caller"] {
        let source = format!(
            "[sources.{name}]\nkind = \"static\"\nsets = [\"plan\"]\non_error = \"omit\"\nconfig = {{ claims = {{ plan = \"x\" }} }}\n"
        );
        let problems = Setup::default().and(&source).check().unwrap_err();
        assert_eq!(problems[0].key, format!("sources.{name}.kind"));
    }
}

#[tokio::test]
async fn the_schema_has_the_last_word() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("schema.json");
    let schema = json!({
        "required": ["plan"],
        "properties": {"plan": {"enum": ["Free", "Gold"]}, "title": {"maxLength": 3}},
    });
    std::fs::write(&file, schema.to_string()).unwrap();
    let script = Script::new("schema", say(found(json!({"title": "CEO"}))));
    let setup = || {
        with("schema", "[\"title\"]", "")
            .replace("attributes.title]\ntype = \"string\"", "attributes.title]\ntype = \"string\"\nfrom = [\"s\"]")
            .and(&format!("[applications.\"acme/feedback\".claims]\nschema = {:?}\n", file.display().to_string()))
    };
    let mut server = setup().start().await;
    let plan =
        |plan: &str| sign_for(proto::Identity { attributes: Some(attributes(json!({"plan": plan}))), ..user("1") });
    server.sign(plan("Gold")).await.unwrap();
    let refused = server.sign(plan("Platinum")).await.unwrap_err();
    let fields = vec!["identity.attributes.plan".to_owned()];
    assert_eq!(error(&refused), (Code::InvalidArgument, "CLAIM_TYPE_INVALID".to_owned(), fields.clone()));
    let refused = server.sign(sign_for(user("1"))).await.unwrap_err();
    assert_eq!(error(&refused), (Code::InvalidArgument, "CLAIM_MISSING".to_owned(), fields));
    script.play(say(found(json!({"title": "Boss"}))));
    let refused = server.sign(plan("Gold")).await.unwrap_err();
    assert_eq!(error(&refused), (Code::Unavailable, "SOURCE_MALFORMED".to_owned(), vec![]), "the source's fault");

    std::fs::write(&file, "{").unwrap();
    let problems = setup().check().unwrap_err();
    assert_eq!(problems[0].key, "applications.\"acme/feedback\".claims.schema");
}

#[tokio::test]
async fn what_is_computed_of_what_was_left_out_is_left_out() {
    Script::new("left-out", say(Answer::unavailable("no")));
    let attributes = [
        attribute("status", "type = \"string\"\nfrom = [\"s\"]"),
        attribute("allowed", "type = \"boolean\"\nvalue = \"status != 'banned'\"\ndefault = true"),
        attribute("greeting", "type = \"string\"\nvalue = \"allowed ? 'hello' : 'no'\""),
    ];
    let setup = |more: &str| {
        with("left-out", "[\"status\"]", &(attributes.concat() + more))
            .replace("on_error = \"refuse\"", "on_error = \"omit\"")
    };
    let signed = setup("").start().await.sign(sign_for(user("1"))).await.unwrap();
    let claims = claims(&signed.token);
    assert_eq!((claims.get("status"), claims.get("allowed"), claims.get("greeting")), (None, None, None));
    let required = attribute("must", "type = \"boolean\"\nrequired = true\nvalue = \"greeting == 'hello'\"");
    let problems = setup(&required).check().unwrap_err();
    assert_eq!(problems[0].key, "applications.\"acme/feedback\".attributes.must.required");
}
