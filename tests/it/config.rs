//! Configuration: checked whole, all problems at once, no value in any of them.

use countersign::config::Problem;

use crate::harness::*;

fn problems(setup: &Setup) -> Vec<Problem> {
    setup.check().err().unwrap_or_default()
}

fn lines(setup: &Setup) -> Vec<String> {
    problems(setup).iter().map(ToString::to_string).collect()
}

/// That exactly one problem is found, with this key and these words in it.
fn only(setup: Setup, key: &str, words: &str) {
    let found = lines(&setup);
    assert!(
        found.len() == 1 && found[0].starts_with(&format!("countersign.toml: {key}: ")) && found[0].contains(words),
        "{key}, {words}: {found:#?}"
    );
}

#[test]
fn the_usual_configuration_is_good() {
    assert_eq!(lines(&Setup::default()), Vec::<String>::new());
    assert!(Setup::default().check().unwrap().warnings.is_empty());
}

#[test]
fn all_problems_come_at_once_and_none_quotes_a_value() {
    let config = r#"
[server]
listen = "S3CRET"
lisen = "S3CRET"
tls = "S3CRET"
[callers.a]
token_sha256 = "S3CRET"
may = ["S3CRET"]
applications = ["S3CRET!"]
[store]
kind = "S3CRET"
[applications."acme/feedback"]
profile = "featurebase"
[applications."acme/feedback".keys.jwt]
purpose = "jwt"
secret = "S3CRET"
secert = { env = "S3CRET" }
[applications."acme/feedback".keys.iv]
purpose = "legacy"
secret = { env = "S3CRET" }
[applications."acme/feedback".acceptance]
hash_until = "S3CRET"
ratchet = { scope = "S3CRET" }
[applications."acme/feedback".attributes.plan]
type = "S3CRET"
from = ["S3CRET"]
[applications."acme/feedback".tokens]
max_ttl_secs = "S3CRET"
[applications.other]
profile = "S3CRET"
[sources.a]
kind = "static"
sets = ["exp"]
config = { claims = "S3CRET" }
"#;
    let setup = Setup { config: config.to_owned(), ..Setup::default() };
    let found = lines(&setup);
    assert!(!found.iter().any(|line| line.contains("S3CRET")), "{found:#?}");
    let app = "applications.\"acme/feedback\"";
    let mut keys: Vec<_> = problems(&setup).into_iter().map(|problem| problem.key).collect();
    keys.dedup();
    let wanted = [
        format!("{app}.acceptance.hash_until"),
        format!("{app}.acceptance.ratchet.on_store_error"),
        format!("{app}.acceptance.ratchet.scope"),
        format!("{app}.attributes.plan.from"),
        format!("{app}.attributes.plan.type"),
        format!("{app}.keys.iv.secret.env"),
        format!("{app}.keys.jwt.secert"),
        format!("{app}.keys.jwt.secret"),
        format!("{app}.tokens.max_ttl_secs"),
        "applications.other.profile".to_owned(),
        "callers.a.applications".to_owned(),
        "callers.a.may".to_owned(),
        "callers.a.token_sha256".to_owned(),
        "server.lisen".to_owned(),
        "server.listen".to_owned(),
        "server.tls".to_owned(),
        "sources.a.config.claims".to_owned(),
        "sources.a.on_error".to_owned(),
        "sources.a.sets".to_owned(),
        "store.kind".to_owned(),
    ];
    assert_eq!(keys, wanted);
    assert!(found.iter().any(|line| line.contains("did you mean listen?")), "{found:#?}");
    assert!(found.iter().any(|line| line.contains("did you mean secret?")), "{found:#?}");
}

#[test]
fn broken_toml_is_placed_and_not_quoted() {
    let setup = Setup { config: "[server]\nlisten = \"x\"\nsecret = S3CRET\n".to_owned(), ..Setup::default() };
    let found = lines(&setup);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("line 3") && !found[0].contains("S3CRET"), "{found:?}");
}

