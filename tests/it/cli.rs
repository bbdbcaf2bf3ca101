//! The command line as people and scripts use it: the real binary against a real server.

mod migration;
pub mod process;

use std::fs;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use process::{Server, alone, command, ended};

/// HMAC-SHA256 with the secret of the server, made with Python's `hmac`.
const HASH_OF_EMAIL: &str = "511cedb624eee2ffd46aea1fde741371a0a66843531d89af569ee53864db075e";
const HASH_OF_COMPANY: &str = "e3dba5b59af2d503227c376b326a007480738f29e80645db4f4630355301fb11";
const OTHER_HASH: &str = "8adfe373b6aca4e96503f41bb6e18465ac26a4436da3234625beb6726aa8d3c5";

/// The user of Featurebase's migration guide.
const USER: [&str; 14] = [
    "--user-id",
    "123456",
    "--email",
    "user@example.com",
    "--name",
    "User Name",
    "--profile-picture",
    "https://example.com/images/yourcustomer.png",
    "--attribute",
    "title=Product Manager",
    "--attribute",
    "plan=Premium",
    "--attribute",
    "number=123",
];
/// Its company.
const COMPANY: &str = r#"{"id": "987654321", "name": "Business Inc. 23", "monthly_spend": 500,
    "created_at": "2023-05-19T15:35:49.915Z", "attributes": {"industry": "Fintech", "location": "Canada"}}"#;

fn payload(token: &str) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("three parts")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn signed(server: &Server) -> String {
    server.value(&[&["sign", "--company", COMPANY][..], &USER].concat())
}

#[test]
fn the_guides_user_is_signed_and_verified() {
    let server = Server::dev();
    let ended = server.run(&[&["sign", "--explain", "--company", COMPANY][..], &USER].concat());
    assert_eq!(ended.status, 0, "{ended:?}");
    let mut claims = payload(ended.output.trim_end());
    let members = claims.as_object_mut().unwrap();
    assert!(members.remove("iat").is_some() && members.remove("exp").is_some());
    let wanted = json!({
        "name": "User Name", "email": "user@example.com", "userId": "123456",
        "profilePicture": "https://example.com/images/yourcustomer.png",
        "title": "Product Manager", "plan": "Premium", "number": "123",
        "companies": [{
            "id": "987654321", "name": "Business Inc. 23", "monthlySpend": 500, "createdAt": "2023-05-19T15:35:49.915Z",
            "industry": "Fintech", "location": "Canada",
        }],
    });
    assert_eq!(claims, wanted);
    for told in ["token id", "key", "expires", "from caller"] {
        assert!(ended.remarks.contains(told), "{told}: {ended:?}");
    }

    let verified = server.fed(&ended.output, &["verify", "--jwt", "-"]);
    assert_eq!(verified.status, 0, "{verified:?}");
    for told in
        ["accepted: JWT", "user@example.com", "companies[987654321].monthly_spend", "\"Premium\"", "\"Fintech\""]
    {
        assert!(verified.output.contains(told), "{told}: {verified:?}");
    }
    assert_eq!(verified.remarks, "");
}

#[test]
fn a_token_comes_from_an_argument_a_file_or_standard_input() {
    let server = Server::dev();
    let token = signed(&server);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, format!("{token}\r\n")).unwrap();
    let file = file.to_str().unwrap();
    for (input, arguments) in [
        ("", ["--jwt", &token]),
        ("", ["--jwt-file", file]),
        (token.as_str(), ["--jwt", "-"]),
        ("", ["--jwt-file", file]),
    ] {
        let ended = server.fed(input, &[&["verify", "--json"][..], &arguments].concat());
        assert_eq!(ended.status, 0, "{arguments:?}: {ended:?}");
        let user = ended.json().pointer("/accepted/verified/user_id").cloned();
        assert_eq!(user, Some(json!("123456")));
    }
    // More than one line end is not the editor's.
    assert_eq!(server.fed(&format!("{token}\n\n"), &["verify", "--jwt", "-"]).status, 1);
}

