//! The admin listener: metrics and health over plain HTTP, for scrapers and probes. It changes nothing and tells nothing
//! of a user, and so asks nobody who they are.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::watch;

use crate::audit::heads::Heads;
use crate::authority::Authority;

/// What OpenMetrics 1.0 calls its text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Shown {
    authority: Arc<Authority>,
    serving: watch::Receiver<bool>,
}

/// The pages of the admin listener. `serving`: whether requests are taken.
pub(super) fn pages(authority: Arc<Authority>, serving: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready_page))
        .route("/audit/heads", get(heads_page))
        .with_state(Shown { authority, serving })
}

async fn metrics_page(State(shown): State<Shown>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], shown.authority.metrics().text())
}

async fn ready_page(State(shown): State<Shown>) -> impl IntoResponse {
    if *shown.serving.borrow() {
        (StatusCode::OK, "serving\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not serving\n")
    }
}

/// The ends of audit logs, as the store knows them: what `countersign audit verify --head` takes.
async fn heads_page(State(shown): State<Shown>) -> Result<impl IntoResponse, StatusCode> {
    let store = Arc::clone(&shown.authority.store);
    let heads = Heads::new(store).read().await.map_err(|_away| StatusCode::SERVICE_UNAVAILABLE)?;
    let json = serde_json::to_string(&heads).map_err(|_never| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json))
}