#[test]
fn nobody_starts_without_callers_unless_that_is_written() {
    let callers = Setup::default().config;
    let without = callers.split("[store]").nth(1).unwrap();
    let setup = |server: &str| Setup { config: format!("{server}[store]{without}"), ..Setup::default() };
    only(setup(""), "callers", "nobody could call");
    assert!(problems(&setup("[server]\ninsecure = true\n")).is_empty());
    assert!(setup("[server]\ninsecure = true\n").check().unwrap().warnings.iter().any(|w| w.key == "server.insecure"));
    let exposed = lines(&setup("[server]\ninsecure = true\nplaintext = true\nlisten = \"0.0.0.0:1\"\n"));
    assert!(exposed.iter().any(|line| line.contains("server.insecure: is for loopback only")), "{exposed:?}");
    only(Setup::default().and("[server]\ninsecure = true\n"), "server.insecure", "contradicts [callers]");
}

#[test]
fn an_address_that_others_reach_needs_tls_or_the_word() {
    only(Setup::default().and("[server]\nlisten = \"0.0.0.0:7400\"\n"), "server.listen", "in the clear");
    assert!(problems(&Setup::default().and("[server]\nlisten = \"0.0.0.0:7400\"\nplaintext = true\n")).is_empty());
    assert!(problems(&Setup::default().and("[server]\nlisten = \"[::1]:7400\"\n")).is_empty());
}

#[test]
fn the_store_is_read_and_checked() {
    let with = |store: &str| Setup::default().replace("[store]\nkind = \"embedded\"\npath = \"unused\"\n", store);
    only(with(""), "store", "is missing");
    only(with("[store]\nkind = \"embedded\"\n"), "store.path", "is missing");
    let redis = "[store]\nkind = \"redis\"\nurl = { env = \"REDIS_URL\" }\nprefix = \"cs\"\n";
    let server = "[server]\npseudonym_secret = { env = \"PSEUDONYM\" }\n";
    let both = |setup: Setup| setup.env("REDIS_URL", "redis://localhost").env("PSEUDONYM", &"p".repeat(32));
    assert!(problems(&both(with(&format!("{redis}{server}")))).is_empty());
    let missing = lines(&with(redis).env("REDIS_URL", "redis://localhost"));
    assert!(missing.len() == 1 && missing[0].contains("pseudonym_secret"), "{missing:?}");
    only(with(&format!("{redis}{server}")).env("PSEUDONYM", "x"), "store.url.env", "is not set");
}

#[test]
fn a_redis_is_reached_in_the_words_of_the_claim_source() {
    let with = |more: &str| {
        let store = format!("[store]\nkind = \"redis\"\nurl = {{ env = \"REDIS_URL\" }}\n{more}\n");
        Setup::default()
            .replace("[store]\nkind = \"embedded\"\npath = \"unused\"\n", &store)
            .and("[server]\npseudonym_secret = { env = \"PSEUDONYM\" }\n")
            .env("PSEUDONYM", &"p".repeat(32))
            .env("REDIS_URL", "rediss://svc:s3cret@redis.example/0")
            .env("PASSWORD", "p4ssword")
    };
    let password = "password = { env = \"PASSWORD\" }";
    let certificates = countersign_test_services::Certificates::make();
    let tls = format!("tls = {{ ca = {:?} }}", certificates.text("ca.pem"));
    for right in [
        "cluster = true\nnodes = [\"b.example:6379\"]\nwait_replicas = 16",
        &format!("sentinel = {{ master_name = \"m\", username = \"s\", {password} }}\nnodes = [\"b.example:26379\"]"),
        &format!("username = \"own\"\n{password}\ndatabase = 3\n{tls}"),
    ] {
        assert_eq!(problems(&with(right)), [], "{right}");
        assert!(!format!("{:?}", with(right).check().unwrap().store).contains("s3cret"));
    }
    only(with("").env("REDIS_URL", "http://redis.example"), "store.url", "is no address of a Redis");
    only(with("cluster = true\nsentinel = { master_name = \"m\" }"), "store.sentinel", "watches no Cluster");
    only(with("sentinel = { username = \"s\", master_name = \"m\" }"), "store.sentinel.username", "has no password");
    only(with("sentinel = {}"), "store.sentinel.master_name", "is missing");
    only(with("nodes = [\"b.example:6379\"]"), "store.nodes", "neither is named");
    only(with("cluster = true\ndatabase = 1"), "store.database", "a Cluster has no other");
    only(with("password = { env = \"ABSENT\" }"), "store.password.env", "is not set");
    only(with("tls = { ca = \"nowhere.pem\" }"), "store.tls.ca", "cannot be read");
    only(with("prefix = \"a{b\""), "store.prefix", "holds a brace");
    only(with("max_staleness_secs = 0"), "store.max_staleness_secs", "wrong type or form");
    let strict = with("").and("[applications.\"acme/feedback\".tokens]\nstrict_revocation = true\n");
    only(strict, "store.max_staleness_secs", "is missing");
    only(with("wait_replicas = 17"), "store.wait_replicas", "wrong type or form");
}