#[test]
fn an_identity_comes_from_a_file_and_flags_replace_it() {
    let server = Server::dev();
    let identity = r#"{"userId": "u1", "email": "old@example.com", "created_at": "2025-05-06T12:00:00Z",
        "companies": [{"id": "c1", "name": "Acme"}], "attributes": {"plan": "Free", "title": "CTO"}}"#;
    let arguments = ["sign", "--identity", "-", "--email", "new@example.com", "--attribute", "plan=Premium"];
    let ended = server.fed(identity, &arguments);
    assert_eq!(ended.status, 0, "{ended:?}");
    let claims = payload(ended.output.trim_end());
    assert_eq!(claims.get("userId"), Some(&json!("u1")));
    assert_eq!(claims.get("email"), Some(&json!("new@example.com")));
    assert_eq!(claims.get("plan"), Some(&json!("Premium")));
    assert_eq!(claims.get("title"), Some(&json!("CTO")));
    assert_eq!(claims.get("createdAt"), Some(&json!("2025-05-06T12:00:00.000Z")));
    assert_eq!(claims.pointer("/companies/0/name"), Some(&json!("Acme")));
}

#[test]
fn hashes_are_bare_values_and_are_accepted() {
    let server = Server::dev();
    assert_eq!(server.value(&["hash", "--email", "user@example.com"]), HASH_OF_EMAIL);
    assert_eq!(server.value(&["hash", "--company-id", "987654321"]), HASH_OF_COMPANY);
    let both = server.run(&["hash", "--email", "user@example.com", "--company-id", "987654321"]);
    assert_eq!(both.output, format!("{HASH_OF_EMAIL}\n"));
    assert!(both.remarks.contains(&format!("company 987654321 {HASH_OF_COMPANY}\n")), "{both:?}");
    assert!(both.remarks.contains("LEGACY_HASH_DEPRECATED"), "{both:?}");

    let company = format!("987654321={HASH_OF_COMPANY}");
    let asserted = ["--email", "user@example.com", "--attribute", "plan=Premium"];
    let proof = ["verify", "--user-hash", HASH_OF_EMAIL, "--company-hash", &company];
    let verified = server.run(&[&proof[..], &asserted].concat());
    assert_eq!(verified.status, 0, "{verified:?}");
    for told in ["accepted: legacy hash", "user@example.com", "companies[987654321]", "plan  ATTRIBUTE_NOT_PROVEN"] {
        assert!(verified.output.contains(told), "{told}: {verified:?}");
    }

    let named = ["verify", "--user-id", "123456", "--email", "user@example.com", "--user-hash", HASH_OF_EMAIL];
    assert_eq!(server.run(&named).status, 1, "the hash of the first identifier is meant");
    assert_eq!(server.run(&[&named[..], &["--hashed", "email"]].concat()).status, 0);
}

#[test]
fn a_hash_is_exchanged_for_a_token_and_a_token_is_not() {
    let server = Server::dev();
    let proof = ["exchange", "--email", "user@example.com", "--user-hash"];
    let token = server.value(&[&proof[..], &[HASH_OF_EMAIL, "--ttl", "60"]].concat());
    let claims = payload(&token);
    assert_eq!(claims.get("email"), Some(&json!("user@example.com")));
    assert_eq!(claims.pointer("/countersign/from"), Some(&json!("hash")));
    let date = |name: &str| claims.get(name).and_then(Value::as_i64).unwrap();
    assert_eq!(date("exp") - date("iat"), 60);

    for refused in [server.run(&[&proof[..], &[OTHER_HASH]].concat()), server.run(&["exchange", "--jwt", &token])] {
        assert_eq!(refused.status, 1, "{refused:?}");
        assert_eq!(refused.output, "", "no token, no output");
        assert!(refused.remarks.starts_with("refused: "), "{refused:?}");
        assert!(refused.remarks.contains("what to do: "), "{refused:?}");
    }
}

