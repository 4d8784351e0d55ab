//! Every stage of the request path over two faces: HTTP/1.1's own, and `http::request::Parts`, which is what HTTP/2 brings.
//! One table of requests goes through both, and each stage has to say the same. That is the proof that another protocol can
//! join without a change to a stage.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use baleen_base::Tick;
use baleen_config::KeySource;
use baleen_http1::{Known, Limits, Parsed, RequestHead, RequestOptions, ResponseHead};
use baleen_proxy::access_log::Entry;
use baleen_proxy::answer::{Answer, Context, Disclose, Why};
use baleen_proxy::directory::Directory;
use baleen_proxy::edits::Edits;
use baleen_proxy::effects::{Effects, FieldEdits, Own, Redirect};
use baleen_proxy::facts::{self, Onward, Said, Sender};
use baleen_proxy::forward::{self, ConnInfo, RequestId, Source, TrustParams, client_address};
use baleen_proxy::hash::Secret;
use baleen_proxy::head::{
    FieldView, HeadView, Http1Request, Http1Response, Protocol, Scheme, indices,
};
use baleen_proxy::hints;
use baleen_proxy::identify::{
    Does, FieldPattern, Hit, HostPattern, Naming, PathPattern, Rule, Template, ValuePattern,
};
use baleen_proxy::names::Nowhere;
use http::{HeaderMap, HeaderName, HeaderValue, Version};

/// The wall clock.
const UNIX_NANOS: u64 = 1_700_000_000_000_000_000;

/// The second face: what `http` and `h2` hand over. Names are looked at once, as the codec does.
struct MapFields<'a> {
    version: Version,
    fields: Vec<(&'a HeaderName, &'a HeaderValue, Known)>,
}

impl<'a> MapFields<'a> {
    fn new(version: Version, map: &'a HeaderMap) -> MapFields<'a> {
        let fields = map.iter().map(|(n, v)| (n, v, Known::of(n.as_str().as_bytes()))).collect();
        MapFields { version, fields }
    }
}

impl FieldView for MapFields<'_> {
    fn protocol(&self) -> Protocol {
        match self.version {
            Version::HTTP_2 => Protocol::Http2,
            Version::HTTP_10 => Protocol::Http10,
            _ => Protocol::Http11,
        }
    }

    fn field_count(&self) -> usize {
        self.fields.len()
    }

    fn field(&self, i: usize) -> (&[u8], &[u8]) {
        let field = self.fields.get(i);
        field.map_or((&[], &[]), |(n, v, _)| (n.as_str().as_bytes(), v.as_bytes()))
    }

    fn known(&self, i: usize) -> Known {
        self.fields.get(i).map_or(Known::Other, |f| f.2)
    }
}

struct MapRequest<'a> {
    parts: &'a http::request::Parts,
    fields: MapFields<'a>,
}

impl FieldView for MapRequest<'_> {
    fn protocol(&self) -> Protocol {
        self.fields.protocol()
    }
    fn field_count(&self) -> usize {
        self.fields.field_count()
    }
    fn field(&self, i: usize) -> (&[u8], &[u8]) {
        self.fields.field(i)
    }
    fn known(&self, i: usize) -> Known {
        self.fields.known(i)
    }
}

impl HeadView for MapRequest<'_> {
    fn method(&self) -> &[u8] {
        self.parts.method.as_str().as_bytes()
    }
    fn scheme(&self) -> Scheme {
        Scheme::Http
    }
    fn authority(&self) -> Option<&[u8]> {
        let from_target = self.parts.uri.authority().map(|a| a.as_str().as_bytes());
        from_target.or(self.first(Known::Host))
    }
    fn path_and_query(&self) -> &[u8] {
        self.parts.uri.path_and_query().map_or(b"", |p| p.as_str().as_bytes())
    }
}

/// Fields in an order that does not depend on the face: by name in lower case, those of one name as they came.
fn sorted<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<(String, String)> {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let mut fields: Vec<_> = fields.map(|(n, v)| (text(n).to_ascii_lowercase(), text(v))).collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}

/// What the stages make of one request.
#[derive(PartialEq, Debug)]
struct Seen {
    name: Result<(String, Hit), String>,
    /// Where it is redirected to, and what is sent on.
    by_rule: (String, Option<String>),
    said: Said,
    hash: (u32, u64, u64, u64),
    client: IpAddr,
    request_id: Vec<u8>,
    is_loop: bool,
    fields: Vec<(String, String)>,
    log: String,
}

