//! How claims are assembled: who is asked, in which order, for how long, and what a failure means.

use std::sync::Arc;

use countersign::grpc::proto::{self, NoticeCode};
use countersign_claim_source::Answer;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tonic::Code;

use crate::harness::*;
use crate::scripted::{Act, SCRIPTED, Script, found, say};

/// A server whose `plan` and `title` come from these sources, each a script of its own name.
fn with(sources: &[(&str, &str, &str)], from: &[(&str, &str)]) -> Setup {
    let mut setup = Setup::default();
    for (attribute, origins) in from {
        let declared = format!("attributes.{attribute}]\ntype = \"string\"");
        if setup.config.contains(&declared) {
            setup = setup.replace(&declared, &format!("{declared}\nfrom = {origins}"));
        } else {
            setup = setup.and(&format!("[applications.\"acme/feedback\".attributes.{attribute}]\nfrom = {origins}\n"));
        }
    }
    for (name, sets, rules) in sources {
        setup = setup.and(&format!("[sources.{name}]\nkind = \"scripted\"\nsets = {sets}\n{rules}\n"));
        if !rules.contains("config") {
            setup = setup.and(&format!("config = {{ script = \"{name}\" }}\n"));
        }
    }
    setup.kinds.push(SCRIPTED);
    setup
}

const REFUSE: &str = "on_error = \"refuse\"";
const OMIT: &str = "on_error = \"omit\"";

fn explained(identity: proto::Identity) -> proto::SignRequest {
    proto::SignRequest { explain: true, ..sign_for(identity) }
}

fn origins(signed: &proto::SignResponse) -> Vec<(&str, &str)> {
    signed.origins.iter().map(|origin| (origin.claim.as_str(), origin.source.as_str())).collect()
}

fn reason(refused: &tonic::Status) -> String {
    error(refused).1
}

#[tokio::test]
async fn only_the_sources_that_are_needed_are_asked_and_those_together() {
    let gate = Arc::new(Semaphore::new(0));
    let (one, two) = (Arc::clone(&gate), Arc::clone(&gate));
    let plans = Script::new("needed-a", move |_| Act::Wait(Arc::clone(&one), found(json!({"plan": "Gold"}))));
    let titles = Script::new("needed-b", move |_| Act::Wait(Arc::clone(&two), found(json!({"title": "CEO"}))));
    let fallback = Script::new("needed-c", say(found(json!({"plan": "Free"}))));
    let unused = Script::new("needed-d", say(found(json!({"number": "1"}))));
    let mut server = with(
        &[
            ("needed-a", "[\"plan\"]", REFUSE),
            ("needed-b", "[\"title\"]", REFUSE),
            ("needed-c", "[\"plan\"]", REFUSE),
            ("needed-d", "[\"number\"]", REFUSE),
        ],
        &[("plan", "[\"needed-a\", \"needed-c\"]"), ("title", "[\"needed-b\"]")],
    )
    .start()
    .await;
    let signing = server.sign(explained(user("1")));
    let opening = async {
        // Both are under way before either answers.
        plans.asked(1).await;
        titles.asked(1).await;
        gate.add_permits(2);
    };
    let (signed, ()) = tokio::join!(signing, opening);
    let signed = signed.unwrap();
    assert_eq!(origins(&signed), [("user_id", "caller"), ("plan", "needed-a"), ("title", "needed-b")]);
    assert_eq!((fallback.calls(), unused.calls()), (0, 0), "what nobody needs is not asked");
    assert_eq!(plans.last().wanted.as_ref(), ["plan"]);
}