#[test]
fn the_environment_sets_only_what_it_may() {
    let setup = Setup::default()
        .env("COUNTERSIGN__SERVER__LISTEN", "127.0.0.1:7555")
        .env("COUNTERSIGN_PORT", "tcp://10.0.0.1:1");
    assert_eq!(setup.check().unwrap().server.listen.port(), 7_555);
    let wrong = problems(&Setup::default().env("COUNTERSIGN__SERVER__LISTEN", "S3CRET"));
    assert_eq!((wrong[0].file.as_str(), wrong[0].key.as_str()), ("environment", "server.listen"));
    assert!(!wrong[0].to_string().contains("S3CRET"));
    let foreign = problems(&Setup::default().env("COUNTERSIGN__APPLICATIONS__X", "1"));
    assert_eq!((foreign[0].file.as_str(), foreign[0].key.as_str()), ("environment", "COUNTERSIGN__APPLICATIONS__X"));
}

#[test]
fn keys_are_for_one_purpose_and_long_enough() {
    let app = "applications.\"acme/feedback\".keys";
    let iv = "purpose = \"legacy\"\nsecret = { env = \"IV_SECRET\" }";
    only(Setup::default().env("IV_SECRET", "short"), &format!("{app}.iv.secret"), "under 32 bytes");
    let weak = Setup::default().env("IV_SECRET", "short").replace(iv, &format!("{iv}\nallow_weak = true"));
    assert!(problems(&weak).is_empty());
    let needless = Setup::default().replace(iv, &format!("{iv}\nallow_weak = true"));
    assert!(needless.check().unwrap().warnings[0].to_string().contains("not needed"));
    only(Setup::default().replace(iv, &format!("{iv}\nencoding = \"hex\"")), &format!("{app}.iv.secret"), "is not hex");
    only(
        Setup::default().replace(iv, &format!("{iv}\nalgorithm = \"HS256\"")),
        &format!("{app}.iv.algorithm"),
        "not for legacy",
    );
    only(
        Setup::default().replace(iv, &format!("{iv}\nretire_at = \"x\"")),
        &format!("{app}.iv.retire_at"),
        "type or form",
    );
    let jwt = "purpose = \"jwt\"\nsecret = { env = \"JWT_SECRET\" }";
    only(
        Setup::default().replace(jwt, &format!("{jwt}\nalgorithm = \"RS256\"")),
        &format!("{app}.jwt-2026.algorithm"),
        "",
    );
    let second = "[applications.\"acme/feedback\".keys.b]\npurpose = \"jwt\"\nsecret = { env = \"OTHER\" }\n";
    let two = |extra: &str| Setup::default().env("OTHER", &"o".repeat(32)).and(&format!("{second}{extra}\n"));
    only(two(""), app, "two jwt keys that sign from the same time on");
    assert!(problems(&two("not_before = \"2026-07-01T00:00:00Z\"")).is_empty());
    assert!(problems(&two("retire_at = \"2026-05-01T00:00:00Z\"")).is_empty());
    only(two("kid = \"jwt-2026\"\nnot_before = \"2026-07-01T00:00:00Z\""), app, "one kid");
}

