//! The pages: paths to views.
//!
//! Not here: connections (`server.rs`), what is shown (`views.rs`). Tested: `tests/admin.rs`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use baleen_base::WorkerId;
use serde::Serialize;

use crate::views::Views;

/// What `/` says.
const INDEX: &str = "\
Baleen admin. All pages are read-only.

/metrics               Prometheus text
/healthz               200 while the process is alive
/readyz                200 when traffic may come, else 503 with the reasons; JSON
/clusters              clusters and their endpoints; JSON
/namers                namers, and how each stands with its registry; JSON
/explain?name=/svc/web where a name leads, step by step; &dtab= for an override; JSON
/recording?worker=0    flight recorder of a worker, to be replayed; binary
";

/// All pages.
pub(crate) fn router<V: Views>(views: Arc<V>) -> Router {
    Router::new()
        .route("/", get(|| async { text(StatusCode::OK, INDEX) }))
        .route("/healthz", get(|| async { text(StatusCode::OK, "ok\n") }))
        .route("/readyz", get(readyz::<V>))
        .route("/metrics", get(metrics::<V>))
        .route("/clusters", get(clusters::<V>))
        .route("/namers", get(namers::<V>))
        .route("/explain", get(explain::<V>))
        .route("/recording", get(recording::<V>))
        .fallback(|| async { text(StatusCode::NOT_FOUND, "no such page; / lists them\n") })
        .method_not_allowed_fallback(|| async {
            text(StatusCode::METHOD_NOT_ALLOWED, "all pages are read-only: GET or HEAD\n")
        })
        .with_state(views)
}

fn text(status: StatusCode, body: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec_pretty(value) {
        Ok(mut body) => {
            body.push(b'\n');
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(_) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, "the view could not be written as JSON\n")
        }
    }
}

async fn metrics<V: Views>(State(views): State<Arc<V>>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], views.metrics()).into_response()
}

/// The body of `/readyz`.
#[derive(Serialize)]
struct Ready {
    ready: bool,
    reasons: Vec<String>,
    warnings: Vec<String>,
}

async fn readyz<V: Views>(State(views): State<Arc<V>>) -> Response {
    let now = views.ready();
    let ready = now.ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &Ready { ready, reasons: now.reasons, warnings: now.warnings })
}

async fn clusters<V: Views>(State(views): State<Arc<V>>) -> Response {
    json(StatusCode::OK, &views.clusters().await)
}

async fn namers<V: Views>(State(views): State<Arc<V>>) -> Response {
    json(StatusCode::OK, &views.namers().await)
}

async fn explain<V: Views>(State(views): State<Arc<V>>, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    let (mut name, mut dtab) = (None, String::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "name" => name = Some(value.into_owned()),
            "dtab" => dtab = value.into_owned(),
            _ => {}
        }
    }
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    let Some(name) = name else {
        return text(StatusCode::BAD_REQUEST, "say which name: /explain?name=/svc/web\n");
    };
    match views.explain(name, dtab).await {
        Ok(body) => {
            (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(why) => (StatusCode::BAD_REQUEST, plain, format!("{why}\n")).into_response(),
    }
}

async fn recording<V: Views>(State(views): State<Arc<V>>, uri: Uri) -> Response {
    let worker = uri.query().and_then(|q| q.strip_prefix("worker=")?.parse().ok());
    let Some(worker) = worker else {
        return text(StatusCode::BAD_REQUEST, "say which worker: /recording?worker=0\n");
    };
    match views.recording(WorkerId(worker)).await {
        Some(bytes) => {
            let name = format!("attachment; filename=\"worker-{worker}.baleen-recording\"");
            let kind = "application/octet-stream".to_owned();
            ([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], bytes)
                .into_response()
        }
        None => text(StatusCode::NOT_FOUND, "there is no such worker\n"),
    }
}