#[test]
fn a_refusal_says_why_and_ends_with_one() {
    let server = Server::dev();
    let wrong = ["verify", "--email", "user@example.com", "--user-hash", OTHER_HASH];
    let text = server.run(&wrong);
    assert_eq!(text.status, 1);
    assert!(text.output.starts_with("refused: HASH_MISMATCH\n"), "{text:?}");
    let json = server.run(&[&wrong[..], &["--json"]].concat());
    assert_eq!(json.status, 1);
    assert_eq!(json.json().pointer("/refused/reason"), Some(&json!("REASON_HASH_MISMATCH")));
    assert_eq!(json.remarks, "");
    assert_eq!(server.run(&["verify", "--jwt", ""]).status, 1, "an empty token is a bad one");
    assert_eq!(server.run(&["verify"]).status, 1, "no credential is a verdict too");
}

#[test]
fn every_answer_is_json_on_one_line_for_programs() {
    let server = Server::dev();
    let proof = ["--email", "user@example.com", "--user-hash", HASH_OF_EMAIL];
    for (arguments, member) in [
        (vec!["sign", "--user-id", "u1"], "/token"),
        (vec!["hash", "--user-id", "u1", "--company-id", "c1"], "/company_hashes/c1"),
        ([&["verify"][..], &proof].concat(), "/accepted/unverified/companies"),
        ([&["exchange"][..], &proof].concat(), "/signed/notices/0/code"),
        ([&["diagnose"][..], &proof].concat(), "/verdict"),
    ] {
        let ended = server.run(&[&arguments[..], &["--json"]].concat());
        assert_eq!(ended.status, 0, "{ended:?}");
        assert_eq!(ended.output.lines().count(), 1, "{ended:?}");
        assert_eq!(ended.remarks, "");
        assert!(ended.json().pointer(member).is_some(), "{member}: {ended:?}");
    }
}

#[test]
fn diagnose_says_what_is_wrong_with_a_hash() {
    let server = Server::dev();
    let good = server.run(&["diagnose", "--email", "user@example.com", "--user-hash", HASH_OF_EMAIL]);
    assert_eq!(good.status, 0, "{good:?}");
    assert!(good.output.ends_with("verdict: Verify would accept this\n"), "{good:?}");

    let wrong = ["diagnose", "--email", "user@example.com", "--user-hash", OTHER_HASH];
    let found = server.run(&wrong);
    assert_eq!(found.status, 1, "{found:?}");
    assert!(found.output.lines().any(|line| line.starts_with("FAIL  ")), "{found:?}");
    assert!(found.output.ends_with("verdict: Verify would refuse this: HASH_MISMATCH\n"), "{found:?}");
    assert!(!found.output.lines().any(|line| line.starts_with("-  ")), "{found:?}");
    let all = server.run(&[&wrong[..], &["--all"]].concat());
    assert!(all.output.lines().count() > found.output.lines().count(), "{all:?}");

    let secret = "a-secret-that-is-nobodys-business-0123";
    let suspected = server.fed(secret, &[&wrong[..], &["--suspected-secret-file", "-"]].concat());
    assert_eq!(suspected.status, 1, "{suspected:?}");
    assert!(!suspected.output.contains(secret) && !suspected.remarks.contains(secret));
}

#[test]
fn what_the_server_could_not_do_ends_with_two() {
    let server = Server::dev();
    let arguments = ["sign", "--user-id", "u1", "--attribute", "nope=1"];
    let text = server.run(&arguments);
    assert_eq!(text.status, 2, "{text:?}");
    assert_eq!(text.output, "");
    assert!(text.remarks.contains("INVALID_ARGUMENT / REQUEST_INVALID"), "{text:?}");
    assert_eq!(text.remarks.matches("identity.attributes.nope").count(), 1, "{text:?}");
    let json = server.run(&[&arguments[..], &["--json"]].concat());
    assert_eq!(json.status, 2);
    assert_eq!(json.remarks, "");
    let error = json.json().get("error").cloned().unwrap();
    assert_eq!(error.get("code"), Some(&json!("INVALID_ARGUMENT")));
    assert_eq!(error.pointer("/fields/0/field"), Some(&json!("identity.attributes.nope")));
    let unknown = server.run(&["verify", "--jwt", "x", "--application", "acme/other"]);
    assert_eq!(unknown.status, 2);
    assert!(unknown.remarks.contains("NOT_FOUND / APPLICATION_UNKNOWN"), "{unknown:?}");
}