/// What a rule does besides naming.
fn effects() -> Effects {
    Effects {
        path: Some("/new".into()),
        host: Some("inner".into()),
        request: FieldEdits {
            remove: ["cookie".into(), "x-tenant".into()].into(),
            add: [("X-Tenant".into(), "a".into())].into(),
        },
        response: FieldEdits::default(),
    }
}

fn naming() -> Naming {
    let rule = |host: Option<&str>, path: Option<&str>, name: &str| Rule {
        host: host.map(|h| HostPattern::parse(h).expect("a host")),
        path: path.map(|p| PathPattern::parse(p).expect("a path")),
        priority: path.map(|_| 1),
        ..Rule::new(Template::parse(name).expect("a name"))
    };
    let redirect = Redirect::parse(308, "https://{host}{path}").expect("an address");
    let agent =
        FieldPattern { name: "user-agent".into(), value: ValuePattern::Begins("old".into()) };
    let rules = vec![
        Rule { methods: ["PUT".into()].into(), ..rule(None, Some("/a"), "/svc/{method}/{path:2}") },
        Rule {
            does: Does::Own(Own::Redirect(redirect)),
            fields: [agent].into(),
            ..rule(None, None, "/svc/x")
        },
        Rule { effects: effects(), ..rule(None, Some("/cart"), "{header:l5d-name}") },
        rule(Some("*.example.com"), Some("/images"), "/svc/images"),
        rule(None, Some("/health"), "/svc/health"),
    ];
    Naming::new(rules, Some(Template::parse("/svc/{host}").expect("a name")))
}

/// All stages over one face.
fn seen(view: &impl HeadView, trust: TrustParams) -> Seen {
    let mut name = String::new();
    let naming = naming();
    let named = naming.name(view, trust.trusted_hops > 0, &mut name);
    let conn = ConnInfo::new(SocketAddr::from(([192, 0, 2, 9], 4711)), view.scheme());
    let id = RequestId::of(view, trust, || [1, 2]);
    let mut edits = Edits::new();
    let sender = Sender {
        trusted: trust.trusted_hops > 0,
        skew: Duration::from_millis(100),
        now: Tick::ZERO,
    };
    let said = facts::said(view, sender, || UNIX_NANOS);
    let secret = Secret::new(1);
    let address = client_address(view, trust, &conn);
    let key = |by: &KeySource| facts::key(&secret, by, view, address);
    let cookie = KeySource::Cookie("b".to_owned());
    let hash = (
        facts::fingerprint(&secret, view),
        key(&KeySource::Address),
        key(&KeySource::Header("accept".to_owned())),
        facts::sticky(&cookie, view, address),
    );
    let client = forward::request(view, &conn, trust, &id, false, &mut edits);
    let left = (said.deadline != Tick::NEVER).then(|| said.deadline.since(Tick::ZERO));
    let onward = Onward { left, forms: said.forms, priority: said.priority, attempt: 2 };
    facts::onward(view, &onward, || UNIX_NANOS, &mut edits);
    assert_eq!(client, client_address(view, trust, &conn));
    edits.set(view, "X-Set", b"ours");
    effects().request.apply(view, &mut edits);
    let mut location = Vec::new();
    let to = Redirect::parse(308, "https://{host}/x{rest}").expect("an address");
    let cart = PathPattern::parse("/cart");
    to.push(view, cart.as_ref(), None, &mut location);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("ASCII");
    let by_rule = (text(location), effects().target(view, cart.as_ref()).map(text));
    let mut log = Vec::new();
    let entry = Entry {
        unix_ms: 0,
        listener: "l",
        client,
        method: view.method(),
        host: view.authority().unwrap_or_default(),
        path: view.path_and_query(),
        status: 200,
        bytes_in: 0,
        bytes_out: 0,
        duration_us: 0,
        ttfb_us: None,
        route: &name,
        cluster: "",
        endpoint: "",
        attempts: 1,
        request_id: id.as_bytes(),
        outcome: "ok",
    };
    entry.push(&mut log);
    Seen {
        name: named.map(|hit| (name.clone(), hit)).map_err(|e| format!("{e:?}")),
        by_rule,
        said,
        hash,
        client,
        request_id: id.as_bytes().to_vec(),
        is_loop: forward::is_loop(view),
        fields: sorted(edits.apply(view)),
        log: String::from_utf8(log).expect("lines are UTF-8"),
    }
}

/// A head as text to one of `http`'s.
fn map_of(lines: &[&str]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("a field line");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a field name");
        map.append(
            name,
            HeaderValue::from_bytes(value.trim_ascii().as_bytes()).expect("a field value"),
        );
    }
    map
}