#[tokio::test]
async fn a_source_waits_for_what_it_needs_and_for_nothing_else() {
    let directory = Script::new("dep-directory", say(found(json!({"email": "ada@b.example"}))));
    let slow = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&slow);
    let other = Script::new("dep-slow", move |_| Act::Wait(Arc::clone(&gate), found(json!({"number": "7"}))));
    let billing = Script::new("dep-billing", say(found(json!({"plan": "Gold"}))));
    let perks = Script::new("dep-perks", say(found(json!({"title": "Friend"}))));
    let template = "on_error = \"refuse\"\nconfig = { script = \"dep-billing\", template = \"{email}\" }";
    let mut server = with(
        &[
            ("dep-directory", "[\"email\"]", REFUSE),
            ("dep-slow", "[\"number\"]", REFUSE),
            ("dep-billing", "[\"plan\"]", template),
            ("dep-perks", "[\"title\"]", "needs = [\"plan\"]\non_error = \"refuse\""),
        ],
        &[
            ("email", "[\"caller\", \"dep-directory\"]"),
            ("number", "[\"dep-slow\"]"),
            ("plan", "[\"dep-billing\"]"),
            ("title", "[\"dep-perks\"]"),
        ],
    )
    .start()
    .await;
    let signing = server.sign(explained(user("1")));
    let watching = async {
        // The whole chain runs while an independent source still hangs.
        perks.asked(1).await;
        assert_eq!(other.calls(), 1);
        slow.add_permits(1);
    };
    let (signed, ()) = tokio::join!(signing, watching);
    let signed = signed.unwrap();
    let claims = claims(&signed.token);
    assert_eq!(
        (&claims["plan"], &claims["title"], &claims["email"]),
        (&json!("Gold"), &json!("Friend"), &json!("ada@b.example"))
    );
    assert_eq!(billing.last().email.as_deref(), Some("ada@b.example"));
    assert_eq!(Value::Object(perks.last().known), json!({"plan": "Gold"}));

    // An e-mail address that was given is not looked up.
    let given = proto::Identity { email: "given@b.example".to_owned(), ..user("1") };
    slow.add_permits(1);
    server.sign(sign_for(given)).await.unwrap();
    assert_eq!((directory.calls(), billing.last().email.as_deref()), (1, Some("given@b.example")));
}

#[tokio::test]
async fn what_a_source_asks_with_and_is_not_there_is_its_failure_and_no_absence() {
    let script = Script::new("missing", say(found(json!({"plan": "Gold"}))));
    let fallback = Script::new("missing-fallback", say(found(json!({"plan": "Free"}))));
    let template = "config = { script = \"missing\", template = \"{email}\" }";
    let sources = |rule: &str| {
        with(
            &[("missing", "[\"plan\"]", &format!("{rule}\n{template}")), ("missing-fallback", "[\"plan\"]", REFUSE)],
            &[("plan", "[\"missing\", \"missing-fallback\"]")],
        )
    };
    let refused = sources(REFUSE).start().await.sign(sign_for(user("1"))).await.unwrap_err();
    assert_eq!(error(&refused), (Code::Unavailable, "SOURCE_UNAVAILABLE".to_owned(), vec![]));
    let signed = sources(OMIT).start().await.sign(sign_for(user("1"))).await.unwrap();
    assert_eq!(codes(&signed.notices)[..2], [NoticeCode::SourceUnavailable, NoticeCode::ClaimOmitted]);
    assert_eq!((script.calls(), fallback.calls()), (0, 0));
}

#[tokio::test]
async fn a_value_that_cannot_be_asked_with_is_the_requests_fault_and_nothing_is_sent() {
    let script = Script::new("unfit", say(found(json!({"plan": "Gold"}))));
    let rules = "on_error = \"omit\"\nfresh_secs = 60\nconfig = { script = \"unfit\", template = \"{user_id}\" }";
    let mut server = with(&[("unfit", "[\"plan\"]", rules)], &[("plan", "[\"unfit\"]")]).start().await;
    for id in [".", "..", "a\nb", "\u{7f}"] {
        let refused = server.sign(sign_for(user(id))).await.unwrap_err();
        let expected = (Code::InvalidArgument, "REQUEST_INVALID".to_owned(), vec!["identity.user_id".to_owned()]);
        assert_eq!(error(&refused), expected, "{id:?}");
    }
    assert_eq!(script.calls(), 0);
    server.sign(sign_for(user("../admin"))).await.unwrap();
    assert_eq!(script.calls(), 1, "what can be escaped is one value like any other");
}

#[tokio::test]
async fn the_budget_bounds_all_sources_together_and_each_failure_follows_its_own_rule() {
    let hanging = Script::new("budget-hangs", |_| Act::Hang);
    Script::new("budget-good", say(found(json!({"title": "CEO"}))));
    let policy = |rule| {
        with(
            &[("budget-hangs", "[\"plan\"]", rule), ("budget-good", "[\"title\"]", REFUSE)],
            &[("plan", "[\"budget-hangs\"]"), ("title", "[\"budget-good\"]")],
        )
        .and("[applications.\"acme/feedback\".claims]\nbudget_ms = 50\n")
    };
    let refused = policy(REFUSE).start().await.sign(sign_for(user("1"))).await.unwrap_err();
    assert_eq!(error(&refused).1, "SOURCE_TIMED_OUT");
    let signed = policy(OMIT).start().await.sign(sign_for(user("1"))).await.unwrap();
    assert_eq!(claims(&signed.token)["title"], "CEO");
    assert_eq!(codes(&signed.notices)[..2], [NoticeCode::SourceUnavailable, NoticeCode::ClaimOmitted]);
    assert_eq!(hanging.calls(), 2);
}

