//! Tests of naming: templates, hosts, paths, the order of rules, and what hostile hosts and paths do.

use proptest::prelude::*;

use super::*;
use crate::head::{FieldView, Protocol, Scheme};

/// A head with a host and a path, whatever bytes they have.
struct Asked<'a>(Option<&'a [u8]>, &'a [u8]);

impl FieldView for Asked<'_> {
    fn protocol(&self) -> Protocol {
        Protocol::Http2
    }
    fn field_count(&self) -> usize {
        0
    }
    fn field(&self, _: usize) -> (&[u8], &[u8]) {
        (&[], &[])
    }
    fn known(&self, _: usize) -> baleen_http1::Known {
        baleen_http1::Known::Other
    }
}

impl HeadView for Asked<'_> {
    fn method(&self) -> &[u8] {
        b"GET"
    }
    fn scheme(&self) -> Scheme {
        Scheme::Http
    }
    fn authority(&self) -> Option<&[u8]> {
        self.0
    }
    fn path_and_query(&self) -> &[u8] {
        self.1
    }
}

fn rule(host: &str, path: &str, name: &str) -> Rule {
    Rule {
        host: (!host.is_empty()).then(|| HostPattern::parse(host).unwrap()),
        path: (!path.is_empty()).then(|| PathPrefix::parse(path).unwrap()),
        name: Template::parse(name).unwrap(),
        priority: None,
    }
}

fn name(naming: &Naming, host: Option<&str>, path: &str) -> Result<String, NoName> {
    let mut out = String::from("left over");
    let found = naming.name(&Asked(host.map(str::as_bytes), path.as_bytes()), &mut out);
    assert!(found.is_ok() || out.is_empty());
    found.map(|_| out)
}

fn by_host() -> Naming {
    Naming::new(vec![], Some(Template::parse("/svc/{host}").unwrap()))
}

#[test]
fn hosts_become_segments() {
    for (host, want) in [
        ("web", "/svc/web"),
        ("Web.Example.COM:8080", "/svc/web.example.com"),
        ("web.", "/svc/web"),
        ("web.:80", "/svc/web"),
        ("a_b-c.d", "/svc/a_b-c.d"),
        ("127.0.0.1:80", "/svc/127.0.0.1"),
        ("web:", "/svc/web"),
    ] {
        assert_eq!(name(&by_host(), Some(host), "/").as_deref(), Ok(want), "{host}");
    }
}

#[test]
fn hostile_hosts_have_no_name() {
    let long = "a".repeat(254);
    for host in [
        "a/b", "../x", "a/../b", "..", "a..b", ".a", "-a", "a b", "a\0", "a%2fb", "#", "$",
        "[::1]", "[::1]:80", "::1", "a:b:80", "a:80x", "user@a", "é", "a\\b", "a,b", "a\r\nb",
        "{host}", &long,
    ] {
        assert_eq!(name(&by_host(), Some(host), "/"), Err(NoName::HostNotALabel), "{host}");
    }
    for host in [None, Some(""), Some(":80"), Some(".")] {
        assert_eq!(name(&by_host(), host, "/"), Err(NoName::HostMissing), "{host:?}");
    }
    let fixed = Naming::new(vec![], Some(Template::parse("/svc/web").unwrap()));
    for host in [None, Some("[::1]"), Some("a/b")] {
        assert_eq!(name(&fixed, host, "/../x").as_deref(), Ok("/svc/web"), "no host is needed");
    }
}