/// Both faces of a request say the same; returns what they say.
fn check(text: &str, trust: TrustParams) -> Seen {
    let lines: Vec<&str> = text.lines().collect();
    let buf = format!("{}\r\n\r\n", lines.join("\r\n"));
    let mut head = RequestHead::new();
    let parsed = head.parse(buf.as_bytes(), &Limits::default(), &RequestOptions::default());
    assert_eq!(parsed, Ok(Parsed::Complete { consumed: buf.len() }), "{text}");
    let spans = Http1Request { head: &head, buf: buf.as_bytes(), scheme: Scheme::Http };

    let mut words = lines[0].split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let mut request =
        http::Request::builder().method(method.expect("a method")).uri(target.expect("a target"));
    request = request.version(if version == Some("HTTP/1.0") {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    });
    let (mut parts, ()) = request.body(()).expect("a request").into_parts();
    parts.headers = map_of(&lines[1..]);
    let map = MapRequest { fields: MapFields::new(parts.version, &parts.headers), parts: &parts };

    let here = |view: &dyn FieldView| {
        let names = |mask| {
            indices(mask).map(|i| String::from_utf8_lossy(view.field(i).0).to_ascii_lowercase())
        };
        let mut gone: Vec<_> = names(view.hop_by_hop()).collect();
        gone.sort();
        gone
    };
    assert_eq!(here(&spans), here(&map), "{text}");
    let (one, other) = (seen(&spans, trust), seen(&map, trust));
    assert_eq!(one, other, "{text}");
    one
}

const TRACE: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

const REQUESTS: &[&str] = &[
    "GET / HTTP/1.1\nHost: web",
    "GET /images/1?x=%20 HTTP/1.1\nHost: A.Example.COM:8080\nAccept: */*\naccept: text/html\nX-SET: theirs\nx-set: twice",
    "POST /health HTTP/1.1\nHost: [::1]:80\nContent-Length: 3",
    "GET /x HTTP/1.1\nHost: [::1]:80",
    "GET /../x HTTP/1.1\nHost: a",
    "GET /%2e%2e;/x HTTP/1.1\nHost: a",
    "GET //health HTTP/1.1\nHost: a",
    "GET / HTTP/1.0\nUser-Agent: old",
    "GET /images HTTP/1.0\nHost: b.example.com\nConnection: keep-alive",
    "OPTIONS * HTTP/1.1\nHost: web",
    "GET http://other.example.com/images HTTP/1.1\nHost: web",
    "GET / HTTP/1.1\nHost: a\nConnection: close, X-Hop, X-None\nX-Hop: 1\nx-hop: 2\nTE: trailers\nKeep-Alive: 5\nX-Stay: 1",
    "GET / HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket\nProxy-Connection: close",
    "GET / HTTP/1.1\nHost: a\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\nX-Forwarded-For: 3.3.3.3\nX-Forwarded-Proto: https\nX-Forwarded-Host: shop",
    "GET / HTTP/1.1\nHost: a\nX-Forwarded-For: evil, 3.3.3.3:80\nForwarded: for=6.6.6.6",
    "GET / HTTP/1.1\nHost: a\nForwarded: for=1.1.1.1;proto=https\nFORWARDED: for=\"[2001:db8::1]:80\";host=\"x:1\", for=2.2.2.2",
    "GET / HTTP/1.1\nHost: a\nForwarded: for=\"1.1.1.1",
    "GET / HTTP/1.1\nHost: a\nX-Request-Id: abc-1\nx-request-id: abc-2",
    "GET / HTTP/1.1\nHost: a\nX-Request-Id: not well formed",
    "GET / HTTP/1.1\nHost: a\ntracestate: a=b\nTraceparent: 00-bad",
    "GET / HTTP/1.1\nHost: a\nVia: 1.0 x, 1.1 baleen\nvia: 2.0 y",
    "GET / HTTP/1.1\nHost: a\nBaleen-Deadline: 5\ngrpc-timeout: 1S\nX-Envoy-Expected-Rq-Timeout-Ms: 7\nbaleen-priority: 2",
    "GET / HTTP/1.1\nHost: a\nl5d-ctx-deadline: 1 1700000000000000000\nbaleen-deadline: x\nx-envoy-attempt-count: 3",
    "PUT /a/b/c?d HTTP/1.1\nHost: a",
    "PUT /a/~b HTTP/1.1\nHost: a",
    "GET /cart/1/x?y=/z HTTP/1.1\nHost: a\nL5D-Name: /svc/z\nCookie: a=1\nX_Tenant: theirs\nx-tenant: theirs",
    "GET /cart HTTP/1.1\nHost: a\nl5d-name: /svc/z\nl5d-name: /svc/y",
    "GET /any/where?q HTTP/1.1\nHost: B.org:80\nUser-Agent: older",
    "DELETE /a HTTP/1.1\nHost: a\nX-Latin: \u{e9}\nX-Tab: a\tb\nCookie: a=1\nCookie: b=2",
];

