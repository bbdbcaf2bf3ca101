//! What the answers of a process mean, and how much of one is taken.

use std::time::Duration;

use countersign_claim_source::Answer;
use countersign_claim_source::conformance::ask;
use prost::Message as _;
use serde_json::json;
use tonic::{Code, Status};

use crate::place::{Place, answer, finds_gold, gold};
use crate::server::proto::fetch_response::Outcome;
use crate::server::proto::{Denied, DescribeResponse, FetchResponse, Found, Malformed, NotFound, Unavailable};
use crate::server::{Process, Script, found, outcome};

/// Bytes of the largest answer to Fetch.
const CLAIMS_BYTES: usize = 1024 * 1024;
/// Bytes of the largest answer to Describe.
const DESCRIPTION_BYTES: usize = 64 * 1024;

#[tokio::test]
async fn every_outcome_has_its_meaning() {
    let code = || "HTTP 503: go away, you <b>".to_owned();
    for (response, told) in [
        (outcome(Outcome::NotFound(NotFound {})), "NotFound"),
        (
            outcome(Outcome::Unavailable(Unavailable { code: code() })),
            "Unavailable(Why(\"the process cannot answer now HTTP503goawayyou\"))",
        ),
        (outcome(Outcome::Unavailable(Unavailable::default())), "Unavailable(Why(\"the process cannot answer now\"))"),
        (
            outcome(Outcome::Denied(Denied { code: code() })),
            "Denied(Why(\"the process refuses to answer HTTP503goawayyou\"))",
        ),
        (
            outcome(Outcome::Malformed(Malformed { code: code() })),
            "Malformed(Why(\"the process read what it should not HTTP503goawayyou\"))",
        ),
        (FetchResponse { outcome: None }, "Malformed(Why(\"the process gave no outcome that is known here\"))"),
    ] {
        assert_eq!(format!("{:?}", answer(Script::always(Ok(response))).await), told);
    }
}

#[tokio::test]
async fn every_grpc_status_has_its_meaning() {
    for (code, meaning) in [
        (Code::NotFound, "NotFound"),
        (Code::Unavailable, "Unavailable"),
        (Code::DeadlineExceeded, "Unavailable"),
        (Code::ResourceExhausted, "Unavailable"),
        (Code::Cancelled, "Unavailable"),
        (Code::Aborted, "Unavailable"),
        (Code::PermissionDenied, "Denied"),
        (Code::Unauthenticated, "Denied"),
        (Code::Unknown, "Malformed"),
        (Code::InvalidArgument, "Malformed"),
        (Code::AlreadyExists, "Malformed"),
        (Code::FailedPrecondition, "Malformed"),
        (Code::OutOfRange, "Malformed"),
        (Code::Unimplemented, "Malformed"),
        (Code::Internal, "Malformed"),
        (Code::DataLoss, "Malformed"),
    ] {
        let answer = format!("{:?}", answer(Script::always(Err(Status::new(code, "ada's secret")))).await);
        assert!(answer.starts_with(meaning), "{code:?}: {answer}");
        assert!(!answer.contains("secret"), "the process's own text is not shown: {answer}");
    }
}

#[tokio::test]
async fn what_was_not_set_or_is_not_wanted_is_dropped() {
    let script = Script::finds(r#"{"plan": "Gold", "seats": null, "user_id": "root", "iss": "me"}"#);
    assert_eq!(answer(script.clone()).await, gold());
    let place = Place::new(json!({}), &[]).await;
    let _process = Process::on(&place.socket(), script);
    let seats = place.source.claims(&ask(Some("ada"), &["seats", "iss"])).await;
    assert_eq!(seats, Answer::NotFound, "null is absent, and nothing else was wanted");
}

#[tokio::test]
async fn claims_that_are_no_object_with_each_claim_once_are_malformed() {
    for json in
        ["", "[]", "\"Gold\"", r#"{"plan": "Gold""#, r#"{"plan": "Gold", "plan": "Free"}"#, "{\"plan\": \"\u{0}\"}"]
    {
        let answer = answer(Script::finds(json)).await;
        assert!(matches!(answer, Answer::Malformed(_)), "{json}: {answer:?}");
    }
}

#[tokio::test]
async fn freshness_is_from_nothing_to_a_year() {
    let year = 365 * 24 * 60 * 60;
    for (seconds, nanos, fresh) in [
        (0, 0, Some(Duration::ZERO)),
        (1, 500_000_000, Some(Duration::from_millis(1500))),
        (year, 0, Some(Duration::from_secs(31_536_000))),
        (year, 1, None),
        (-1, 0, None),
        (0, -1, None),
        (i64::MAX, 0, None),
    ] {
        let found = Found {
            claims_json: br#"{"plan": "Gold"}"#.to_vec(),
            fresh_for: Some(prost_types::Duration { seconds, nanos }),
        };
        let answer = answer(Script::always(Ok(outcome(Outcome::Found(found))))).await;
        let kept = if let Answer::Found { fresh_for, .. } = answer {
            fresh_for
        } else {
            assert!(matches!(answer, Answer::Malformed(_)), "{answer:?}");
            None
        };
        assert_eq!(kept, fresh, "{seconds} s and {nanos} ns");
    }
}

#[tokio::test]
async fn one_byte_of_an_answer_too_many_is_malformed() {
    let of = |text: usize| found(json!({"plan": "x".repeat(text)}).to_string());
    let most = CLAIMS_BYTES - (of(CLAIMS_BYTES / 2).encoded_len() - CLAIMS_BYTES / 2);
    assert_eq!(of(most).encoded_len(), CLAIMS_BYTES);
    let largest = answer(Script::always(Ok(of(most)))).await;
    assert!(matches!(largest, Answer::Found { .. }), "the largest one is taken");
    let over = answer(Script::always(Ok(of(most + 1)))).await;
    assert!(matches!(over, Answer::Malformed(_)), "{over:?}");
}

#[tokio::test]
async fn one_byte_of_a_description_too_many_is_malformed() {
    let described = |name: usize| DescribeResponse { name: "x".repeat(name), ..DescribeResponse::default() };
    let most = DESCRIPTION_BYTES - (described(DESCRIPTION_BYTES / 2).encoded_len() - DESCRIPTION_BYTES / 2);
    assert_eq!(described(most).encoded_len(), DESCRIPTION_BYTES);
    assert_eq!(answer(finds_gold().describing(described(most))).await, gold());
    let over = answer(finds_gold().describing(described(most + 1))).await;
    assert!(matches!(over, Answer::Malformed(_)), "{over:?}");
}

#[tokio::test]
async fn endless_headers_are_given_up() {
    let answer = answer(Script::always(Err(Status::unavailable("x".repeat(100_000))))).await;
    assert!(matches!(answer, Answer::Unavailable(_)), "{answer:?}");
}
