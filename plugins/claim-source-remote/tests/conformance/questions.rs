//! What a process is told and asked, and what it is not.

use countersign_claim_source::conformance::ask;
use countersign_claim_source::{Answer, Ask};
use serde_json::{Map, Value, json};

use crate::place::{Place, answer, finds_gold, gold};
use crate::server::proto::{DescribeResponse, FetchRequest, Problem};
use crate::server::{Process, Script, found};

#[tokio::test]
async fn a_question_says_everything_and_no_more_than_it_may() {
    let all = json!({
        "application": "acme/feedback", "user_id": "ada", "email": "ada@acme.example",
        "known": {"seats": 9_007_199_254_740_993_u64}, "wanted": ["plan"], "settings": {"table": "scores"}, "deadline": true,
    });
    assert_eq!(told(json!({"settings": {"table": "scores"}})).await, all);
    let by_user_id = told(json!({"identifiers": ["user_id"]})).await;
    assert_eq!((&by_user_id["email"], &by_user_id["settings"]), (&Value::Null, &json!({})));
    let by_email = told(json!({"identifiers": ["email"]})).await;
    assert_eq!((&by_email["user_id"], &by_email["email"]), (&Value::Null, &json!("ada@acme.example")));
}

/// What a process is told of the user by a source with these keys that needs `seats`.
async fn told(keys: Value) -> Value {
    let place = Place::new(keys, &["seats"]).await;
    let script = Script::new(|request| {
        let text = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap();
        let asked = request.get_ref();
        let told = json!({
            "application": asked.application, "user_id": asked.user_id, "email": asked.email,
            "known": text(&asked.known_json), "wanted": asked.wanted, "settings": text(&asked.settings_json),
            "deadline": request.metadata().contains_key("grpc-timeout"),
        });
        Some(Ok(found(json!({"plan": told.to_string()}).to_string())))
    });
    let _process = Process::on(&place.socket(), script);
    let known = json!({"seats": 9_007_199_254_740_993_u64, "title": "Count"}).as_object().cloned().unwrap();
    let email = Some("ada@acme.example".to_owned());
    let answer = place.source.claims(&Ask { known, email, ..ask(Some("ada"), &["plan"]) }).await;
    let Answer::Found { claims, .. } = answer else { panic!("{answer:?}") };
    serde_json::from_str(claims["plan"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn an_identifier_that_is_required_and_not_there_is_missing_and_nobody_is_asked() {
    let place = Place::new(json!({"identifiers": ["user_id", "email"]}), &[]).await;
    let script = finds_gold();
    let _process = Process::on(&place.socket(), script.clone());
    assert_eq!(place.ask().await, Answer::Missing("email".to_owned()));
    assert_eq!(script.calls(), [""; 0]);
}

#[tokio::test]
async fn an_application_gets_its_own_answer() {
    let place = Place::new(json!({}), &[]).await;
    let own = |request: &tonic::Request<_>| {
        let asked: &FetchRequest = request.get_ref();
        Some(Ok(found(json!({"plan": asked.application}).to_string())))
    };
    let _process = Process::on(&place.socket(), Script::new(own));
    let applications: Vec<String> = (0..100).map(|n| format!("acme/{n}")).collect();
    let asked =
        applications.iter().map(|application| {
            let source = &place.source;
            async move {
                source.claims(&Ask { application: application.as_str().into(), ..ask(Some("ada"), &["plan"]) }).await
            }
        });
    for (answer, application) in futures::future::join_all(asked).await.into_iter().zip(&applications) {
        assert_eq!(answer, Answer::found(Map::from_iter([("plan".to_owned(), json!(application))])));
    }
}

#[tokio::test]
async fn a_process_that_does_not_fit_is_not_asked_for_claims() {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    for (described, fits) in [
        (DescribeResponse { sets: texts(&["plan", "seats", "title"]), ..DescribeResponse::default() }, true),
        (DescribeResponse { sets: texts(&["plan"]), ..DescribeResponse::default() }, false),
        (DescribeResponse { identifiers: texts(&["user_id", "email"]), ..DescribeResponse::default() }, true),
        (DescribeResponse { identifiers: texts(&["phone"]), ..DescribeResponse::default() }, false),
    ] {
        let script = finds_gold().describing(described.clone());
        let answer = answer(script.clone()).await;
        assert_eq!(answer == gold(), fits, "{described:?}: {answer:?}");
        assert_eq!(script.calls().contains(&"fetch"), fits);
        assert!(fits || matches!(answer, Answer::Malformed(_)), "{answer:?}");
    }
}

#[tokio::test]
async fn settings_that_the_process_refuses_are_told_by_the_operators_own_word() {
    let place = Place::new(json!({"settings": {"table": "s3cret"}}), &[]).await;
    let script = finds_gold();
    let _process = Process::on(&place.socket(), script.clone());
    let problem = |key: &str| Problem { key: key.into(), wrong: "is s3cret".into(), right: String::new() };
    for (key, told) in [
        ("table", "Malformed(Why(\"the process refuses the setting table\"))"),
        ("s3cret", "Malformed(Why(\"the process refuses the settings\"))"),
        ("", "Malformed(Why(\"the process refuses the settings\"))"),
    ] {
        *script.problems.lock().unwrap() = vec![problem(key)];
        assert_eq!(format!("{:?}", place.ask().await), told);
    }
    assert!(!script.calls().contains(&"fetch"));
    script.problems.lock().unwrap().clear();
    assert_eq!(place.ask().await, gold(), "once it is put right, it is asked");
}