#[test]
fn templates() {
    for good in ["/svc/{host}", "/a/b", "/#/files/{host}", "/svc/x-{host}.{host}", "/$/inet/1"] {
        assert!(Template::parse(good).is_ok(), "{good}");
    }
    for (bad, why) in [
        ("", TemplateError::NotAPath),
        ("/", TemplateError::NotAPath),
        ("svc/a", TemplateError::NotAPath),
        ("/svc//a", TemplateError::NotAPath),
        ("/svc/", TemplateError::NotAPath),
        ("/svc/..", TemplateError::NotAPath),
        ("/svc/{path}", TemplateError::Character('{')),
        ("/svc/a b", TemplateError::Character(' ')),
        ("/svc/é", TemplateError::Character('é')),
        (&format!("/{}", "a".repeat(NAME_BYTES_MAX)), TemplateError::TooLong),
    ] {
        assert_eq!(Template::parse(bad), Err(why), "{bad}");
    }
    let twice = Naming::new(vec![], Some(Template::parse("/{host}/{host}/{host}").unwrap()));
    assert_eq!(name(&twice, Some("a"), "/").as_deref(), Ok("/a/a/a"));
    assert_eq!(name(&twice, Some(&"a".repeat(200)), "/"), Err(NoName::TooLong));
}

#[test]
fn the_first_rule_that_matches_wins() {
    let rules = vec![
        rule("api.example.com", "/v2", "/svc/api-v2"),
        rule("*.example.com", "/images", "/svc/images"),
        rule("*.example.com", "", "/svc/{host}"),
        rule("", "/health", "/svc/health"),
    ];
    let naming = Naming::new(rules, None);
    for (host, path, want) in [
        ("api.example.com", "/v2/x", Ok("/svc/api-v2")),
        ("API.example.com.:80", "/v2", Ok("/svc/api-v2")),
        ("api.example.com", "/v20", Ok("/svc/api.example.com")),
        ("a.b.example.com", "/images?q=1", Ok("/svc/images")),
        ("example.com", "/images", Err(NoName::NoRule)),
        ("badexample.com", "/images", Err(NoName::NoRule)),
        ("[::1]", "/health/live", Ok("/svc/health")),
        ("api.example.com.evil", "/", Err(NoName::NoRule)),
    ] {
        assert_eq!(name(&naming, Some(host), path), want.map(str::to_owned), "{host}{path}");
    }
    assert_eq!(HostPattern::parse("*"), None);
    assert_eq!(HostPattern::parse("*example.com"), None);
    assert_eq!(HostPattern::parse("a.*.com"), None);
    assert_eq!(HostPattern::parse("a:80"), None);
}

#[test]
fn urgency_is_that_of_the_rule_that_matches() {
    let urgent = |path, priority| Rule { priority, ..rule("", path, "/svc/web") };
    let rules = vec![urgent("/pay", Some(0)), urgent("/a", None), urgent("/", Some(7))];
    let naming = Naming::new(rules, Some(Template::parse("/svc/{host}").unwrap()));
    for (path, want) in [("/pay/now", Some(0)), ("/a", None), ("/b", Some(7)), ("*", None)] {
        let mut out = String::new();
        assert_eq!(naming.name(&Asked(Some(b"x"), path.as_bytes()), &mut out), Ok(want), "{path}");
    }
}

#[test]
fn prefixes_are_whole_segments() {
    for (prefix, path, want) in [
        ("/api", "/api", true),
        ("/api", "/api/", true),
        ("/api", "/api/x", true),
        ("/api", "/api?q", true),
        ("/api", "/apix", false),
        ("/api", "/ap", false),
        ("/api", "/API", false),
        ("/api", "/x/api", false),
        ("/api/", "/api", true),
        ("/api/v1", "/api/v1/x", true),
        ("/api/v1", "/api/v10", false),
        ("/api/v1", "/api", false),
        ("/api", "//api/x", true),
        ("/api/v1", "/api//v1", true),
        ("/api", "/%61pi", true),
        ("/api", "/%61%50i", false),
        ("/api", "/api%2fx", false),
        ("/a%2fb", "/a%2fb/c", true),
        ("/a%2Fb", "/a%2fb/c", false),
        ("/%7euser", "/~user/x", true),
        ("/", "/anything", true),
        ("/", "", true),
        ("/", "*", false),
        ("/api", "", false),
        ("/api", "*", false),
        ("/api", "/?/api", false),
        ("/a", "/a/%", true),
        ("/a", "/a%zz", false),
    ] {
        let naming = Naming::new(vec![rule("", prefix, "/svc/hit")], None);
        let want = if want { Ok("/svc/hit".to_owned()) } else { Err(NoName::NoRule) };
        assert_eq!(name(&naming, None, path), want, "{prefix} {path}");
    }
    for bad in ["", "api", "*", "/a?b", "/a/../b", "/./a"] {
        assert_eq!(PathPrefix::parse(bad), None, "{bad}");
    }
}

