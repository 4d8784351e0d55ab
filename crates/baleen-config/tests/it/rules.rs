//! Rules of listeners: what they mean, and what mistakes in them look like.

use baleen_config::{
    Config, Does, FieldEdits, FieldMatch, Look, Memory, Redirect, Rule, RulePath, ValueMatch,
    load_from, parse_str, render,
};

use crate::mistakes::whole;

/// What makes a file whole whose rules are under test.
const BEFORE: &str =
    "[[listener]]\nlisten = \"127.0.0.1:80\"\n[namer.files]\nkind = \"files\"\ndir = \"d\"\n";

/// The diagnostics of a listener with these rules.
fn rules(text: &str) -> String {
    whole(&format!("{BEFORE}{text}"))
}

fn read(text: &str) -> Vec<Rule> {
    match parse_str("baleen.toml", &format!("{BEFORE}{text}")) {
        Ok((Config { listeners, .. }, warnings)) => {
            assert!(warnings.is_empty(), "{}", render(&warnings, Look::Plain));
            listeners.into_iter().next().unwrap().rules
        }
        Err(errors) => panic!("{}", render(&errors, Look::Plain)),
    }
}

#[test]
fn what_a_rule_says() {
    let rules = read(
        r#"
[[listener.rule]]
path = "=/health/"
method = ["GET", "HEAD"]
header = { X-Probe = "*", User-Agent = "kube*", X-One = "1" }
answer = { status = 200, body = "ok\n" }

[[listener.rule]]
host = "old.example.com"
redirect = { to = "https://new.example.com{path}", status = 301 }

[[listener.rule]]
path = "/api"
method = "POST"
name = "/svc/{method}/{path:1}"
rewrite = { path = "/v2/", host = "api.internal:8080" }
request_headers = { set = { X-Tenant = "a" }, add = { Accept = "text/html" }, remove = ["Cookie", "x-tenant"] }

[listener.rule.response_headers]
remove = ["Server"]
set = { Strict-Transport-Security = "max-age=31536000" }
"#,
    );
    let path = |prefix: &str, exact| Some(RulePath { prefix: prefix.into(), exact });
    assert_eq!(rules[0].path, path("/health", true));
    assert_eq!(rules[0].methods, ["GET", "HEAD"]);
    let field = |name: &str, value| FieldMatch { name: name.into(), value };
    let want = [
        field("x-probe", ValueMatch::Any),
        field("user-agent", ValueMatch::Begins("kube".into())),
        field("x-one", ValueMatch::Exact("1".into())),
    ];
    assert_eq!(rules[0].headers, want);
    let Does::Answer(answer) = &rules[0].does else { panic!("{:?}", rules[0].does) };
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok\n"[..]));
    let to = Redirect { to: "https://new.example.com{path}".into(), status: 301 };
    assert_eq!(rules[1].does, Does::Redirect(to));
    assert_eq!(rules[2].name().unwrap().as_str(), "/svc/{method}/{path:1}");
    assert_eq!(rules[2].path, path("/api", false));
    assert_eq!(rules[2].rewrite_path.as_deref(), Some("/v2"));
    assert_eq!(rules[2].rewrite_host.as_deref(), Some("api.internal:8080"));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let request = FieldEdits {
        remove: vec!["x-tenant".into(), "cookie".into()],
        add: vec![pair("X-Tenant", "a"), pair("Accept", "text/html")],
    };
    assert_eq!(rules[2].request_headers, request);
    let response = FieldEdits {
        remove: vec!["strict-transport-security".into(), "server".into()],
        add: vec![pair("Strict-Transport-Security", "max-age=31536000")],
    };
    assert_eq!(rules[2].response_headers, response);
}

#[test]
fn an_answer_from_a_file() {
    let rule =
        "[[listener.rule]]\nanswer = { status = 404, file = \"e.html\", type = \"text/html\" }\n";
    let files =
        [("etc/b.toml".into(), format!("{BEFORE}{rule}")), ("etc/e.html".into(), "gone".into())];
    let (config, _) = load_from(&Memory(files.into()), "etc/b.toml".as_ref()).unwrap();
    let Does::Answer(answer) = &config.listeners[0].rules[0].does else { panic!("an answer") };
    assert_eq!((answer.status, &answer.body[..]), (404, &b"gone"[..]));
    assert_eq!(answer.content_type, "text/html");
}

