//! What bad input gets: an answer that names the limit, and nothing of the input in it.

use countersign::grpc::proto::{self, Reason};
use prost::Message as _;
use serde_json::{Value, json};
use tonic::Code;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use crate::harness::*;

/// Sends bytes as they are: what no generated client would.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = bytes::Buf::remaining(buffer);
        Ok(Some(bytes::Buf::copy_to_bytes(buffer, length).to_vec()))
    }
}

async fn raw(server: &Running, method: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    let mut client = tonic::client::Grpc::new(server.channel.clone());
    client.ready().await.unwrap();
    let path = format!("/countersign.v1.TokenAuthority/{method}").parse().unwrap();
    let request: Request<Vec<u8>> = from_billing(message);
    client.unary(request, path, Raw).await.map(tonic::Response::into_inner)
}

fn with(attributes_: Value) -> proto::SignRequest {
    sign_for(proto::Identity { attributes: Some(attributes(attributes_)), ..user("1") })
}

/// The violations, and that nothing of the input is in them.
async fn fields(server: &mut Running, request: proto::SignRequest) -> Vec<(String, String)> {
    let status = server.sign(request).await.unwrap_err();
    assert_eq!((status.code(), error(&status).1.as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert!(!format!("{status:?}").contains("HOSTILE"), "{status:?}");
    let details = status.get_error_details();
    let bad = details.bad_request().expect("fields are named");
    bad.field_violations.iter().map(|v| (v.field.clone(), v.description.clone())).collect()
}

#[tokio::test]
async fn one_more_than_each_limit_is_refused_by_field_and_limit() {
    let mut server = start().await;
    let company = |n: usize| proto::Company { id: n.to_string(), name: "n".to_owned(), ..Default::default() };
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let many: Value = (0..101).map(|n| (format!("a{n}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
    let sign = |identity| sign_for(identity);
    for (request, field, limit) in [
        (sign(user(&"x".repeat(513))), "identity.user_id", "512"),
        (sign(proto::Identity { email: "x".repeat(513), ..user("1") }), "identity.email", "512"),
        (sign(proto::Identity { name: "x".repeat(4_097), ..user("1") }), "identity.name", "4096"),
        (
            sign(proto::Identity { companies: (0..201).map(company).collect(), ..user("1") }),
            "identity.companies",
            "200",
        ),
        (
            sign(proto::Identity { companies: (0..10_000).map(company).collect(), ..user("1") }),
            "identity.companies",
            "200",
        ),
        (
            sign(proto::Identity {
                companies: vec![proto::Company { id: "x".repeat(513), ..Default::default() }],
                ..user("1")
            }),
            "identity.companies[0].id",
            "512",
        ),
        (with(many), "identity.attributes", "100"),
        (with(json!({"plan": "x".repeat(4_095)})), "identity.attributes.plan", "4096"),
        (with(json!({"plan": nested(17)})), "identity.attributes.plan", "16"),
        (with(json!({"HOSTILE\nname": 1, "plan": "\0"})), "identity.attributes.plan", "NUL"),
        (with(json!({"x".repeat(129): 1})), "identity.attributes", "128"),
        (proto::SignRequest { client: "x".repeat(129), ..sign(user("1")) }, "client", "128"),
        (proto::SignRequest { audience: "x".repeat(513), ..sign(user("1")) }, "audience", "512"),
        (proto::SignRequest { application: "x".repeat(513), ..sign(user("1")) }, "application", "512"),
        (proto::SignRequest { application: String::new(), ..sign(user("1")) }, "application", "required"),
        (sign(user("HOSTILE\0")), "identity.user_id", "NUL"),
        (proto::SignRequest { identity: None, ..sign(user("1")) }, "identity", "required"),
    ] {
        let found = fields(&mut server, request).await;
        assert!(found.iter().any(|(f, d)| f == field && d.contains(limit)), "{field} {limit}: {found:?}");
    }
    // Each at its limit is no violation of the limit.
    let status = server.sign(with(json!({"plan": nested(16)}))).await.unwrap_err();
    assert_eq!(error(&status).1, "CLAIM_TYPE_INVALID");
    server.sign(sign(user(&"x".repeat(512)))).await.unwrap();
}

#[tokio::test]
async fn numbers_that_readers_disagree_on_are_refused() {
    let mut server = start().await;
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 9_007_199_254_740_992.0, -1e300] {
        let value = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(number)) };
        let fields_ = [("seats".to_owned(), value)].into();
        let mut identity = user("1");
        identity.attributes = Some(prost_types::Struct { fields: fields_ });
        let found = fields(&mut server, sign_for(identity)).await;
        assert_eq!(found[0].0, "identity.attributes.seats", "{number}");
        let company = proto::Company {
            id: "c".to_owned(),
            name: "c".to_owned(),
            monthly_spend: Some(number),
            ..Default::default()
        };
        let found = fields(&mut server, sign_for(proto::Identity { companies: vec![company], ..user("1") })).await;
        assert_eq!(found[0].0, "identity.companies[0].monthly_spend", "{number}");
    }
}

#[tokio::test]
async fn times_out_of_range_are_refused() {
    let mut server = start().await;
    for (seconds, nanos) in
        [(253_402_300_800, 0), (-62_135_596_801, 0), (0, 1_000_000_000), (0, -1), (i64::MAX, i32::MAX)]
    {
        let created_at = Some(prost_types::Timestamp { seconds, nanos });
        let found = fields(&mut server, sign_for(proto::Identity { created_at, ..user("1") })).await;
        assert_eq!(found[0].0, "identity.created_at", "{seconds} {nanos}");
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_is_the_callers_fault() {
    let mut server = start().await;
    let good = sign_for(user("HOSTILE")).encode_to_vec();
    let mut not_utf8 = good.clone();
    let place = not_utf8.windows(7).position(|w| w == b"HOSTILE").unwrap();
    not_utf8[place] = 0xff;
    // Fields of Struct and Value, nested 10,000 deep: no client can build that, a few bytes per level can.
    let mut deep = vec![0x11, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f];
    for _ in 0..10_000 {
        let mut list = vec![0x0a];
        prost::encoding::encode_varint(deep.len() as u64, &mut list);
        list.append(&mut deep);
        let mut value = vec![0x32];
        prost::encoding::encode_varint(list.len() as u64, &mut value);
        value.append(&mut list);
        deep = value;
    }
    for (name, message) in [
        ("truncated", good[..good.len() - 3].to_vec()),
        ("not UTF-8", not_utf8),
        ("deep", wrap(&deep)),
        ("junk", vec![0xff; 100]),
    ] {
        let status = raw(&server, "Sign", message).await.unwrap_err();
        assert_eq!(
            (status.code(), error(&status).1.as_str()),
            (Code::InvalidArgument, "REQUEST_INVALID"),
            "{name}: {status:?}"
        );
        assert!(!status.message().contains("HOSTILE") && status.message().contains("16"), "{name}: {status:?}");
    }
    server.sign(sign_for(user("1"))).await.unwrap();
}

/// A SignRequest with one attribute whose value is these bytes.
fn wrap(value: &[u8]) -> Vec<u8> {
    let field = |tag: u8, content: &[u8]| {
        let mut bytes = vec![tag];
        prost::encoding::encode_varint(content.len() as u64, &mut bytes);
        bytes.extend_from_slice(content);
        bytes
    };
    let entry = [field(0x0a, b"plan"), field(0x12, value)].concat();
    let identity = [field(0x0a, b"1"), field(0x42, &field(0x0a, &entry))].concat();
    [field(0x0a, APP.as_bytes()), field(0x12, &identity)].concat()
}

#[tokio::test]
async fn oversize_is_exhaustion_with_the_limit() {
    let mut server = start().await;
    let status = server.verify(verify_jwt("HOSTILE".repeat(800_000))).await.unwrap_err();
    assert_eq!(error(&status), (Code::ResourceExhausted, "REQUEST_INVALID".to_owned(), vec![]));
    assert!(status.message().contains("4194304") && !status.message().contains("HOSTILE"));
    assert_eq!(server.why(verify_jwt("x".repeat(1_000_000))).await, Reason::TokenTooLarge);
    server.sign(sign_for(user("1"))).await.unwrap();
}

#[tokio::test]
async fn a_bad_item_of_a_batch_fails_alone() {
    let mut server = start().await;
    let requests = vec![
        sign_for(user("1")),
        sign_for(user("root")),
        proto::SignRequest { application: "other/app".to_owned(), ..sign_for(user("1")) },
        sign_for(user(&"x".repeat(513))),
        sign_for(user("2")),
    ];
    let batch = proto::BatchSignRequest { requests };
    let results = server.client.batch_sign(from_billing(batch)).await.unwrap().into_inner().results;
    let failure = |code: Code, reason: Reason| Some((code as i32, reason));
    let outcomes: Vec<_> = results
        .iter()
        .map(|result| match result.outcome.as_ref().unwrap() {
            proto::sign_result::Outcome::Response(_) => None,
            proto::sign_result::Outcome::Failure(f) => Some((f.code, f.reason())),
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            None,
            failure(Code::PermissionDenied, Reason::SubjectPrivileged),
            failure(Code::NotFound, Reason::ApplicationUnknown),
            failure(Code::InvalidArgument, Reason::RequestInvalid),
            None,
        ]
    );
    let proto::sign_result::Outcome::Failure(failure) = results[3].outcome.clone().unwrap() else { panic!() };
    assert_eq!(failure.fields[0].field, "identity.user_id");

    let requests = vec![verify_jwt(token(json!({}))), verify_jwt(""), proto::VerifyRequest::default()];
    let batch = proto::BatchVerifyRequest { requests };
    let results = server.client.batch_verify(from_billing(batch)).await.unwrap().into_inner().results;
    let outcomes: Vec<_> = results.into_iter().map(|result| result.outcome.unwrap()).collect();
    use proto::verify_result::Outcome;
    let verdict = |outcome: &Outcome| match outcome {
        Outcome::Response(response) => match response.outcome.as_ref().unwrap() {
            proto::verify_response::Outcome::Accepted(_) => Reason::Unspecified,
            proto::verify_response::Outcome::Refused(refused) => refused.reason(),
        },
        Outcome::Failure(failure) => failure.reason(),
    };
    let verdicts: Vec<_> = outcomes.iter().map(verdict).collect();
    assert_eq!(verdicts, [Reason::Unspecified, Reason::TokenMalformed, Reason::RequestInvalid]);

    let batch = proto::BatchLegacyHashRequest { requests: vec![hash_of("1"), hash_of(""), hash_of("2")] };
    let results = server.client.batch_legacy_hash(from_billing(batch)).await.unwrap().into_inner().results;
    let made = |result: &proto::LegacyHashResult| match result.outcome.as_ref().unwrap() {
        proto::legacy_hash_result::Outcome::Response(response) => response.user_hash.clone(),
        proto::legacy_hash_result::Outcome::Failure(_) => String::new(),
    };
    let hashes: Vec<_> = results.iter().map(made).collect();
    assert_eq!(hashes, [user_hash("1", IV_SECRET), String::new(), user_hash("2", IV_SECRET)]);
}

#[tokio::test]
async fn a_batch_has_a_thousand_items_at_most() {
    let mut server = start().await;
    let batch = |items: usize| proto::BatchVerifyRequest { requests: vec![verify_jwt("x"); items] };
    let full = server.client.batch_verify(from_billing(batch(1_000))).await.unwrap();
    assert_eq!(full.into_inner().results.len(), 1_000);
    let status = server.client.batch_verify(from_billing(batch(1_001))).await.unwrap_err();
    assert_eq!(error(&status), (Code::InvalidArgument, "REQUEST_INVALID".to_owned(), vec!["requests".to_owned()]));
}

#[tokio::test]
async fn millions_of_empty_elements_are_counted_before_they_are_built() {
    let mut server = start().await;
    // Two bytes each on the wire: requests of a batch, companies of an identity, company ids.
    let empties = |tag: u8, count: usize| [tag, 0].repeat(count);
    let companies = |count: usize| {
        let inner = empties(0x3a, count);
        let mut message = vec![0x12];
        prost::encoding::encode_varint(inner.len() as u64, &mut message);
        message.extend(inner);
        message
    };
    for (method, message) in [
        ("BatchSign", empties(0x0a, 2_000_000)),
        ("BatchVerify", empties(0x0a, 100_001)),
        ("Sign", companies(2_000_000)),
        ("LegacyHash", empties(0x22, 2_000_000)),
    ] {
        let status = raw(&server, method, message).await.unwrap_err();
        assert_eq!((status.code(), error(&status).1.as_str()), (Code::InvalidArgument, "REQUEST_INVALID"), "{method}");
        assert!(status.message().contains("100000 elements"), "{method}: {}", status.message());
    }
    // Below that, the limit of the field is the answer.
    let status = raw(&server, "BatchSign", empties(0x0a, 50_000)).await.unwrap_err();
    assert_eq!(error(&status).2, ["requests"]);
    server.sign(sign_for(user("1"))).await.unwrap();
}

#[tokio::test]
async fn many_violations_still_fit_into_the_headers_of_ordinary_clients() {
    let mut server = start().await;
    let names = |text: &str| (0..90).map(|n| (format!("{text}{n}"), json!(1))).collect::<serde_json::Map<_, _>>();
    for text in ["x".repeat(120), "é".repeat(60)] {
        let status = server.sign(with(Value::Object(names(&text)))).await.unwrap_err();
        assert!(!error(&status).2.is_empty());
        assert!(status.details().len() < 6_000, "{}", status.details().len());
    }
}

#[tokio::test]
async fn a_compression_that_is_not_taken_is_refused_without_an_echo() {
    let mut server = start().await;
    let mut request = from_billing(sign_for(user("1")));
    request.metadata_mut().insert("grpc-encoding", "hostile".parse().unwrap());
    let status = server.client.sign(request).await.unwrap_err();
    assert_eq!(error(&status), (Code::Unimplemented, "NOT_IMPLEMENTED".to_owned(), vec![]));
    assert!(!format!("{status:?}").contains("hostile"));
}