#[tokio::test]
async fn the_callers_own_deadline_is_kept_and_told_as_what_it_is() {
    Script::new("hurry", |_| Act::Hang);
    let rules = "on_error = \"refuse\"\ntimeout_ms = 25000";
    let setup = with(&[("hurry", "[\"plan\"]", rules)], &[("plan", "[\"hurry\"]")])
        .and("[applications.\"acme/feedback\".claims]\nbudget_ms = 25000\n");
    let mut server = setup.start().await;
    let mut request = from_billing(sign_for(user("1")));
    // In the metadata alone, so that nothing but the server's answer ends the call.
    request.metadata_mut().insert("grpc-timeout", "700m".parse().unwrap());
    let refused = server.client.sign(request).await.unwrap_err();
    assert_eq!(error(&refused).1, "SOURCE_TIMED_OUT");
}

#[tokio::test]
async fn a_passing_failure_is_tried_again_and_a_lasting_one_is_left_alone() {
    let flaky = Script::new("flaky", say(Answer::unavailable("no")));
    let rules = "on_error = \"omit\"\nretries = 2\nbreaker_failures = 2\nbreaker_pause_ms = 600000";
    let setup = with(&[("flaky", "[\"plan\"]", rules)], &[("plan", "[\"flaky\"]")]);
    let mut server = setup.start().await;
    let failing = Arc::new(std::sync::atomic::AtomicUsize::new(2));
    let left = Arc::clone(&failing);
    flaky.play(move |_| {
        let fails = left.fetch_update(std::sync::atomic::Ordering::SeqCst, std::sync::atomic::Ordering::SeqCst, |n| {
            n.checked_sub(1)
        });
        Act::Say(if fails.is_ok() { Answer::unavailable("no") } else { found(json!({"plan": "Gold"})) })
    });
    let signed = server.sign(sign_for(user("1"))).await.unwrap();
    assert_eq!((claims(&signed.token)["plan"].as_str(), flaky.calls()), (Some("Gold"), 3));

    flaky.play(say(Answer::unavailable("no")));
    for _ in 0..5 {
        let signed = server.sign(sign_for(user("1"))).await.unwrap();
        assert!(codes(&signed.notices).contains(&NoticeCode::ClaimOmitted));
    }
    assert_eq!(flaky.calls(), 3 + 2 * 3, "after two failures in a row it is left alone");
}

#[tokio::test]
async fn a_caller_in_a_hurry_does_not_open_the_breaker() {
    let script = Script::new("patient", |_| Act::Hang);
    let rules = "on_error = \"refuse\"\nbreaker_failures = 1\nbreaker_pause_ms = 600000\ntimeout_ms = 25000";
    let setup = with(&[("patient", "[\"plan\"]", rules)], &[("plan", "[\"patient\"]")])
        .and("[applications.\"acme/feedback\".claims]\nbudget_ms = 25000\n");
    let mut server = setup.start().await;
    let mut request = from_billing(sign_for(user("1")));
    request.metadata_mut().insert("grpc-timeout", "200m".parse().unwrap());
    server.client.sign(request).await.unwrap_err();
    script.play(say(found(json!({"plan": "Gold"}))));
    server.sign(sign_for(user("1"))).await.unwrap();
}

#[tokio::test]
async fn no_more_calls_are_under_way_than_the_source_may_have() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let script = Script::new("bulkhead", move |_| Act::Wait(Arc::clone(&held), found(json!({"plan": "Gold"}))));
    let rules = "on_error = \"refuse\"\nconcurrency = 1\ntimeout_ms = 25000";
    let free = Script::new("bulkhead-free", say(found(json!({"title": "CEO"}))));
    let setup = with(
        &[("bulkhead", "[\"plan\"]", rules), ("bulkhead-free", "[\"title\"]", REFUSE)],
        &[("plan", "[\"bulkhead\"]"), ("title", "[\"bulkhead-free\"]")],
    )
    .and("[applications.\"acme/feedback\".claims]\nbudget_ms = 25000\n");
    let server = setup.start().await;
    let (mut one, mut two) = (server.client.clone(), server.client.clone());
    let both = async {
        tokio::join!(one.sign(from_billing(sign_for(user("1")))), two.sign(from_billing(sign_for(user("2")))))
    };
    let opening = async {
        free.asked(2).await;
        assert_eq!(script.calls(), 1, "the second waits for a place");
        gate.add_permits(1);
        script.asked(2).await;
        gate.add_permits(1);
    };
    let ((first, second), ()) = tokio::join!(both, opening);
    first.unwrap();
    second.unwrap();
}

