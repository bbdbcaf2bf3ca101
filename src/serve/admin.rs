//! The admin listener: metrics and health over plain HTTP, for scrapers and probes. It changes nothing and tells nothing
//! of a user, and so asks nobody who they are.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::watch;

use crate::observe::Metrics;

/// What OpenMetrics 1.0 calls its text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Shown {
    metrics: Arc<Metrics>,
    serving: watch::Receiver<bool>,
}

/// The pages of the admin listener. `serving`: whether requests are taken.
pub(super) fn pages(metrics: Arc<Metrics>, serving: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready_page))
        .with_state(Shown { metrics, serving })
}

async fn metrics_page(State(shown): State<Shown>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], shown.metrics.text())
}

async fn ready_page(State(shown): State<Shown>) -> impl IntoResponse {
    if *shown.serving.borrow() {
        (StatusCode::OK, "serving\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not serving\n")
    }
}