#[test]
fn wrong_usage_ends_with_two() {
    for arguments in [
        &["sign"][..],
        &["frobnicate"],
        &["hash", "--application", "demo"],
        &["serve"],
        &["check-config"],
        &["verify", "--application", "demo", "--jwt", "a", "--jwt-file", "b"],
        &["verify", "--application", "demo", "--jwt-file", "/nowhere/at/all"],
        &["verify", "--application", "demo", "--jwt", "-", "--identity", "-"],
        &["verify", "--application", "demo", "--company-hash", "c1"],
        &["sign", "--application", "demo", "--attribute", "plan"],
        &["sign", "--application", "demo", "--company", "{"],
        &["sign", "--application", "demo", "--token", "secret"],
        &["sign", "--application", "demo", "--server", "ftp://localhost"],
        &["sign", "--application", "demo", "--ca", "ca.pem"],
        &["completions", "teletype"],
    ] {
        let ended = alone(arguments);
        assert_eq!(ended.status, 2, "{arguments:?}: {ended:?}");
        assert_eq!(ended.output, "", "{arguments:?}");
        assert!(!ended.remarks.is_empty(), "{arguments:?}");
    }
    let json = alone(&["sign", "--json", "--bogus"]);
    assert_eq!(json.status, 2);
    assert_eq!(json.json().pointer("/error/kind"), Some(&json!("usage")));
}

#[test]
fn a_server_that_is_away_is_named_with_what_to_do() {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("http://{free}");
    let arguments = ["verify", "--application", "demo", "--jwt", "x", "--server", &server];
    let text = alone(&arguments);
    assert_eq!(text.status, 2);
    assert!(text.remarks.contains(&server) && text.remarks.contains("countersign serve --dev"), "{text:?}");
    let json = alone(&[&arguments[..], &["--json"]].concat());
    assert_eq!(json.json().pointer("/error/kind"), Some(&json!("unreachable")));
    // Taken by the kernel, answered by nobody.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", silent.local_addr().unwrap());
    let text = alone(&["verify", "--application", "demo", "--jwt", "x", "--server", &server, "--timeout", "1"]);
    assert_eq!(text.status, 2);
    assert!(text.remarks.contains("did not answer within 1 s"), "{text:?}");
}

#[test]
fn a_callers_token_comes_from_a_file_or_the_environment() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("countersign.toml");
    let digest = hex::encode(Sha256::digest("token-of-the-caller"));
    let store = folder.path().join("countersign.redb").display().to_string();
    fs::write(&config, configuration(&digest).replace("countersign.redb", &store)).unwrap();
    let server = Server::start(&["--config", config.to_str().unwrap()]);
    let sign = ["sign", "--user-id", "u1", "--application", "acme/feedback"];

    let without = server.run(&sign);
    assert_eq!(without.status, 2);
    assert!(without.remarks.contains("UNAUTHENTICATED / CALLER_UNKNOWN"), "{without:?}");
    assert!(without.remarks.contains("No token was sent: give --token-file, or set COUNTERSIGN_TOKEN."), "{without:?}");

    let file = folder.path().join("token");
    fs::write(&file, "token-of-the-caller\n").unwrap();
    let from_file = server.run(&[&sign[..], &["--token-file", file.to_str().unwrap()]].concat());
    assert_eq!(from_file.status, 0, "{from_file:?}");

    for (token, status) in [("token-of-the-caller", 0), ("token-of-another", 2)] {
        let mut command = command();
        command.env("COUNTERSIGN_SERVER", &server.address).env("COUNTERSIGN_TOKEN", token);
        let ended = ended(command.args(sign), "");
        assert_eq!(ended.status, status, "{ended:?}");
        assert!(!ended.remarks.contains(token), "{ended:?}");
    }
}

