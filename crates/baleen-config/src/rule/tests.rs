//! Tests of rules: which covers which, and what their strings may be.

use super::texts::{path, redirect_to, rewritten_host, rewritten_path};
use super::*;

fn rule(path_text: &str) -> Rule {
    Rule {
        host: None,
        path: path(path_text).unwrap(),
        methods: Vec::new(),
        headers: Vec::new(),
        does: Does::Name(NameTemplate::parse("/svc/web").unwrap()),
        rewrite_path: None,
        rewrite_host: None,
        request_headers: FieldEdits::default(),
        response_headers: FieldEdits::default(),
        priority: None,
    }
}

fn header(name: &str, value: ValueMatch) -> FieldMatch {
    FieldMatch { name: name.into(), value }
}

#[test]
fn paths_match_by_whole_segments() {
    let prefix = path("/images/").unwrap().unwrap();
    assert_eq!((prefix.prefix.as_str(), prefix.exact), ("/images", false));
    let covered = |text: &str| prefix.covers(&path(text).unwrap().unwrap());
    assert!(covered("/images") && covered("/images/") && covered("/images/1"));
    assert!(covered("=/images") && covered("=/images/1"));
    assert!(!covered("/imagesque") && !covered("=/") && !covered("/x/images"));
    assert_eq!(path("/").unwrap(), None);
    assert_eq!(path("=/").unwrap().unwrap().text(), "=/");
    for bad in ["", "=", "images", "=images", "/a*", "/a/*", "/a?b", "/a b", "/a/..", "/%2e%2E/a"] {
        assert!(path(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_exact_path_covers_itself_alone() {
    let exact = rule("=/a");
    assert!(exact.covers(&rule("=/a/")));
    assert!(
        !exact.covers(&rule("/a")) && !exact.covers(&rule("=/a/b")) && !exact.covers(&rule("/"))
    );
    assert!(rule("/").covers(&exact) && rule("/a").covers(&exact));
}

#[test]
fn fewer_methods_and_more_headers_are_covered() {
    let any = rule("/");
    let get = Rule { methods: vec!["GET".into()], ..rule("/") };
    let two = Rule { methods: vec!["PUT".into(), "GET".into()], ..rule("/") };
    assert!(any.covers(&get) && two.covers(&get) && !get.covers(&two) && !get.covers(&any));
    let with = |value| Rule { headers: vec![header("x", value)], ..rule("/") };
    let (some, begins) = (with(ValueMatch::Any), with(ValueMatch::Begins("a".into())));
    let (exact, other) =
        (with(ValueMatch::Exact("ab".into())), with(ValueMatch::Exact("b".into())));
    assert!(any.covers(&some) && !some.covers(&any));
    assert!(some.covers(&begins) && begins.covers(&exact) && !exact.covers(&begins));
    assert!(!begins.covers(&some) && !begins.covers(&other) && some.covers(&other));
    let both = Rule {
        headers: vec![header("y", ValueMatch::Any), header("x", ValueMatch::Any)],
        ..rule("/")
    };
    assert!(some.covers(&both) && !both.covers(&some));
}

#[test]
fn what_may_leave_a_request_to_the_next_rule_covers_nothing() {
    let named =
        |name: &str| Rule { does: Does::Name(NameTemplate::parse(name).unwrap()), ..rule("/") };
    let host =
        |pattern: &str| Rule { host: Some(HostPattern::parse(pattern).unwrap()), ..rule("/") };
    assert!(!named("/svc/{host}").covers(&rule("/a")), "an IPv6 address is no label");
    assert!(named("/svc/{host}").covers(&host("*.a.org")));
    assert!(!named("/svc/{method}").covers(&rule("/a")));
    assert!(named("/svc/{method}").covers(&Rule { methods: vec!["GET".into()], ..rule("/") }));
    assert!(!named("/svc/{path:2}").covers(&rule("/a")));
    assert!(named("/svc/{path:2}").covers(&rule("/a/b")));
    assert!(!named("/svc/{path:2}").covers(&rule("/a/~b")), "this is no label");
    assert!(!named("/svc/{header:x}").covers(&host("a")));
    let redirect = |to: &str| Rule {
        does: Does::Redirect(Redirect { to: to.into(), status: 308 }),
        ..rule("/")
    };
    assert!(redirect("https://a.org{path}").covers(&rule("/a")));
    assert!(!redirect("https://{host}{path}").covers(&rule("/a")));
    assert!(redirect("https://{host}{path}").covers(&host("a.org")));
}

#[test]
fn addresses_of_redirects() {
    for good in [
        "https://{host}{path}",
        "{scheme}://www.{host}{path}",
        "https://a.org:8443/x{rest}",
        "/new{rest}",
        "{path}",
        "/",
        "/{rest}",
        "https://a.org/?from={host}",
        "http://[::1]/",
    ] {
        assert_eq!(redirect_to(good).as_deref(), Ok(good));
    }
    for bad in [
        "",
        "a.org",
        "//a.org",
        "javascript:alert(1)",
        "ftp://a.org/",
        "https://",
        "https:///x",
        "https://{path}",
        "https://{rest}",
        "https://a.org/#x",
        "https://a.org/{query}",
        "https://a.org/{",
        "https://a.org/}",
        "https://a.org/ x",
        "https://a.org/é",
        "https://a.org/\r\nSet-Cookie: a=b",
        "https://a.org/\\x",
        "https://a.org/%",
        "https://a.org/%zz",
        "{host}{path}",
    ] {
        assert!(redirect_to(bad).is_err(), "{bad}");
    }
    let hint = |text| redirect_to(text).unwrap_err().hint;
    assert_eq!(hint("a.org{path}").unwrap(), "did you mean \"https://a.org{path}\"?");
    assert_eq!(hint("https://{hots}/").unwrap(), "did you mean \"https://{host}/\"?");
}

#[test]
fn what_is_rewritten() {
    for (good, want) in [("/", "/"), ("/new/", "/new"), ("/a%2fb", "/a%2fb"), ("/a;v=1", "/a;v=1")]
    {
        assert_eq!(rewritten_path(good).as_deref(), Ok(want));
    }
    for bad in [
        "",
        "new",
        "//evil.org",
        "/a//b",
        "/a/..",
        "/%2e%2e/a",
        "/a?b",
        "/a#b",
        "/a b",
        "/a\r\n",
        "/a\\b",
        "/{host}",
        "/%",
        "/%a",
        "/é",
    ] {
        assert!(rewritten_path(bad).is_err(), "{bad}");
    }
    for good in ["web", "web.internal:8080", "127.0.0.1", "[::1]:80", "[::1]"] {
        assert_eq!(rewritten_host(good).as_deref(), Ok(good));
    }
    for bad in
        ["", "a/b", "a b", "a:b", "a:", "a:65536", "::1", "user@a", "a\r\nX: y", "[::1", "{host}"]
    {
        assert!(rewritten_host(bad).is_err(), "{bad}");
    }
    let meant = rewritten_host("http://web.internal/").unwrap_err().hint;
    assert_eq!(meant.unwrap(), "did you mean \"web.internal\"?");
}
