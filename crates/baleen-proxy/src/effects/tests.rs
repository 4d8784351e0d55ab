//! Tests of what rules do: paths where they meet, redirects that lead nowhere else, fields that go and come.

use baleen_http1::{Limits, Parsed, RequestHead, RequestOptions};
use proptest::prelude::*;

use super::*;
use crate::head::{Http1Request, Scheme};

/// Does something with a request of this first line, as far as that is one.
fn request<T>(first: &str, fields: &str, then: impl FnOnce(&Http1Request<'_>) -> T) -> Option<T> {
    let buf = format!("{first} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let mut head = RequestHead::new();
    match head.parse(buf.as_bytes(), &Limits::default(), &RequestOptions::default()) {
        Ok(Parsed::Complete { .. }) => {
            Some(then(&Http1Request { head: &head, buf: buf.as_bytes(), scheme: Scheme::Http }))
        }
        _ => None,
    }
}

fn target(rule: &str, to: &str, first: &str) -> Option<String> {
    let effects = Effects { path: Some(to.into()), ..Effects::default() };
    let pattern = (!rule.is_empty()).then(|| PathPattern::parse(rule).unwrap());
    let target = request(first, "", |view| effects.target(view, pattern.as_ref())).unwrap();
    target.map(|bytes| String::from_utf8(bytes).unwrap())
}

fn location(rule: &str, to: &str, first: &str) -> String {
    let redirect = Redirect::parse(308, to).unwrap();
    let pattern = (!rule.is_empty()).then(|| PathPattern::parse(rule).unwrap());
    let mut out = Vec::new();
    request(first, "", |view| redirect.push(view, pattern.as_ref(), Some("h"), &mut out)).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_part_that_matched_is_replaced() {
    for (rule, to, came, want) in [
        ("/a", "/new", "/a", "/new"),
        ("/a", "/new", "/a/", "/new/"),
        ("/a", "/new", "/a/x?q=/a", "/new/x?q=/a"),
        ("/a", "/new", "//a//x//y", "/new/x//y"),
        ("/a", "/new", "/%61/x%2fy", "/new/x%2fy"),
        ("/a", "/", "/a", "/"),
        ("/a", "/", "/a?q", "/?q"),
        ("/a", "/", "/a/x", "/x"),
        ("/a", "/", "/a//evil.org/x", "/evil.org/x"),
        ("/a", "/", "/a////", "/"),
        ("/a/b", "/new", "/a/b/c", "/new/c"),
        ("=/a", "/new/x", "/a/", "/new/x"),
        ("=/a", "/", "/a?", "/?"),
        ("", "/new", "/a", "/new/a"),
        ("", "/new", "/", "/new/"),
        ("", "/", "//a", "/a"),
    ] {
        assert_eq!(
            target(rule, to, &format!("GET {came}")).as_deref(),
            Some(want),
            "{rule} {to} {came}"
        );
    }
    assert_eq!(target("", "/new", "GET http://h").as_deref(), Some("/new"));
    assert_eq!(target("", "/new", "GET http://h?q").as_deref(), Some("/new?q"));
    assert_eq!(target("", "/new", "OPTIONS *"), None);
    assert_eq!(target("", "/new", "OPTIONS http://h"), None, "this is the whole server");
    let nothing = Effects::default();
    assert_eq!(request("GET /a", "", |view| nothing.target(view, None)), Some(None));
}

#[test]
fn redirects_say_where() {
    for (rule, to, came, want) in [
        ("", "https://{host}{path}", "/a/b?c=d", "https://h/a/b?c=d"),
        ("", "https://{host}{path}", "/", "https://h/"),
        ("", "{scheme}://www.{host}:81{path}", "/a", "http://www.h:81/a"),
        ("/old", "/new{rest}", "/old/x/", "/new/x/"),
        ("/old", "/new{rest}", "/old?q", "/new?q"),
        ("/old", "/new/{rest}", "/old/x", "/new/x"),
        ("/old", "{rest}", "/old", "/"),
        ("/old", "https://h.org{rest}", "/old//x", "https://h.org/x"),
        ("", "https://h.org/?from={host}", "/a?b", "https://h.org/?from=h"),
        ("", "/", "/a?b", "/?b"),
    ] {
        assert_eq!(location(rule, to, &format!("GET {came}")), want, "{rule} {to} {came}");
    }
    assert_eq!(location("", "https://{host}{path}", "OPTIONS *"), "https://h/");
}

#[test]
fn redirects_lead_nowhere_else() {
    for (rule, to, came, want) in [
        ("", "{path}", "//evil.org/x", "/evil.org/x"),
        ("", "{path}", "/\\evil.org", "/%5Cevil.org"),
        ("", "/{path}", "//evil.org", "/evil.org"),
        ("/old", "/{rest}", "/old//evil.org", "/evil.org"),
        ("/old", "{rest}", "/old/\\/evil.org", "/%5C/evil.org"),
        ("/old", "{rest}/x", "/old/", "/x"),
        ("", "https://{host}{path}", "/@evil.org", "https://h/@evil.org"),
        ("", "https://{host}{path}", "/\"<>^`{|}", "https://h/%22%3C%3E%5E%60%7B%7C%7D"),
        ("", "https://{host}{path}", "/%0d%0aSet-Cookie:a", "https://h/%0d%0aSet-Cookie:a"),
    ] {
        assert_eq!(location(rule, to, &format!("GET {came}")), want, "{rule} {to} {came}");
    }
    for bad in [
        "",
        "x",
        "//x",
        "https://",
        "https:///x",
        "https://{path}",
        "https://{rest}",
        "https://?x",
        "javascript:x",
        "ftp://x",
        "{host}",
        "/a b",
        "/a\r\nX: y",
        "/{query}",
        "/{",
        "/é",
        "/a#b",
        "/\\x",
    ] {
        assert_eq!(Redirect::parse(308, bad), None, "{bad}");
    }
}

#[test]
fn fields_go_under_their_other_spelling_too() {
    let edits = FieldEdits {
        remove: ["x-user".into()].into(),
        add: [("X-User".into(), "ours".into()), ("X-B".into(), "b".into())].into(),
    };
    let fields = "X-User: 1\r\nx_user: 2\r\nX_USER: 3\r\nX-Users: 4\r\nX-B: 5\r\n";
    let left = request("GET /", fields, |view| {
        let mut out = Edits::new();
        edits.apply(view, &mut out);
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        out.apply(view).map(|(n, v)| format!("{}={}", text(n), text(v))).collect::<Vec<_>>()
    });
    let want = ["Host=a", "X-Users=4", "X-B=5", "X-User=ours", "X-B=b"];
    assert_eq!(left.unwrap(), want);
}

proptest! {
    /// Whatever the path is: a redirect that starts with a path or names a host leads to this site or to that host.
    #[test]
    fn no_path_chooses_the_host(path in "/([a/@:.;?#]|\\\\|%2f|%5c|//evil.org){0,8}") {
        let first = format!("GET {path}");
        for (rule, to) in [("", "{path}"), ("", "/{path}"), ("/a", "/{rest}"), ("/a", "{rest}"), ("/a", "{rest}{path}")] {
            let pattern = (!rule.is_empty()).then(|| PathPattern::parse(rule).unwrap());
            let redirect = Redirect::parse(308, to).unwrap();
            let mut out = Vec::new();
            if request(&first, "", |view| redirect.push(view, pattern.as_ref(), None, &mut out)).is_some() {
                let text = String::from_utf8(out).unwrap();
                prop_assert!(text.starts_with('/'), "{}", text);
                prop_assert!(!text.starts_with("//") && !text.contains('\\'), "{}", text);
            }
        }
    }

    /// Whatever the path is, what is sent on begins with what the rule says, and never with two strokes.
    #[test]
    fn what_is_sent_on_is_below_the_new_path(rest in "([a/@:;?]|\\\\|%2f|%5c|//evil.org){0,8}", to in "/|/new|/n/w") {
        let effects = Effects { path: Some(to.as_str().into()), ..Effects::default() };
        let pattern = PathPattern::parse("/a").unwrap();
        let sent = request(&format!("GET /a/{rest}"), "", |view| effects.target(view, Some(&pattern)));
        if let Some(sent) = sent {
            let sent = String::from_utf8(sent.unwrap()).unwrap();
            let path = sent.split('?').next().unwrap();
            prop_assert!(path.starts_with(&to) && !path.starts_with("//"), "{}", sent);
            let (_, query) = rest.split_once('?').unzip();
            prop_assert_eq!(sent.split_once('?').unzip().1, query);
        }
    }
}