fn configuration(digest: &str) -> String {
    format!(
        r#"
[callers.backend]
token_sha256 = "{digest}"
may = ["sign"]
applications = ["acme/*"]
[store]
kind = "embedded"
path = "countersign.redb"
[applications."acme/feedback"]
profile = "featurebase"
[applications."acme/feedback".keys.jwt]
purpose = "jwt"
secret = {{ env = "COUNTERSIGN_DEMO_JWT_SECRET" }}
[applications."acme/feedback".keys.iv]
purpose = "legacy"
secret = {{ env = "COUNTERSIGN_DEMO_IV_SECRET" }}
"#
    )
}

#[test]
fn check_config_says_everything_that_is_wrong() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("countersign.toml");
    let path = config.to_str().unwrap();
    fs::write(&config, configuration(&hex::encode(Sha256::digest("x")))).unwrap();
    let good = alone(&["check-config", "--config", path]);
    assert_eq!(good.status, 0, "{good:?}");

    let bad = configuration("not-a-digest").replace("featurebase", "featurebass").replace("\"sign\"", "\"sing\"");
    fs::write(&config, bad).unwrap();
    let bad = alone(&["check-config", "--config", path]);
    assert_eq!(bad.status, 1, "{bad:?}");
    let told = format!("{}{}", bad.output, bad.remarks);
    for key in ["token_sha256", "may", "profile"] {
        assert!(told.contains(key), "{key}: {bad:?}");
    }
    assert_eq!(alone(&["check-config", "--config", "/nowhere/at/all.toml"]).status, 1);
}

#[test]
fn help_has_examples_and_completions_know_the_commands() {
    let top = alone(&["--help"]);
    assert_eq!(top.status, 0);
    for variable in ["COUNTERSIGN_SERVER", "COUNTERSIGN_APPLICATION", "COUNTERSIGN_TOKEN", "COUNTERSIGN_LOG"] {
        assert!(top.output.contains(variable), "{variable}");
    }
    for command in ["serve", "check-config", "sign", "verify", "hash", "exchange", "diagnose", "completions"] {
        let help = alone(&[command, "--help"]);
        assert_eq!(help.status, 0);
        assert!(help.output.contains(&format!("  countersign {command} ")), "{help:?}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = alone(&["completions", shell]);
        assert_eq!(script.status, 0);
        assert!(script.output.contains("diagnose") && script.output.contains("suspected-secret-file"), "{shell}");
    }
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let mut child =
        command().args(["completions", "zsh"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"");
}

#[test]
fn an_address_on_the_command_line_is_checked_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("countersign.toml");
    let store = "[store]\nkind = \"embedded\"\npath = \"unused\"\n";
    let path = file.to_str().unwrap();
    let callers = configuration(&"a".repeat(64));
    for (config, words) in [(format!("[server]\ninsecure = true\n{store}"), "loopback"), (callers, "in the clear")] {
        fs::write(&file, config).unwrap();
        let ended = alone(&["serve", "--config", path, "--listen", "0.0.0.0:0"]);
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(ended.remarks.contains(words) && !ended.remarks.contains("listening on"), "{ended:?}");
    }
    let ended = alone(&["serve", "--dev", "--listen", "0.0.0.0:0"]);
    assert!(ended.status == 1 && !ended.remarks.contains("listening on"), "{ended:?}");
}

#[test]
fn certificates_that_do_not_belong_together_are_a_problem_before_anything_listens() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for name in ["a", "b"] {
        let (key, cert) = (at(&format!("{name}.key")), at(&format!("{name}.pem")));
        let make =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x"];
        let mut openssl = std::process::Command::new("openssl");
        let made = openssl.args(make).args(["-keyout", &key, "-out", &cert]).output().expect("openssl is installed");
        assert!(made.status.success(), "{made:?}");
    }
    let file = at("countersign.toml");
    let with = |cert: &str, key: &str| {
        let tls = format!("[server.tls]\ncert = \"{}\"\nkey = \"{}\"\n", at(cert), at(key));
        fs::write(&file, format!("{}{tls}", configuration(&"a".repeat(64)))).unwrap();
        alone(&["check-config", "--config", &file])
    };
    assert_eq!(with("a.pem", "a.key").status, 0);
    for (cert, key) in [("a.pem", "b.key"), ("a.key", "a.pem"), ("a.key", "a.key")] {
        let ended = with(cert, key);
        assert!(ended.status == 1 && ended.remarks.contains("server.tls"), "{cert} {key}: {ended:?}");
    }
}

