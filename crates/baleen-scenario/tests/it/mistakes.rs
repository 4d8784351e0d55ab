//! What mistakes look like: every error with its file, line, caret, what was expected and what to try.

use baleen_scenario::parse_str;

use crate::support::shown;

/// The part that is right in most cases.
const HEAD: &str = "[scenario]
duration = \"60s\"
warmup = \"5s\"
[[workload]]
to = \"/svc/web\"
rate = \"100/s\"
[service.web]
replicas = 8
calls = [\"db\"]
[service.db]
";

/// What is said of a whole file.
fn whole(text: &str) -> String {
    shown(&parse_str("s.toml", text, &[]))
}

/// What is said of a file whose beginning is right.
fn end(text: &str) -> String {
    whole(&format!("{HEAD}{text}"))
}

/// What is said of a file whose beginning is right but for one change.
fn changed(from: &str, to: &str) -> String {
    assert!(HEAD.contains(from));
    whole(&HEAD.replacen(from, to, 1))
}

#[test]
fn the_head_is_right() {
    assert_eq!(end(""), "");
}

#[test]
fn nothing_at_all() {
    insta::assert_snapshot!(whole(r#" "#), @r##"
    error: `scenario` is missing in the file
     --> s.toml:1:1
      |
    1 |  
      | ^ expected `scenario` in here

    error: there is no workload
     --> s.toml:1:1
      |
    1 |  
      | ^ expected at least one in this file
      |
      = hint: add [[workload]] with `to` and `rate`

    error: there is no service
     --> s.toml:1:1
      |
    1 |  
      | ^ expected at least one in this file
      |
      = hint: add [service.web]
    "##);
}

#[test]
fn a_scenario_alone() {
    insta::assert_snapshot!(whole(r#"[scenario]
duration = "1s""#), @r##"
    error: there is no workload
     --> s.toml:1:1
      |
    1 | [scenario]
      | ^ expected at least one in this file
      |
      = hint: add [[workload]] with `to` and `rate`

    error: there is no service
     --> s.toml:1:1
      |
    1 | [scenario]
      | ^ expected at least one in this file
      |
      = hint: add [service.web]
    "##);
}

#[test]
fn unknown_table() {
    insta::assert_snapshot!(end(r#"[[faults]]
at = "1s""#), @r##"
    error: unknown key `faults` in the file
      --> s.toml:11:3
       |
    11 | [[faults]]
       |   ^^^^^^ not a setting
       |
       = hint: did you mean `fault`?
    "##);
}

#[test]
fn unknown_key() {
    insta::assert_snapshot!(end(r#"[service.cache]
replica = 3"#), @r##"
    error: unknown key `replica` in `[service.cache]`
      --> s.toml:12:1
       |
    12 | replica = 3
       | ^^^^^^^ not a setting
       |
       = hint: did you mean `replicas`?
    "##);
}

#[test]
fn unknown_key_of_a_workload() {
    insta::assert_snapshot!(changed(r#"rate = "100/s""#, r#"rate = "100/s"
retries = 3"#), @r##"
    error: unknown key `retries` in `[[workload]]`
     --> s.toml:7:1
      |
    7 | retries = 3
      | ^^^^^^^ expected one of: name, to, via, arrivals, rate, steps, burst, think, clients, timeout, tries, wait, balance, pool, pool_idle_max, pool_max, deadline, idempotent, priority
    "##);
}

#[test]
fn no_duration() {
    insta::assert_snapshot!(changed(r#"duration = "60s"
"#, r#""#), @r##"
    error: `duration` is missing in `[scenario]`
     --> s.toml:1:1
      |
    1 | [scenario]
      | ^^^^^^^^^^ expected `duration` in here
    "##);
}

#[test]
fn duration_too_long() {
    insta::assert_snapshot!(changed(r#""60s""#, r#""2d""#), @r##"
    error: invalid value for `duration`
     --> s.toml:2:12
      |
    2 | duration = "2d"
      |            ^^^^ expected 1ms to 1d
    "##);
}

#[test]
fn negative_time() {
    insta::assert_snapshot!(changed(r#"warmup = "5s""#, r#"warmup = "-5s""#), @r##"
    error: invalid value for `warmup`
     --> s.toml:3:10
      |
    3 | warmup = "-5s"
      |          ^^^^^ a time is not negative
    "##);
}

#[test]
fn warm_up_as_long_as_the_run() {
    insta::assert_snapshot!(changed(r#"warmup = "5s""#, r#"warmup = "60s""#), @r##"
    error: the warm-up is as long as the run
     --> s.toml:3:10
      |
    3 | warmup = "60s"
      |          ^^^^^ nothing would be measured
      |
     ::: s.toml:2:12
      |
    2 | duration = "60s"
      |            ----- so long does it last
    "##);
}

#[test]
fn title_without_quotes() {
    insta::assert_snapshot!(changed(r#"warmup = "5s""#, r#"title = 7"#), @r##"
    error: invalid value for `title`
     --> s.toml:3:9
      |
    3 | title = 7
      |         ^ expected a string: any text, found a whole number
    "##);
}

#[test]
fn broken_form() {
    insta::assert_snapshot!(end(r#"[[fault]
at = "1s""#), @r##"
    error: unclosed array table, expected `]`
      --> s.toml:11:9
       |
    11 | [[fault]
       |         ^
    "##);
}

#[test]
fn workload_to_an_unknown_service() {
    insta::assert_snapshot!(changed(r#""/svc/web""#, r#""wbe""#), @r##"
    error: invalid value for `to`
     --> s.toml:5:6
      |
    5 | to = "wbe"
      |      ^^^^^ there is no service of this name; a logical name starts with `/`
      |
      = hint: did you mean "web"?
    "##);
}

#[test]
fn logical_name_of_no_service() {
    insta::assert_snapshot!(changed(r#""/svc/web""#, r#""/svc/wbe""#), @r##"
    error: `/svc/wbe` leads to `wbe`, and there is no such service
     --> s.toml:5:6
      |
    5 | to = "/svc/wbe"
      |      ^^^^^^^^^^ this leads nowhere
      |
      = hint: did you mean "/svc/web"?
    "##);
}

#[test]
fn logical_name_of_another_form() {
    insta::assert_snapshot!(changed(r#""/svc/web""#, r#""/web""#), @r##"
    error: `/web` leads nowhere
     --> s.toml:5:6
      |
    5 | to = "/web"
      |      ^^^^^^ only names of the form `/svc/NAME` lead to a service by themselves
      |
      = hint: did you mean "/svc/web"?
    "##);
}

#[test]
fn logical_name_that_is_none() {
    insta::assert_snapshot!(changed(r#""/svc/web""#, r#""/svc/""#), @r##"
    error: invalid value for `to`
     --> s.toml:5:6
      |
    5 | to = "/svc/"
      |      ^^^^^^^ expected a logical name such as "/svc/images"
    "##);
}

#[test]
fn route_that_leads_to_no_service() {
    insta::assert_snapshot!(end(r#"[mesh.route."/svc/web"]
to = [{ cluster = "web" }, { cluster = "web-v2" }]"#), @r##"
    error: `/svc/web` leads to `web-v2`, and there is no such service
     --> s.toml:5:6
      |
    5 | to = "/svc/web"
      |      ^^^^^^^^^^ this leads nowhere
      |
      = hint: add [service.web-v2]
    "##);
}

#[test]
fn fallback_that_leads_to_no_service() {
    insta::assert_snapshot!(end(r#"[mesh.route."/svc/web"]
fallback = "/svc/old""#), @r##"
    error: `/svc/old` leads to `old`, and there is no such service
     --> s.toml:5:6
      |
    5 | to = "/svc/web"
      |      ^^^^^^^^^^ this leads nowhere
      |
      = hint: add [service.old]
    "##);
}

#[test]
fn rate_missing() {
    insta::assert_snapshot!(changed(r#"rate = "100/s"
"#, r#""#), @r##"
    error: `rate` is missing in `[[workload]]`
     --> s.toml:4:1
      |
    4 | [[workload]]
      | ^^^^^^^^^^^^ expected `rate` in here
      |
      = hint: such as rate = "400/s"; or arrivals = "closed" with `think`
    "##);
}

#[test]
fn rate_without_a_unit() {
    insta::assert_snapshot!(changed(r#""100/s""#, r#"100"#), @r##"
    error: invalid value for `rate`
     --> s.toml:6:8
      |
    6 | rate = 100
      |        ^^^ expected how often, such as "400/s", "9.3/s" or "30/m", found a whole number
      |
      = hint: did you mean "100/s"?
    "##);
}

#[test]
fn rate_of_nothing() {
    insta::assert_snapshot!(changed(r#""100/s""#, r#""0/s""#), @r##"
    error: this workload never calls
     --> s.toml:6:8
      |
    6 | rate = "0/s"
      |        ^^^^^ expected a rate above 0, here or in `steps`
    "##);
}

#[test]
fn rate_negative() {
    insta::assert_snapshot!(changed(r#""100/s""#, r#""-1/s""#), @r##"
    error: invalid value for `rate`
     --> s.toml:6:8
      |
    6 | rate = "-1/s"
      |        ^^^^^^ a rate is not negative
    "##);
}

#[test]
fn rate_too_high() {
    insta::assert_snapshot!(changed(r#""100/s""#, r#""1000000000/s""#), @r##"
    error: invalid value for `rate`
     --> s.toml:6:8
      |
    6 | rate = "1000000000/s"
      |        ^^^^^^^^^^^^^^ expected at most 10000000/s
    "##);
}

#[test]
fn think_of_an_open_loop() {
    insta::assert_snapshot!(changed(r#"rate = "100/s""#, r#"rate = "100/s"
think = "1s""#), @r##"
    error: `think` has no effect
     --> s.toml:7:9
      |
    7 | think = "1s"
      |         ^^^^ only `closed` has it
      |
     ::: s.toml:4:1
      |
    4 | [[workload]]
      | ------------ this kind has not
    "##);
}

#[test]
fn rate_of_a_closed_loop() {
    insta::assert_snapshot!(changed(r#"rate = "100/s""#, r#"arrivals = "closed"
rate = "100/s""#), @r##"
    error: `rate` has no effect
     --> s.toml:7:8
      |
    7 | rate = "100/s"
      |        ^^^^^^^ only `poisson` and `constant` have it
      |
     ::: s.toml:6:12
      |
    6 | arrivals = "closed"
      |            -------- this kind has not
    "##);
}

#[test]
fn no_time_to_think() {
    insta::assert_snapshot!(changed(r#"rate = "100/s""#, r#"arrivals = "closed"
think = "0s""#), @r##"
    error: no time between two calls of a client
     --> s.toml:7:9
      |
    7 | think = "0s"
      |         ^^^^ a call that is refused at once would be made again in the same instant
      |
      = hint: write a short time, such as "10us"
    "##);
}

#[test]
fn steps_out_of_order() {
    insta::assert_snapshot!(changed(r#"rate = "100/s""#, r#"rate = "100/s"
steps = [{ at = "30s", rate = "1/s" }, { at = "20s", rate = "2/s" }]"#), @r##"
    error: this step begins before the one before it is over
     --> s.toml:7:47
      |
    7 | steps = [{ at = "30s", rate = "1/s" }, { at = "20s", rate = "2/s" }]
      |                 ----- the one before          ^^^^^ expected 30s or later
    "##);
}

#[test]
fn step_within_a_ramp() {
    insta::assert_snapshot!(changed(r#"rate = "100/s""#, r#"rate = "100/s"
steps = [{ at = "10s", rate = "1/s", over = "20s" }, { at = "20s", rate = "2/s" }]"#), @r##"
    error: this step begins before the one before it is over
     --> s.toml:7:61
      |
    7 | steps = [{ at = "10s", rate = "1/s", over = "20s" }, { at = "20s", rate = "2/s" }]
      |                 ----- the one before                        ^^^^^ expected 30s or later
    "##);
}

#[test]
fn step_over_before_it_is_reached() {
    insta::assert_snapshot!(changed(r#"rate = "100/s""#, r#"rate = "100/s"
steps = [{ at = "10s", for = "5s", rate = "1/s", over = "20s" }]"#), @r##"
    error: this step ends before its rate is reached
     --> s.toml:7:30
      |
    7 | steps = [{ at = "10s", for = "5s", rate = "1/s", over = "20s" }]
      |                              ^^^^ expected 20s or more
    "##);
}

#[test]
fn step_after_the_end() {
    insta::assert_snapshot!(changed(r#"rate = "100/s""#, r#"rate = "100/s"
steps = [{ at = "61s", rate = "1/s" }]"#), @r##"
    error: this step begins after the end
     --> s.toml:7:17
      |
    7 | steps = [{ at = "61s", rate = "1/s" }]
      |                 ^^^^^ calls come for 1m
    "##);
}

#[test]
fn balance_and_pool_of_a_logical_name() {
    insta::assert_snapshot!(changed(r#"rate = "100/s""#, r#"rate = "100/s"
balance = "random"
pool = "random""#), @r##"
    error: `balance` has no effect
     --> s.toml:7:11
      |
    7 | balance = "random"
      |           ^^^^^^^^ only a caller that goes to a service straight chooses by itself
      |
     ::: s.toml:5:6
      |
    5 | to = "/svc/web"
      |      ---------- this goes through Baleen
      |
      = hint: Baleen's are set in [mesh.cluster], such as balance = "peak-ewma"

    error: `pool` has no effect
     --> s.toml:8:8
      |
    8 | pool = "random"
      |        ^^^^^^^^ only a caller that goes to a service straight chooses by itself
      |
     ::: s.toml:5:6
      |
    5 | to = "/svc/web"
      |      ---------- this goes through Baleen
      |
      = hint: Baleen's are set in [mesh.cluster], such as balance = "peak-ewma"
    "##);
}

#[test]
fn unknown_balance() {
    insta::assert_snapshot!(changed(r#"rate = "100/s""#, r#"rate = "100/s"
balance = "power-of-tow""#), @r##"
    error: invalid value for `balance`
     --> s.toml:7:11
      |
    7 | balance = "power-of-tow"
      |           ^^^^^^^^^^^^^^ expected "random", "round-robin", "power-of-two", "least-loaded-first" or "least-loaded-random"
      |
      = hint: did you mean "power-of-two"?
    "##);
}

#[test]
fn unknown_group() {
    insta::assert_snapshot!(changed(r#"rate = "100/s""#, r#"rate = "100/s"
via = "sidecar""#), @r##"
    error: invalid value for `via`
     --> s.toml:7:7
      |
    7 | via = "sidecar"
      |       ^^^^^^^^^ there is no group of proxies of this name
      |
      = hint: add [proxy.sidecar]
    "##);
}

#[test]
fn via_on_a_straight_call() {
    insta::assert_snapshot!(changed(r#"to = "/svc/web""#, r#"to = "web"
via = "proxy""#), @r##"
    error: `via` has no effect
     --> s.toml:6:7
      |
    6 | via = "proxy"
      |       ^^^^^^^ only a logical name goes through Baleen
      |
     ::: s.toml:5:6
      |
    5 | to = "web"
      |      ----- this goes to the service straight
    "##);
}

#[test]
fn deadline_on_a_straight_call() {
    insta::assert_snapshot!(changed(r#"to = "/svc/web""#, r#"to = "web"
deadline = true"#), @r##"
    error: `deadline` has no effect
     --> s.toml:6:12
      |
    6 | deadline = true
      |            ^^^^ only a logical name goes through Baleen
      |
     ::: s.toml:5:6
      |
    5 | to = "web"
      |      ----- this goes to the service straight
    "##);
}

#[test]
fn tries_beyond_bounds() {
    insta::assert_snapshot!(changed(r#"rate = "100/s""#, r#"rate = "100/s"
tries = 1000"#), @r##"
    error: invalid value for `tries`
     --> s.toml:7:9
      |
    7 | tries = 1000
      |         ^^^^ expected a whole number from 1 to 100
    "##);
}

#[test]
fn timeout_of_zero() {
    insta::assert_snapshot!(changed(r#"rate = "100/s""#, r#"rate = "100/s"
timeout = 0"#), @r##"
    error: invalid value for `timeout`
     --> s.toml:7:11
      |
    7 | timeout = 0
      |           ^ expected a duration such as "300ms", "5s" or "1h", or "off", found a whole number
      |
      = hint: did you mean "off"?
    "##);
}

#[test]
fn two_workloads_of_one_name() {
    insta::assert_snapshot!(end(r#"[[workload]]
name = "a"
to = "db"
rate = "1/s"
[[workload]]
name = "a"
to = "db"
rate = "1/s""#), @r##"
    error: two workloads are called `a`
      --> s.toml:16:8
       |
    16 | name = "a"
       |        ^^^ again here
       |
      ::: s.toml:12:8
       |
    12 | name = "a"
       |        --- first here
    "##);
}

#[test]
fn name_with_a_space() {
    insta::assert_snapshot!(end(r#"[[workload]]
name = "a b"
to = "db"
rate = "1/s""#), @r##"
    error: a workload can not be called `a b`
      --> s.toml:12:8
       |
    12 | name = "a b"
       |        ^^^^^ expected a name: letters, digits, `-`, `_` and `.`
    "##);
}

#[test]
fn service_called_rack() {
    insta::assert_snapshot!(end(r#"[service.rack]"#), @r##"
    error: a service can not be called `rack`
      --> s.toml:11:10
       |
    11 | [service.rack]
       |          ^^^^ `rack` is something else where faults say what they hit
    "##);
}

#[test]
fn service_in_double_brackets() {
    insta::assert_snapshot!(whole(r#"[scenario]
duration = "1m"
[[service]]
name = "web""#), @r##"
    error: there is no workload
     --> s.toml:1:1
      |
    1 | [scenario]
      | ^ expected at least one in this file
      |
      = hint: add [[workload]] with `to` and `rate`

    error: invalid value for `service`
     --> s.toml:3:1
      |
    3 | [[service]]
      | ^^^^^^^^^^^ expected a table, found a list
      |
      = hint: write [service.NAME], in single brackets
    "##);
}

#[test]
fn service_called_like_a_group() {
    insta::assert_snapshot!(changed(r#"[service.db]"#, r#"[service.db]
[service.proxy]"#), @r##"
    error: `proxy` is the name of a group of proxies, too
      --> s.toml:11:10
       |
    11 | [service.proxy]
       |          ^^^^^ expected another name
       |
      ::: s.toml:5:6
       |
     5 | to = "/svc/web"
       |      ---------- this group
    "##);
}

#[test]
fn replicas_beyond_bounds() {
    insta::assert_snapshot!(changed(r#"replicas = 8"#, r#"replicas = 5000"#), @r##"
    error: invalid value for `replicas`
     --> s.toml:8:12
      |
    8 | replicas = 5000
      |            ^^^^ expected a whole number from 1 to 4096
    "##);
}

#[test]
fn queue_in_words() {
    insta::assert_snapshot!(changed(r#"replicas = 8"#, r#"queue = "none""#), @r##"
    error: invalid value for `queue`
     --> s.toml:8:9
      |
    8 | queue = "none"
      |         ^^^^^^ expected a whole number from 0 to 1000000, or "off"
    "##);
}

#[test]
fn time_with_an_unknown_distribution() {
    insta::assert_snapshot!(changed(r#"replicas = 8"#, r#"time = "20ms + expo(100ms)""#), @r##"
    error: invalid value for `time`
     --> s.toml:8:16
      |
    8 | time = "20ms + expo(100ms)"
      |                ^^^^ there is no distribution `expo`
      |
      = hint: a time (20ms), exp(mean), uniform(least, most), lognormal(median, sigma), mix(90% one, 10% other) or empirical(time, time, ...)
    "##);
}

#[test]
fn time_that_stops() {
    insta::assert_snapshot!(changed(r#"replicas = 8"#, r#"time = "20ms +""#), @r##"
    error: invalid value for `time`
     --> s.toml:8:15
      |
    8 | time = "20ms +"
      |               ^ expected a time or a distribution, found the end
      |
      = hint: a time (20ms), exp(mean), uniform(least, most), lognormal(median, sigma), mix(90% one, 10% other) or empirical(time, time, ...)
    "##);
}

#[test]
fn time_as_a_number() {
    insta::assert_snapshot!(changed(r#"replicas = 8"#, r#"time = 20"#), @r##"
    error: invalid value for `time`
     --> s.toml:8:8
      |
    8 | time = 20
      |        ^^ expected a time such as "20ms", "exp(100ms)" or "20ms + exp(100ms)", found a whole number
      |
      = hint: did you mean "20ms"?
    "##);
}

#[test]
fn cache_in_front_of_nothing() {
    insta::assert_snapshot!(end(r#"cache = { hit = "90%" }"#), @r##"
    error: `cache` has no effect
      --> s.toml:11:9
       |
    11 | cache = { hit = "90%" }
       |         ^^^^^^^^^^^^^^^ it stands in front of `calls`, and this service makes none
    "##);
}

#[test]
fn cache_cold_and_always_warm() {
    insta::assert_snapshot!(changed(r#"replicas = 8"#, r#"cache = { hit = "90%", fills = 0, cold = true }"#), @r##"
    error: a cache that is cold and always warm
     --> s.toml:8:42
      |
    8 | cache = { hit = "90%", fills = 0, cold = true }
      |                                -         ^^^^ expected false
      |                                |
      |                                with 0 it is always warm
    "##);
}

#[test]
fn call_to_an_unknown_service() {
    insta::assert_snapshot!(changed(r#"["db"]"#, r#"["bd"]"#), @r##"
    error: invalid value for `to`
     --> s.toml:9:10
      |
    9 | calls = ["bd"]
      |          ^^^^ there is no service of this name; a logical name starts with `/`
      |
      = hint: did you mean "db"?
    "##);
}

#[test]
fn call_without_to() {
    insta::assert_snapshot!(changed(r#"["db"]"#, r#"[{ count = 3 }]"#), @r##"
    error: `to` is missing in `[service.calls]`
     --> s.toml:9:10
      |
    9 | calls = [{ count = 3 }]
      |          ^^^^^^^^^^^^^ expected `to` in here
    "##);
}

#[test]
fn circle_of_calls() {
    insta::assert_snapshot!(end(r#"calls = [{ to = "/svc/cache" }]
[service.cache]
calls = ["web"]"#), @r##"
    error: calls go in a circle: web -> db -> cache -> web
      --> s.toml:13:10
       |
    13 | calls = ["web"]
       |          ^^^^^ this call closes it
       |
       = note: each request would call for ever
    "##);
}

#[test]
fn call_of_itself() {
    insta::assert_snapshot!(end(r#"calls = ["db"]"#), @r##"
    error: calls go in a circle: db -> db
      --> s.toml:11:10
       |
    11 | calls = ["db"]
       |          ^^^^ this call closes it
       |
       = note: each request would call for ever
    "##);
}

#[test]
fn calls_without_bound() {
    insta::assert_snapshot!(end(r#"calls = [{ to = "a", count = 1000 }]
[service.a]
calls = [{ to = "b", count = 1000 }]
[service.b]"#), @r##"
    error: one call leads to 1001002 requests
     --> s.toml:5:6
      |
    5 | to = "/svc/web"
      |      ^^^^^^^^^^ at most 100000 are simulated
    "##);
}

#[test]
fn link_of_an_unknown_side() {
    insta::assert_snapshot!(end(r#"[[link]]
from = "web"
to = "bd"
[[link]]
to = "nobody""#), @r##"
    error: invalid value for `to`
      --> s.toml:13:6
       |
    13 | to = "bd"
       |      ^^^^ there is no workload, service or group of proxies of this name
       |
       = hint: did you mean "db"?

    error: invalid value for `to`
      --> s.toml:15:6
       |
    15 | to = "nobody"
       |      ^^^^^^^^ there is no workload, service or group of proxies of this name
       |
       = hint: known: web, db, proxy
    "##);
}

#[test]
fn link_that_is_never_used() {
    insta::assert_snapshot!(end(r#"[[link]]
latency = "1ms"
[[link]]
to = "db"
latency = "2ms""#), @r##"
    warning: this link is never used
      --> s.toml:13:1
       |
    13 | [[link]]
       | ^^^^^^^^ the first link that fits rules
       |
      ::: s.toml:11:1
       |
    11 | [[link]]
       | -------- this one fits wherever it would
    "##);
}

#[test]
fn link_from_an_ambiguous_side() {
    insta::assert_snapshot!(end(r#"[[link]]
from = "web""#), @r##"
    error: invalid value for `from`
      --> s.toml:12:8
       |
    12 | from = "web"
       |        ^^^^^ a workload and a service are called so, and both call
       |
       = hint: give the workload a name of its own
    "##);
}

#[test]
fn bandwidth_in_bits() {
    insta::assert_snapshot!(end(r#"[[link]]
bandwidth = "1Gbit/s""#), @r##"
    error: invalid value for `bandwidth`
      --> s.toml:12:13
       |
    12 | bandwidth = "1Gbit/s"
       |             ^^^^^^^^^ expected a rate such as "100MB/s" or "10MiB/s", or "off"
       |
       = hint: bytes, not bits: 1Gbit/s is "125MB/s"
    "##);
}

#[test]
fn more_waves_than_replicas() {
    insta::assert_snapshot!(end(r#"[[deploy]]
service = "web"
at = "10s"
waves = [4, 5]"#), @r##"
    error: waves of 9 replicas, and there are 8
      --> s.toml:14:9
       |
    14 | waves = [4, 5]
       |         ^^^^^^ expected at most 8 together
       |
      ::: s.toml:12:11
       |
    12 | service = "web"
       |           ----- of this service
    "##);
}

#[test]
fn no_waves() {
    insta::assert_snapshot!(end(r#"[[deploy]]
service = "web"
at = "70s"
waves = []"#), @r##"
    error: this release begins after the end
      --> s.toml:13:6
       |
    13 | at = "70s"
       |      ^^^^^ calls come for 1m

    error: a release without waves
      --> s.toml:14:9
       |
    14 | waves = []
       |         ^^ expected replicas in each wave, such as [1, 3, 4]
    "##);
}

#[test]
fn two_releases_at_once() {
    insta::assert_snapshot!(end(r#"[[deploy]]
service = "web"
at = "10s"
waves = [4, 4]
[[deploy]]
service = "web"
at = "20s"
waves = [8]"#), @r##"
    error: two releases of one service at the same time
      --> s.toml:17:6
       |
    17 | at = "20s"
       |      ^^^^^ expected one after the other
       |
      ::: s.toml:11:1
       |
    11 | [[deploy]]
       | ---------- the other
    "##);
}

#[test]
fn fault_on_a_replica_that_is_not_there() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
on = "web/8"
kind = "crash""#), @r##"
    error: invalid value for `on`
      --> s.toml:13:11
       |
    13 | on = "web/8"
       |           ^ `web` has 8 replicas: 0 to 7
    "##);
}

#[test]
fn fault_on_a_range_that_is_not_there() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
on = ["db/0", "web/6..9", "web/3..1"]
kind = "crash""#), @r##"
    error: invalid value for `on`
      --> s.toml:13:20
       |
    13 | on = ["db/0", "web/6..9", "web/3..1"]
       |                    ^^^^ `web` has 8 replicas: 0 to 7

    error: invalid value for `on`
      --> s.toml:13:32
       |
    13 | on = ["db/0", "web/6..9", "web/3..1"]
       |                                ^^^^ the range ends before it starts
       |
       = hint: did you mean "web/1..3"?
    "##);
}

#[test]
fn fault_on_an_unknown_service() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
on = "wbe/0"
kind = "crash""#), @r##"
    error: invalid value for `on`
      --> s.toml:13:7
       |
    13 | on = "wbe/0"
       |       ^^^ there is no service or group of proxies of this name
       |
       = hint: did you mean "web"?
    "##);
}

#[test]
fn fault_on_processes_that_are_not_there() {
    insta::assert_snapshot!(end(r#"[proxy]
count = 2
[[fault]]
at = "10s"
on = ["proxy/2", "proxy/x", "proxy/1..0", "poxy", "web/8"]
kind = "crash""#), @r##"
    error: invalid value for `on`
      --> s.toml:15:14
       |
    15 | on = ["proxy/2", "proxy/x", "proxy/1..0", "poxy", "web/8"]
       |              ^ `proxy` has 2 processes: 0 to 1

    error: invalid value for `on`
      --> s.toml:15:25
       |
    15 | on = ["proxy/2", "proxy/x", "proxy/1..0", "poxy", "web/8"]
       |                         ^ expected a process such as 3, or some such as 0..3

    error: invalid value for `on`
      --> s.toml:15:36
       |
    15 | on = ["proxy/2", "proxy/x", "proxy/1..0", "poxy", "web/8"]
       |                                    ^^^^ the range ends before it starts
       |
       = hint: did you mean "proxy/0..1"?

    error: invalid value for `on`
      --> s.toml:15:44
       |
    15 | on = ["proxy/2", "proxy/x", "proxy/1..0", "poxy", "web/8"]
       |                                            ^^^^ there is no service or group of proxies of this name
       |
       = hint: did you mean "proxy"?

    error: invalid value for `on`
      --> s.toml:15:56
       |
    15 | on = ["proxy/2", "proxy/x", "proxy/1..0", "poxy", "web/8"]
       |                                                        ^ `web` has 8 replicas: 0 to 7
    "##);
}

#[test]
fn fault_of_a_kind_that_processes_have_not() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
on = ["proxy/0", "proxy"]
kind = "hang"
[[fault]]
at = "10s"
on = "registry"
kind = "crash"
[[fault]]
at = "10s"
on = ["proxy/0", "registry"]
kind = "bandwidth"
rate = "1KB/s""#), @r##"
    error: invalid value for `on`
      --> s.toml:13:8
       |
    13 | on = ["proxy/0", "proxy"]
       |        ^^^^^ `proxy` is a group of proxies: only `crash` hits those

    error: invalid value for `on`
      --> s.toml:13:19
       |
    13 | on = ["proxy/0", "proxy"]
       |                   ^^^^^ `proxy` is a group of proxies: only `crash` hits those

    error: invalid value for `on`
      --> s.toml:17:7
       |
    17 | on = "registry"
       |       ^^^^^^^^ expected replicas, such as "web/3", "web/0..3", "web", "web@new" or "rack/1", or processes of proxies, such as "proxy/0" or "proxy": that is what `crash` hits
       |
       = hint: did you mean kind = "registry-down"?

    error: invalid value for `on`
      --> s.toml:21:8
       |
    21 | on = ["proxy/0", "registry"]
       |        ^^^^^ `proxy` is a group of proxies: only `crash` hits those

    error: invalid value for `on`
      --> s.toml:21:19
       |
    21 | on = ["proxy/0", "registry"]
       |                   ^^^^^^^^ expected replicas, such as "web/3", "web/0..3", "web", "web@new" or "rack/1", or what lies between two sides, such as "web->db": that is what `bandwidth` hits
       |
       = hint: did you mean kind = "registry-down"?
    "##);
}

#[test]
fn crash_of_a_process_that_nobody_uses() {
    insta::assert_snapshot!(end(r#"[proxy]
count = 2
[[fault]]
at = "10s"
on = "proxy/1"
kind = "crash""#), @r##"
    warning: nobody calls through what is hit
      --> s.toml:15:6
       |
    15 | on = "proxy/1"
       |      ^^^^^^^^^ caller n uses process n modulo `count`, and there are fewer callers
    "##);
}

#[test]
fn bandwidth_that_is_none() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
on = "web"
kind = "bandwidth"
[[fault]]
at = "10s"
on = "web"
kind = "bandwidth"
rate = "off"
[[fault]]
at = "10s"
on = "web"
kind = "bandwidth"
rate = "0B/s"
[[fault]]
at = "10s"
on = "web"
kind = "bandwidth"
rate = "100kbit/s"
[[fault]]
at = "10s"
on = "web"
kind = "crash"
rate = "1KB/s""#), @r##"
    error: `rate` is missing in `[[fault]]`
      --> s.toml:11:1
       |
    11 | [[fault]]
       | ^^^^^^^^^ expected `rate` in here: `bandwidth` needs it

    error: invalid value for `rate`
      --> s.toml:19:8
       |
    19 | rate = "off"
       |        ^^^^^ expected a rate such as "100MB/s" or "10MiB/s"

    error: invalid value for `rate`
      --> s.toml:24:8
       |
    24 | rate = "0B/s"
       |        ^^^^^^ expected at least 1B/s

    error: invalid value for `rate`
      --> s.toml:29:8
       |
    29 | rate = "100kbit/s"
       |        ^^^^^^^^^^^ expected a rate such as "100MB/s" or "10MiB/s"
       |
       = hint: bytes, not bits: 1Gbit/s is "125MB/s"

    error: `rate` has no effect
      --> s.toml:34:8
       |
    34 | rate = "1KB/s"
       |        ^^^^^^^ only `bandwidth` has it
       |
      ::: s.toml:33:8
       |
    33 | kind = "crash"
       |        ------- this kind has not
    "##);
}

#[test]
fn bandwidth_where_nothing_has_a_size() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
on = ["web", "web->db"]
kind = "bandwidth"
rate = "1KB/s""#), @r##"
    warning: nothing that has a size passes here
      --> s.toml:13:6
       |
    13 | on = ["web", "web->db"]
       |      ^^^^^^^^^^^^^^^^^^ expected a service with `request_bytes` or `response_bytes` that is called straight or is hit itself
    "##);
}

#[test]
fn fault_on_an_unknown_side() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
on = "web->bd"
kind = "loss"
share = "1%""#), @r##"
    error: invalid value for `on`
      --> s.toml:13:12
       |
    13 | on = "web->bd"
       |            ^^ there is no workload, service or group of proxies of this name
       |
       = hint: did you mean "db"?
    "##);
}

#[test]
fn fault_on_a_rack_without_racks() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
on = "rack/1"
kind = "crash""#), @r##"
    error: invalid value for `on`
      --> s.toml:13:7
       |
    13 | on = "rack/1"
       |       ^^^^^^ no service stands in racks
       |
       = hint: add racks = 4 to a service
    "##);
}

#[test]
fn fault_on_a_new_version_without_a_release() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
on = "web@new"
kind = "crash""#), @r##"
    error: invalid value for `on`
      --> s.toml:13:10
       |
    13 | on = "web@new"
       |          ^^^^ there is no `[[deploy]]` of `web`
    "##);
}

#[test]
fn fault_before_the_release() {
    insta::assert_snapshot!(end(r#"[[deploy]]
service = "web"
at = "20s"
waves = [1]
[[fault]]
at = "10s"
on = "web@new"
kind = "crash""#), @r##"
    error: no replica runs the new version when this fault starts
      --> s.toml:16:6
       |
    16 | at = "10s"
       |      ^^^^^ expected 27s or later
       |
      ::: s.toml:17:6
       |
    17 | on = "web@new"
       |      --------- of these
    "##);
}

#[test]
fn fault_that_can_not_hit_this() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
on = "web->db"
kind = "latency"
add = "1s"
[[fault]]
at = "10s"
on = "web/1"
kind = "poison"
share = "1%""#), @r##"
    error: invalid value for `on`
      --> s.toml:13:7
       |
    13 | on = "web->db"
       |       ^^^^^^^ expected replicas, such as "web/3", "web/0..3", "web", "web@new" or "rack/1": that is what `latency` hits
       |
       = hint: did you mean kind = "delay"?

    error: invalid value for `on`
      --> s.toml:18:7
       |
    18 | on = "web/1"
       |       ^^^^^ expected the name of a workload: that is what `poison` hits
    "##);
}

#[test]
fn fault_of_an_unknown_kind() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
on = "web/1"
kind = "restart"
[[fault]]
at = "10s"
on = "web/1"
kind = "crush""#), @r##"
    error: invalid value for `kind`
      --> s.toml:14:8
       |
    14 | kind = "restart"
       |        ^^^^^^^^^ expected "crash", "hang", "silent", "refuse", "latency", "slow", "errors", "fail-first", "capacity", "cache-wipe", "loss", "delay", "bandwidth", "partition", "registry-down" or "poison"

    error: invalid value for `kind`
      --> s.toml:18:8
       |
    18 | kind = "crush"
       |        ^^^^^^^ expected "crash", "hang", "silent", "refuse", "latency", "slow", "errors", "fail-first", "capacity", "cache-wipe", "loss", "delay", "bandwidth", "partition", "registry-down" or "poison"
       |
       = hint: did you mean "crash"?
    "##);
}

#[test]
fn fault_with_a_key_of_another_kind() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
on = "web/1"
kind = "crash"
add = "1s""#), @r##"
    error: `add` has no effect
      --> s.toml:15:7
       |
    15 | add = "1s"
       |       ^^^^ only `latency` and `delay` have it
       |
      ::: s.toml:14:8
       |
    14 | kind = "crash"
       |        ------- this kind has not
    "##);
}

#[test]
fn fault_without_what_it_needs() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
kind = "slow""#), @r##"
    error: `on` is missing in `[[fault]]`
      --> s.toml:11:1
       |
    11 | [[fault]]
       | ^^^^^^^^^ expected `on` in here

    error: `factor` is missing in `[[fault]]`
      --> s.toml:11:1
       |
    11 | [[fault]]
       | ^^^^^^^^^ expected `factor` in here: `slow` needs it
    "##);
}

#[test]
fn fault_after_the_end() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "60s"
on = "web/1"
kind = "crash""#), @r##"
    error: this fault starts after the end
      --> s.toml:12:6
       |
    12 | at = "60s"
       |      ^^^^^ calls come for 1m
    "##);
}

#[test]
fn fault_of_no_length() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
for = "0s"
on = "web/1"
kind = "crash""#), @r##"
    error: invalid value for `for`
      --> s.toml:13:7
       |
    13 | for = "0s"
       |       ^^^^ expected 1ms to 1d
    "##);
}

#[test]
fn fault_with_a_length_that_has_none() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
for = "1s"
on = "web"
kind = "cache-wipe""#), @r##"
    error: `for` has no effect
      --> s.toml:13:7
       |
    13 | for = "1s"
       |       ^^^^ it happens once, and has no length
       |
      ::: s.toml:15:8
       |
    15 | kind = "cache-wipe"
       |        ------------ this kind

    error: `web` has no cache that could be empty
      --> s.toml:14:6
       |
    14 | on = "web"
       |      ^^^^^ expected replicas with a `cache`
    "##);
}

#[test]
fn two_faults_of_one_name() {
    insta::assert_snapshot!(end(r#"[[fault]]
name = "x"
at = "10s"
on = "web/1"
kind = "crash"
[[fault]]
name = "x"
at = "10s"
on = "web/1"
kind = "crash"
[[fault]]
name = "fault"
at = "10s"
on = "web/1"
kind = "crash""#), @r##"
    error: two faults are called `x`
      --> s.toml:17:8
       |
    17 | name = "x"
       |        ^^^ again here
       |
      ::: s.toml:12:8
       |
    12 | name = "x"
       |        --- first here

    error: invalid value for `name`
      --> s.toml:22:8
       |
    22 | name = "fault"
       |        ^^^^^^^ expectations take this for something else
       |
       = hint: give it another name
    "##);
}

#[test]
fn expectation_without_a_fault() {
    insta::assert_snapshot!(end(r#"[[expect]]
during = "fault"
success = ">= 99%""#), @r##"
    error: invalid value for `during`
      --> s.toml:12:10
       |
    12 | during = "fault"
       |          ^^^^^^^ there is no fault
       |
       = hint: the whole run is during = "all"
    "##);
}

#[test]
fn expectation_of_an_unknown_fault() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
on = "web/1"
kind = "crash"
[[expect]]
during = "crsh"
success = ">= 99%""#), @r##"
    error: invalid value for `during`
      --> s.toml:16:10
       |
    16 | during = "crsh"
       |          ^^^^^^ there is no fault of this name
       |
       = hint: did you mean "crash"?
    "##);
}

#[test]
fn expectation_after_what_never_ends() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "10s"
on = "web/1"
kind = "crash"
[[expect]]
after = "fault"
success = ">= 99%""#), @r##"
    error: there is nothing after this fault
      --> s.toml:16:9
       |
    16 | after = "fault"
       |         ^^^^^^^ it lasts to the end of the run, from 10s to 1m
       |
      ::: s.toml:12:6
       |
    12 | at = "10s"
       |      ----- the fault
    "##);
}

#[test]
fn expectation_before_what_starts_at_once() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "5s"
for = "10s"
on = "web/1"
kind = "crash"
[[expect]]
before = "crash"
success = ">= 99%"
[[expect]]
after = "crash"
recovers_within = "5s""#), @r##"
    error: there is nothing before this fault
      --> s.toml:17:10
       |
    17 | before = "crash"
       |          ^^^^^^^ the warm-up lasts until 5s
       |
      ::: s.toml:12:6
       |
    12 | at = "5s"
       |      ---- the fault

    error: what recovery means is measured before the fault, and there is nothing
      --> s.toml:20:9
       |
    20 | after = "crash"
       |         ^^^^^^^ the warm-up lasts until 5s
       |
      ::: s.toml:12:6
       |
    12 | at = "5s"
       |      ---- the fault
       |
       = hint: say what must hold: success = ">= 99%"
    "##);
}

#[test]
fn expectation_during_the_warm_up() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "1s"
for = "2s"
on = "web/1"
kind = "crash"
[[expect]]
during = "crash"
success = ">= 99%""#), @r##"
    error: nothing is measured during this fault
      --> s.toml:17:10
       |
    17 | during = "crash"
       |          ^^^^^^^ it is over when the warm-up is, at 5s
       |
      ::: s.toml:12:6
       |
    12 | at = "1s"
       |      ---- the fault
    "##);
}

#[test]
fn expectation_during_what_has_no_length() {
    insta::assert_snapshot!(changed(r#"[service.db]"#, r#"cache = { hit = "1%" }
[service.db]
[[fault]]
at = "10s"
on = "web"
kind = "cache-wipe"
[[expect]]
during = "fault"
success = ">= 99%""#), @r##"
    error: there is nothing during this fault
      --> s.toml:17:10
       |
    17 | during = "fault"
       |          ^^^^^^^ it has no length; what follows is after it
       |
      ::: s.toml:13:6
       |
    13 | at = "10s"
       |      ----- the fault
    "##);
}

#[test]
fn expectation_that_takes_too_long() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "50s"
for = "5s"
on = "web/1"
kind = "crash"
[[expect]]
after = "fault"
recovers_within = "10s""#), @r##"
    error: the run is too short to tell
      --> s.toml:18:19
       |
    18 | recovers_within = "10s"
       |                   ^^^^^ the run ends 5s after the fault
       |
      ::: s.toml:12:6
       |
    12 | at = "50s"
       |      ----- the fault
    "##);
}

#[test]
fn recovery_during() {
    insta::assert_snapshot!(end(r#"[[fault]]
at = "50s"
for = "5s"
on = "web/1"
kind = "crash"
[[expect]]
during = "fault"
recovers_within = "1s""#), @r##"
    error: `recovers_within` can not be measured here
      --> s.toml:18:19
       |
    18 | recovers_within = "1s"
       |                   ^^^^ only after a fault
       |
      ::: s.toml:17:10
       |
    17 | during = "fault"
       |          ------- expected `after`
    "##);
}

#[test]
fn expectation_without_when() {
    insta::assert_snapshot!(end(r#"[[expect]]
success = ">= 99%""#), @r##"
    error: this expectation does not say when
      --> s.toml:11:1
       |
    11 | [[expect]]
       | ^^^^^^^^^^ expected one of: before, during, after
       |
       = hint: such as during = "fault", or during = "all"
    "##);
}

#[test]
fn expectation_with_two_times() {
    insta::assert_snapshot!(end(r#"[[expect]]
during = "all"
after = "all"
success = ">= 99%""#), @r##"
    error: `after` contradicts what is said before
      --> s.toml:13:1
       |
    13 | after = "all"
       | ^^^^^ expected only one of: before, during, after
       |
      ::: s.toml:12:1
       |
    12 | during = "all"
       | ------ said here

    error: invalid value for `after`
      --> s.toml:13:9
       |
    13 | after = "all"
       |         ^^^^^ expected "fault", or the name of a fault
       |
       = hint: the whole run is during = "all"
    "##);
}

#[test]
fn expectation_of_nothing() {
    insta::assert_snapshot!(end(r#"[[expect]]
during = "all""#), @r##"
    error: this expectation expects nothing
      --> s.toml:11:1
       |
    11 | [[expect]]
       | ^^^^^^^^^^ expected a condition in here
       |
       = hint: such as success = ">= 99.9%" or p99 = "<= 600ms"
    "##);
}

#[test]
fn comparison_without_a_sign() {
    insta::assert_snapshot!(end(r#"[[expect]]
during = "all"
success = "99%"
p99 = "=< 600ms"
mean = 7"#), @r##"
    error: invalid value for `success`
      --> s.toml:13:12
       |
    13 | success = "99%"
       |            ^^^ expected a comparison: `<=`, `>=`, `<` or `>`, and a value
       |
       = hint: did you mean ">= 99%"?

    error: invalid value for `p99`
      --> s.toml:14:8
       |
    14 | p99 = "=< 600ms"
       |        ^^^^^^^^ expected a comparison: `<=`, `>=`, `<` or `>`, and a value
       |
       = hint: did you mean "<= 600ms"?

    error: invalid value for `mean`
      --> s.toml:15:8
       |
    15 | mean = 7
       |        ^ expected a comparison such as "<= 600ms", found a whole number
    "##);
}

#[test]
fn comparison_with_a_wrong_value() {
    insta::assert_snapshot!(end(r#"[[expect]]
during = "all"
success = ">= 0.99"
p99 = "<= 600 ms"
tries = "<= 120%""#), @r##"
    error: invalid value for `success`
      --> s.toml:13:15
       |
    13 | success = ">= 0.99"
       |               ^^^^ expected a share within "0%" and "100%"
       |
       = hint: did you mean "99%"?

    error: invalid value for `p99`
      --> s.toml:14:11
       |
    14 | p99 = "<= 600 ms"
       |           ^^^^^^ expected a duration such as "300ms", "5s" or "1h"
       |
       = hint: did you mean "600ms"?

    error: invalid value for `tries`
      --> s.toml:15:13
       |
    15 | tries = "<= 120%"
       |             ^^^^ expected a number such as 1.2
    "##);
}

#[test]
fn load_of_a_workload() {
    insta::assert_snapshot!(whole(&(HEAD.replacen(r#"to = "/svc/web""#, r#"name = "users"
to = "/svc/web""#, 1) + r#"[[expect]]
during = "all"
of = "users"
load = "<= 3""#)), @r##"
    error: the load of a workload can not be measured
      --> s.toml:15:8
       |
    15 | load = "<= 3"
       |        ^^^^^^ only a service has it
       |
      ::: s.toml:14:6
       |
    14 | of = "users"
       |      ------- this is a workload
    "##);
}

#[test]
fn load_of_nothing() {
    insta::assert_snapshot!(end(r#"[[expect]]
during = "all"
load = "<= 3""#), @r##"
    error: `load` is measured at a service
      --> s.toml:13:8
       |
    13 | load = "<= 3"
       |        ^^^^^^ of which?
       |
       = hint: say so: of = "SERVICE"
    "##);
}

#[test]
fn latency_of_a_service() {
    insta::assert_snapshot!(end(r#"[[expect]]
during = "all"
of = "db"
p99 = "<= 3s""#), @r##"
    error: the p99 of a service can not be measured
      --> s.toml:14:7
       |
    14 | p99 = "<= 3s"
       |       ^^^^^^^ only a workload has it
       |
      ::: s.toml:13:6
       |
    13 | of = "db"
       |      ---- this is a service
    "##);
}

#[test]
fn load_and_latency_in_one() {
    insta::assert_snapshot!(end(r#"[[expect]]
during = "all"
of = "web"
p99 = "<= 3s"
load = "<= 3""#), @r##"
    error: `load` is measured at a service, the rest at a workload
      --> s.toml:15:8
       |
    15 | load = "<= 3"
       |        ^^^^^^ expected two expectations
       |
      ::: s.toml:14:7
       |
    14 | p99 = "<= 3s"
       |       ------- of the workload
    "##);
}

#[test]
fn expectation_of_nobody() {
    insta::assert_snapshot!(end(r#"[[expect]]
during = "all"
of = "wbe"
p99 = "<= 3s""#), @r##"
    error: invalid value for `of`
      --> s.toml:13:6
       |
    13 | of = "wbe"
       |      ^^^^^ there is no workload or service of this name
       |
       = hint: did you mean "web"?
    "##);
}

#[test]
fn mistake_in_the_mesh() {
    insta::assert_snapshot!(end(r#"[mesh.route]
try_timeot = "1s"
[mesh.cluster]
balance = "peak_ewma""#), @r##"
    error: unknown key `try_timeot` in `[route]`
      --> s.toml:12:1
       |
    12 | try_timeot = "1s"
       | ^^^^^^^^^^ not a setting
       |
       = hint: did you mean `try_timeout`?

    error: invalid value for `balance`
      --> s.toml:14:11
       |
    14 | balance = "peak_ewma"
       |           ^^^^^^^^^^^ expected a table, or "round-robin", "random", "least-loaded", "least-loaded-of-all", "peak-ewma", "aperture", "maglev" or "prequal"
       |
       = hint: did you mean "peak-ewma"?
    "##);
}

#[test]
fn include_in_the_mesh() {
    insta::assert_snapshot!(end(r#"[mesh]
include = ["a.toml"]"#), @r##"
    error: `include` can not stand here
      --> s.toml:12:1
       |
    12 | include = ["a.toml"]
       | ^^^^^^^ only files include files
       |
       = hint: name a file: mesh = "baleen.toml" in [scenario]
    "##);
}

#[test]
fn mesh_that_is_not_there() {
    insta::assert_snapshot!(changed(r#"warmup = "5s""#, r#"mesh = "baleen.toml""#), @r##"
    error: can not read baleen.toml: No such file
     --> s.toml:3:8
      |
    3 | mesh = "baleen.toml"
      |        ^^^^^^^^^^^^^
    "##);
}

#[test]
fn group_that_nothing_uses() {
    insta::assert_snapshot!(end(r#"[proxy.sidecar]
count = 2"#), @r##"
    warning: no call goes through `sidecar`
      --> s.toml:11:8
       |
    11 | [proxy.sidecar]
       |        ^^^^^^^ named by no `via`
    "##);
}

#[test]
fn proxy_that_nothing_uses() {
    insta::assert_snapshot!(whole(&(HEAD.replacen(r#"to = "/svc/web""#, r#"to = "web""#, 1) + r#"[proxy]
count = 2"#)), @r##"
    warning: `count` has no effect
      --> s.toml:12:1
       |
    12 | count = 2
       | ^^^^^ no call goes through the group `proxy`
    "##);
}

#[test]
fn service_that_nobody_calls() {
    insta::assert_snapshot!(end(r#"[service.idle]"#), @r##"
    warning: nobody calls `idle`
      --> s.toml:11:10
       |
    11 | [service.idle]
       |          ^^^^ no workload and no service leads here
    "##);
}

#[test]
fn all_at_once() {
    insta::assert_snapshot!(whole(r#"[scenario]
duration = "0s"
[[workload]]
to = "wbe"
[service.web]
replicas = 0
[[fault]]
at = "-1s"
on = "web/1"
kind = "crush"
[[expect]]
during = "falt"
success = "99""#), @r##"
    error: invalid value for `duration`
     --> s.toml:2:12
      |
    2 | duration = "0s"
      |            ^^^^ expected 1ms to 1d

    error: `rate` is missing in `[[workload]]`
     --> s.toml:3:1
      |
    3 | [[workload]]
      | ^^^^^^^^^^^^ expected `rate` in here
      |
      = hint: such as rate = "400/s"; or arrivals = "closed" with `think`

    error: invalid value for `to`
     --> s.toml:4:6
      |
    4 | to = "wbe"
      |      ^^^^^ there is no service of this name; a logical name starts with `/`
      |
      = hint: did you mean "web"?

    error: invalid value for `replicas`
     --> s.toml:6:12
      |
    6 | replicas = 0
      |            ^ expected a whole number from 1 to 4096

    error: invalid value for `at`
     --> s.toml:8:6
      |
    8 | at = "-1s"
      |      ^^^^^ a time is not negative

    error: invalid value for `kind`
      --> s.toml:10:8
       |
    10 | kind = "crush"
       |        ^^^^^^^ expected "crash", "hang", "silent", "refuse", "latency", "slow", "errors", "fail-first", "capacity", "cache-wipe", "loss", "delay", "bandwidth", "partition", "registry-down" or "poison"
       |
       = hint: did you mean "crash"?

    error: invalid value for `during`
      --> s.toml:12:10
       |
    12 | during = "falt"
       |          ^^^^^^ there is no fault of this name
       |
       = hint: did you mean "fault"?

    error: invalid value for `success`
      --> s.toml:13:12
       |
    13 | success = "99"
       |            ^^ expected a comparison: `<=`, `>=`, `<` or `>`, and a value
    "##);
}

#[test]
fn too_many_workers() {
    insta::assert_snapshot!(end("[proxy]\ncount = 4096\nworkers = 256\n"), @r#"
    error: 1048576 workers of proxies are too many
      --> s.toml:12:9
       |
    12 | count = 4096
       |         ^^^^ expected at most 65536 in all groups together
       |
       = note: `proxy`: 4096 processes with 256 workers each are 1048576
       = hint: lower `count` or `workers` in [proxy]
    "#);
}

#[test]
fn too_many_states_of_replicas() {
    assert_eq!(end("[proxy]\ncount = 4096\nworkers = 16\n"), "");
    let text = HEAD.replace("replicas = 8", "replicas = 4096");
    insta::assert_snapshot!(whole(&format!("{text}[proxy]\ncount = 4096\nworkers = 16\n")), @r#"
    error: workers of proxies keep 268435456 states of replicas
      --> s.toml:12:9
       |
    12 | count = 4096
       |         ^^^^ expected at most 2000000 in all groups together
       |
       = note: `proxy`: 65536 workers, each with a state of 4096 replicas
       = hint: lower `count` or `workers` in [proxy], or `replicas`
    "#);
}

#[test]
fn too_many_counts_of_replicas() {
    let text = HEAD.replace("replicas = 8", "replicas = 4096").replace("/svc/web", "web");
    let text = text.replace("rate = ", "clients = 1000000\nrate = ");
    insta::assert_snapshot!(whole(&text), @r##"
    error: callers keep 4096000000 counts of replicas
     --> s.toml:5:6
      |
    5 | to = "web"
      |      ^^^^^ expected at most 50000000 for all straight calls together
      |
      = note: 1000000 callers, each with a count of 4096 replicas of `web`
      = hint: lower `clients` or `replicas`
    "##);
    let text = HEAD.replace("replicas = 8", "replicas = 4096");
    insta::assert_snapshot!(whole(&format!("{text}replicas = 4096\n[service.more]\nreplicas = 4096\ncalls = [\"web\", \"db\", \"db\", \"db\"]\n")), @r##"
    error: callers keep 50331648 counts of replicas
      --> s.toml:14:17
       |
    14 | calls = ["web", "db", "db", "db"]
       |                 ^^^^ expected at most 50000000 for all straight calls together
       |
       = note: 4096 callers, each with a count of 4096 replicas of `db`
       = hint: lower `clients` or `replicas`
    "##);
}

#[test]
fn programs_and_guards() {
    let service = |text: &str| end(&format!("[service.app]\n{text}\n"));
    for (text, says) in [
        ("run = [\"app\", \"--port\", \"{prot}\"]", "there is no `{prot}`"),
        ("run = []", "`run` is empty"),
        ("run = [\"app\"]\nwork = \"cpu\"", "`work` has no effect"),
        ("ready = \"/healthz\"", "`ready` has no effect"),
        ("run = [\"app\"]\nready = \"healthz\"", "begins with `/`"),
    ] {
        let said = service(text);
        assert!(said.contains(says), "{text}: {said}");
    }
    let braces = "run = [\"sh\", \"-c\", \"echo ${HOME} {} {port}\"]";
    assert!(!service(braces).contains("error"), "{}", service(braces));
    for (text, says) in [
        ("[[guard]]", "guards nothing"),
        ("[[guard]]\nof = \"wbe\"\nsuccess = \">= 50%\"", "wbe"),
        ("[[guard]]\nload = \"<= 2\"", "unknown key `load`"),
        ("[[guard]]\nover = \"1ms\"\nsuccess = \">= 50%\"", "`over`"),
    ] {
        let said = end(text);
        assert!(said.contains(says), "{text}: {said}");
    }
}
