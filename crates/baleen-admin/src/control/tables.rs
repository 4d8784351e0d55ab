//! Delegation tables over HTTP, with the paths, statuses and types of namerd's interface (`/api/1/dtabs`, linkerd 1.7).
//!
//! | request | does | answers |
//! |---|---|---|
//! | `GET /api/1/dtabs` | list namespaces | 200, a JSON list |
//! | `GET`, `HEAD /api/1/dtabs/NS` | show a table | 200 with `ETag`; 404 |
//! | `POST /api/1/dtabs/NS` | create one | 204; 409 when there is one |
//! | `PUT /api/1/dtabs/NS` | write one, with `If-Match` only over that version | 204; 412; 404 |
//! | `DELETE /api/1/dtabs/NS` | delete it | 204; 404; 412 |
//!
//! Tables are `application/dtab` (or `text/plain`), or JSON: `[{"prefix":"/svc","dst":"/#/etcd"}]`. More than namerd: a change that
//! would lose names is answered 422 and done with `?force=true`. Less: `?watch=true` is answered 501.
//!
//! Bounds: [`TABLE_BODY_BYTES_MAX`]. Not here: who may ask (`routes.rs`), stores (whoever implements [`Tables`]). Tested:
//! `tests/tables.rs`.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::routes::{answer, refusal};

/// Most bytes of a table in a request.
pub const TABLE_BODY_BYTES_MAX: usize = 512 * 1024;

/// One entry of a table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableEntry {
    /// What it matches.
    pub prefix: String,
    /// Where that leads.
    pub dst: String,
}

/// A table that somebody sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TableText {
    /// As text.
    Text(String),
    /// As entries.
    Entries(Vec<TableEntry>),
}

/// A table as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableView {
    /// As it was written.
    pub text: String,
    /// Its entries.
    pub entries: Vec<TableEntry>,
    /// Its version.
    pub version: u64,
}

/// Under which condition a table is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// In any case.
    Any,
    /// Only if there is none.
    Absent,
    /// Only if there is one.
    Present,
    /// Only if it has this version.
    Version(u64),
}

/// Why it is not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TableError {
    /// What is asked makes no sense: 400.
    Wrong(String),
    /// There is no such namespace: 404.
    Missing(String),
    /// There is one: 409. So is somebody's change that is on its way.
    Exists(String),
    /// It has changed: 412.
    Changed(String),
    /// It would lose names: 422.
    Refused(String),
    /// The store can't: 503.
    Failed(String),
}

/// Tables in a store.
pub trait Tables: Send + Sync + 'static {
    /// The names of all namespaces, in order.
    fn list(&self) -> impl Future<Output = Result<Vec<String>, TableError>> + Send;

    /// One table.
    fn get(&self, ns: String)
    -> impl Future<Output = Result<Option<TableView>, TableError>> + Send;

    /// Write a table; gives its version. `force`: even if names are lost.
    fn put(
        &self,
        ns: String,
        table: TableText,
        when: When,
        force: bool,
    ) -> impl Future<Output = Result<u64, TableError>> + Send;

    /// Delete a namespace.
    fn delete(&self, ns: String, when: When)
    -> impl Future<Output = Result<(), TableError>> + Send;
}

/// All requests about tables.
pub(super) fn router<T: Tables>(tables: Arc<T>) -> Router {
    let one = get(show::<T>).put(put::<T>).post(post::<T>).delete(delete::<T>);
    Router::new()
        .route("/api/1/dtabs", get(list::<T>))
        .route("/api/1/dtabs/", get(list::<T>))
        .route("/api/1/dtabs/{ns}", one)
        .layer(DefaultBodyLimit::max(TABLE_BODY_BYTES_MAX))
        .layer(middleware::from_fn(no_watch))
        .with_state(tables)
}

/// Whoever wants to be told of changes must not take one answer for all of them.
async fn no_watch(request: Request, next: Next) -> Response {
    if is_set(request.uri(), "watch") {
        let said =
            "changes are not streamed here; follow the store itself, or ask again with the ETag";
        return refusal(StatusCode::NOT_IMPLEMENTED, said);
    }
    next.run(request).await
}

fn is_set(uri: &Uri, name: &str) -> bool {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    pairs.any(|pair| pair.strip_prefix(name).is_some_and(|v| matches!(v, "=true" | "=1")))
}

fn refused(why: &TableError) -> Response {
    let (status, said) = match why {
        TableError::Wrong(said) => (StatusCode::BAD_REQUEST, said),
        TableError::Missing(said) => (StatusCode::NOT_FOUND, said),
        TableError::Exists(said) => (StatusCode::CONFLICT, said),
        TableError::Changed(said) => (StatusCode::PRECONDITION_FAILED, said),
        TableError::Refused(said) => (StatusCode::UNPROCESSABLE_ENTITY, said),
        TableError::Failed(said) => (StatusCode::SERVICE_UNAVAILABLE, said),
    };
    refusal(status, said)
}