#[test]
fn two_things_at_once() {
    insta::assert_snapshot!(rules(r#"[[listener.rule]]
name = "/svc/a"
redirect = { to = "https://a.org" }
[[listener.rule]]
path = "/b"
answer = { status = 200 }
redirect = { to = "/c" }
"#), @r#"
    error: `redirect` in a rule that does something else
     --> baleen.toml:8:12
      |
    8 | redirect = { to = "https://a.org" }
      |            ^^^^^^^^^^^^^^^^^^^^^^^^ a rule either names, redirects or answers
      |
     ::: baleen.toml:7:8
      |
    7 | name = "/svc/a"
      |        -------- this is what it does

    error: `redirect` in a rule that does something else
      --> baleen.toml:12:12
       |
    12 | redirect = { to = "/c" }
       |            ^^^^^^^^^^^^^ a rule either names, redirects or answers
       |
      ::: baleen.toml:11:10
       |
    11 | answer = { status = 200 }
       |          ---------------- this is what it does
    "#);
}

#[test]
fn what_an_answer_does_not_have() {
    insta::assert_snapshot!(rules(r#"[[listener.rule]]
path = "/a"
answer = { status = 200 }
rewrite = { path = "/b" }
priority = 1
request_headers = { remove = ["cookie"] }
response_headers = { set = { Content-Type = "text/html" } }
"#), @r#"
    warning: `rewrite` has no effect
     --> baleen.toml:9:11
      |
    9 | rewrite = { path = "/b" }
      |           ^^^^^^^^^^^^^^^ nothing is sent on by this rule

    warning: `priority` has no effect
      --> baleen.toml:10:12
       |
    10 | priority = 1
       |            ^ nothing is sent on by this rule

    warning: `request_headers` has no effect
      --> baleen.toml:11:19
       |
    11 | request_headers = { remove = ["cookie"] }
       |                   ^^^^^^^^^^^^^^^^^^^^^^^ nothing is sent on by this rule

    error: `content-type` can not be changed by a rule
      --> baleen.toml:12:30
       |
    12 | response_headers = { set = { Content-Type = "text/html" } }
       |                              ^^^^^^^^^^^^ this rule answers itself, and says it there
       |
       = hint: write answer = { type = "…" }
    "#);
}

#[test]
fn answers_with_two_bodies_and_with_none() {
    let text = rules(
        r#"[[listener.rule]]
path = "/a"
answer = { status = 200, body = "a", file = "b.html" }
[[listener.rule]]
answer = { status = 204, body = "a" }
"#,
    );
    assert!(text.contains("can not read b.html"), "{text}");
    assert!(text.contains("a fixed answer has two bodies"), "{text}");
    assert!(text.contains("a 204 has no body"), "{text}");
    assert_eq!(text.matches("error").count(), 3, "{text}");
}

#[test]
fn headers_that_can_not_be_changed() {
    insta::assert_snapshot!(rules(r#"[[listener.rule]]
name = "/svc/a"
[listener.rule.request_headers]
set = { Content-Length = "0", Host = "a", X_Forwarded_For = "10.0.0.1", "a b" = "1", "X-A:" = "1" }
add = { Transfer-Encoding = "chunked", baleen-priority = "0" }
remove = ["Connection", "via", "x y"]
"#), @r#"
    error: `content-length` can not be changed by a rule
     --> baleen.toml:9:9
      |
    9 | set = { Content-Length = "0", Host = "a", X_Forwarded_For = "10.0.0.1", "a b" = "1", "X-A:" = "1" }
      |         ^^^^^^^^^^^^^^ it concerns one connection, or says where a message ends

    error: `host` can not be changed by a rule
     --> baleen.toml:9:31
      |
    9 | set = { Content-Length = "0", Host = "a", X_Forwarded_For = "10.0.0.1", "a b" = "1", "X-A:" = "1" }
      |                               ^^^^ the host is more than a header
      |
      = hint: write rewrite = { host = "…" }

    error: `x_forwarded_for` can not be changed by a rule
     --> baleen.toml:9:43
      |
    9 | set = { Content-Length = "0", Host = "a", X_Forwarded_For = "10.0.0.1", "a b" = "1", "X-A:" = "1" }
      |                                           ^^^^^^^^^^^^^^^ Baleen writes this one itself

    error: `a b` is no name of a header
     --> baleen.toml:9:73
      |
    9 | set = { Content-Length = "0", Host = "a", X_Forwarded_For = "10.0.0.1", "a b" = "1", "X-A:" = "1" }
      |                                                                         ^^^^^ expected letters, digits and marks such as `-`, without spaces

    error: `X-A:` is no name of a header
     --> baleen.toml:9:86
      |
    9 | set = { Content-Length = "0", Host = "a", X_Forwarded_For = "10.0.0.1", "a b" = "1", "X-A:" = "1" }
      |                                                                                      ^^^^^^ expected letters, digits and marks such as `-`, without spaces
      |
      = hint: did you mean `X-A`?

    error: `transfer-encoding` can not be changed by a rule
      --> baleen.toml:10:9
       |
    10 | add = { Transfer-Encoding = "chunked", baleen-priority = "0" }
       |         ^^^^^^^^^^^^^^^^^ it concerns one connection, or says where a message ends

    error: `baleen-priority` can not be changed by a rule
      --> baleen.toml:10:40
       |
    10 | add = { Transfer-Encoding = "chunked", baleen-priority = "0" }
       |                                        ^^^^^^^^^^^^^^^ Baleen writes this one itself

    error: `connection` can not be changed by a rule
      --> baleen.toml:11:11
       |
    11 | remove = ["Connection", "via", "x y"]
       |           ^^^^^^^^^^^^ it concerns one connection, or says where a message ends

    error: `via` can not be changed by a rule
      --> baleen.toml:11:25
       |
    11 | remove = ["Connection", "via", "x y"]
       |                         ^^^^^ Baleen writes this one itself

    error: invalid value for `remove`
      --> baleen.toml:11:32
       |
    11 | remove = ["Connection", "via", "x y"]
       |                                ^^^^^ expected the name of a header: letters, digits and marks
    "#);
}

#[test]
fn values_of_headers() {
    insta::assert_snapshot!(rules(r#"[[listener.rule]]
name = "/svc/a"
header = { x-a = " 1", host = "web", x-b = 1 }
request_headers = { set = { x-a = "1\r\nHost: evil", x-b = " 1", x-c = "é", X-C = "1", x-C = "2" }, add = "x" }
"#), @r#"
    error: invalid value for `header`
     --> baleen.toml:8:18
      |
    8 | header = { x-a = " 1", host = "web", x-b = 1 }
      |                  ^^^^ a value has no spaces at its ends
      |
      = hint: did you mean "1"?

    error: the host is no header for a rule
     --> baleen.toml:8:24
      |
    8 | header = { x-a = " 1", host = "web", x-b = 1 }
      |                        ^^^^ it may also stand in the first line
      |
      = hint: write host = "web" beside `header`

    error: invalid value for `header`
     --> baleen.toml:8:44
      |
    8 | header = { x-a = " 1", host = "web", x-b = 1 }
      |                                            ^ expected a string, found a whole number

    error: invalid value for `set`
     --> baleen.toml:9:35
      |
    9 | request_headers = { set = { x-a = "1\r\nHost: evil", x-b = " 1", x-c = "é", X-C = "1", x-C = "2" }, add = "x" }
      |                                   ^^^^^^^^^^^^^^^^^ a value has no line ends

    error: invalid value for `set`
     --> baleen.toml:9:60
      |
    9 | request_headers = { set = { x-a = "1\r\nHost: evil", x-b = " 1", x-c = "é", X-C = "1", x-C = "2" }, add = "x" }
      |                                                            ^^^^ a value has no spaces at its ends
      |
      = hint: did you mean "1"?

    error: invalid value for `set`
     --> baleen.toml:9:72
      |
    9 | request_headers = { set = { x-a = "1\r\nHost: evil", x-b = " 1", x-c = "é", X-C = "1", x-C = "2" }, add = "x" }
      |                                                                        ^^^ a value has no control characters and no letters outside ASCII

    error: `x-C` stands here twice
     --> baleen.toml:9:88
      |
    9 | request_headers = { set = { x-a = "1\r\nHost: evil", x-b = " 1", x-c = "é", X-C = "1", x-C = "2" }, add = "x" }
      |                                                                                        ^^^ upper and lower case make no difference in names of headers

    error: invalid value for `add`
     --> baleen.toml:9:107
      |
    9 | request_headers = { set = { x-a = "1\r\nHost: evil", x-b = " 1", x-c = "é", X-C = "1", x-C = "2" }, add = "x" }
      |                                                                                                           ^^^ expected a table of strings: value, found a string
      |
      = hint: write add = { NAME = "…" }
    "#);
}

#[test]
fn header_as_a_string() {
    insta::assert_snapshot!(rules(r#"[[listener.rule]]
name = "/svc/a"
header = "x-canary: 1"
"#), @r#"
    error: invalid value for `header`
     --> baleen.toml:8:10
      |
    8 | header = "x-canary: 1"
      |          ^^^^^^^^^^^^^ expected a table of strings: value, or its beginning and "*", found a string
      |
      = hint: write header = { NAME = "…" }
    "#);
}

#[test]
fn methods() {
    insta::assert_snapshot!(rules(r#"[[listener.rule]]
name = "/svc/a"
method = "get"
[[listener.rule]]
name = "/svc/b"
method = []
[[listener.rule]]
name = "/svc/c"
methods = ["GET"]
"#), @r#"
    error: invalid value for `method`
     --> baleen.toml:8:10
      |
    8 | method = "get"
      |          ^^^^^ methods are compared letter by letter, and this one is in upper case
      |
      = hint: did you mean "GET"?

    error: invalid value for `method`
      --> baleen.toml:11:10
       |
    11 | method = []
       |          ^^ expected at least one: this rule never matches

    error: unknown key `methods` in `[[listener.rule]]`
      --> baleen.toml:14:1
       |
    14 | methods = ["GET"]
       | ^^^^^^^ not a setting
       |
       = hint: did you mean `method`?
    "#);
}

#[test]
fn paths() {
    insta::assert_snapshot!(rules(r#"[[listener.rule]]
name = "/svc/a"
path = "=health"
[[listener.rule]]
name = "/svc/b"
path = "/a"
rewrite = { path = "b" }
[[listener.rule]]
name = "/svc/c"
path = "/b"
rewrite = { path = "/c?x=1", host = "http://web/" }
[[listener.rule]]
name = "/svc/d"
path = "/c"
rewrite = {}
"#), @r#"
    error: invalid value for `path`
     --> baleen.toml:8:8
      |
    8 | path = "=health"
      |        ^^^^^^^^^ expected a path that starts with `/`, or with `=/` for it alone
      |
      = hint: did you mean "=/health"?

    error: invalid value for `path`
      --> baleen.toml:12:20
       |
    12 | rewrite = { path = "b" }
       |                    ^^^ expected a path that starts with `/`
       |
       = hint: did you mean "/b"?

    error: invalid value for `path`
      --> baleen.toml:16:20
       |
    16 | rewrite = { path = "/c?x=1", host = "http://web/" }
       |                    ^^^^^^^^ expected a path without `?` and `#`: the query follows as it came

    error: invalid value for `host`
      --> baleen.toml:16:37
       |
    16 | rewrite = { path = "/c?x=1", host = "http://web/" }
       |                                     ^^^^^^^^^^^^^ expected a host such as "web.internal" or "web.internal:8080"
       |
       = hint: did you mean "web"?

    warning: `rewrite` has no effect
      --> baleen.toml:20:11
       |
    20 | rewrite = {}
       |           ^^ it holds neither `path` nor `host`
    "#);
}

#[test]
fn redirects() {
    insta::assert_snapshot!(rules(r#"[[listener.rule]]
path = "/a"
redirect = { to = "https://{hots}{path}" }
[[listener.rule]]
path = "/b"
redirect = { to = "www.example.com{path}" }
[[listener.rule]]
path = "/c"
redirect = { to = "javascript:alert(1)", status = 304 }
[[listener.rule]]
path = "/d"
redirect = { status = 302 }
"#), @r#"
    error: invalid value for `to`
     --> baleen.toml:8:19
      |
    8 | redirect = { to = "https://{hots}{path}" }
      |                   ^^^^^^^^^^^^^^^^^^^^^^ `{hots}` is not known; `{scheme}`, `{host}`, `{path}` and `{rest}` can be filled in
      |
      = hint: did you mean "https://{host}{path}"?

    error: invalid value for `to`
      --> baleen.toml:11:19
       |
    11 | redirect = { to = "www.example.com{path}" }
       |                   ^^^^^^^^^^^^^^^^^^^^^^^ expected an address such as "https://{host}{path}" or a path
       |
       = hint: did you mean "https://www.example.com{path}"?

    error: invalid value for `to`
      --> baleen.toml:14:19
       |
    14 | redirect = { to = "javascript:alert(1)", status = 304 }
       |                   ^^^^^^^^^^^^^^^^^^^^^ expected an address such as "https://{host}{path}" or a path

    error: invalid value for `status`
      --> baleen.toml:14:51
       |
    14 | redirect = { to = "javascript:alert(1)", status = 304 }
       |                                                   ^^^ expected 301, 302, 303, 307 or 308
       |
       = hint: 308 is for good, 307 is for now

    error: `to` is missing in `[listener.rule.redirect]`
      --> baleen.toml:17:12
       |
    17 | redirect = { status = 302 }
       |            ^^^^^^^^^^^^^^^^ expected `to` in here
    "#);
}

#[test]
fn names_that_are_never_filled_in() {
    insta::assert_snapshot!(rules(r#"[[listener.rule]]
name = "{header:l5d-name}"
[[listener.rule]]
path = "=/a"
name = "/svc/{path:2}"
[[listener.rule]]
path = "/b"
name = "/svc/{header}"
[[listener.rule]]
path = "/c"
name = "/svc/{methd}"
"#), @r#"
    warning: no request gets this name
     --> baleen.toml:7:8
      |
    7 | name = "{header:l5d-name}"
      |        ^^^^^^^^^^^^^^^^^^^ headers of trusted callers only are part of a name
      |
      = hint: list them in the listener's `trusted_callers`

    warning: this rule is never used
      --> baleen.toml:10:8
       |
    10 | name = "/svc/{path:2}"
       |        ^^^^^^^^^^^^^^^ the rule's path has fewer segments than this needs

    error: invalid value for `name`
      --> baleen.toml:13:8
       |
    13 | name = "/svc/{header}"
       |        ^^^^^^^^^^^^^^^ the name of the header is missing
       |
       = hint: did you mean "/svc/{header:l5d-name}"?

    error: invalid value for `name`
      --> baleen.toml:16:8
       |
    16 | name = "/svc/{methd}"
       |        ^^^^^^^^^^^^^^ `{methd}` is not known; `{host}`, `{path:N}`, `{method}` and `{header:NAME}` can be filled in
       |
       = hint: did you mean "/svc/{method}"?
    "#);
}

#[test]
fn rules_behind_wider_ones() {
    insta::assert_snapshot!(rules(r#"[[listener.rule]]
path = "/a"
header = { x = "*" }
name = "/svc/a"
[[listener.rule]]
path = "=/a/b"
header = { X = "1" }
method = "GET"
redirect = { to = "/" }
"#), @r#"
    warning: this rule is never used
      --> baleen.toml:10:1
       |
    10 | [[listener.rule]]
       | ^^^^^^^^^^^^^^^^^ the first rule that matches wins
       |
      ::: baleen.toml:6:1
       |
     6 | [[listener.rule]]
       | ----------------- this one matches all that it would
    "#);
}

#[test]
fn rules_behind_such_as_leave_requests_to_them() {
    assert_eq!(
        rules(
            r#"[[listener.rule]]
name = "/svc/{path:1}"
[[listener.rule]]
redirect = { to = "https://{host}/" }
[[listener.rule]]
method = "GET"
name = "/svc/get"
[[listener.rule]]
answer = { status = 404 }
"#
        ),
        ""
    );
}