#[tokio::test]
async fn a_claim_of_the_wrong_type_fails_alone() {
    let script = Script::new("typed", say(found(json!({"plan": 1, "title": "CEO", "undeclared": true, "jti": "x"}))));
    let setup =
        |rule| with(&[("typed", "[\"plan\", \"title\"]", rule)], &[("plan", "[\"typed\"]"), ("title", "[\"typed\"]")]);
    let refused = setup(REFUSE).start().await.sign(sign_for(user("1"))).await.unwrap_err();
    assert_eq!(error(&refused), (Code::Unavailable, "SOURCE_MALFORMED".to_owned(), vec![]));
    let signed = setup(OMIT).start().await.sign(explained(user("1"))).await.unwrap();
    assert_eq!(origins(&signed), [("user_id", "caller"), ("title", "typed")]);
    assert_eq!(claims(&signed.token).get("undeclared"), None);
    assert_ne!(claims(&signed.token).get("jti"), Some(&json!("x")));
    assert_eq!(script.last().wanted.as_ref(), ["plan", "title"]);
}

#[tokio::test]
async fn a_bug_in_a_source_is_told_as_a_bug_and_hurts_nobody_else() {
    let script = Script::new("buggy", |_| Act::Panic);
    for rules in ["on_error = \"omit\"", "on_error = \"omit\"\nfresh_secs = 60"] {
        let mut server = with(&[("buggy", "[\"plan\"]", rules)], &[("plan", "[\"buggy\"]")]).start().await;
        script.play(|_| Act::Panic);
        let refused = server.sign(sign_for(user("1"))).await.unwrap_err();
        assert_eq!(error(&refused).1, "INTERNAL", "{rules}");
        script.play(say(found(json!({"plan": "Gold"}))));
        assert_eq!(claims(&server.sign(sign_for(user("1"))).await.unwrap().token)["plan"], "Gold", "{rules}");
    }
}

#[tokio::test]
async fn circles_and_unknown_needs_are_problems() {
    let problem = |setup: Setup, key: &str, wrong: &str| {
        let problems = setup.check().unwrap_err();
        let found = problems.iter().any(|problem| problem.key == key && problem.wrong.contains(wrong));
        assert!(found, "{key}: {wrong}: {problems:#?}");
    };
    let circle = with(
        &[
            ("a", "[\"plan\"]", "needs = [\"title\"]\non_error = \"refuse\""),
            ("b", "[\"title\"]", "needs = [\"plan\"]\non_error = \"refuse\""),
        ],
        &[("plan", "[\"a\"]"), ("title", "[\"b\"]")],
    );
    problem(circle, "applications.\"acme/feedback\".attributes", "in a circle: plan, title");
    let own = with(&[("a", "[\"plan\"]", "needs = [\"plan\"]\non_error = \"refuse\"")], &[("plan", "[\"a\"]")]);
    problem(own, "applications.\"acme/feedback\".attributes", "in a circle: plan");
    let unknown = with(&[("a", "[\"plan\"]", "needs = [\"nothing\"]\non_error = \"refuse\"")], &[("plan", "[\"a\"]")]);
    problem(unknown, "applications.\"acme/feedback\".attributes.plan.from", "not declared here: nothing");
    let placeholder = "on_error = \"refuse\"\nconfig = { script = \"x\", template = \"{title}\" }";
    let unknown = with(&[("a", "[\"plan\"]", placeholder)], &[("plan", "[\"a\"]")]);
    problem(unknown, "sources.a.config.template", "placeholder that is not known");
}

