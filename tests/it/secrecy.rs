//! No secret, token or identifier reaches a log line, an error or a formatted configuration.

use std::io::Write;
use std::sync::{Arc, Mutex};

use countersign::grpc::proto;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::harness::*;

/// A log that is kept.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Kept {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_full_run_at_the_finest_level_shows_no_secret() {
    let kept = Kept::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(kept.clone()).finish();
    // Everything of this test runs on this thread, so its log and nobody else's is kept.
    let guard = tracing::subscriber::set_default(subscriber);

    let setup = Setup::default();
    let debugged = format!("{:?}", setup.check().unwrap());
    let mut server = setup.start().await;
    let secret_id = "SUBJECT-123456";
    let signed = server.sign(sign_for(user(secret_id))).await.unwrap();
    server.accepted(verify_jwt(&signed.token)).await;
    let hash = server.hash(hash_of(secret_id)).await.unwrap().user_hash;
    server.accepted(verify_hash(secret_id, &hash)).await;
    let legacy = Some(proto::LegacyProof { user_hash: hash.clone(), ..Default::default() });
    let exchange = proto::ExchangeRequest {
        application: APP.to_owned(),
        legacy,
        asserted: Some(user(secret_id)),
        ..Default::default()
    };
    server.exchange(exchange).await.unwrap();
    server.why(verify_jwt(token(json!({"userId": 1, "email": secret_id})))).await;
    server.why(verify_hash(secret_id, user_hash("x", JWT_SECRET))).await;
    let diagnose = proto::DiagnoseRequest {
        application: APP.to_owned(),
        user_hash: user_hash(secret_id, JWT_SECRET),
        asserted: Some(user(secret_id)),
        suspected_secret: b"SUSPECTED-SECRET".to_vec(),
        ..Default::default()
    };
    let diagnosed = server.client.diagnose(from_billing(diagnose)).await.unwrap().into_inner();
    let unknown = proto::SignRequest { application: "SUBJECT-123456/app".to_owned(), ..sign_for(user(secret_id)) };
    let refused = server.sign(unknown).await.unwrap_err();
    drop(guard);

    let log = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("Decided") && log.contains("billing") && log.contains("jwt-2026"), "{log}");
    let told = format!("{debugged}\n{log}\n{diagnosed:?}\n{refused:?}");
    let signature = signed.token.rsplit('.').next().unwrap();
    for hidden in [JWT_SECRET, IV_SECRET, TOKEN, secret_id, "SUSPECTED-SECRET", &hash, signature] {
        assert!(!told.contains(hidden), "{hidden} is in: {}", told.lines().find(|line| line.contains(hidden)).unwrap());
        let bytes = hidden.bytes().map(|b| b.to_string()).collect::<Vec<_>>().join(", ");
        assert!(!told.contains(&bytes), "the bytes of {hidden}");
    }
}