#[test]
fn paths_with_dot_segments_are_refused_where_rules_look_at_paths() {
    let naming = Naming::new(
        vec![rule("", "/public", "/svc/public")],
        Some(Template::parse("/svc/web").unwrap()),
    );
    for path in [
        "/public/../admin",
        "/public/..",
        "/public/.",
        "/./public",
        "/..",
        "/public/%2e%2e/admin",
        "/public/.%2E/admin",
        "/public/..;/admin",
        "/public/..;x=1/admin",
        "/public/%2e%2e%3b/admin",
        "/public/..%2fadmin",
        "/public%2F..%2Fadmin",
        "/public\\..\\admin",
        "/public/..%5cadmin",
        "/public/..?x",
    ] {
        assert_eq!(name(&naming, None, path), Err(NoName::PathAmbiguous), "{path}");
    }
    for path in [
        "/public/...",
        "/public/.well-known",
        "/public/a..b",
        "/public/x?a=/../b",
        "/public/..x",
        "/public/%2ex",
        "/public/@scope%2fname",
        "/public/%252e%252e/x",
        "/public/a;..",
        "/public/..%20",
    ] {
        assert_eq!(name(&naming, None, path).as_deref(), Ok("/svc/public"), "{path}");
    }
    assert_eq!(
        name(&by_host(), Some("a"), "/../x").as_deref(),
        Ok("/svc/a"),
        "no rule looks at paths"
    );
}

/// What a server does that decodes once, takes `\` for `/`, and then removes dot segments and empty ones.
fn as_a_lax_server_reads(path: &[u8]) -> Vec<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut rest = path;
    while let Some((first, next)) = rest.split_first() {
        let hex = |i: usize| rest.get(i).and_then(|b| char::from(*b).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (first, hex(1), hex(2)) {
            decoded.push((high << 4 | low) as u8);
            rest = &rest[3..];
        } else {
            decoded.push(*first);
            rest = next;
        }
    }
    let mut out: Vec<Vec<u8>> = Vec::new();
    for segment in decoded.split(|b| matches!(b, b'/' | b'\\')) {
        let plain = segment.split(|b| *b == b';').next().unwrap_or_default();
        match plain {
            b"" | b"." => {}
            b".." => drop(out.pop()),
            s => out.push(s.to_vec()),
        }
    }
    out
}

proptest! {
    /// What a rule for `/a` lets through stays below `/a`, however lax the server behind it is.
    #[test]
    fn what_matches_can_not_climb_out(path in "/(%61|a|b)?([ab./\\\\;]|%2e|%2E|%2f|%5c|%61|%3b){0,12}") {
        let naming = Naming::new(vec![rule("", "/a", "/svc/a")], None);
        if name(&naming, None, &path).is_ok() {
            let seen = as_a_lax_server_reads(path.as_bytes());
            prop_assert_eq!(seen.first().map(Vec::as_slice), Some(&b"a"[..]), "{}", path);
        }
    }

    /// Whatever the host is, a name has the segments of its template.
    #[test]
    fn no_host_brings_a_segment(host in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut out = String::new();
        if by_host().name(&Asked(Some(&host), b"/"), &mut out).is_ok() {
            prop_assert_eq!(out.matches('/').count(), 2);
            let label = out.strip_prefix("/svc/").unwrap();
            prop_assert!(!label.is_empty() && !label.starts_with('.') && !label.ends_with('.'));
            prop_assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b)));
        }
    }
}