/// Media types of tables, as both sides write them.
#[derive(Clone, Copy)]
enum Kind {
    Json,
    Dtab,
    Text,
}

impl Kind {
    /// Of a media type, whatever its parameters.
    fn of(text: &str) -> Option<Kind> {
        let name = text.split(';').next().unwrap_or_default().trim();
        let is = |kind: &str| name.eq_ignore_ascii_case(kind);
        let known = [("application/json", Kind::Json), ("application/dtab", Kind::Dtab)];
        let known = known.into_iter().chain([("text/plain", Kind::Text), ("*/*", Kind::Json)]);
        known.into_iter().find(|(name, _)| is(name)).map(|(_, kind)| kind)
    }

    /// The first that is known of what somebody accepts; else JSON.
    fn accepted(headers: &HeaderMap) -> Kind {
        let texts = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
        texts.flat_map(|text| text.split(',')).find_map(Kind::of).unwrap_or(Kind::Json)
    }

    const fn name(self) -> &'static str {
        match self {
            Kind::Json => "application/json",
            Kind::Dtab => "application/dtab",
            Kind::Text => "text/plain",
        }
    }
}

fn tag(version: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// What `If-Match` wants. A tag that was never ours matches nothing.
fn condition(headers: &HeaderMap) -> When {
    let Some(value) = headers.get(header::IF_MATCH) else { return When::Any };
    match value.to_str().unwrap_or_default().trim() {
        "*" => When::Present,
        text => {
            let bare = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
            When::Version(bare.parse().unwrap_or(0))
        }
    }
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<TableText, String> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = Kind::of(given).filter(|_| !given.starts_with('*'));
    match kind {
        None => Err(format!(
            "Content-Type {given:?}: a table is application/dtab, text/plain or application/json"
        )),
        Some(Kind::Json) => serde_json::from_slice(body)
            .map(TableText::Entries)
            .map_err(|e| format!("expected a list of {{\"prefix\": …, \"dst\": …}}: {e}")),
        Some(Kind::Dtab | Kind::Text) => String::from_utf8(body.to_vec())
            .map(TableText::Text)
            .map_err(|e| format!("the table is not UTF-8: {e}")),
    }
}

async fn list<T: Tables>(State(tables): State<Arc<T>>) -> Response {
    match tables.list().await {
        Ok(names) => answer(StatusCode::OK, &names),
        Err(why) => refused(&why),
    }
}

async fn show<T: Tables>(
    State(tables): State<Arc<T>>,
    Path(ns): Path<String>,
    headers: HeaderMap,
) -> Response {
    let view = match tables.get(ns.clone()).await {
        Ok(Some(view)) => view,
        Ok(None) => return refused(&TableError::Missing(format!("there is no namespace `{ns}`"))),
        Err(why) => return refused(&why),
    };
    let kind = Kind::accepted(&headers);
    let mut body = match kind {
        Kind::Json => serde_json::to_string(&view.entries).unwrap_or_default(),
        Kind::Dtab | Kind::Text => view.text,
    };
    body.push('\n');
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind.name())),
        (header::ETAG, tag(view.version)),
    ];
    (StatusCode::OK, fields, body).into_response()
}

async fn put<T: Tables>(
    State(tables): State<Arc<T>>,
    Path(ns): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let when = condition(&headers);
    write(&*tables, ns, when, &uri, &headers, body).await
}

async fn post<T: Tables>(
    State(tables): State<Arc<T>>,
    Path(ns): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    write(&*tables, ns, When::Absent, &uri, &headers, body).await
}

async fn write<T: Tables>(
    tables: &T,
    ns: String,
    when: When,
    uri: &Uri,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(why) => return refusal(why.status(), &format!("the body: {why}")),
    };
    let table = match read(headers, &body) {
        Ok(table) => table,
        Err(why) => return refused(&TableError::Wrong(why)),
    };
    match tables.put(ns, table, when, is_set(uri, "force")).await {
        Ok(version) => (StatusCode::NO_CONTENT, [(header::ETAG, tag(version))]).into_response(),
        Err(why) => refused(&why),
    }
}

async fn delete<T: Tables>(
    State(tables): State<Arc<T>>,
    Path(ns): Path<String>,
    headers: HeaderMap,
) -> Response {
    match tables.delete(ns, condition(&headers)).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(why) => refused(&why),
    }
}
