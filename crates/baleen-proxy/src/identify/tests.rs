//! Tests of naming: templates, hosts, paths, the order of rules, and what hostile hosts and paths do.

use proptest::prelude::*;

use super::*;
use crate::head::{FieldView, Protocol, Scheme};

/// A head with a host and a path, whatever bytes they have; then its method and fields.
struct Asked<'a>(Option<&'a [u8]>, &'a [u8], &'a [u8], &'a [(&'a str, &'a str)]);

impl FieldView for Asked<'_> {
    fn protocol(&self) -> Protocol {
        Protocol::Http2
    }
    fn field_count(&self) -> usize {
        self.3.len()
    }
    fn field(&self, i: usize) -> (&[u8], &[u8]) {
        self.3.get(i).map_or((&[], &[]), |(name, value)| (name.as_bytes(), value.as_bytes()))
    }
    fn known(&self, _: usize) -> baleen_http1::Known {
        baleen_http1::Known::Other
    }
}

impl HeadView for Asked<'_> {
    fn method(&self) -> &[u8] {
        self.2
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
        path: (!path.is_empty()).then(|| PathPattern::parse(path).unwrap()),
        ..Rule::new(Template::parse(name).unwrap())
    }
}

/// The name of a request, and what else was found; a trusted caller's if it says so.
fn asked(naming: &Naming, view: &Asked<'_>, trusted: bool) -> Result<(String, Hit), NoName> {
    let mut out = String::from("left over");
    let found = naming.name(view, trusted, &mut out);
    assert!(out.is_empty() != found.is_ok_and(|hit| !hit.own), "{out} {found:?}");
    found.map(|hit| (out, hit))
}

fn name(naming: &Naming, host: Option<&str>, path: &str) -> Result<String, NoName> {
    let view = Asked(host.map(str::as_bytes), path.as_bytes(), b"GET", &[]);
    asked(naming, &view, false).map(|(name, _)| name)
}