#[test]
fn a_signal_on_the_first_line_already_ends_it_in_order() {
    for _ in 0..5 {
        assert_eq!(Server::dev().terminate(), Some(0));
    }
}

#[test]
fn invalidating_is_done_or_says_why_not() {
    let server = Server::dev();
    let done = server.run(&["invalidate", "--user-id", "123456"]);
    assert_eq!((done.status, done.output.as_str()), (0, ""), "{done:?}");
    assert!(done.remarks.contains("asks every source again"), "{done:?}");
    let json = server.run(&["invalidate", "--email", "user@example.com", "--json"]);
    assert_eq!((json.status, json.output.as_str()), (0, "{}\n"), "{json:?}");
    let both = server.run(&["invalidate", "--email", "user@example.com", "--user-id", "1"]);
    assert_eq!(both.status, 2, "one subject: {both:?}");
    let unknown = server.run(&["invalidate", "--user-id", "1", "--application", "other"]);
    assert_eq!(unknown.status, 2);
    assert!(unknown.remarks.contains("APPLICATION_UNKNOWN"), "{unknown:?}");
}

#[test]
fn revoking_and_restoring_are_done_or_say_why_not() {
    let server = Server::dev();
    let hash = server.value(&["hash", "--user-id", "123456"]);
    let verify = ["verify", "--user-id", "123456", "--user-hash", &hash];
    let done = server.run(&["revoke", "--user-id", "123456"]);
    assert_eq!((done.status, done.output.as_str()), (0, ""), "{done:?}");
    assert!(done.remarks.contains("revoked at "), "{done:?}");
    let refused = server.run(&verify);
    assert!(refused.status == 1 && format!("{refused:?}").contains("HASH_REVOKED"), "{refused:?}");
    let restored = server.run(&["restore", "--user-id", "123456", "--json"]);
    assert_eq!((restored.status, restored.json()), (0, json!({"was_revoked": true})), "{restored:?}");
    assert_eq!(server.run(&verify).status, 0);
    let again = server.run(&["restore", "--user-id", "123456"]);
    assert_eq!((again.status, again.remarks.as_str()), (0, "nothing to restore\n"));

    let signed = server.run(&["sign", "--user-id", "2", "--json"]).json();
    let (token, id) = (signed["token"].as_str().unwrap(), signed["token_id"].as_str().unwrap());
    let json = server.run(&["revoke", "--token-id", id, "--expires-at", "2099-01-01T00:00:00Z", "--json"]);
    assert!(json.status == 0 && json.json()["revoked_at"].is_string(), "{json:?}");
    assert_eq!(server.run(&["verify", "--jwt", token]).status, 1);
    assert_eq!(server.run(&["revoke", "--token-id", "-begins-with-a-hyphen"]).status, 0);
    for wrong in [
        &["revoke", "--user-id", "1", "--email", "a@b.example"][..],
        &["revoke"],
        &["restore"],
        &["revoke", "--key-id", "nobody"],
        &["revoke", "--user-id", "1", "--expires-at", "tomorrow"],
    ] {
        assert_eq!(server.run(wrong).status, 2, "{wrong:?}");
    }
}