#[tokio::test]
async fn a_source_that_finds_the_address_does_not_wait_for_it() {
    let script = Script::new("finds", say(found(json!({"email": "ada@b.example", "plan": "Gold"}))));
    let rules = "on_error = \"refuse\"\nneeds = []";
    let mut server = with(
        &[("finds", "[\"email\", \"plan\"]", rules)],
        &[("email", "[\"caller\", \"finds\"]"), ("plan", "[\"finds\"]")],
    )
    .start()
    .await;
    let signed = server.sign(sign_for(user("1"))).await.unwrap();
    assert_eq!(claims(&signed.token)["email"], "ada@b.example");
    assert_eq!(script.calls(), 1, "one question for both claims");
    assert_eq!(reason(&server.sign(sign_for(user("root"))).await.unwrap_err()), "SUBJECT_PRIVILEGED");
    script.play(say(found(json!({"email": "boss@b.example"}))));
    assert_eq!(
        reason(&server.sign(sign_for(user("1"))).await.unwrap_err()),
        "SUBJECT_PRIVILEGED",
        "a source brought it"
    );
}

#[tokio::test]
async fn a_source_that_hangs_slows_no_other_application() {
    let hanging = Script::new("isolated", |_| Act::Hang);
    let rules = "on_error = \"refuse\"\nconcurrency = 1\ntimeout_ms = 25000";
    let other = "[applications.\"acme/other\"]\nprofile = \"featurebase\"\n\
                 keys.jwt = { purpose = \"jwt\", secret = { env = \"OTHER\" } }\n\
                 keys.iv = { purpose = \"legacy\", secret = { env = \"OTHER_IV\" } }\n";
    let setup = with(&[("isolated", "[\"plan\"]", rules)], &[("plan", "[\"isolated\"]")])
        .and("[applications.\"acme/feedback\".claims]\nbudget_ms = 25000\n")
        .and(other)
        .env("OTHER", &"o".repeat(40))
        .env("OTHER_IV", &"i".repeat(40));
    let mut server = setup.start().await;
    let mut waiting = Vec::new();
    for id in 0..50 {
        let mut client = server.client.clone();
        waiting.push(async move { client.sign(from_billing(sign_for(user(&id.to_string())))).await });
    }
    let others = async {
        hanging.asked(1).await;
        for _ in 0..50 {
            let request = proto::SignRequest { application: "acme/other".to_owned(), ..sign_for(user("1")) };
            server.sign(request).await.unwrap();
        }
    };
    // Whoever waits for the source is still waiting when the others are done.
    tokio::select! {
        biased;
        () = others => {}
        first = futures::future::select_all(waiting.into_iter().map(Box::pin)) => panic!("{:?}", first.0),
    }
    assert_eq!(hanging.calls(), 1);
}

#[tokio::test]
async fn the_items_of_a_batch_do_not_wait_for_each_other() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let script = Script::new("batch", move |_| Act::Wait(Arc::clone(&held), found(json!({"plan": "Gold"}))));
    let rules = "on_error = \"refuse\"\ntimeout_ms = 25000";
    let mut server = with(&[("batch", "[\"plan\"]", rules)], &[("plan", "[\"batch\"]")])
        .and("[applications.\"acme/feedback\".claims]\nbudget_ms = 25000\n")
        .start()
        .await;
    let requests = (0..20).map(|id| sign_for(user(&id.to_string()))).collect();
    let batch = server.client.batch_sign(from_billing(proto::BatchSignRequest { requests }));
    let opening = async {
        script.asked(20).await;
        gate.add_permits(20);
    };
    let (answered, ()) = tokio::join!(batch, opening);
    let results = answered.unwrap().into_inner().results;
    let ids = results.into_iter().map(|result| match result.outcome.unwrap() {
        proto::sign_result::Outcome::Response(signed) => claims(&signed.token)["userId"].as_str().unwrap().to_owned(),
        proto::sign_result::Outcome::Failure(failure) => panic!("{failure:?}"),
    });
    assert_eq!(ids.collect::<Vec<_>>(), (0..20).map(|id| id.to_string()).collect::<Vec<_>>(), "in order");
}