/// The name that this template gives a request.
fn filled(template: &str, view: &Asked<'_>, trusted: bool) -> Result<String, NoName> {
    let naming = Naming::new(vec![], Some(Template::parse(template).unwrap()));
    asked(&naming, view, trusted).map(|(name, _)| name)
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
    for good in [
        "/svc/{host}",
        "/a/b",
        "/#/files/{host}",
        "/svc/x-{host}.{host}",
        "/$/inet/1",
        "/svc/{method}/{path:16}",
        "{header:l5d-name}",
    ] {
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
        ("/svc/{path:0}", TemplateError::Character('{')),
        ("/svc/{path:17}", TemplateError::Character('{')),
        ("/svc/{path:+1}", TemplateError::Character('{')),
        ("/svc/{header:}", TemplateError::Character('{')),
        ("/svc/{header:a b}", TemplateError::Character('{')),
        ("/svc/{host", TemplateError::Character('{')),
        ("/svc/host}", TemplateError::Character('}')),
        ("{path:2}", TemplateError::NotAPath),
        ("{header:a}{header:b}", TemplateError::NotAPath),
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
        let view = Asked(Some(b"x"), path.as_bytes(), b"GET", &[]);
        assert_eq!(asked(&naming, &view, false).unwrap().1.priority, want, "{path}");
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
        ("=/api", "/api", true),
        ("=/api", "/api/", true),
        ("=/api", "//api?q", true),
        ("=/api", "/%61pi", true),
        ("=/api", "/api/x", false),
        ("=/api", "/", false),
        ("=/", "/", true),
        ("=/", "", true),
        ("=/", "/x", false),
        ("=/", "*", false),
        ("/api", "/?/api", false),
        ("/a", "/a/%", true),
        ("/a", "/a%zz", false),
    ] {
        let naming = Naming::new(vec![rule("", prefix, "/svc/hit")], None);
        let want = if want { Ok("/svc/hit".to_owned()) } else { Err(NoName::NoRule) };
        assert_eq!(name(&naming, None, path), want, "{prefix} {path}");
    }
    for bad in ["", "api", "*", "/a?b", "/a/../b", "/./a", "=", "=a", "==/a", "=/.."] {
        assert_eq!(PathPattern::parse(bad), None, "{bad}");
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

#[test]
fn segments_of_the_path_become_segments_of_the_name() {
    let path = |template: &str, path: &str| {
        filled(template, &Asked(Some(b"a"), path.as_bytes(), b"GET", &[]), false)
    };
    for (template, came, want) in [
        ("/svc/{path:1}", "/users/1?q", Some("/svc/users")),
        ("/svc/{path:2}", "/Users/1", Some("/svc/Users/1")),
        ("/svc/{path:2}/x", "//users///1//", Some("/svc/users/1/x")),
        ("/svc/{path:1}", "/%75sers/1", Some("/svc/users")),
        ("/svc/{path:2}", "/users", None),
        ("/svc/{path:1}", "/", None),
        ("/svc/{path:1}", "", None),
        ("/svc/{path:1}", "*", None),
        ("/svc/{path:1}", "/?users", None),
        ("/svc/{path:1}", "/a%2fb", None),
        ("/svc/{path:1}", "/a;v=1", None),
        ("/svc/{path:1}", "/~user", None),
        ("/svc/{path:1}", "/a:b", None),
        ("/svc/{path:1}", "/%23/files", None),
        ("/svc/{path:2}", "/$/inet", None),
        ("/svc/{path:1}", "/-a", None),
        ("/svc/{path:1}", "/.hidden", None),
        ("/svc/{path:1}", "/...", None),
        ("/svc/{path:1}", "/a\\b", None),
        ("/svc/{path:1}", "/é", None),
        ("/svc/{path:1}", "/a%", None),
    ] {
        let want = want.map(str::to_owned).ok_or(NoName::NoRule);
        assert_eq!(path(template, came), want, "{template} {came}");
    }
    assert_eq!(path("/svc/{path:1}", &format!("/{}", "a".repeat(254))), Err(NoName::NoRule));
    assert_eq!(path("/{path:3}", &format!("/{0}/{0}/{0}", "a".repeat(253))), Err(NoName::TooLong));
    assert_eq!(path("/svc/{path:1}", "/../x"), Err(NoName::PathAmbiguous));
    assert_eq!(path("/svc/{path:1}", "/x/%2e%2e/y"), Err(NoName::PathAmbiguous));
}

#[test]
fn methods_become_segments() {
    let method = |m: &str| {
        filled("/svc/1.1/{method}/{host}", &Asked(Some(b"A"), b"/", m.as_bytes(), &[]), false)
    };
    assert_eq!(method("GET").as_deref(), Ok("/svc/1.1/GET/a"));
    assert_eq!(method("X-SYNC").as_deref(), Ok("/svc/1.1/X-SYNC/a"));
    for bad in ["#", "$", "A|B", "-X", ".", "..", "A~", "*", ""] {
        assert_eq!(method(bad), Err(NoName::NoRule), "{bad}");
    }
}

#[test]
fn fields_are_part_of_a_name_for_trusted_callers_only() {
    let whole = |value: &str, trusted| {
        let fields = [("a", "b"), ("L5d-Name", value)];
        filled("{header:l5d-name}", &Asked(None, b"/", b"GET", &fields), trusted)
    };
    for good in ["/svc/web", "/#/files/web", "/$/inet/127.0.0.1/80", "/s/E", "/a%41/b:c"] {
        assert_eq!(whole(good, true).as_deref(), Ok(good));
        assert_eq!(whole(good, false), Err(NoName::NoRule), "{good}");
    }
    for bad in [
        "",
        "/",
        "web",
        "svc/web",
        "/svc/",
        "//svc",
        "/svc//web",
        "/svc/..",
        "/./web",
        "/svc/we b",
        "/svc/é",
        "/svc/a|b",
        "/svc/a;b",
        "/svc/{host}",
        "/svc/a,/svc/b",
        "/svc/a\\x2fb",
    ] {
        assert_eq!(whole(bad, true), Err(NoName::NoRule), "{bad}");
    }
    assert_eq!(whole(&format!("/{}", "a".repeat(512)), true), Err(NoName::TooLong));
    let label = |value: &str| {
        filled("/svc/{header:x-t}", &Asked(None, b"/", b"GET", &[("x-t", value)]), true)
    };
    assert_eq!(label("a.B_1").as_deref(), Ok("/svc/a.B_1"));
    for bad in ["", "/a", "a/b", "..", ".a", "-a", "#", "$", "a b", "a%2fb", "é"] {
        assert_eq!(label(bad), Err(NoName::NoRule), "{bad}");
    }
    let twice = [("l5d-name", "/svc/a"), ("L5D-Name", "/svc/b")];
    assert_eq!(
        filled("{header:l5d-name}", &Asked(None, b"/", b"GET", &twice), true),
        Err(NoName::NoRule)
    );
    assert_eq!(
        filled("{header:l5d-name}", &Asked(None, b"/", b"GET", &[]), true),
        Err(NoName::NoRule)
    );
}

#[test]
fn a_rule_that_can_not_be_filled_leaves_the_request_to_the_next() {
    let rules = vec![
        rule("", "", "{header:l5d-name}"),
        rule("", "/api", "/svc/{path:2}"),
        rule("", "/api", "/svc/{host}"),
        rule("", "/api", "/svc/api"),
    ];
    let naming = Naming::new(rules, Some(Template::parse("/svc/{host}").unwrap()));
    let get = |host: &str, path: &str| name(&naming, Some(host), path);
    assert_eq!(get("a", "/api/users").as_deref(), Ok("/svc/api/users"));
    assert_eq!(get("a", "/api/~u").as_deref(), Ok("/svc/a"), "nothing is left of the name before");
    assert_eq!(get("[::1]", "/api").as_deref(), Ok("/svc/api"));
    assert_eq!(get("[::1]", "/"), Err(NoName::HostNotALabel), "the last one says why");
    let fields = [("l5d-name", "/svc/named")];
    let view = Asked(Some(b"a"), b"/api/users", b"GET", &fields);
    assert_eq!(asked(&naming, &view, true).unwrap().0, "/svc/named");
    assert_eq!(asked(&naming, &view, false).unwrap().0, "/svc/api/users");
}

#[test]
fn methods_and_fields_are_matched() {
    let field = |name: &str, value| FieldPattern { name: name.into(), value };
    let exact = |value: &str| ValuePattern::Exact(value.into());
    let rules = vec![
        Rule { methods: ["PUT".into(), "GET".into()].into(), ..rule("", "/m", "/svc/m") },
        Rule {
            fields: [field("X-A", exact("1")), field("x-b", ValuePattern::Any)].into(),
            ..rule("", "", "/svc/both")
        },
        Rule {
            fields: [field("x-a", ValuePattern::Begins("b".into()))].into(),
            ..rule("", "", "/svc/b")
        },
    ];
    let naming = Naming::new(rules, Some(Template::parse("/svc/rest").unwrap()));
    let get = |method: &str, path: &str, fields: &[(&str, &str)]| {
        asked(&naming, &Asked(None, path.as_bytes(), method.as_bytes(), fields), false).unwrap().0
    };
    assert_eq!(get("GET", "/m", &[]), "/svc/m");
    assert_eq!(get("PUT", "/m", &[]), "/svc/m");
    assert_eq!(get("POST", "/m", &[]), "/svc/rest");
    assert_eq!(get("get", "/m", &[]), "/svc/rest", "methods are compared letter by letter");
    assert_eq!(get("GET", "/", &[("x-a", "1"), ("X-B", "")]), "/svc/both");
    assert_eq!(get("GET", "/", &[("x-a", "2"), ("x-a", "1"), ("x-b", "")]), "/svc/both");
    assert_eq!(get("GET", "/", &[("x-a", "1")]), "/svc/rest");
    assert_eq!(get("GET", "/", &[("x-a", "11"), ("x-b", "")]), "/svc/rest");
    assert_eq!(get("GET", "/", &[("x-a", "bar")]), "/svc/b");
    assert_eq!(get("GET", "/", &[("x-a", "ab")]), "/svc/rest");
    assert_eq!(get("GET", "/", &[("x_a", "bar")]), "/svc/rest");
}

#[test]
fn what_a_rule_does_besides_is_found_by_its_number() {
    let redirect = crate::effects::Redirect::parse(308, "https://{host}/").unwrap();
    let effects = Effects { host: Some("inner".into()), ..Effects::default() };
    let rules = vec![
        rule("", "/plain", "/svc/plain"),
        Rule { effects: effects.clone(), ..rule("", "/more", "/svc/more") },
        Rule { does: Does::Own(Own::Redirect(redirect)), ..rule("", "/own", "/svc/x") },
        rule("", "/own", "/svc/own"),
    ];
    let naming = Naming::new(rules, None);
    let get = |host: &str, path: &str| {
        asked(&naming, &Asked(Some(host.as_bytes()), path.as_bytes(), b"GET", &[]), false).unwrap()
    };
    let hit = |rule, own| Hit { priority: None, rule, own };
    assert_eq!(get("a", "/plain"), ("/svc/plain".into(), hit(None, false)));
    assert_eq!(get("a", "/more"), ("/svc/more".into(), hit(Some(1), false)));
    assert_eq!(naming.rule(1).unwrap().effects, effects);
    assert_eq!(get("a", "/own"), (String::new(), hit(Some(2), true)));
    assert_eq!(get("[::1]", "/own"), ("/svc/own".into(), hit(None, false)), "no host to go to");
    assert_eq!(naming.rule(4), None);
}

#[test]
fn where_a_rule_changes_paths_dot_segments_are_refused() {
    let effects = Effects { path: Some("/new".into()), ..Effects::default() };
    let naming = Naming::new(vec![Rule { effects, ..rule("", "", "/svc/web") }], None);
    assert_eq!(name(&naming, None, "/a/../b"), Err(NoName::PathAmbiguous));
    assert_eq!(name(&naming, None, "/a/..%2fb"), Err(NoName::PathAmbiguous));
    assert_eq!(name(&naming, None, "/a").as_deref(), Ok("/svc/web"));
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

    /// Whatever the path is, a name has the segments that its template asks for, and each is a label.
    #[test]
    fn no_path_brings_more_than_was_asked_for(path in "/([a#$.%:~-]|%2f|%23|%2e|/|\\\\|é){0,12}") {
        let view = Asked(None, path.as_bytes(), b"GET", &[]);
        if let Ok(name) = filled("/svc/{path:2}", &view, true) {
            let labels: Vec<&str> = name.strip_prefix("/svc/").unwrap().split('/').collect();
            prop_assert_eq!(labels.len(), 2);
            prop_assert!(labels.iter().all(|l| baleen_config::is_label(l)), "{}", name);
        }
    }

    /// Whatever the host is, a name has the segments of its template.
    #[test]
    fn no_host_brings_a_segment(host in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut out = String::new();
        if by_host().name(&Asked(Some(&host), b"/", b"GET", &[]), false, &mut out).is_ok() {
            prop_assert_eq!(out.matches('/').count(), 2);
            let label = out.strip_prefix("/svc/").unwrap();
            prop_assert!(!label.is_empty() && !label.starts_with('.') && !label.ends_with('.'));
            prop_assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b)));
        }
    }
}