#[test]
fn both_faces_say_the_same_in_every_stage() {
    for text in REQUESTS {
        for hops in [0, 1, 2, 255] {
            for source in [Source::XForwarded, Source::Forwarded] {
                check(text, TrustParams { trusted_hops: hops, source });
            }
        }
    }
    let traced = format!("GET / HTTP/1.1\nHost: a\n{TRACE}\ntracestate: a=b");
    let twice = format!("{traced}\n{TRACE}");
    assert!(check(&traced, TrustParams::default()).fields.iter().any(|f| f.0 == "traceparent"));
    assert!(!check(&twice, TrustParams::default()).fields.iter().any(|f| f.0.starts_with("trace")));
    let cart = check(
        REQUESTS[REQUESTS.len() - 4],
        TrustParams { trusted_hops: 1, ..TrustParams::default() },
    );
    assert_eq!(cart.name.map(|(name, hit)| (name, hit.rule)), Ok(("/svc/z".into(), Some(2))));
    assert_eq!(cart.by_rule.1.as_deref(), Some("/new/1/x?y=/z"));
    assert!(cart.fields.contains(&("x-tenant".into(), "a".into())));
    assert!(!cart.fields.iter().any(|(name, value)| name == "cookie" || value == "theirs"));
    let circles = format!("GET / HTTP/1.1\nHost: a\nVia: {}", vec!["1.1 baleen"; 16].join(","));
    assert!(check(&circles, TrustParams::default()).is_loop);
}

#[test]
fn connection_can_not_take_away_what_is_relied_on() {
    // The codec refuses such a request; a face without its own check must not follow it either.
    let map = map_of(&[
        "connection: host, x-forwarded-for, x-a",
        "host: a",
        "x-forwarded-for: 1.1.1.1",
        "x-a: 1",
    ]);
    let fields = MapFields::new(Version::HTTP_11, &map);
    let names: Vec<_> = indices(fields.hop_by_hop()).map(|i| fields.field(i).0.to_vec()).collect();
    assert_eq!(names, [b"connection".to_vec(), b"x-a".to_vec()]);
}

#[test]
fn what_they_say_is_right() {
    let seen = check(REQUESTS[1], TrustParams::default());
    let hit = Hit { priority: Some(1), ..Hit::default() };
    assert_eq!(seen.name, Ok(("/svc/images".to_owned(), hit)));
    assert_ne!(seen.hash.2, 0);
    let values = |name: &str| -> Vec<&str> {
        seen.fields.iter().filter(|f| f.0 == name).map(|f| f.1.as_str()).collect()
    };
    assert_eq!(values("accept"), ["*/*", "text/html"]);
    assert_eq!(values("x-set"), ["ours"]);
    assert_eq!(values("via"), ["1.1 baleen"]);
    assert_eq!(values("forwarded"), ["for=192.0.2.9;proto=http;host=\"A.Example.COM:8080\""]);
    let hop = check(REQUESTS[11], TrustParams::default());
    let names: Vec<&str> = hop.fields.iter().map(|f| f.0.as_str()).collect();
    assert!(names.contains(&"x-stay") && !names.contains(&"x-hop") && !names.contains(&"te"));
    assert_eq!(
        check(REQUESTS[10], TrustParams::default()).name.map(|(name, _)| name).as_deref(),
        Ok("/svc/images"),
        "the target's host"
    );
    let old = check(REQUESTS[8], TrustParams::default());
    assert!(old.fields.contains(&("via".to_owned(), "1.0 baleen".to_owned())));
}