#[tokio::test]
async fn a_small_budget_and_a_full_house_are_not_the_sources_failure() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let script = Script::new("budgets", move |_| Act::Wait(Arc::clone(&held), found(json!({"plan": "Gold"}))));
    let rules = "on_error = \"refuse\"\nbreaker_failures = 1\nbreaker_pause_ms = 600000\nconcurrency = 1";
    let mut server = with(&[("budgets", "[\"plan\"]", rules)], &[("plan", "[\"budgets\"]")])
        .and("[applications.\"acme/feedback\".claims]\nbudget_ms = 50\n")
        .start()
        .await;
    let (mut one, mut two) = (server.client.clone(), server.client.clone());
    let (first, second) =
        tokio::join!(one.sign(from_billing(sign_for(user("1")))), two.sign(from_billing(sign_for(user("2")))));
    assert_eq!(
        (reason(&first.unwrap_err()), reason(&second.unwrap_err())),
        ("SOURCE_TIMED_OUT".into(), "SOURCE_TIMED_OUT".into())
    );
    assert_eq!(script.calls(), 1, "the second found no place, and was not sent");
    gate.add_permits(1);
    server.sign(sign_for(user("3"))).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_no_good_leaves_nobody_else_without() {
    let script = Script::new("malformed", say(Answer::malformed("no")));
    let rules = "on_error = \"refuse\"\nbreaker_failures = 1\nbreaker_pause_ms = 600000";
    let mut server = with(&[("malformed", "[\"plan\"]", rules)], &[("plan", "[\"malformed\"]")]).start().await;
    for _ in 0..3 {
        assert_eq!(reason(&server.sign(sign_for(user("1"))).await.unwrap_err()), "SOURCE_MALFORMED");
    }
    script.play(say(found(json!({"plan": "Gold"}))));
    server.sign(sign_for(user("2"))).await.unwrap();
}

#[tokio::test]
async fn a_callers_attribute_that_cannot_be_asked_with_is_named() {
    let script = Script::new("unfit-claim", say(found(json!({"plan": "Gold"}))));
    let rules =
        "on_error = \"omit\"\nneeds = [\"title\"]\nconfig = { script = \"unfit-claim\", template = \"{title}\" }";
    let mut server = with(&[("unfit-claim", "[\"plan\"]", rules)], &[("plan", "[\"unfit-claim\"]")]).start().await;
    let of = |title: &str| proto::Identity { attributes: Some(attributes(json!({"title": title}))), ..user("1") };
    let refused = server.sign(sign_for(of(".."))).await.unwrap_err();
    let field = "identity.attributes.title".to_owned();
    assert_eq!(error(&refused), (Code::InvalidArgument, "REQUEST_INVALID".to_owned(), vec![field]));
    assert_eq!(script.calls(), 0);
    server.sign(sign_for(of("red"))).await.unwrap();
}

#[tokio::test]
async fn companies_that_cannot_be_written_are_the_sources_and_left_out() {
    let twice = json!({"companies": [{"id": "c", "name": "One"}, {"id": "c", "name": "Two"}]});
    Script::new("twice", say(found(twice)));
    let mut server = with(&[("twice", "[\"companies\"]", OMIT)], &[("companies", "[\"twice\"]")]).start().await;
    let signed = server.sign(sign_for(user("1"))).await.unwrap();
    assert_eq!(claims(&signed.token).get("companies"), None);
    assert!(codes(&signed.notices).contains(&NoticeCode::ClaimOmitted));
}

#[tokio::test]
async fn a_source_that_gives_more_than_a_token_holds_is_not_the_callers_fault() {
    let text = "x".repeat(4_000);
    let company = |id: &str| json!({"id": id, "name": text});
    let companies = ["a", "b", "c", "d", "e"].map(company);
    Script::new("too-much", say(found(json!({"companies": companies}))));
    let setup = with(&[("too-much", "[\"companies\"]", REFUSE)], &[("companies", "[\"too-much\"]")]);
    let refused = setup.start().await.sign(sign_for(user("1"))).await.unwrap_err();
    assert_eq!(error(&refused), (Code::Unavailable, "SOURCE_MALFORMED".to_owned(), vec![]));
}

#[tokio::test]
async fn retries_come_at_random_and_never_after_the_deadline() {
    let script = Script::new("retries", say(Answer::unavailable("no")));
    let rules = "on_error = \"omit\"\nretries = 10\nbreaker_failures = 1000000\ntimeout_ms = 60";
    let mut server = with(&[("retries", "[\"plan\"]", rules)], &[("plan", "[\"retries\"]")]).start().await;
    for id in 0..20 {
        server.sign(sign_for(user(&id.to_string()))).await.unwrap();
    }
    let times = script.times();
    assert!(times.len() > 20, "it was asked again: {times:?}");
    assert!(times.iter().all(|time| !time.is_zero()), "nobody is asked who cannot answer in time: {times:?}");
    // What is left after a pause: the pauses differ by more than any timer is rough.
    let left: std::collections::BTreeSet<u128> = times.iter().map(|time| time.as_millis() / 4).collect();
    assert!(left.len() > 4, "those that failed together do not return together: {times:?}");
}
