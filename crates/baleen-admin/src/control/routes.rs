//! The control interface's requests: who may ask, what is asked, what is answered.
//!
//! Not here: connections (`server.rs`), JSON of a fault (`spec.rs`). Tested: `tests/control.rs`.

use std::hint::black_box;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Router, http};
use serde::Serialize;
use serde_json::json;

use super::spec::check_name;
use super::{BODY_BYTES_MAX, Control, FaultSpec, FaultView, Refused, Token};

/// All requests; those about tables, too, where there are any.
pub(super) fn router<C: Control>(
    control: Arc<C>,
    token: Option<Token>,
    tables: Option<Router>,
) -> Router {
    let gate = middleware::from_fn_with_state(Arc::new(token), gate);
    Router::new()
        .route("/faults", get(list::<C>).delete(delete_all::<C>))
        .route("/faults/{name}", put(put_one::<C>).delete(delete::<C>))
        .route("/faults/{name}/renew", post(renew::<C>))
        .route("/held/{namer}", axum::routing::delete(release_all::<C>))
        .route("/held/{namer}/{*service}", axum::routing::delete(release::<C>))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(control)
        .merge(tables.unwrap_or_default())
        .fallback(|| async {
            let said = "no such path; there is /faults, /held/NAMER and, with a store of tables, /api/1/dtabs";
            refusal(StatusCode::NOT_FOUND, said)
        })
        .method_not_allowed_fallback(|| async {
            let said = "no such method: GET and DELETE /faults, PUT and DELETE /faults/NAME, POST /faults/NAME/renew; \
                        DELETE /held/NAMER and /held/NAMER/SERVICE; \
                        GET /api/1/dtabs, GET, PUT, POST and DELETE /api/1/dtabs/NS";
            refusal(StatusCode::METHOD_NOT_ALLOWED, said)
        })
        .layer(gate)
}

/// Browsers are refused, so that no page that someone happens to look at can ask for faults; then the token is looked at.
async fn gate(State(token): State<Arc<Option<Token>>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let agent = headers.get(header::USER_AGENT).map(http::HeaderValue::as_bytes);
    if headers.contains_key(header::ORIGIN) || agent.is_some_and(|a| a.starts_with(b"Mozilla/")) {
        return refusal(StatusCode::FORBIDDEN, "browsers are refused");
    }
    if let Some(token) = &*token
        && !knows(headers, token)
    {
        let said = "the token is missing or wrong: send it as `Authorization: Bearer TOKEN`";
        let mut answer = refusal(StatusCode::UNAUTHORIZED, said);
        let asks = http::HeaderValue::from_static("Bearer");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, asks);
        return answer;
    }
    next.run(request).await
}

fn knows(headers: &HeaderMap, token: &Token) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
    let split = |given: &[u8]| {
        let (scheme, rest) = given.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| same(rest, token.bytes()))
    };
    given.and_then(split).unwrap_or(false)
}

/// Takes as long whatever differs; only the length can be told from the time.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let differs = given.iter().zip(wanted).fold(0, |all, (a, b)| black_box(all | (a ^ b)));
    black_box(differs) == 0 && given.len() == wanted.len()
}

pub(super) fn refusal(status: StatusCode, said: &str) -> Response {
    answer(status, &json!({ "error": said, "status": status.as_u16() }))
}

pub(super) fn answer(status: StatusCode, value: &impl Serialize) -> Response {
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.push(b'\n');
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn refused(why: &Refused) -> Response {
    let (status, said) = match why {
        Refused::Wrong(said) => (StatusCode::BAD_REQUEST, said),
        Refused::Unknown(said) => (StatusCode::NOT_FOUND, said),
        Refused::Full(said) => (StatusCode::CONFLICT, said),
        Refused::Failed(said) => (StatusCode::INTERNAL_SERVER_ERROR, said),
    };
    refusal(status, said)
}

fn view(result: Result<FaultView, Refused>) -> Response {
    match result {
        Ok(view) => answer(StatusCode::OK, &view),
        Err(why) => refused(&why),
    }
}

fn done(result: Result<(), Refused>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(why) => refused(&why),
    }
}

/// The body of `GET /faults`.
#[derive(Serialize)]
struct List {
    faults: Vec<FaultView>,
}

async fn list<C: Control>(State(control): State<Arc<C>>) -> Response {
    answer(StatusCode::OK, &List { faults: control.list().await })
}

async fn put_one<C: Control>(
    State(control): State<Arc<C>>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(why) => return refusal(why.status(), &format!("the body: {why}")),
    };
    match check_name(&name).and_then(|()| FaultSpec::read(&body)) {
        Ok(spec) => view(control.put(name, spec).await),
        Err(why) => refusal(StatusCode::BAD_REQUEST, &why),
    }
}

async fn renew<C: Control>(State(control): State<Arc<C>>, Path(name): Path<String>) -> Response {
    view(control.renew(name).await)
}

async fn delete<C: Control>(State(control): State<Arc<C>>, Path(name): Path<String>) -> Response {
    done(control.delete(name).await)
}

async fn delete_all<C: Control>(State(control): State<Arc<C>>) -> Response {
    done(control.delete_all().await)
}

async fn release_all<C: Control>(
    State(control): State<Arc<C>>,
    Path(namer): Path<String>,
) -> Response {
    done(control.release(namer, None).await)
}

async fn release<C: Control>(
    State(control): State<Arc<C>>,
    Path((namer, service)): Path<(String, String)>,
) -> Response {
    done(control.release(namer, Some(service)).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_is_the_same() {
        assert!(same(b"secret", b"secret"));
        for other in [&b""[..], b"secre", b"secret1", b"sEcret", b"xxxxxx"] {
            assert!(!same(other, b"secret"), "{other:?}");
        }
    }
}