#[test]
fn the_same_secret_in_two_keys_is_meant_or_a_problem() {
    let same = || Setup::default().env("IV_SECRET", JWT_SECRET);
    let found = lines(&same());
    assert_eq!(found.len(), 1);
    for key in ["keys.jwt-2026.secret", "keys.iv.secret"] {
        assert!(found[0].contains(key), "{found:?}");
    }
    let jwt = "secret = { env = \"JWT_SECRET\" }";
    let iv = "secret = { env = \"IV_SECRET\" }";
    let one = same().replace(iv, &format!("{iv}\nshared_secret = true"));
    assert_eq!(lines(&one).len(), 1, "every key involved must say it");
    let both = one.replace(jwt, &format!("{jwt}\nshared_secret = true"));
    assert!(problems(&both).is_empty());
    // One vendor secret serves both at Intercom, within one application; never in another one without the word.
    let intercom = same().replace("\"featurebase\"", "\"intercom\"");
    let company = intercom.config.find("[applications.\"acme/feedback\".company_attributes").unwrap();
    let intercom = Setup { config: intercom.config[..company].to_owned(), ..intercom };
    assert_eq!(lines(&intercom), Vec::<String>::new());
    let staging = r#"
[applications."acme/staging"]
profile = "intercom"
[applications."acme/staging".keys.iv]
purpose = "legacy"
secret = { env = "IV_SECRET" }
"#;
    let found = lines(&intercom.and(staging));
    assert!(found.len() == 1 && found[0].contains("acme/staging"), "{found:?}");
}

#[test]
fn hashes_that_are_accepted_need_a_key() {
    let without = || {
        Setup::default().replace(
            "[applications.\"acme/feedback\".keys.iv]\npurpose = \"legacy\"\nsecret = { env = \"IV_SECRET\" }\n",
            "",
        )
    };
    only(without(), "applications.\"acme/feedback\".keys", "no legacy key");
    assert!(problems(&without().policy("hash_until = \"2026-05-31T00:00:00Z\"")).is_empty());
    let excepted = "hash_until = \"2026-05-31T00:00:00Z\"\nexceptions = [{ client = \"ios\", hash_until = \"2026-07-01T00:00:00Z\" }]";
    only(without().policy(excepted), "applications.\"acme/feedback\".keys", "no legacy key");
}

#[test]
fn tokens_follow_the_profile() {
    let tokens = |text: &str| Setup::default().and(&format!("[applications.\"acme/feedback\".tokens]\n{text}\n"));
    let app = "applications.\"acme/feedback\"";
    assert!(problems(&tokens("one_time = true")).is_empty());
    only(tokens("one_time = true\nrequire_exp = false"), &format!("{app}.tokens.require_exp"), "needs an end");
    only(
        tokens("default_ttl_secs = 7200\nmax_ttl_secs = 3600"),
        &format!("{app}.tokens.default_ttl_secs"),
        "over max_ttl_secs",
    );
    let generic = || Setup::default().replace("\"featurebase\"", "\"generic\"");
    let found = lines(&generic());
    assert_eq!(found.len(), 2, "{found:?}");
    let parties = "[applications.\"acme/feedback\".tokens]\nissuer = \"me\"\naudiences = [\"us\"]\n";
    assert!(problems(&generic().and(parties)).is_empty());
    only(generic().and(&format!("{parties}require_exp = false\n")), &format!("{app}.tokens.require_exp"), "mandatory");
}

#[test]
fn attributes_have_a_place_and_a_source() {
    let app = "applications.\"acme/feedback\"";
    let attribute = |name: &str, text: &str| Setup::default().and(&format!("[{app}.attributes.{name}]\n{text}\n"));
    for reserved in ["sub", "exp", "iss", "countersign", "userId", "profilePicture"] {
        only(attribute(reserved, "type = \"string\""), &format!("{app}.attributes.{reserved}.type"), "reserve");
    }
    only(attribute("user_id", "type = \"string\""), &format!("{app}.attributes.user_id"), "identifier");
    only(attribute("x", ""), &format!("{app}.attributes.x.type"), "is missing");
    only(
        attribute("x", "type = \"string\"\nfrom = [\"nowhere\"]"),
        &format!("{app}.attributes.x.from"),
        "does not exist",
    );
    only(attribute("name", "type = \"number\""), &format!("{app}.attributes.name.type"), "not the type");
    let source =
        "[sources.s]\nkind = \"static\"\nsets = [\"y\"]\non_error = \"omit\"\nconfig = { claims = { y = 1 } }\n";
    only(
        attribute("x", "type = \"number\"\nfrom = [\"s\"]").and(source),
        &format!("{app}.attributes.x.from"),
        "does not set",
    );
    only(
        attribute("y", "type = \"number\"\nrequired = true\nfrom = [\"s\"]").and(source),
        &format!("{app}.attributes.y.required"),
        "omit",
    );
    only(Setup::default().and(&source.replace("\"static\"", "\"ldap\"")), "sources.s.kind", "");
    let kinds = lines(&Setup::default().and(&source.replace("\"static\"", "\"ldap\"")));
    let listed = "must be one of static, redis, lookup, sql, remote";
    assert!(kinds[0].contains(listed), "an unknown kind's error lists the kinds: {kinds:?}");
    let typing_error = source.replace("claims = { y = 1 }", "claim = { y = 1 }");
    only(Setup::default().and(&typing_error), "sources.s.config.claim", "is not what kind static has");
    let wrong_value = source.replace("claims = { y = 1 }", "claims = 5");
    only(Setup::default().and(&wrong_value), "sources.s.config.claims", "does not know here");
    let known = lines(&Setup::default().and(&typing_error));
    assert!(known[0].contains("known here: claims, by_user_id, by_email, file"), "{known:?}");
}

