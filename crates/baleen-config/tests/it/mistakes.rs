//! What mistakes look like: every error with its file, line, caret, what was expected and what to try.

use baleen_config::{Look, Severity, parse_str, render};

/// What makes a file whole whose beginning is under test.
const REST: &str = r#"
[[listener]]
listen = "127.0.0.1:8080"
[namer.files]
kind = "files"
dir = "services"
"#;

/// The diagnostics of a whole file. Errors and a configuration exclude each other.
pub(crate) fn whole(text: &str) -> String {
    let (ok, list) = match parse_str("baleen.toml", text) {
        Ok((_, warnings)) => (true, warnings),
        Err(errors) => (false, errors),
    };
    assert_eq!(ok, list.iter().all(|d| d.severity == Severity::Warning));
    render(&list, Look::Plain)
}

/// The diagnostics of the beginning of a file whose rest is right.
pub(crate) fn start(text: &str) -> String {
    whole(&format!("{text}{REST}"))
}

#[test]
fn unknown_key_in_the_file() {
    insta::assert_snapshot!(start(r#"worker = 2"#), @r#"
    error: unknown key `worker` in the file
     --> baleen.toml:1:1
      |
    1 | worker = 2
      | ^^^^^^ not a setting
      |
      = hint: did you mean `workers`?
    "#);
}

#[test]
fn unknown_table() {
    insta::assert_snapshot!(start(r#"[routes]
try_timeout = "1s""#), @r#"
    error: unknown key `routes` in the file
     --> baleen.toml:1:2
      |
    1 | [routes]
      |  ^^^^^^ not a setting
      |
      = hint: did you mean `route`?
    "#);
}

#[test]
fn unknown_key_in_a_route() {
    insta::assert_snapshot!(start(r#"[route]
try_timeut = "1s""#), @r#"
    error: unknown key `try_timeut` in `[route]`
     --> baleen.toml:2:1
      |
    2 | try_timeut = "1s"
      | ^^^^^^^^^^ not a setting
      |
      = hint: did you mean `try_timeout`?
    "#);
}

#[test]
fn unknown_key_in_a_named_route() {
    insta::assert_snapshot!(start(r#"[route."/svc/web"]
retries = 3"#), @r#"
    error: unknown key `retries` in `[route."/svc/web"]`
     --> baleen.toml:2:1
      |
    2 | retries = 3
      | ^^^^^^^ expected one of: to, names, total_timeout, try_timeout, idle_timeout, tunnel_timeout, deadline, retry, hedge, poison, priority, concurrency, rate, sticky, fallback, stale, answer
    "#);
}

#[test]
fn unknown_key_far_from_any() {
    insta::assert_snapshot!(start(r#"[admin]
password = "secret""#), @r#"
    error: unknown key `password` in `[admin]`
     --> baleen.toml:2:1
      |
    2 | password = "secret"
      | ^^^^^^^^ expected one of: listen
    "#);
}

#[test]
fn unknown_balancer() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = "peek_ewma""#), @r#"
    error: invalid value for `balance`
     --> baleen.toml:2:11
      |
    2 | balance = "peek_ewma"
      |           ^^^^^^^^^^^ expected a table, or "round-robin", "random", "least-loaded", "least-loaded-of-all", "peak-ewma", "aperture", "maglev" or "prequal"
      |
      = hint: did you mean "peak-ewma"?
    "#);
}

#[test]
fn unknown_balancer_in_a_table() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = { kind = "magleff" }"#), @r#"
    error: invalid value for `kind`
     --> baleen.toml:2:20
      |
    2 | balance = { kind = "magleff" }
      |                    ^^^^^^^^^ expected "round-robin", "random", "least-loaded", "least-loaded-of-all", "peak-ewma", "aperture", "maglev" or "prequal"
      |
      = hint: did you mean "maglev"?
    "#);
}

#[test]
fn unknown_protocol() {
    insta::assert_snapshot!(whole(r#"[[listener]]
listen = "127.0.0.1:80"
protocol = "https"
[namer.files]
kind = "files"
dir = "d"
"#), @r#"
    error: invalid value for `protocol`
     --> baleen.toml:3:12
      |
    3 | protocol = "https"
      |            ^^^^^^^ expected "http"
      |
      = hint: did you mean "http"?
    "#);
}

#[test]
fn duration_without_a_unit() {
    insta::assert_snapshot!(start(r#"[route]
total_timeout = 5"#), @r#"
    error: invalid value for `total_timeout`
     --> baleen.toml:2:17
      |
    2 | total_timeout = 5
      |                 ^ expected a duration such as "300ms", "5s" or "1h", found a whole number
      |
      = hint: did you mean "5s"?
    "#);
}

#[test]
fn duration_in_words() {
    insta::assert_snapshot!(start(r#"[route]
total_timeout = "5 minutes""#), @r#"
    error: invalid value for `total_timeout`
     --> baleen.toml:2:17
      |
    2 | total_timeout = "5 minutes"
      |                 ^^^^^^^^^^^ expected a duration such as "300ms", "5s" or "1h"
      |
      = hint: did you mean "5m"?
    "#);
}

#[test]
fn duration_too_long() {
    insta::assert_snapshot!(start(r#"[route]
total_timeout = "2d""#), @r#"
    error: invalid value for `total_timeout`
     --> baleen.toml:2:17
      |
    2 | total_timeout = "2d"
      |                 ^^^^ expected 1ms to 1d
    "#);
}

#[test]
fn duration_of_zero() {
    insta::assert_snapshot!(start(r#"[cluster]
connect_timeout = "0s""#), @r#"
    error: invalid value for `connect_timeout`
     --> baleen.toml:2:19
      |
    2 | connect_timeout = "0s"
      |                   ^^^^ expected 1ms to 1d
    "#);
}

#[test]
fn duration_beyond_numbers() {
    insta::assert_snapshot!(start(r#"[cluster]
connect_timeout = "99999999999999999999s""#), @r#"
    error: invalid value for `connect_timeout`
     --> baleen.toml:2:19
      |
    2 | connect_timeout = "99999999999999999999s"
      |                   ^^^^^^^^^^^^^^^^^^^^^^^ this number is too large
    "#);
}

#[test]
fn range_turned_around() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { backoff = "300s..5s" }"#), @r#"
    error: invalid value for `backoff`
     --> baleen.toml:2:21
      |
    2 | eject = { backoff = "300s..5s" }
      |                     ^^^^^^^^^^ the range ends before it starts
      |
      = hint: did you mean "5s..5m"?
    "#);
}

#[test]
fn range_of_one() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { backoff = "5s" }"#), @r#"
    error: invalid value for `backoff`
     --> baleen.toml:2:21
      |
    2 | eject = { backoff = "5s" }
      |                     ^^^^ expected a range such as "5s..300s"
      |
      = hint: did you mean "5s..5s"?
    "#);
}

#[test]
fn share_as_a_fraction() {
    insta::assert_snapshot!(start(r#"[route]
retry = { budget = "0.2" }"#), @r#"
    error: invalid value for `budget`
     --> baleen.toml:2:20
      |
    2 | retry = { budget = "0.2" }
      |                    ^^^^^ expected a share within "0%" and "100%"
      |
      = hint: did you mean "20%"?
    "#);
}

#[test]
fn share_above_all() {
    insta::assert_snapshot!(start(r#"[route]
retry = { budget = "120%" }"#), @r#"
    error: invalid value for `budget`
     --> baleen.toml:2:20
      |
    2 | retry = { budget = "120%" }
      |                    ^^^^^^ expected a share within "0%" and "100%"
    "#);
}

#[test]
fn share_as_a_number() {
    insta::assert_snapshot!(start(r#"[route]
retry = { budget = 20 }"#), @r#"
    error: invalid value for `budget`
     --> baleen.toml:2:20
      |
    2 | retry = { budget = 20 }
      |                    ^^ expected a share such as "20%", found a whole number
      |
      = hint: did you mean "20%"?
    "#);
}

#[test]
fn size_in_kilobytes() {
    insta::assert_snapshot!(start(r#"[route]
retry = { replay = "64kb" }"#), @r#"
    error: invalid value for `replay`
     --> baleen.toml:2:20
      |
    2 | retry = { replay = "64kb" }
      |                    ^^^^^^ expected a size such as "240B", "64KiB" or "1MiB"
      |
      = hint: did you mean "64KiB"?
    "#);
}

#[test]
fn size_out_of_bounds() {
    insta::assert_snapshot!(start(r#"[route]
retry = { replay = "1GiB" }"#), @r#"
    error: invalid value for `replay`
     --> baleen.toml:2:20
      |
    2 | retry = { replay = "1GiB" }
      |                    ^^^^^^ expected 0B to 16MiB
    "#);
}

#[test]
fn number_in_quotes() {
    insta::assert_snapshot!(start(r#"[cluster]
concurrency = "100""#), @r#"
    error: invalid value for `concurrency`
     --> baleen.toml:2:15
      |
    2 | concurrency = "100"
      |               ^^^^^ expected a whole number from 1 to 1000000, found a string
      |
      = hint: did you mean 100, without quotes?
    "#);
}

#[test]
fn number_out_of_bounds() {
    insta::assert_snapshot!(start(r#"workers = 0"#), @r#"
    error: invalid value for `workers`
     --> baleen.toml:1:11
      |
    1 | workers = 0
      |           ^ expected a whole number from 1 to 256
    "#);
}

#[test]
fn number_that_does_not_fit() {
    insta::assert_snapshot!(start(r#"[cluster]
queue = 99999999999999999999"#), @r#"
    error: invalid value for `queue`
     --> baleen.toml:2:9
      |
    2 | queue = 99999999999999999999
      |         ^^^^^^^^^^^^^^^^^^^^ expected a whole number from 0 to 1000000
    "#);
}

#[test]
fn status_that_is_no_failure() {
    insta::assert_snapshot!(start(r#"[route]
retry = { statuses = [200, 503] }"#), @r#"
    error: invalid value for `statuses`
     --> baleen.toml:2:23
      |
    2 | retry = { statuses = [200, 503] }
      |                       ^^^ expected a whole number from 400 to 599
    "#);
}

#[test]
fn false_where_off_is_meant() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = false"#), @r#"
    error: invalid value for `eject`
     --> baleen.toml:2:9
      |
    2 | eject = false
      |         ^^^^^ expected a table, or "off", found true or false
      |
      = hint: did you mean "off"?
    "#);
}

#[test]
fn address_without_a_port() {
    insta::assert_snapshot!(start(r#"[admin]
listen = "127.0.0.1""#), @r#"
    error: invalid value for `listen`
     --> baleen.toml:2:10
      |
    2 | listen = "127.0.0.1"
      |          ^^^^^^^^^^^ the port is missing
      |
      = hint: write for example "127.0.0.1:8080"
    "#);
}

#[test]
fn address_with_a_host_name() {
    insta::assert_snapshot!(whole(r#"[[listener]]
listen = "example.com:80"
[namer.files]
kind = "files"
dir = "d"
"#), @r#"
    error: invalid value for `listen`
     --> baleen.toml:2:10
      |
    2 | listen = "example.com:80"
      |          ^^^^^^^^^^^^^^^^ expected an address and a port, such as "127.0.0.1:8080" or "[::1]:8080"
      |
      = hint: host names are not looked up: write the address
    "#);
}

#[test]
fn address_without_a_host() {
    insta::assert_snapshot!(whole(r#"[[listener]]
listen = ":8080"
[namer.files]
kind = "files"
dir = "d"
"#), @r#"
    error: invalid value for `listen`
     --> baleen.toml:2:10
      |
    2 | listen = ":8080"
      |          ^^^^^^^ the address is missing
      |
      = hint: "0.0.0.0:8080" is every IPv4 address of this machine
    "#);
}

#[test]
fn address_of_ipv6_without_brackets() {
    insta::assert_snapshot!(whole(r#"[[listener]]
listen = "fe80::1:x:80"
[[listener]]
listen = "::1"
[namer.files]
kind = "files"
dir = "d"
"#), @r#"
    error: invalid value for `listen`
     --> baleen.toml:2:10
      |
    2 | listen = "fe80::1:x:80"
      |          ^^^^^^^^^^^^^^ expected an address and a port, such as "127.0.0.1:8080" or "[::1]:8080"
      |
      = hint: host names are not looked up: write the address

    error: invalid value for `listen`
     --> baleen.toml:4:10
      |
    4 | listen = "::1"
      |          ^^^^^ an IPv6 address stands in brackets, before a colon and the port
      |
      = hint: write for example "[::1]:8080"
    "#);
}

#[test]
fn rate_without_a_time() {
    insta::assert_snapshot!(whole(r#"[[listener]]
listen = "127.0.0.1:80"
min_rate = "240B"
[namer.files]
kind = "files"
dir = "d"
"#), @r#"
    error: invalid value for `min_rate`
     --> baleen.toml:3:12
      |
    3 | min_rate = "240B"
      |            ^^^^^^ expected a rate such as "240B/s", or "off"
      |
      = hint: did you mean "240B/s"?
    "#);
}

#[test]
fn listener_without_an_address() {
    insta::assert_snapshot!(whole(r#"[[listener]]
name = "/svc/web"
[namer.files]
kind = "files"
dir = "d"
"#), @r#"
    error: `listen` is missing in `[[listener]]`
     --> baleen.toml:1:1
      |
    1 | [[listener]]
      | ^^^^^^^^^^^^ expected `listen` in here
    "#);
}

#[test]
fn listener_in_single_brackets() {
    insta::assert_snapshot!(whole(r#"[listener]
listen = "127.0.0.1:80"
[namer.files]
kind = "files"
dir = "d"
"#), @r#"
    error: invalid value for `listener`
     --> baleen.toml:1:1
      |
    1 | [listener]
      | ^^^^^^^^^^ expected a list of tables, found a table
      |
      = hint: write [[listener]], in double brackets
    "#);
}

#[test]
fn template_of_something_else() {
    insta::assert_snapshot!(whole(r#"[[listener]]
listen = "127.0.0.1:80"
name = "/svc/{path}"
[namer.files]
kind = "files"
dir = "d"
"#), @r#"
    error: invalid value for `name`
     --> baleen.toml:3:8
      |
    3 | name = "/svc/{path}"
      |        ^^^^^^^^^^^^^ how many segments of the path is missing: 1 to 16
      |
      = hint: did you mean "/svc/{path:1}"?
    "#);
}

#[test]
fn rule_without_a_name() {
    insta::assert_snapshot!(whole(r#"[[listener]]
listen = "127.0.0.1:80"
[[listener.rule]]
path = "/images"
[namer.files]
kind = "files"
dir = "d"
"#), @r#"
    error: `name`, `redirect` or `answer` is missing in `[[listener.rule]]`
     --> baleen.toml:3:1
      |
    3 | [[listener.rule]]
      | ^^^^^^^^^^^^^^^^^ expected one of them in here
      |
      = hint: write for example name = "/svc/web"
    "#);
}

#[test]
fn rule_with_a_star_in_its_path() {
    insta::assert_snapshot!(whole(r#"[[listener]]
listen = "127.0.0.1:80"
[[listener.rule]]
path = "/images/*"
name = "/svc/images"
[[listener.rule]]
host = "web:80"
name = "web"
[namer.files]
kind = "files"
dir = "d"
"#), @r#"
    error: invalid value for `path`
     --> baleen.toml:4:8
      |
    4 | path = "/images/*"
      |        ^^^^^^^^^^^ expected a path without `*`
      |
      = hint: did you mean "/images"? A prefix matches all below it

    error: invalid value for `host`
     --> baleen.toml:7:8
      |
    7 | host = "web:80"
      |        ^^^^^^^^ a rule's host has no port; the listener has
      |
      = hint: did you mean "web"?

    error: invalid value for `name`
     --> baleen.toml:8:8
      |
    8 | name = "web"
      |        ^^^^^ expected a logical name such as "/svc/images"
      |
      = hint: did you mean "/svc/web"?
    "#);
}

#[test]
fn rule_that_is_never_used() {
    insta::assert_snapshot!(whole(r#"[[listener]]
listen = "127.0.0.1:80"
[[listener.rule]]
path = "/a"
name = "/svc/a"
[[listener.rule]]
host = "x.org"
path = "/a/b"
name = "/svc/b"
[namer.files]
kind = "files"
dir = "d"
"#), @r#"
    warning: this rule is never used
     --> baleen.toml:6:1
      |
    6 | [[listener.rule]]
      | ^^^^^^^^^^^^^^^^^ the first rule that matches wins
      |
     ::: baleen.toml:3:1
      |
    3 | [[listener.rule]]
      | ----------------- this one matches all that it would
    "#);
}

#[test]
fn endpoint_by_name() {
    insta::assert_snapshot!(start(r#"[cluster.web]
endpoints = ["127.0.0.1:1", "db.internal:5432 2"]"#), @r#"
    error: not an endpoint
     --> baleen.toml:2:30
      |
    2 | endpoints = ["127.0.0.1:1", "db.internal:5432 2"]
      |                              ^^^^^^^^^^^^^^^^ expected an address and a port, such as "127.0.0.1:8080" or "[::1]:8080"
      |
      = hint: host names are not looked up: write the address
    "#);
}

#[test]
fn endpoint_with_a_bad_weight() {
    insta::assert_snapshot!(start(r#"[cluster.web]
endpoints = ["127.0.0.1:1 0", "127.0.0.1:2 many"]"#), @r#"
    error: not a weight
     --> baleen.toml:2:27
      |
    2 | endpoints = ["127.0.0.1:1 0", "127.0.0.1:2 many"]
      |                           ^ expected a whole number from 1 to 65535
      |
      = hint: leave the line out to send nothing there

    error: not a weight
     --> baleen.toml:2:44
      |
    2 | endpoints = ["127.0.0.1:1 0", "127.0.0.1:2 many"]
      |                                            ^^^^ expected a whole number from 1 to 65535
    "#);
}

#[test]
fn endpoint_twice() {
    insta::assert_snapshot!(start(r#"[cluster.web]
endpoints = [
  "127.0.0.1:1",
  "127.0.0.1:1 2",
]"#), @r#"
    error: 127.0.0.1:1 is there twice
     --> baleen.toml:4:3
      |
    4 |   "127.0.0.1:1 2",
      |   ^^^^^^^^^^^^^^^ again here
      |
     ::: baleen.toml:3:3
      |
    3 |   "127.0.0.1:1",
      |   ------------- first here
      |
      = hint: give it a weight to send more there: "host:port weight"
    "#);
}

#[test]
fn endpoints_not_in_a_list() {
    insta::assert_snapshot!(start(r#"[cluster.web]
endpoints = "127.0.0.1:1""#), @r#"
    error: invalid value for `endpoints`
     --> baleen.toml:2:13
      |
    2 | endpoints = "127.0.0.1:1"
      |             ^^^^^^^^^^^^^ expected a list of strings: "host:port [weight] [zone=NAME]", found a string
      |
      = hint: did you mean ["127.0.0.1:1"]?
    "#);
}

#[test]
fn endpoints_as_a_default() {
    insta::assert_snapshot!(start(r#"[cluster]
endpoints = ["127.0.0.1:1"]"#), @r#"
    error: `endpoints` can not be a default
     --> baleen.toml:2:1
      |
    2 | endpoints = ["127.0.0.1:1"]
      | ^^^^^^^^^ expected in the table of one name
      |
      = hint: write it under [cluster.web]
    "#);
}

#[test]
fn setting_taken_for_a_cluster() {
    insta::assert_snapshot!(start(r#"[cluster]
ejct = { consecutive_failures = 3 }"#), @r#"
    error: unknown key `ejct` in `[cluster]`
     --> baleen.toml:2:1
      |
    2 | ejct = { consecutive_failures = 3 }
      | ^^^^ taken as the name of a cluster, but what it holds does not fit one
      |
      = hint: did you mean `eject`?
    "#);
}

#[test]
fn cluster_with_a_slash() {
    insta::assert_snapshot!(start(r#"[cluster."/svc/web"]
concurrency = 1"#), @r#"
    error: unknown key `/svc/web` in `[cluster]`
     --> baleen.toml:1:10
      |
    1 | [cluster."/svc/web"]
      |          ^^^^^^^^^^ expected the name of a cluster
      |
      = hint: did you mean "web"?
    "#);
}

#[test]
fn route_without_a_slash() {
    insta::assert_snapshot!(start(r#"[route.web]
total_timeout = "1s""#), @r#"
    error: unknown key `web` in `[route]`
     --> baleen.toml:1:8
      |
    1 | [route.web]
      |        ^^^ expected a logical name such as "/svc/images"
      |
      = hint: did you mean "/svc/web"?
    "#);
}

#[test]
fn target_by_logical_name() {
    insta::assert_snapshot!(start(r#"[route."/svc/web"]
to = "/svc/v1""#), @r#"
    error: this is not a cluster's name
     --> baleen.toml:2:6
      |
    2 | to = "/svc/v1"
      |      ^^^^^^^^^ expected the name of a cluster
      |
      = hint: did you mean "v1"?
    "#);
}

#[test]
fn target_list_of_names() {
    insta::assert_snapshot!(start(r#"[route."/svc/web"]
to = ["v1", "v2"]"#), @r#"
    error: this is not a target
     --> baleen.toml:2:7
      |
    2 | to = ["v1", "v2"]
      |       ^^^^ expected `{ cluster = "NAME", weight = N }`
      |
      = hint: did you mean { cluster = "v1", weight = 1 }? For a fallback write { first = [..] }

    error: this is not a target
     --> baleen.toml:2:13
      |
    2 | to = ["v1", "v2"]
      |             ^^^^ expected `{ cluster = "NAME", weight = N }`
      |
      = hint: did you mean { cluster = "v2", weight = 1 }? For a fallback write { first = [..] }
    "#);
}

#[test]
fn target_weight_of_zero() {
    insta::assert_snapshot!(start(r#"[route."/svc/web"]
to = [{ cluster = "v1", weight = 0 }, { cluser = "v2" }]"#), @r#"
    error: invalid value for `weight`
     --> baleen.toml:2:34
      |
    2 | to = [{ cluster = "v1", weight = 0 }, { cluser = "v2" }]
      |                                  ^ expected a whole number from 1 to 65535

    error: this is not a target
     --> baleen.toml:2:39
      |
    2 | to = [{ cluster = "v1", weight = 0 }, { cluser = "v2" }]
      |                                       ^^^^^^^^^^^^^^^^^ expected `cluster` in here

    error: unknown key `cluser` in a target
     --> baleen.toml:2:41
      |
    2 | to = [{ cluster = "v1", weight = 0 }, { cluser = "v2" }]
      |                                         ^^^^^^ not a setting
      |
      = hint: did you mean `cluster`?
    "#);
}

#[test]
fn target_of_an_odd_table() {
    insta::assert_snapshot!(start(r#"[route."/svc/web"]
to = { firts = ["a"] }"#), @r#"
    error: unknown key `firts` in a target
     --> baleen.toml:2:8
      |
    2 | to = { firts = ["a"] }
      |        ^^^^^ not a setting
      |
      = hint: did you mean `first`?
    "#);
}

#[test]
fn name_that_leads_nowhere() {
    insta::assert_snapshot!(whole(r#"[[listener]]
listen = "127.0.0.1:80"
name = "/app/web"
[namer.files]
kind = "files"
dir = "d"
"#), @r#"
    error: the name `/app/web` leads nowhere
     --> baleen.toml:3:8
      |
    3 | name = "/app/web"
      |        ^^^^^^^^^^ only names of the form `/svc/NAME` lead to a cluster by themselves
      |
      = hint: say where: [route."/app/web"] and below it to = "CLUSTER"
    "#);
}

#[test]
fn cluster_that_does_not_exist() {
    insta::assert_snapshot!(whole(r#"[[listener]]
listen = "127.0.0.1:80"
name = "/svc/wbe"
[cluster.web]
endpoints = ["127.0.0.1:1"]
"#), @r#"
    error: there is no cluster `wbe`
     --> baleen.toml:3:8
      |
    3 | name = "/svc/wbe"
      |        ^^^^^^^^^^ this leads nowhere
      |
      = hint: did you mean `web`?
    "#);
}

#[test]
fn nothing_at_all() {
    insta::assert_snapshot!(whole(""), @r#"
    error: there is no listener
     --> baleen.toml:1:1
      |
    1 |
      | ^ expected a `[[listener]]` in this file
      |
      = hint: add [[listener]] and below it listen = "127.0.0.1:8080"

    error: there is no cluster
     --> baleen.toml:1:1
      |
    1 |
      | ^ requests would lead nowhere
      |
      = hint: add [cluster.NAME] with endpoints, or add [namer.files] for clusters that live in files
    "#);
}

#[test]
fn listeners_on_one_address() {
    insta::assert_snapshot!(whole(r#"[[listener]]
listen = "127.0.0.1:9990"
[[listener]]
listen = "127.0.0.1:9990"
[[listener]]
listen = "0.0.0.0:9990"
[admin]
listen = "127.0.0.1:9990"
[namer.files]
kind = "files"
dir = "d"
"#), @r#"
    error: 127.0.0.1:9990 is listened on twice
     --> baleen.toml:4:10
      |
    4 | listen = "127.0.0.1:9990"
      |          ^^^^^^^^^^^^^^^^ a listener here
      |
     ::: baleen.toml:2:10
      |
    2 | listen = "127.0.0.1:9990"
      |          ---------------- a listener here

    warning: 0.0.0.0:9990 and 127.0.0.1:9990 overlap
     --> baleen.toml:6:10
      |
    6 | listen = "0.0.0.0:9990"
      |          ^^^^^^^^^^^^^^ the more exact address wins
      |
     ::: baleen.toml:2:10
      |
    2 | listen = "127.0.0.1:9990"
      |          ---------------- a listener here

    error: 127.0.0.1:9990 is listened on twice
     --> baleen.toml:8:10
      |
    8 | listen = "127.0.0.1:9990"
      |          ^^^^^^^^^^^^^^^^ the admin server here
      |
     ::: baleen.toml:2:10
      |
    2 | listen = "127.0.0.1:9990"
      |          ---------------- a listener here
    "#);
}

#[test]
fn admin_for_everyone() {
    insta::assert_snapshot!(start(r#"[admin]
listen = "0.0.0.0:9990""#), @r#"
    warning: the admin server can be reached from other machines
     --> baleen.toml:2:10
      |
    2 | listen = "0.0.0.0:9990"
      |          ^^^^^^^^^^^^^^ not a loopback address
      |
      = note: it has no password: who reaches it reads names, addresses and numbers
    "#);
}

#[test]
fn try_timeout_that_never_fires() {
    insta::assert_snapshot!(start(r#"[route]
total_timeout = "5s"
try_timeout = "10s""#), @r#"
    warning: the try timeout never fires
     --> baleen.toml:3:15
      |
    3 | try_timeout = "10s"
      |               ^^^^^ 10s, longer than the total timeout
      |
     ::: baleen.toml:2:17
      |
    2 | total_timeout = "5s"
      |                 ---- `total_timeout` is 5s
    "#);
}

#[test]
fn try_timeout_against_a_default() {
    insta::assert_snapshot!(start(r#"[route."/svc/web"]
try_timeout = "10s""#), @r#"
    warning: the try timeout never fires
     --> baleen.toml:2:15
      |
    2 | try_timeout = "10s"
      |               ^^^^^ 10s, longer than the total timeout
      |
      = note: `total_timeout` is 5s by default
    "#);
}

#[test]
fn total_timeout_below_a_default() {
    insta::assert_snapshot!(start(r#"[route."/svc/web"]
total_timeout = "1500ms""#), @r#"
    warning: the try timeout never fires
     --> baleen.toml:2:17
      |
    2 | total_timeout = "1500ms"
      |                 ^^^^^^^^ `total_timeout` is 1500ms
      |
      = note: `try_timeout` has its default: 2s, longer than the total timeout
    "#);
}

#[test]
fn connect_timeout_that_never_fires() {
    insta::assert_snapshot!(start(r#"[route."/svc/web"]
try_timeout = "300ms""#), @r#"
    warning: the connect timeout never fires
     --> baleen.toml:2:15
      |
    2 | try_timeout = "300ms"
      |               ^^^^^^^ 300ms, while connecting may take 1s
      |
      = note: `connect_timeout` is 1s by default
    "#);
}

#[test]
fn queue_timeout_that_never_fires() {
    insta::assert_snapshot!(start(r#"[cluster]
queue_timeout = "10s""#), @r#"
    warning: the queue timeout never fires
     --> baleen.toml:2:17
      |
    2 | queue_timeout = "10s"
      |                 ^^^^^ `queue_timeout` is 10s
      |
      = note: `total_timeout` has its default: 5s, while waiting for a turn may take 10s
    "#);
}

#[test]
fn tries_without_a_budget() {
    insta::assert_snapshot!(start(r#"[route]
retry = { tries = 3, budget = "0%", floor_per_second = 0 }"#), @r#"
    warning: there are tries, but no budget for them
     --> baleen.toml:2:31
      |
    2 | retry = { tries = 3, budget = "0%", floor_per_second = 0 }
      |                               ^^^^                     - `floor_per_second` is 0
      |                               |
      |                               no retry is ever allowed
    "#);
}

#[test]
fn budget_without_tries() {
    insta::assert_snapshot!(start(r#"[route]
retry = { tries = 1, budget = "10%" }"#), @r#"
    warning: `budget` has no effect
     --> baleen.toml:2:31
      |
    2 | retry = { tries = 1, budget = "10%" }
      |                               ^^^^^ a request is tried once only
    "#);
}

#[test]
fn large_budget() {
    insta::assert_snapshot!(start(r#"[route]
retry = { budget = "100%" }"#), @r#"
    warning: a large retry budget
     --> baleen.toml:2:20
      |
    2 | retry = { budget = "100%" }
      |                    ^^^^^^ when all requests fail, load grows by this share
      |
      = note: 20% is usual: retries are for the odd failure, not for an outage
    "#);
}

#[test]
fn everything_may_be_ejected() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { ceiling = "100%", panic = "0%" }"#), @r#"
    warning: all endpoints can be taken out at once
     --> baleen.toml:2:21
      |
    2 | eject = { ceiling = "100%", panic = "0%" }
      |                     ^^^^^^          ---- `panic` is 0%
      |                     |
      |                     with `panic` at 0%, a cluster can be left without a usable endpoint
    "#);
}

#[test]
fn decay_of_another_balancer() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = { kind = "random", decay = "5s" }"#), @r#"
    warning: `decay` has no effect
     --> baleen.toml:2:38
      |
    2 | balance = { kind = "random", decay = "5s" }
      |                    --------          ^^^^ only `peak-ewma` and `aperture` have it
      |                    |
      |                    this kind has not
    "#);
}

#[test]
fn queue_timeout_without_a_queue() {
    insta::assert_snapshot!(start(r#"[cluster]
queue = 0
queue_timeout = "10ms""#), @r#"
    warning: `queue_timeout` has no effect
     --> baleen.toml:3:17
      |
    3 | queue_timeout = "10ms"
      |                 ^^^^^^ nothing waits
      |
     ::: baleen.toml:2:9
      |
    2 | queue = 0
      |         - the queue is off
    "#);
}

#[test]
fn route_that_no_request_has() {
    insta::assert_snapshot!(whole(r#"[[listener]]
listen = "127.0.0.1:80"
name = "/svc/web"
[route."/svc/wbe"]
[namer.files]
kind = "files"
dir = "d"
"#), @r#"
    warning: no request is named `/svc/wbe`
     --> baleen.toml:4:8
      |
    4 | [route."/svc/wbe"]
      |        ^^^^^^^^^^ no listener and no rule gives this name
      |
      = hint: did you mean "/svc/web"?
    "#);
}

#[test]
fn not_toml() {
    insta::assert_snapshot!(start(r#"[route
try_timeout = "1s""#), @r#"
    error: unclosed table, expected `]`
     --> baleen.toml:1:7
      |
    1 | [route
      |       ^
    "#);
}

#[test]
fn string_without_an_end() {
    insta::assert_snapshot!(start(r#"[route]
try_timeout = "1s
total_timeot = "2s""#), @r#"
    error: invalid basic string, expected `"`
     --> baleen.toml:2:18
      |
    2 | try_timeout = "1s
      |                  ^

    error: unknown key `total_timeot` in `[route]`
     --> baleen.toml:3:1
      |
    3 | total_timeot = "2s"
      | ^^^^^^^^^^^^ not a setting
      |
      = hint: did you mean `total_timeout`?
    "#);
}

#[test]
fn key_twice() {
    insta::assert_snapshot!(start(r#"[route]
try_timeout = "1s"
try_timeout = "2s""#), @r#"
    error: duplicate key
     --> baleen.toml:3:1
      |
    3 | try_timeout = "2s"
      | ^^^^^^^^^^^
    "#);
}

#[test]
fn several_at_once() {
    insta::assert_snapshot!(start(r#"workers = 1000
[route]
try_timeout = "1 s"
retry = { budgt = "1%", tries = "3" }
[cluster]
balance = "rand""#), @r#"
    error: invalid value for `workers`
     --> baleen.toml:1:11
      |
    1 | workers = 1000
      |           ^^^^ expected a whole number from 1 to 256

    error: invalid value for `try_timeout`
     --> baleen.toml:3:15
      |
    3 | try_timeout = "1 s"
      |               ^^^^^ expected a duration such as "300ms", "5s" or "1h"
      |
      = hint: did you mean "1s"?

    error: unknown key `budgt` in `[route.retry]`
     --> baleen.toml:4:11
      |
    4 | retry = { budgt = "1%", tries = "3" }
      |           ^^^^^ not a setting
      |
      = hint: did you mean `budget`?

    error: invalid value for `tries`
     --> baleen.toml:4:33
      |
    4 | retry = { budgt = "1%", tries = "3" }
      |                                 ^^^ expected a whole number from 1 to 16, found a string
      |
      = hint: did you mean 3, without quotes?

    error: invalid value for `balance`
     --> baleen.toml:6:11
      |
    6 | balance = "rand"
      |           ^^^^^^ expected a table, or "round-robin", "random", "least-loaded", "least-loaded-of-all", "peak-ewma", "aperture", "maglev" or "prequal"
      |
      = hint: did you mean "random"?
    "#);
}

#[test]
fn control_characters_are_shown() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = "\u001b[31mred\u0007""#), @r#"
    error: invalid value for `balance`
     --> baleen.toml:2:11
      |
    2 | balance = "\u001b[31mred\u0007"
      |           ^^^^^^^^^^^^^^^^^^^^^ expected a table, or "round-robin", "random", "least-loaded", "least-loaded-of-all", "peak-ewma", "aperture", "maglev" or "prequal"
    "#);
}

/// The end of each snapshot above is the proof that a person sees it; this is the proof for programs.
#[test]
fn as_json() {
    let errors = parse_str("a.toml", &format!("workers = 0{REST}")).unwrap_err();
    insta::assert_snapshot!(baleen_config::to_json(&errors), @r#"[{"column":11,"end":11,"file":"a.toml","hint":null,"label":"expected a whole number from 1 to 256","line":1,"notes":[],"related":[],"severity":"error","start":10,"title":"invalid value for `workers`"}]"#);
    assert_eq!(baleen_config::summary(&errors), "1 error");
}