#[test]
fn responses_too() {
    for text in [
        "HTTP/1.1 200 OK\nContent-Length: 0\nServer: x",
        "HTTP/1.1 200 OK\nContent-Length: 0\nConnection: x-hop, close\nX-Hop: 1\nKeep-Alive: timeout=5\nVia: 1.1 a\nSet-Cookie: a\nSet-Cookie: b",
        "HTTP/1.0 503 Busy\nContent-Length: 0\nRetry-After: 1\nbaleen-admit: 7\nProxy-Connection: close\nUpgrade: websocket\nConnection: upgrade",
    ] {
        let lines: Vec<&str> = text.lines().collect();
        let buf = format!("{}\r\n\r\n", lines.join("\r\n"));
        let mut head = ResponseHead::new();
        let parsed = head.parse(buf.as_bytes(), &Limits::default(), baleen_http1::Asked::default());
        assert_eq!(parsed, Ok(Parsed::Complete { consumed: buf.len() }), "{text}");
        let spans = Http1Response { head: &head, buf: buf.as_bytes() };
        let version =
            if text.starts_with("HTTP/1.0") { Version::HTTP_10 } else { Version::HTTP_11 };
        let headers = map_of(&lines[1..]);
        let map = MapFields::new(version, &headers);
        for upgrade in [false, true] {
            let after =
                |view: &dyn Fn(&mut Edits) -> Vec<(String, String)>| view(&mut Edits::new());
            let one = after(&|edits| {
                forward::response(&spans, upgrade, Some(b"today"), edits);
                sorted(edits.apply(&spans))
            });
            let other = after(&|edits| {
                forward::response(&map, upgrade, Some(b"today"), edits);
                sorted(edits.apply(&map))
            });
            assert_eq!(one, other, "{text}");
            assert_eq!(hints::of(&spans, || 0), hints::of(&map, || 0), "{text}");
            assert!(!one.iter().any(|f| f.0 == "baleen-admit"));
            assert!(one.iter().any(|f| f.0 == "via" && f.1.ends_with("baleen")));
            assert!(!one.iter().any(|f| f.0 == "connection" || f.0 == "x-hop"));
        }
    }
}

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator; the count is a cell without a destructor.
unsafe impl std::alloc::GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { std::alloc::System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: std::alloc::Layout) {
        // SAFETY: as the caller promised.
        unsafe { std::alloc::System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: std::alloc::Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { std::alloc::System.realloc(place, layout, bytes) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_request_allocates_nothing_once_buffers_have_grown() {
    let naming = naming();
    let conn = ConnInfo::new("[2001:db8::1]:4711".parse().expect("an address"), Scheme::Http);
    let (directory, secret) = (Directory::default(), Secret::new(1));
    let (mut head, mut name, mut edits) = (RequestHead::new(), String::new(), Edits::new());
    let (mut log, mut answer, mut out) = (Vec::new(), Answer::default(), Vec::new());
    let bufs: Vec<String> =
        REQUESTS.iter().map(|t| format!("{}\r\n\r\n", t.replace('\n', "\r\n"))).collect();
    let mut turn = |hops| {
        for buf in &bufs {
            let parsed = head.parse(buf.as_bytes(), &Limits::default(), &RequestOptions::default());
            assert!(matches!(parsed, Ok(Parsed::Complete { .. })));
            let view = Http1Request { head: &head, buf: buf.as_bytes(), scheme: Scheme::Http };
            let trust = TrustParams { trusted_hops: hops, source: Source::XForwarded };
            edits.clear();
            log.clear();
            out.clear();
            let named = naming.name(&view, false, &mut name);
            let sender = Sender { trusted: hops > 0, skew: Duration::ZERO, now: Tick::ZERO };
            let said = facts::said(&view, sender, || UNIX_NANOS);
            assert_ne!(facts::fingerprint(&secret, &view), 0);
            let id = RequestId::of(&view, trust, || [1, 2]);
            let client = forward::request(&view, &conn, trust, &id, false, &mut edits);
            let left = (said.deadline != Tick::NEVER).then_some(Duration::from_millis(1500));
            let onward = Onward { left, forms: said.forms, priority: said.priority, attempt: 2 };
            facts::onward(&view, &onward, || UNIX_NANOS, &mut edits);
            let why = named.map_or_else(Why::NoName, |_| Why::Unbound {
                name: &name,
                how: &Nowhere::Unknown,
                overridden: false,
            });
            let cx = Context {
                directory: &directory,
                disclose: Disclose::default(),
                request_id: id.as_bytes(),
                broken: None,
                admit: None,
                unix_ms: 0,
            };
            answer.compose(why, &cx);
            answer.push_http1(&mut out, false, baleen_http1::Persist::Unsaid);
            let entry = Entry {
                unix_ms: 0,
                listener: "l",
                client,
                method: view.method(),
                host: view.authority().unwrap_or_default(),
                path: view.path_and_query(),
                status: answer.status(),
                bytes_in: 0,
                bytes_out: 0,
                duration_us: 0,
                ttfb_us: None,
                route: &name,
                cluster: "",
                endpoint: "",
                attempts: 0,
                request_id: id.as_bytes(),
                outcome: answer.error(),
            };
            entry.push(&mut log);
        }
    };
    turn(0);
    turn(2);
    let before = ALLOCATIONS.get();
    turn(0);
    turn(2);
    assert_eq!(ALLOCATIONS.get(), before);
}