#[test]
fn a_policy_leaves_no_gap() {
    let app = "applications.\"acme/feedback\".acceptance";
    let policy = |text: &str| Setup::default().policy(text);
    let gap = policy("jwt_from = \"2027-01-01T00:00:00Z\"\nhash_until = \"2026-12-01T00:00:00Z\"");
    assert!(gap.check().unwrap().warnings[0].to_string().contains("nobody can be identified"));
    only(
        policy("rollout = [{ at = \"2027-01-01T00:00:00Z\", percent = 101 }]"),
        &format!("{app}.rollout[0].percent"),
        "",
    );
    only(
        policy("brownouts = [{ from = \"2027-01-01T00:00:00Z\", until = \"2027-01-01T00:00:00Z\" }]"),
        &format!("{app}.brownouts[0].until"),
        "not after",
    );
    only(
        policy("exceptions = [{ hash_until = \"2027-01-01T00:00:00Z\" }]"),
        &format!("{app}.exceptions[0].client"),
        "missing",
    );
    only(policy("ratchet = { scope = \"subject\" }"), &format!("{app}.ratchet.on_store_error"), "no default");
    // TOML's own dates are as good as texts.
    assert!(
        problems(&policy("hash_until = 2027-01-01T00:00:00Z\nshadow = { hash_until = 2026-12-01T00:00:00Z }"))
            .is_empty()
    );
}

#[test]
fn the_contracts_example_is_taken() {
    let config = r#"
[server]
listen = "127.0.0.1:7400"
admin_listen = "127.0.0.1:7401"
[callers.billing]
token_sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
may = ["sign", "verify", "legacy_hash", "exchange", "diagnose", "revoke", "admin"]
applications = ["acme/*"]
clients = ["web", "ios"]
[store]
kind = "embedded"
path = "var/countersign.redb"
[applications."acme/feedback"]
profile = "featurebase"
environment = "production"
privileged = { user_ids = ["root"], emails = [], domains = ["acme.example"] }
[applications."acme/feedback".keys.jwt-2026]
purpose = "jwt"
secret = { env = "JWT_SECRET" }
encoding = "text"
algorithm = "HS256"
[applications."acme/feedback".keys.iv]
purpose = "legacy"
secret = { env = "IV_SECRET" }
[applications."acme/feedback".tokens]
default_ttl_secs = 3600
max_ttl_secs = 86400
require_exp = true
[applications."acme/feedback".exchange]
jwt = false
[applications."acme/feedback".attributes.plan]
type = "string"
from = ["billing", "caller"]
secure = true
[sources.billing]
kind = "lookup"
sets = ["plan"]
on_error = "stale"
fresh_secs = 300
stale_secs = 3600
[sources.billing.config]
url = "http://127.0.0.1:9000/users/{user_id}"
[applications."acme/feedback".company_attributes.industry]
type = "string"
[applications."acme/feedback".acceptance]
jwt_from = "2026-01-01T00:00:00Z"
hash_until = "2027-03-31T00:00:00Z"
issue_hash_until = "2027-02-28T00:00:00Z"
brownouts = [{ from = "2027-02-01T10:00:00Z", until = "2027-02-01T10:15:00Z" }]
rollout = [{ at = "2027-01-15T00:00:00Z", percent = 5 }, { at = "2027-02-15T00:00:00Z", percent = 50 }]
ratchet = { scope = "subject", grace_secs = 1209600, on_store_error = "refuse" }
exceptions = [{ client = "ios", hash_until = "2027-06-30T00:00:00Z" }]
shadow = { hash_until = "2027-01-01T00:00:00Z" }
"#;
    assert_eq!(lines(&Setup { config: config.to_owned(), ..Setup::default() }), Vec::<String>::new());
}

#[test]
fn one_mistake_hides_no_other() {
    let config = r#"
[server]
insecure = true
[callers.a]
token_sha256 = "x"
may = ["sign"]
applications = ["*"]
[store]
kind = "embedded"
path = "x"
[applications.a]
profile = "featurbase"
nonsense = 1
acceptance = { hash_until = "x" }
"#;
    let setup = Setup { config: config.to_owned(), ..Setup::default() }.env("COUNTERSIGN__APPLICATIONS__X", "1");
    let keys: Vec<_> = problems(&setup).into_iter().map(|problem| problem.key).collect();
    let wanted = [
        "applications.a.acceptance.hash_until",
        "applications.a.nonsense",
        "applications.a.profile",
        "callers.a.token_sha256",
        "server.insecure",
        "COUNTERSIGN__APPLICATIONS__X",
    ];
    assert_eq!(keys, wanted);
}

#[test]
fn what_has_to_be_seen_before_hashes_end_is_read_and_bounded() {
    let with = |keys: &str| Setup::default().and(&format!("[applications.\"acme/feedback\".migration]\n{keys}\n"));
    let read = |setup: Setup| {
        let readiness = setup.check().unwrap().applications[0].readiness;
        (readiness.window_days, readiness.min_daily)
    };
    assert_eq!(read(Setup::default()), (28, 1));
    assert_eq!(read(with("window_days = 365\nmin_daily = 1000000000")), (365, 1_000_000_000));
    let path = "applications.\"acme/feedback\".migration";
    for (key, wrong) in [("window_days", "0"), ("window_days", "366"), ("min_daily", "0"), ("min_daily", "1000000001")]
    {
        only(with(&format!("{key} = {wrong}")), &format!("{path}.{key}"), "whole number");
    }
    only(with("window = 28"), &format!("{path}.window"), "is not a key here");
}

#[test]
fn an_audit_log_says_where_it_goes() {
    let audit = |toml: &str| Setup::default().and(&format!("[audit]\n{toml}\n"));
    let file = "[[audit.sinks]]\nkind = \"file\"\npath = \"var/audit.log\"\n";
    only(audit(""), "audit.sinks", "is missing: nothing would be written");
    only(audit("sinks = []"), "audit.sinks", "is missing: nothing would be written");
    only(audit("sinks = 1"), "audit.sinks", "must be a list of tables");
    only(audit("[[audit.sinks]]\npath = \"a\"\n"), "audit.sinks[0].kind", "must be one of file, stdout, redis");
    only(audit("[[audit.sinks]]\nkind = \"syslog\"\n"), "audit.sinks[0].kind", "must be one of file, stdout, redis");
    only(audit("[[audit.sinks]]\nkind = \"file\"\n"), "audit.sinks[0].path", "is missing");
    only(audit("[[audit.sinks]]\nkind = \"stdout\"\npath = \"a\"\n"), "audit.sinks[0].path", "is not a key here");
    only(audit(&format!("{file}rotate_bytes = 4095")), "audit.sinks[0].rotate_bytes", "4096");
    only(audit(&format!("{file}{file}")), "audit.sinks[1].path", "is that of another sink too");
    let taken = file.replace("var/audit.log", "unused");
    only(audit(&taken), "audit.sinks[0].path", "is the file of the store");
    only(audit("[[audit.sinks]]\nkind = \"redis\"\n"), "audit.sinks[0].kind", "needs a store in Redis");
    only(audit(&format!("require = true\n{file}")), "audit.require", "did you mean required?");
    only(audit(&format!("checkpoint_secs = 0\n{file}")), "audit.checkpoint_secs", "from 1 to 3600");
    let key = audit(&format!("signing_key = {{ env = \"JWT_SECRET\" }}\n{file}"));
    only(key, "audit.signing_key", "openssl genpkey -algorithm ed25519");
    assert_eq!(lines(&audit(&format!("required = true\nverify = true\n{file}"))), Vec::<String>::new());
    let by_environment = audit(file).env("COUNTERSIGN__AUDIT__REQUIRED", "true");
    assert!(by_environment.check().unwrap().audit.unwrap().required);
}
