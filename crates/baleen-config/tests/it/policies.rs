//! What mistakes in the settings of policies look like, and which values are called dangerous. A row each: what is written, and what
//! is said of it.

use crate::mistakes::{start, whole};

// Tries

#[test]
fn hedge_with_one_try() {
    insta::assert_snapshot!(start(r#"[route]
retry = { tries = 1 }
hedge = { quantile = "95%" }"#), @r#"
    error: a hedge never starts
     --> baleen.toml:3:9
      |
    3 | hedge = { quantile = "95%" }
      |         ^^^^^^^^^^^^^^^^^^^^ a hedge is a second try
      |
     ::: baleen.toml:2:19
      |
    2 | retry = { tries = 1 }
      |                   - a request is tried once only
      |
      = hint: allow two tries: retry = { tries = 2 }
    "#);
}

#[test]
fn hedge_without_retries() {
    insta::assert_snapshot!(start(r#"[route]
retry = "off"
hedge = {}"#), @r#"
    error: a hedge never starts
     --> baleen.toml:3:9
      |
    3 | hedge = {}
      |         ^^ a hedge is a second try
      |
     ::: baleen.toml:2:9
      |
    2 | retry = "off"
      |         ----- a request is tried once only
      |
      = hint: allow two tries: retry = { tries = 2 }
    "#);
}

#[test]
fn hedge_without_a_budget() {
    insta::assert_snapshot!(start(r#"[route]
retry = { budget = "0%", floor_per_second = 0 }
hedge = {}"#), @r#"
    error: a hedge never starts
     --> baleen.toml:3:9
      |
    3 | hedge = {}
      |         ^^ hedges are paid from the retry budget
      |
     ::: baleen.toml:2:20
      |
    2 | retry = { budget = "0%", floor_per_second = 0 }
      |                    ---- this budget is empty
      |
      = hint: allow some: retry = { budget = "10%" }
    "#);
}

#[test]
fn hedge_of_half_of_all() {
    insta::assert_snapshot!(start(r#"[route]
hedge = { quantile = "40%" }"#), @r#"
    warning: most requests are sent twice
     --> baleen.toml:2:22
      |
    2 | hedge = { quantile = "40%" }
      |                      ^^^^^ a hedge starts after the time that this share of requests takes
      |
      = note: 95% sends one request in twenty twice; the retry budget bounds it, and is empty when retries are needed
    "#);
}

#[test]
fn hedge_after_all_others() {
    insta::assert_snapshot!(start(r#"[route]
hedge = { quantile = "100%" }"#), @r#"
    warning: `hedge` has no effect
     --> baleen.toml:2:22
      |
    2 | hedge = { quantile = "100%" }
      |                      ^^^^^^ hardly anything is slower than all that was lately
    "#);
}

#[test]
fn hedge_after_the_try() {
    insta::assert_snapshot!(start(r#"[route]
try_timeout = "1500ms"
hedge = { min = "2s" }"#), @r#"
    warning: a hedge never starts
     --> baleen.toml:3:17
      |
    3 | hedge = { min = "2s" }
      |                 ^^^^ 2s, as long as a try may take
      |
     ::: baleen.toml:2:15
      |
    2 | try_timeout = "1500ms"
      |               -------- `try_timeout` is 1500ms
    "#);
}

#[test]
fn hedge_misspelt() {
    insta::assert_snapshot!(start(r#"[route]
hedge = { quantil = "95%" }"#), @r#"
    error: unknown key `quantil` in `[route.hedge]`
     --> baleen.toml:2:11
      |
    2 | hedge = { quantil = "95%" }
      |           ^^^^^^^ not a setting
      |
      = hint: did you mean `quantile`?
    "#);
}

#[test]
fn hedge_in_another_word() {
    insta::assert_snapshot!(start(r#"[route]
hedge = "of""#), @r#"
    error: invalid value for `hedge`
     --> baleen.toml:2:9
      |
    2 | hedge = "of"
      |         ^^^^ expected a table, or "off"
      |
      = hint: did you mean "off"?
    "#);
}

#[test]
fn hedge_as_a_number() {
    insta::assert_snapshot!(start(r#"[route]
hedge = { quantile = 0.95 }"#), @r#"
    error: invalid value for `quantile`
     --> baleen.toml:2:22
      |
    2 | hedge = { quantile = 0.95 }
      |                      ^^^^ expected a share such as "20%", found a number with a point
      |
      = hint: did you mean "95%"?
    "#);
}

#[test]
fn budget_above_all() {
    insta::assert_snapshot!(start(r#"[route]
retry = { requeue_budget = "120%" }"#), @r#"
    error: invalid value for `requeue_budget`
     --> baleen.toml:2:28
      |
    2 | retry = { requeue_budget = "120%" }
      |                            ^^^^^^ expected a share within "0%" and "100%"
    "#);
}

#[test]
fn large_floor() {
    insta::assert_snapshot!(start(r#"[route]
retry = { floor_per_second = 50 }"#), @r#"
    warning: a large floor of retries
     --> baleen.toml:2:30
      |
    2 | retry = { floor_per_second = 50 }
      |                              ^^ a hundred processes make 5000 a second of it
      |
      = note: it counts for each process, however badly the upstream fares; `budget` grows with traffic by itself
    "#);
}

#[test]
fn large_floor_of_requeues() {
    insta::assert_snapshot!(start(r#"[route]
retry = { requeue_floor_per_second = 5000 }"#), @r#"
    warning: a large floor of requeues
     --> baleen.toml:2:38
      |
    2 | retry = { requeue_floor_per_second = 5000 }
      |                                      ^^^^ a hundred processes make 500000 a second of it
      |
      = note: it counts for each process, however badly the upstream fares; `budget` grows with traffic by itself
    "#);
}

#[test]
fn backoff_turned_around() {
    insta::assert_snapshot!(start(r#"[route]
retry = { backoff = "250ms..25ms" }"#), @r#"
    error: invalid value for `backoff`
     --> baleen.toml:2:21
      |
    2 | retry = { backoff = "250ms..25ms" }
      |                     ^^^^^^^^^^^^^ the range ends before it starts
      |
      = hint: did you mean "25ms..250ms"?
    "#);
}

#[test]
fn jitter_misspelt() {
    insta::assert_snapshot!(start(r#"[route]
retry = { jitter = "decorelated" }"#), @r#"
    error: invalid value for `jitter`
     --> baleen.toml:2:20
      |
    2 | retry = { jitter = "decorelated" }
      |                    ^^^^^^^^^^^^^ expected "full", "equal" or "decorrelated"
      |
      = hint: did you mean "decorrelated"?
    "#);
}

#[test]
fn retry_after_longer_than_all() {
    insta::assert_snapshot!(start(r#"[route]
retry = { retry_after = "10s" }"#), @r#"
    warning: upstreams may ask for waits that no request has time for
     --> baleen.toml:2:25
      |
    2 | retry = { retry_after = "10s" }
      |                         ^^^^^ 10s, as long as a request may take
      |
      = note: `total_timeout` is 5s by default
    "#);
}

#[test]
fn grpc_status_that_is_none() {
    insta::assert_snapshot!(start(r#"[route]
retry = { grpc_statuses = [14, 17] }"#), @r#"
    error: invalid value for `grpc_statuses`
     --> baleen.toml:2:32
      |
    2 | retry = { grpc_statuses = [14, 17] }
      |                                ^^ expected a whole number from 1 to 16
    "#);
}

#[test]
fn resets_in_words() {
    insta::assert_snapshot!(start(r#"[route]
retry = { resets = "off" }"#), @r#"
    error: invalid value for `resets`
     --> baleen.toml:2:20
      |
    2 | retry = { resets = "off" }
      |                    ^^^^^ expected true or false, found a string
      |
      = hint: did you mean false, without quotes?
    "#);
}

#[test]
fn methods_in_lower_case() {
    insta::assert_snapshot!(start(r#"[route]
retry = { methods = ["GET", "put"] }"#), @r#"
    error: invalid value for `methods`
     --> baleen.toml:2:29
      |
    2 | retry = { methods = ["GET", "put"] }
      |                             ^^^^^ methods are compared letter by letter, and this one is in upper case
      |
      = hint: did you mean "PUT"?
    "#);
}

#[test]
fn methods_that_are_no_tokens() {
    insta::assert_snapshot!(start(r#"[route]
retry = { methods = ["GET", "DO IT"] }"#), @r#"
    error: invalid value for `methods`
     --> baleen.toml:2:29
      |
    2 | retry = { methods = ["GET", "DO IT"] }
      |                             ^^^^^^^ expected a method such as "GET": letters, digits and marks, no spaces
    "#);
}

#[test]
fn post_sent_twice() {
    insta::assert_snapshot!(start(r#"[route]
retry = { methods = ["GET", "POST"] }"#), @r#"
    warning: POST may be sent twice
     --> baleen.toml:2:21
      |
    2 | retry = { methods = ["GET", "POST"] }
      |                     ^^^^^^^^^^^^^^^ what it does is then done twice
      |
      = note: right only where the upstream tells a repetition by itself, for example by an idempotency key
    "#);
}

#[test]
fn jitter_of_what_is_tried_once() {
    insta::assert_snapshot!(start(r#"[route]
retry = { tries = 1, jitter = "equal" }"#), @r#"
    warning: `jitter` has no effect
     --> baleen.toml:2:31
      |
    2 | retry = { tries = 1, jitter = "equal" }
      |                               ^^^^^^^ a request is tried once only
    "#);
}

#[test]
fn window_too_long() {
    insta::assert_snapshot!(start(r#"[route]
retry = { window = "2h" }"#), @r#"
    error: invalid value for `window`
     --> baleen.toml:2:20
      |
    2 | retry = { window = "2h" }
      |                    ^^^^ expected 100ms to 1h
    "#);
}

#[test]
fn one_death_is_poison() {
    insta::assert_snapshot!(start(r#"[route]
poison = { deaths = 1 }"#), @r#"
    warning: one broken connection makes a request poisonous
     --> baleen.toml:2:21
      |
    2 | poison = { deaths = 1 }
      |                     ^ a machine that fails takes good requests with it
      |
      = note: 2 is the default: two endpoints that die under one request are no accident
    "#);
}

#[test]
fn more_deaths_than_tries() {
    insta::assert_snapshot!(start(r#"[route]
poison = { deaths = 9 }"#), @r#"
    warning: `poison` has no effect
     --> baleen.toml:2:21
      |
    2 | poison = { deaths = 9 }
      |                     ^ a request is tried 3 times only
    "#);
}

#[test]
fn no_death_at_all() {
    insta::assert_snapshot!(start(r#"[route]
poison = { deaths = 0 }"#), @r#"
    error: invalid value for `deaths`
     --> baleen.toml:2:21
      |
    2 | poison = { deaths = 0 }
      |                     ^ expected a whole number from 1 to 255
    "#);
}

#[test]
fn long_quarantine() {
    insta::assert_snapshot!(start(r#"[route]
poison = { quarantine = "2h" }"#), @r#"
    warning: a long quarantine
     --> baleen.toml:2:25
      |
    2 | poison = { quarantine = "2h" }
      |                         ^^^^ so long requests are refused after a wrong verdict
      |
      = note: the default of 1m is enough for the endpoints to come back
    "#);
}

// Names

#[test]
fn priority_out_of_bounds() {
    insta::assert_snapshot!(start(r#"[route]
priority = 8"#), @r#"
    error: invalid value for `priority`
     --> baleen.toml:2:12
      |
    2 | priority = 8
      |            ^ expected a whole number from 0 to 7
    "#);
}

#[test]
fn route_concurrency_of_zero() {
    insta::assert_snapshot!(start(r#"[route]
concurrency = 0"#), @r#"
    error: invalid value for `concurrency`
     --> baleen.toml:2:15
      |
    2 | concurrency = 0
      |               ^ expected a whole number from 1 to 1000000, or "off"
      |
      = hint: did you mean "off"?
    "#);
}

#[test]
fn route_concurrency_in_another_word() {
    insta::assert_snapshot!(start(r#"[route]
concurrency = "of""#), @r#"
    error: invalid value for `concurrency`
     --> baleen.toml:2:15
      |
    2 | concurrency = "of"
      |               ^^^^ expected a whole number from 1 to 1000000, or "off"
      |
      = hint: did you mean "off"?
    "#);
}

#[test]
fn rate_without_a_unit() {
    insta::assert_snapshot!(start(r#"[route]
rate = { limit = 100 }"#), @r#"
    error: invalid value for `limit`
     --> baleen.toml:2:18
      |
    2 | rate = { limit = 100 }
      |                  ^^^ expected how often, such as "100/s", "5/m" or "1/h", found a whole number
      |
      = hint: did you mean "100/s"?
    "#);
}

#[test]
fn rate_in_minutes() {
    insta::assert_snapshot!(start(r#"[route]
rate = { limit = "100/min" }"#), @r#"
    error: invalid value for `limit`
     --> baleen.toml:2:18
      |
    2 | rate = { limit = "100/min" }
      |                  ^^^^^^^^^ expected how often, such as "100/s", "5/m" or "1/h"
      |
      = hint: did you mean "100/m"?
    "#);
}

#[test]
fn rate_of_zero() {
    insta::assert_snapshot!(start(r#"[route]
rate = { limit = "0/s" }"#), @r#"
    error: invalid value for `limit`
     --> baleen.toml:2:18
      |
    2 | rate = { limit = "0/s" }
      |                  ^^^^^ expected at least 1
      |
      = hint: "off" is no limit
    "#);
}

#[test]
fn rate_without_a_limit() {
    insta::assert_snapshot!(start(r#"[route]
rate = { key = "address" }"#), @r#"
    error: `limit` is missing in `[route.rate]`
     --> baleen.toml:2:8
      |
    2 | rate = { key = "address" }
      |        ^^^^^^^^^^^^^^^^^^^ expected `limit` in here
    "#);
}

#[test]
fn rate_without_a_burst() {
    insta::assert_snapshot!(start(r#"[route]
rate = { limit = "1/s", burst = 0 }"#), @r#"
    error: invalid value for `burst`
     --> baleen.toml:2:33
      |
    2 | rate = { limit = "1/s", burst = 0 }
      |                                 ^ expected a whole number from 1 to 1000000
    "#);
}

#[test]
fn rate_by_an_invalid_header() {
    insta::assert_snapshot!(start(r#"[route]
rate = { limit = "1/s", key = "header:x key" }"#), @r#"
    error: invalid value for `key`
     --> baleen.toml:2:31
      |
    2 | rate = { limit = "1/s", key = "header:x key" }
      |                               ^^^^^^^^^^^^^^ this can not be the name of a header: letters, digits and marks, no spaces
    "#);
}

#[test]
fn rate_by_a_cookie_without_a_name() {
    insta::assert_snapshot!(start(r#"[route]
rate = { limit = "1/s", key = "cookie" }"#), @r#"
    error: invalid value for `key`
     --> baleen.toml:2:31
      |
    2 | rate = { limit = "1/s", key = "cookie" }
      |                               ^^^^^^^^ the name of the cookie is missing
      |
      = hint: write for example "cookie:session"
    "#);
}

#[test]
fn rate_by_a_misspelt_source() {
    insta::assert_snapshot!(start(r#"[route]
rate = { limit = "1/s", key = "adress" }"#), @r#"
    error: invalid value for `key`
     --> baleen.toml:2:31
      |
    2 | rate = { limit = "1/s", key = "adress" }
      |                               ^^^^^^^^ expected "route", "address", "header:NAME" or "cookie:NAME"
      |
      = hint: did you mean "address"?
    "#);
}

#[test]
fn rate_by_what_callers_choose() {
    insta::assert_snapshot!(start(r#"[route]
rate = { limit = "1/s", key = "header:X-Forwarded-For" }"#), @r#"
    warning: callers choose what they are counted by
     --> baleen.toml:2:31
      |
    2 | rate = { limit = "1/s", key = "header:X-Forwarded-For" }
      |                               ^^^^^^^^^^^^^^^^^^^^^^^^ written by the caller
      |
      = note: a caller that writes something new into it each time is never refused
      = hint: did you mean "address"?
    "#);
}

#[test]
fn sticky_without_a_source() {
    insta::assert_snapshot!(start(r#"[route]
sticky = { ttl = "1h" }"#), @r#"
    error: `by` is missing in `[route.sticky]`
     --> baleen.toml:2:10
      |
    2 | sticky = { ttl = "1h" }
      |          ^^^^^^^^^^^^^^ expected `by` in here
    "#);
}

#[test]
fn sticky_by_all() {
    insta::assert_snapshot!(start(r#"[route]
sticky = { by = "route" }"#), @r#"
    error: invalid value for `by`
     --> baleen.toml:2:17
      |
    2 | sticky = { by = "route" }
      |                 ^^^^^^^ expected "address", "header:NAME" or "cookie:NAME"
    "#);
}

#[test]
fn sticky_without_maglev() {
    insta::assert_snapshot!(start(r#"[route]
sticky = { by = "cookie:session" }"#), @r#"
    warning: nothing sticks
     --> baleen.toml:2:10
      |
    2 | sticky = { by = "cookie:session" }
      |          ^^^^^^^^^^^^^^^^^^^^^^^^^ no cluster is balanced by `maglev`
      |
      = hint: say so: [cluster.NAME] and below it balance = "maglev"
    "#);
}

#[test]
fn sticky_to_another_balancer() {
    insta::assert_snapshot!(start(r#"[route."/svc/web"]
sticky = { by = "address" }
[cluster.other]
balance = "maglev"
[route."/svc/other"]
sticky = { by = "address" }"#), @r#"
    warning: nothing sticks
     --> baleen.toml:2:10
      |
    2 | sticky = { by = "address" }
      |          ^^^^^^^^^^^^^^^^^^ `web` is balanced by `peak-ewma`, which does not look at it
      |
      = hint: say so: [cluster.web] and below it balance = "maglev"
    "#);
}

#[test]
fn maglev_without_sticky() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = "maglev""#), @r#"
    warning: nothing ties requests to endpoints
     --> baleen.toml:2:11
      |
    2 | balance = "maglev"
      |           ^^^^^^^^ no name with `sticky` leads here
      |
      = hint: say what ties requests: [route] and below it sticky = { by = "cookie:NAME" }
    "#);
}

#[test]
fn maglev_without_sticky_for_one() {
    insta::assert_snapshot!(start(r#"[cluster.web]
balance = { kind = "maglev" }
[route."/svc/other"]
to = "web""#), @r#"
    warning: nothing ties requests to endpoints
     --> baleen.toml:2:20
      |
    2 | balance = { kind = "maglev" }
      |                    ^^^^^^^^ no name with `sticky` leads here
      |
      = hint: say what ties requests: [route] and below it sticky = { by = "cookie:NAME" }
    "#);
}

#[test]
fn ttl_of_no_cookie() {
    insta::assert_snapshot!(start(r#"[route]
sticky = { by = "address", ttl = "1h" }
[cluster]
balance = "maglev""#), @r#"
    warning: `ttl` has no effect
     --> baleen.toml:2:34
      |
    2 | sticky = { by = "address", ttl = "1h" }
      |                 ---------        ^^^^ only cookies live for a time
      |                 |
      |                 this is none
    "#);
}

#[test]
fn fallback_to_itself() {
    insta::assert_snapshot!(start(r#"[route."/svc/web"]
fallback = "/svc/web""#), @r#"
    error: `/svc/web` falls back on itself
     --> baleen.toml:2:12
      |
    2 | fallback = "/svc/web"
      |            ^^^^^^^^^^ expected another name
    "#);
}

#[test]
fn fallback_on_each_other() {
    insta::assert_snapshot!(start(r#"[route."/svc/a"]
fallback = "/svc/b"
[route."/svc/b"]
fallback = "/svc/a""#), @r#"
    warning: `/svc/a` and `/svc/b` fall back on each other
     --> baleen.toml:2:12
      |
    2 | fallback = "/svc/b"
      |            ^^^^^^^^ when one is overloaded, its load topples the other
      |
     ::: baleen.toml:4:12
      |
    4 | fallback = "/svc/a"
      |            -------- the other fallback
    "#);
}

#[test]
fn fallback_in_a_chain() {
    insta::assert_snapshot!(start(r#"[route."/svc/a"]
fallback = "/svc/b"
[route."/svc/b"]
fallback = "/svc/c""#), @r#"
    warning: `/svc/b` falls back on a further name
     --> baleen.toml:2:12
      |
    2 | fallback = "/svc/b"
      |            ^^^^^^^^ a request that falls back does so once: it does not come there
      |
     ::: baleen.toml:4:12
      |
    4 | fallback = "/svc/c"
      |            -------- the other fallback
    "#);
}

#[test]
fn fallback_to_a_name_that_leads_nowhere() {
    insta::assert_snapshot!(start(r#"[route."/svc/web"]
fallback = "/app/wbe"
[route."/app/web"]
to = "web""#), @r#"
    error: the name `/app/wbe` leads nowhere
     --> baleen.toml:2:12
      |
    2 | fallback = "/app/wbe"
      |            ^^^^^^^^^^ only names of the form `/svc/NAME` lead to a cluster by themselves
      |
      = hint: did you mean "/app/web"?

    warning: no request is named `/app/web`
     --> baleen.toml:3:8
      |
    3 | [route."/app/web"]
      |        ^^^^^^^^^^ no listener and no rule gives this name
    "#);
}

#[test]
fn fallback_that_is_no_name() {
    insta::assert_snapshot!(start(r#"[route."/svc/web"]
fallback = "other""#), @r#"
    error: invalid value for `fallback`
     --> baleen.toml:2:12
      |
    2 | fallback = "other"
      |            ^^^^^^^ expected a logical name such as "/svc/images"
      |
      = hint: did you mean "/svc/other"?
    "#);
}

#[test]
fn answer_without_a_status() {
    insta::assert_snapshot!(start(r#"[route]
answer = { body = "sorry" }"#), @r#"
    error: `status` is missing in `[route.answer]`
     --> baleen.toml:2:10
      |
    2 | answer = { body = "sorry" }
      |          ^^^^^^^^^^^^^^^^^^ expected `status` in here
    "#);
}

#[test]
fn answer_with_an_odd_status() {
    insta::assert_snapshot!(start(r#"[route]
answer = { status = 101 }"#), @r#"
    error: invalid value for `status`
     --> baleen.toml:2:21
      |
    2 | answer = { status = 101 }
      |                     ^^^ expected a whole number from 200 to 599
    "#);
}

#[test]
fn answer_with_two_bodies() {
    insta::assert_snapshot!(start(r#"[route]
answer = { status = 503, body = "sorry", file = "sorry.html" }"#), @r#"
    error: can not read sorry.html
     --> baleen.toml:2:49
      |
    2 | answer = { status = 503, body = "sorry", file = "sorry.html" }
      |                                                 ^^^^^^^^^^^^ No such file

    error: a fixed answer has two bodies
     --> baleen.toml:2:49
      |
    2 | answer = { status = 503, body = "sorry", file = "sorry.html" }
      |                                 -------         ^^^^^^^^^^^^ this file
      |                                 |
      |                                 and this text
      |
      = hint: leave one of them out
    "#);
}

#[test]
fn answer_without_room_for_a_body() {
    insta::assert_snapshot!(start(r#"[route]
answer = { status = 204, body = "sorry" }"#), @r#"
    error: a 204 has no body
     --> baleen.toml:2:21
      |
    2 | answer = { status = 204, body = "sorry" }
      |                     ^^^         ------- this is never sent
      |                     |
      |                     answers with this status end after the head
    "#);
}

#[test]
fn answer_with_an_odd_type() {
    insta::assert_snapshot!(start(r#"[route]
answer = { status = 200, type = "json" }"#), @r#"
    error: invalid value for `type`
     --> baleen.toml:2:33
      |
    2 | answer = { status = 200, type = "json" }
      |                                 ^^^^^^ expected a content type such as "application/json"
      |
      = hint: did you mean "application/json"?
    "#);
}

#[test]
fn answer_from_no_file() {
    insta::assert_snapshot!(start(r#"[route]
answer = { status = 503, file = "sorry.html" }"#), @r#"
    error: can not read sorry.html
     --> baleen.toml:2:33
      |
    2 | answer = { status = 503, file = "sorry.html" }
      |                                 ^^^^^^^^^^^^ No such file
    "#);
}

#[test]
fn stale_body_above_all() {
    insta::assert_snapshot!(start(r#"[route]
stale = { bytes = "1MiB", body = "2MiB" }"#), @r#"
    error: the largest answer does not fit
     --> baleen.toml:2:34
      |
    2 | stale = { bytes = "1MiB", body = "2MiB" }
      |                   ------         ^^^^^^ 2MiB, more than is kept in all
      |                   |
      |                   `bytes` is 1MiB
    "#);
}

#[test]
fn stale_for_too_long() {
    insta::assert_snapshot!(start(r#"[route]
stale = { age = "2d" }"#), @r#"
    error: invalid value for `age`
     --> baleen.toml:2:17
      |
    2 | stale = { age = "2d" }
      |                 ^^^^ expected 1s to 1d
    "#);
}

#[test]
fn deadline_sent_never() {
    insta::assert_snapshot!(start(r#"[route]
deadline = { send = "allways" }"#), @r#"
    error: invalid value for `send`
     --> baleen.toml:2:21
      |
    2 | deadline = { send = "allways" }
      |                     ^^^^^^^^^ expected "received" or "always"
      |
      = hint: did you mean "always"?
    "#);
}

// Balancers

#[test]
fn band_turned_around() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = { kind = "aperture", band = "2..0.5" }"#), @r#"
    error: invalid value for `band`
     --> baleen.toml:2:39
      |
    2 | balance = { kind = "aperture", band = "2..0.5" }
      |                                       ^^^^^^^^ the range ends before it starts
      |
      = hint: did you mean "0.5..2"?
    "#);
}

#[test]
fn band_without_a_width() {
    insta::assert_snapshot!(start(r#"peers = { index = 0, count = 2 }
[cluster]
balance = { kind = "aperture", band = "2..2" }"#), @r#"
    error: the band has no width
     --> baleen.toml:3:39
      |
    3 | balance = { kind = "aperture", band = "2..2" }
      |                                       ^^^^^^ the aperture would widen and narrow with each request
      |
      = hint: write for example "2..8"
    "#);
}

#[test]
fn band_of_one() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = { kind = "aperture", band = "2" }"#), @r#"
    error: invalid value for `band`
     --> baleen.toml:2:39
      |
    2 | balance = { kind = "aperture", band = "2" }
      |                                       ^^^ expected a range such as "0.5..2"
      |
      = hint: did you mean "0.5..2"?
    "#);
}

#[test]
fn aperture_of_zero() {
    insta::assert_snapshot!(start(r#"peers = { index = 0, count = 2 }
[cluster]
balance = { kind = "aperture", min = 0 }"#), @r#"
    error: invalid value for `min`
     --> baleen.toml:3:38
      |
    3 | balance = { kind = "aperture", min = 0 }
      |                                      ^ expected a whole number from 1 to 4096
    "#);
}

#[test]
fn aperture_without_peers() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = "aperture""#), @r#"
    warning: an aperture without `peers` is drawn at random
     --> baleen.toml:2:11
      |
    2 | balance = "aperture"
      |           ^^^^^^^^^^ some endpoints get the load of many processes, some of none
      |
      = hint: tell each process which it is, at the top of the file: peers = { index = 0, count = 10 }
    "#);
}

#[test]
fn peer_beyond_all() {
    insta::assert_snapshot!(start(r#"peers = { index = 10, count = 10 }
[cluster]
balance = "aperture""#), @r#"
    error: there is no peer 10 among 10
     --> baleen.toml:1:19
      |
    1 | peers = { index = 10, count = 10 }
      |                   ^^          -- so many there are
      |                   |
      |                   expected 0 to 9: peers are counted from 0
    "#);
}

#[test]
fn peers_without_an_aperture() {
    insta::assert_snapshot!(start(r#"peers = { index = 1, count = 10 }"#), @r#"
    warning: `peers` has no effect
     --> baleen.toml:1:19
      |
    1 | peers = { index = 1, count = 10 }
      |                   ^ no cluster is balanced by an aperture
      |
      = hint: say so: [cluster] and below it balance = "aperture"
    "#);
}

#[test]
fn peers_by_half() {
    insta::assert_snapshot!(start(r#"peers = { index = 1 }
[cluster]
balance = "aperture""#), @r#"
    error: `count` is missing in `[peers]`
     --> baleen.toml:1:9
      |
    1 | peers = { index = 1 }
      |         ^^^^^^^^^^^^^ expected `count` in here
    "#);
}

#[test]
fn decay_of_another_load() {
    insta::assert_snapshot!(start(r#"peers = { index = 0, count = 2 }
[cluster]
balance = { kind = "aperture", load = "least-loaded", decay = "5s" }"#), @r#"
    warning: `decay` has no effect
     --> baleen.toml:3:63
      |
    3 | balance = { kind = "aperture", load = "least-loaded", decay = "5s" }
      |                                       --------------          ^^^^ only `peak-ewma` has it
      |                                       |
      |                                       this load has not
    "#);
}

#[test]
fn bound_below_the_mean() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = { kind = "maglev", bound = "90%" }
[route]
sticky = { by = "address" }"#), @r#"
    error: invalid value for `bound`
     --> baleen.toml:2:38
      |
    2 | balance = { kind = "maglev", bound = "90%" }
      |                                      ^^^^^ expected a whole percentage within "101%" and "10000%", or "off"
    "#);
}

#[test]
fn bound_near_the_mean() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = { kind = "maglev", bound = "105%" }
[route]
sticky = { by = "address" }"#), @r#"
    warning: a tight bound of loads
     --> baleen.toml:2:38
      |
    2 | balance = { kind = "maglev", bound = "105%" }
      |                                      ^^^^^^ requests move on as soon as an endpoint has a little more than the mean
      |
      = note: 125% is the default; below 110% hardly anything sticks
    "#);
}

#[test]
fn bound_as_a_fraction() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = { kind = "maglev", bound = 1.25 }
[route]
sticky = { by = "address" }"#), @r#"
    error: invalid value for `bound`
     --> baleen.toml:2:38
      |
    2 | balance = { kind = "maglev", bound = 1.25 }
      |                                      ^^^^ expected a percentage such as "140%", or "off", found a number with a point
      |
      = hint: did you mean "125%"?
    "#);
}

#[test]
fn prequal_without_probes() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = { kind = "prequal", probes = 0 }"#), @r#"
    error: without probes nothing is known of endpoints
     --> baleen.toml:2:40
      |
    2 | balance = { kind = "prequal", probes = 0 }
      |                                        ^ expected more than 0
      |
      = hint: balance = "random" does the same
    "#);
}

#[test]
fn prequal_with_many_probes() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = { kind = "prequal", probes = 7.5 }"#), @r#"
    error: invalid value for `probes`
     --> baleen.toml:2:40
      |
    2 | balance = { kind = "prequal", probes = 7.5 }
      |                                        ^^^ expected a number from 0 to 4, with at most three places after the point
    "#);
}

#[test]
fn prequal_with_late_probes() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = { kind = "prequal", age = "100ms", probe_timeout = "1s" }"#), @r#"
    warning: answers to probes can come when they are too old to be used
     --> baleen.toml:2:62
      |
    2 | balance = { kind = "prequal", age = "100ms", probe_timeout = "1s" }
      |                                     ------- `age` is 100ms   ^^^^ 1s, longer than an answer is used
    "#);
}

#[test]
fn probes_in_words() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = { kind = "prequal", probes = true }"#), @r#"
    error: invalid value for `probes`
     --> baleen.toml:2:40
      |
    2 | balance = { kind = "prequal", probes = true }
      |                                        ^^^^ expected a number such as 1.5, found true or false
    "#);
}

#[test]
fn probe_path_without_a_stroke() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = { kind = "prequal", probe_path = "load" }"#), @r#"
    error: invalid value for `probe_path`
     --> baleen.toml:2:44
      |
    2 | balance = { kind = "prequal", probe_path = "load" }
      |                                            ^^^^^^ expected a path that starts with `/`, without spaces or `#`
      |
      = hint: did you mean "/load"?
    "#);
}

#[test]
fn probes_of_another_balancer() {
    insta::assert_snapshot!(start(r#"[cluster]
balance = { kind = "maglev", probes = 3 }
[route]
sticky = { by = "address" }"#), @r#"
    warning: `probes` has no effect
     --> baleen.toml:2:39
      |
    2 | balance = { kind = "maglev", probes = 3 }
      |                    --------           ^ only `prequal` has it
      |                    |
      |                    this kind has not
    "#);
}

#[test]
fn zone_of_an_unknown_place() {
    insta::assert_snapshot!(start(r#"[cluster]
zone = "prefer""#), @r#"
    warning: `zone` has no effect
     --> baleen.toml:2:8
      |
    2 | zone = "prefer"
      |        ^^^^^^^^ this process does not know its own zone
      |
      = hint: say it at the top of the file: zone = "NAME"
    "#);
}

#[test]
fn zone_misspelt() {
    insta::assert_snapshot!(start(r#"zone = "a"
[cluster]
zone = "prefered""#), @r#"
    error: invalid value for `zone`
     --> baleen.toml:3:8
      |
    3 | zone = "prefered"
      |        ^^^^^^^^^^ expected a table, or "off" or "prefer"
      |
      = hint: did you mean "prefer"?
    "#);
}

#[test]
fn zone_without_endpoints_in_it() {
    insta::assert_snapshot!(start(r#"zone = "a"
[cluster.web]
endpoints = ["127.0.0.1:9001"]
zone = "prefer""#), @r#"
    warning: `zone` has no effect
     --> baleen.toml:4:8
      |
    4 | zone = "prefer"
      |        ^^^^^^^^ no endpoint says its zone
      |
     ::: baleen.toml:3:13
      |
    3 | endpoints = ["127.0.0.1:9001"]
      |             ------------------ these have none
      |
      = hint: write "127.0.0.1:9001 zone=NAME"
    "#);
}

#[test]
fn zone_that_nobody_prefers() {
    insta::assert_snapshot!(start(r#"zone = "a""#), @r#"
    warning: the zone of this process has no effect
     --> baleen.toml:1:8
      |
    1 | zone = "a"
      |        ^^^ no cluster prefers it
      |
      = hint: say so: [cluster] and below it zone = "prefer"
    "#);
}

#[test]
fn zone_with_spaces() {
    insta::assert_snapshot!(start(r#"zone = "eu 1""#), @r#"
    error: invalid value for `zone`
     --> baleen.toml:1:8
      |
    1 | zone = "eu 1"
      |        ^^^^^^ expected the name of a zone: letters, digits, `-`, `_` and `.`
    "#);
}

#[test]
fn zone_that_keeps_its_traffic() {
    insta::assert_snapshot!(start(r#"zone = "a"
[cluster]
zone = { overprovision = "400%" }"#), @r#"
    warning: a sick zone keeps its traffic
     --> baleen.toml:3:26
      |
    3 | zone = { overprovision = "400%" }
      |                          ^^^^^^ until only 25 in 100 of its endpoints are usable
      |
      = note: 140% is the default: until 71 in 100 are usable
    "#);
}

#[test]
fn zone_with_too_little() {
    insta::assert_snapshot!(start(r#"zone = "a"
[cluster]
zone = { overprovision = "90%" }"#), @r#"
    error: invalid value for `overprovision`
     --> baleen.toml:3:26
      |
    3 | zone = { overprovision = "90%" }
      |                          ^^^^^ expected a whole percentage within "100%" and "1000%"
    "#);
}

#[test]
fn zone_of_an_endpoint() {
    insta::assert_snapshot!(start(r#"[cluster.web]
endpoints = ["127.0.0.1:9001 zon=a"]"#), @r#"
    error: not a weight
     --> baleen.toml:2:30
      |
    2 | endpoints = ["127.0.0.1:9001 zon=a"]
      |                              ^^^^^ expected a whole number from 1 to 65535
      |
      = hint: did you mean `zone=a`?
    "#);
}

#[test]
fn long_slow_start() {
    insta::assert_snapshot!(start(r#"[cluster]
slow_start = "15m""#), @r#"
    warning: a long slow start
     --> baleen.toml:2:14
      |
    2 | slow_start = "15m"
      |              ^^^^^ so long the other endpoints carry its load
      |
      = note: after a restart of most endpoints, the few that stayed carry everything
    "#);
}

#[test]
fn slow_start_without_a_unit() {
    insta::assert_snapshot!(start(r#"[cluster]
slow_start = "30""#), @r#"
    error: invalid value for `slow_start`
     --> baleen.toml:2:14
      |
    2 | slow_start = "30"
      |              ^^^^ expected a duration such as "300ms", "5s" or "1h", or "off"
      |
      = hint: did you mean "30s"?
    "#);
}

#[test]
fn slow_start_at_full_weight() {
    insta::assert_snapshot!(start(r#"[cluster]
slow_start = { min = "100%" }"#), @r#"
    warning: `slow_start` has no effect
     --> baleen.toml:2:22
      |
    2 | slow_start = { min = "100%" }
      |                      ^^^^^^ it starts with all of its weight
    "#);
}

// Limits

#[test]
fn codel_above_the_queue() {
    insta::assert_snapshot!(start(r#"[cluster]
codel = { target = "2s", interval = "3s" }"#), @r#"
    warning: controlled delay never acts
     --> baleen.toml:2:20
      |
    2 | codel = { target = "2s", interval = "3s" }
      |                    ^^^^ 2s, as long as anything waits
      |
      = note: `queue_timeout` is 1s by default
    "#);
}

#[test]
fn codel_with_a_short_interval() {
    insta::assert_snapshot!(start(r#"[cluster]
codel = { interval = "10ms" }"#), @r#"
    error: the interval can not judge the target
     --> baleen.toml:2:22
      |
    2 | codel = { interval = "10ms" }
      |                      ^^^^^^ 10ms, shorter than a wait that is all right
      |
      = note: `target` is 20ms by default
    "#);
}

#[test]
fn codel_without_a_queue() {
    insta::assert_snapshot!(start(r#"[cluster]
queue = 0
codel = {}"#), @r#"
    warning: `codel` has no effect
     --> baleen.toml:3:9
      |
    3 | codel = {}
      |         ^^ nothing waits
      |
     ::: baleen.toml:2:9
      |
    2 | queue = 0
      |         - the queue is off
    "#);
}

#[test]
fn admission_without_a_queue() {
    insta::assert_snapshot!(start(r#"[cluster]
queue = 0
admission = "dagor""#), @r#"
    error: admission without a queue
     --> baleen.toml:3:13
      |
    3 | admission = "dagor"
      |             ^^^^^^^ overload is seen by how long requests wait
      |
     ::: baleen.toml:2:9
      |
    2 | queue = 0
      |         - nothing waits
      |
      = hint: give it a queue, such as queue = 64
    "#);
}

#[test]
fn admission_misspelt() {
    insta::assert_snapshot!(start(r#"[cluster]
admission = "dagger""#), @r#"
    error: invalid value for `admission`
     --> baleen.toml:2:13
      |
    2 | admission = "dagger"
      |             ^^^^^^^^ expected a table, or "off" or "dagor"
    "#);
}

#[test]
fn admission_that_never_sees_overload() {
    insta::assert_snapshot!(start(r#"[cluster]
admission = { target = "1s" }"#), @r#"
    warning: admission never sees overload
     --> baleen.toml:2:24
      |
    2 | admission = { target = "1s" }
      |                        ^^^^ 1s, as long as anything waits
      |
      = note: `queue_timeout` is 1s by default
    "#);
}

#[test]
fn admission_that_never_sheds() {
    insta::assert_snapshot!(start(r#"[cluster]
admission = { down = "0%" }"#), @r#"
    error: admission never sheds
     --> baleen.toml:2:22
      |
    2 | admission = { down = "0%" }
      |                      ^^^^ in overload as many are admitted as before
      |
      = hint: 5% is the default
    "#);
}

#[test]
fn admission_that_never_opens() {
    insta::assert_snapshot!(start(r#"[cluster]
admission = { up = "0%" }"#), @r#"
    error: admission never opens again
     --> baleen.toml:2:20
      |
    2 | admission = { up = "0%" }
      |                    ^^^^ after overload no more are admitted than in it
      |
      = hint: 1% is the default
    "#);
}

#[test]
fn admission_that_opens_fast() {
    insta::assert_snapshot!(start(r#"[cluster]
admission = { up = "10%" }"#), @r#"
    warning: admission opens faster than it closes
     --> baleen.toml:2:20
      |
    2 | admission = { up = "10%" }
      |                    ^^^^^ more than `down`: overload comes back at once
      |
      = note: `down` is 5% by default
    "#);
}

#[test]
fn admission_in_large_steps() {
    insta::assert_snapshot!(start(r#"[cluster]
admission = { down = "80%" }"#), @r#"
    warning: admission in large steps
     --> baleen.toml:2:22
      |
    2 | admission = { down = "80%" }
      |                      ^^^^^ so many are shut out at once
      |
      = note: 5% is the default: large steps swing between too many and too few
    "#);
}

#[test]
fn adaptive_upside_down() {
    insta::assert_snapshot!(start(r#"[cluster]
adaptive = { kind = "aimd", min = 300, initial = 300 }"#), @r#"
    error: the least limit is above the greatest
     --> baleen.toml:2:35
      |
    2 | adaptive = { kind = "aimd", min = 300, initial = 300 }
      |                                   ^^^ 300, more than `max`
      |
      = note: `max` is 200 by default
    "#);
}

#[test]
fn adaptive_that_begins_outside() {
    insta::assert_snapshot!(start(r#"[cluster]
adaptive = { initial = 500 }"#), @r#"
    error: the limit begins above its greatest
     --> baleen.toml:2:24
      |
    2 | adaptive = { initial = 500 }
      |                        ^^^ 500, more than `max`
      |
      = note: `max` is 200 by default
    "#);
}

#[test]
fn adaptive_that_begins_below() {
    insta::assert_snapshot!(start(r#"[cluster]
adaptive = { min = 10, initial = 5 }"#), @r#"
    error: the limit begins below its least
     --> baleen.toml:2:34
      |
    2 | adaptive = { min = 10, initial = 5 }
      |                    --            ^ 5, less than `min`
      |                    |
      |                    `min` is 10
    "#);
}

#[test]
fn adaptive_above_the_limit() {
    insta::assert_snapshot!(start(r#"[cluster]
concurrency = 100
adaptive = "gradient2""#), @r#"
    warning: the adaptive limit never reaches its `max`
     --> baleen.toml:2:15
      |
    2 | concurrency = 100
      |               ^^^ `concurrency` is 100
      |
      = note: `max` has its default: 200, more than the cluster may have
    "#);
}

#[test]
fn adaptive_with_a_small_tolerance() {
    insta::assert_snapshot!(start(r#"[cluster]
adaptive = { kind = "gradient2", tolerance = "90%" }"#), @r#"
    error: invalid value for `tolerance`
     --> baleen.toml:2:46
      |
    2 | adaptive = { kind = "gradient2", tolerance = "90%" }
      |                                              ^^^^^ expected a whole percentage within "100%" and "1000%"
    "#);
}

#[test]
fn adaptive_that_never_falls() {
    insta::assert_snapshot!(start(r#"[cluster]
adaptive = { kind = "aimd", backoff = "100%" }"#), @r#"
    error: the limit does not adapt
     --> baleen.toml:2:39
      |
    2 | adaptive = { kind = "aimd", backoff = "100%" }
      |                                       ^^^^^^ all is left of it after a failure
      |
      = hint: it is what is left of the limit; 90% is the default
    "#);
}

#[test]
fn adaptive_that_falls_to_nothing() {
    insta::assert_snapshot!(start(r#"[cluster]
adaptive = { kind = "aimd", backoff = "0%" }"#), @r#"
    error: the limit does not adapt
     --> baleen.toml:2:39
      |
    2 | adaptive = { kind = "aimd", backoff = "0%" }
      |                                       ^^^^ nothing is left of it after a single failure
      |
      = hint: it is what is left of the limit; 90% is the default
    "#);
}

#[test]
fn adaptive_that_falls_steeply() {
    insta::assert_snapshot!(start(r#"[cluster]
adaptive = { kind = "aimd", backoff = "30%" }"#), @r#"
    warning: a steep fall of the limit
     --> baleen.toml:2:39
      |
    2 | adaptive = { kind = "aimd", backoff = "30%" }
      |                                       ^^^^^ so much is left of it after a single failure
      |
      = note: 90% is the default; failures in a row multiply
    "#);
}

#[test]
fn adaptive_that_never_moves() {
    insta::assert_snapshot!(start(r#"[cluster]
adaptive = { smoothing = "0%" }"#), @r#"
    error: the limit does not adapt
     --> baleen.toml:2:26
      |
    2 | adaptive = { smoothing = "0%" }
      |                          ^^^^ nothing of a new estimate is taken
      |
      = hint: 20% is the default
    "#);
}

#[test]
fn adaptive_for_which_nothing_is_slow() {
    insta::assert_snapshot!(start(r#"[cluster]
adaptive = { kind = "aimd", slow = "3s" }"#), @r#"
    warning: no answer is ever slow
     --> baleen.toml:2:36
      |
    2 | adaptive = { kind = "aimd", slow = "3s" }
      |                                    ^^^^ 3s, while a try ends after 2s
      |
      = note: `try_timeout` is 2s by default
    "#);
}

#[test]
fn adaptive_of_another_kind() {
    insta::assert_snapshot!(start(r#"[cluster]
adaptive = { kind = "aimd", tolerance = "150%" }"#), @r#"
    warning: `tolerance` has no effect
     --> baleen.toml:2:41
      |
    2 | adaptive = { kind = "aimd", tolerance = "150%" }
      |                     ------              ^^^^^^ only `gradient2` has it
      |                     |
      |                     this kind has not
    "#);
}

#[test]
fn throttle_below_one() {
    insta::assert_snapshot!(start(r#"[cluster]
throttle = { k = 0.5 }"#), @r#"
    error: invalid value for `k`
     --> baleen.toml:2:18
      |
    2 | throttle = { k = 0.5 }
      |                  ^^^ expected a number from 1 to 100, with at most three places after the point
    "#);
}

#[test]
fn throttle_in_four_places() {
    insta::assert_snapshot!(start(r#"[cluster]
throttle = { k = "1.2345" }"#), @r#"
    error: invalid value for `k`
     --> baleen.toml:2:18
      |
    2 | throttle = { k = "1.2345" }
      |                  ^^^^^^^^ expected a number from 1 to 100, with at most three places after the point
    "#);
}

#[test]
fn endpoint_limit_above_the_cluster() {
    insta::assert_snapshot!(start(r#"[cluster]
concurrency = 10
endpoint_concurrency = 20"#), @r#"
    warning: the limit of an endpoint is never reached
     --> baleen.toml:3:24
      |
    3 | endpoint_concurrency = 20
      |                        ^^ 20, more than the cluster may have in all
      |
     ::: baleen.toml:2:15
      |
    2 | concurrency = 10
      |               -- `concurrency` is 10
    "#);
}

#[test]
fn queue_order_misspelt() {
    insta::assert_snapshot!(start(r#"[cluster]
queue_order = "lifo""#), @r#"
    error: invalid value for `queue_order`
     --> baleen.toml:2:15
      |
    2 | queue_order = "lifo"
      |               ^^^^^^ expected "adaptive-lifo" or "fifo"
      |
      = hint: did you mean "fifo"?
    "#);
}

// Health

#[test]
fn success_rate_of_all() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { success_rate = "100%" }"#), @r#"
    warning: a single failure takes an endpoint out
     --> baleen.toml:2:26
      |
    2 | eject = { success_rate = "100%" }
      |                          ^^^^^^ no failure is allowed within the window
      |
      = note: 80% is usual: below it an endpoint does more harm than good
    "#);
}

#[test]
fn success_rate_near_all() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { success_rate = { min = "99.9%" } }"#), @r#"
    warning: few failures take an endpoint out
     --> baleen.toml:2:34
      |
    2 | eject = { success_rate = { min = "99.9%" } }
      |                                  ^^^^^^^ a good endpoint can miss this by chance
      |
      = note: 80% is usual: below it an endpoint does more harm than good
    "#);
}

#[test]
fn success_rate_of_none() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { success_rate = "0%" }"#), @r#"
    warning: `success_rate` has no effect
     --> baleen.toml:2:26
      |
    2 | eject = { success_rate = "0%" }
      |                          ^^^^ no share is smaller than 0%
    "#);
}

#[test]
fn success_rate_as_a_fraction() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { success_rate = "0.8" }"#), @r#"
    error: invalid value for `success_rate`
     --> baleen.toml:2:26
      |
    2 | eject = { success_rate = "0.8" }
      |                          ^^^^^ expected a share within "0%" and "100%", or "off"
      |
      = hint: did you mean "80%"?
    "#);
}

#[test]
fn success_rate_of_more_than_is_looked_at() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { success_rate = { last = 10, requests = 20 } }"#), @r#"
    warning: `requests` has no effect
     --> baleen.toml:2:50
      |
    2 | eject = { success_rate = { last = 10, requests = 20 } }
      |                                   --             ^^ no more tries than `last` are looked at
      |                                   |
      |                                   so many of them
    "#);
}

#[test]
fn success_rate_with_two_memories() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { success_rate = { last = 50, window = "5s" } }"#), @r#"
    warning: `window` has no effect
     --> baleen.toml:2:48
      |
    2 | eject = { success_rate = { last = 50, window = "5s" } }
      |                                   --           ^^^^ the last tries count, however old
      |                                   |
      |                                   so many of them
    "#);
}

#[test]
fn outlier_of_zero_deviations() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { outlier = { deviations = 0 } }"#), @r#"
    error: whoever is below the mean is an outlier
     --> baleen.toml:2:36
      |
    2 | eject = { outlier = { deviations = 0 } }
      |                                    ^ expected more than 0: half of all endpoints are below the mean
      |
      = hint: 1.9 is the default
    "#);
}

#[test]
fn outlier_by_chance() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { outlier = { deviations = 0.5 } }"#), @r#"
    warning: good endpoints are outliers
     --> baleen.toml:2:36
      |
    2 | eject = { outlier = { deviations = 0.5 } }
      |                                    ^^^ so far below the mean some are by chance
      |
      = note: 1.9 is the default
    "#);
}

#[test]
fn outlier_that_can_not_be() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { outlier = { deviations = 3 } }"#), @r#"
    warning: no endpoint of fewer than 10 can be an outlier
     --> baleen.toml:2:36
      |
    2 | eject = { outlier = { deviations = 3 } }
      |                                    ^ one of n is at most the square root of n - 1 below the mean, not 3
      |
      = hint: 1.9 is the default
    "#);
}

#[test]
fn outlier_without_a_gap() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { outlier = { gap = "0%" } }"#), @r#"
    warning: one failure can make an outlier
     --> baleen.toml:2:29
      |
    2 | eject = { outlier = { gap = "0%" } }
      |                             ^^^^ among endpoints without failures, one with a single failure stands out
      |
      = note: 5% is the default
    "#);
}

#[test]
fn outlier_among_one() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { outlier = { endpoints = 1 } }"#), @r#"
    error: invalid value for `endpoints`
     --> baleen.toml:2:35
      |
    2 | eject = { outlier = { endpoints = 1 } }
      |                                   ^ expected a whole number from 2 to 4096
    "#);
}

#[test]
fn latency_below_the_median() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { latency = { factor = "100%" } }"#), @r#"
    error: invalid value for `factor`
     --> baleen.toml:2:32
      |
    2 | eject = { latency = { factor = "100%" } }
      |                                ^^^^^^ expected a whole percentage within "101%" and "10000%"
    "#);
}

#[test]
fn latency_by_chance() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { latency = { factor = "120%" } }"#), @r#"
    warning: a small factor
     --> baleen.toml:2:32
      |
    2 | eject = { latency = { factor = "120%" } }
      |                                ^^^^^^ endpoints differ so much by chance
      |
      = note: 300% is the default
    "#);
}

#[test]
fn ceiling_above_panic() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { ceiling = "100%" }"#), @r#"
    warning: the ceiling is never reached
     --> baleen.toml:2:21
      |
    2 | eject = { ceiling = "100%" }
      |                     ^^^^^^ panic sets in when 50% are out, and all are used again
      |
      = note: `panic` is 50% by default
    "#);
}

#[test]
fn nothing_takes_out() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { consecutive_failures = "off", outlier = "off" }"#), @r#"
    warning: nothing takes an endpoint out
     --> baleen.toml:2:34
      |
    2 | eject = { consecutive_failures = "off", outlier = "off" }
      |                                  ^^^^^ all else is off, too
      |
      = hint: eject = "off" says the same
    "#);
}

#[test]
fn consecutive_failures_of_zero() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { consecutive_failures = 0 }"#), @r#"
    error: invalid value for `consecutive_failures`
     --> baleen.toml:2:34
      |
    2 | eject = { consecutive_failures = 0 }
      |                                  ^ expected a whole number from 1 to 1000000, or "off"
      |
      = hint: did you mean "off"?
    "#);
}

#[test]
fn eject_by_an_odd_grpc_status() {
    insta::assert_snapshot!(start(r#"[cluster]
eject = { grpc_statuses = [0] }"#), @r#"
    error: invalid value for `grpc_statuses`
     --> baleen.toml:2:28
      |
    2 | eject = { grpc_statuses = [0] }
      |                            ^ expected a whole number from 1 to 16
    "#);
}

// Listeners

#[test]
fn every_caller_trusted() {
    insta::assert_snapshot!(whole(r#"[namer.files]
kind = "files"
dir = "d"
[[listener]]
listen = "127.0.0.1:8080"
trusted_callers = ["10.0.0.0/8", "0.0.0.0/0"]
"#), @r#"
    warning: every caller is trusted
     --> baleen.toml:6:34
      |
    6 | trusted_callers = ["10.0.0.0/8", "0.0.0.0/0"]
      |                                  ^^^^^^^^^^^ these are all addresses
      |
      = note: whoever can connect can make its requests most urgent and choose their deadlines
    "#);
}

#[test]
fn callers_with_a_port() {
    insta::assert_snapshot!(whole(r#"[namer.files]
kind = "files"
dir = "d"
[[listener]]
listen = "127.0.0.1:8080"
trusted_callers = ["127.0.0.1:80"]
"#), @r#"
    error: invalid value for `trusted_callers`
     --> baleen.toml:6:20
      |
    6 | trusted_callers = ["127.0.0.1:80"]
      |                    ^^^^^^^^^^^^^^ a network has no port
      |
      = hint: did you mean "127.0.0.1"?
    "#);
}

#[test]
fn callers_with_too_many_bits() {
    insta::assert_snapshot!(whole(r#"[namer.files]
kind = "files"
dir = "d"
[[listener]]
listen = "127.0.0.1:8080"
trusted_callers = ["10.0.0.1/8"]
"#), @r#"
    error: invalid value for `trusted_callers`
     --> baleen.toml:6:20
      |
    6 | trusted_callers = ["10.0.0.1/8"]
      |                    ^^^^^^^^^^^^ this address has more bits than the 8 that count
      |
      = hint: did you mean "10.0.0.0/8", or "10.0.0.1" alone?
    "#);
}

#[test]
fn callers_with_a_long_prefix() {
    insta::assert_snapshot!(whole(r#"[namer.files]
kind = "files"
dir = "d"
[[listener]]
listen = "127.0.0.1:8080"
trusted_callers = ["10.0.0.0/64"]
"#), @r#"
    error: invalid value for `trusted_callers`
     --> baleen.toml:6:20
      |
    6 | trusted_callers = ["10.0.0.0/64"]
      |                    ^^^^^^^^^^^^^ expected 0 to 32 after the stroke: how many bits count
    "#);
}

#[test]
fn callers_by_name() {
    insta::assert_snapshot!(whole(r#"[namer.files]
kind = "files"
dir = "d"
[[listener]]
listen = "127.0.0.1:8080"
trusted_callers = ["localhost"]
"#), @r#"
    error: invalid value for `trusted_callers`
     --> baleen.toml:6:20
      |
    6 | trusted_callers = ["localhost"]
      |                    ^^^^^^^^^^^ expected a network such as "10.0.0.0/8" or an address such as "::1"
      |
      = hint: did you mean "127.0.0.1"?
    "#);
}

#[test]
fn skew_of_minutes() {
    insta::assert_snapshot!(whole(r#"[namer.files]
kind = "files"
dir = "d"
[[listener]]
listen = "127.0.0.1:8080"
trusted_callers = ["10.0.0.0/8"]
deadline_skew = "30s"
"#), @r#"
    warning: a large skew of clocks
     --> baleen.toml:7:17
      |
    7 | deadline_skew = "30s"
      |                 ^^^^^ deadlines that are past by up to this much are believed
      |
      = note: a caller whose clock is behind is refused everything; better keep the clocks together
    "#);
}

#[test]
fn skew_of_nobody() {
    insta::assert_snapshot!(whole(r#"[namer.files]
kind = "files"
dir = "d"
[[listener]]
listen = "127.0.0.1:8080"
deadline_skew = "1s"
"#), @r#"
    warning: `deadline_skew` has no effect
     --> baleen.toml:6:17
      |
    6 | deadline_skew = "1s"
      |                 ^^^^ nobody is in `trusted_callers`
    "#);
}

#[test]
fn rule_priority_out_of_bounds() {
    insta::assert_snapshot!(whole(r#"[namer.files]
kind = "files"
dir = "d"
[[listener]]
listen = "127.0.0.1:8080"
[[listener.rule]]
name = "/svc/web"
priority = 9
"#), @r#"
    error: invalid value for `priority`
     --> baleen.toml:8:12
      |
    8 | priority = 9
      |            ^ expected a whole number from 0 to 7
    "#);
}

#[test]
fn fallback_to_a_cluster_that_is_not_there() {
    insta::assert_snapshot!(whole(r#"[[listener]]
listen = "127.0.0.1:8080"
[route."/svc/web"]
fallback = "/svc/standbi"
[cluster.web]
endpoints = ["127.0.0.1:9001"]
[cluster.standby]
endpoints = ["127.0.0.1:9002"]
"#), @r#"
    error: there is no cluster `standbi`
     --> baleen.toml:4:12
      |
    4 | fallback = "/svc/standbi"
      |            ^^^^^^^^^^^^^^ this leads nowhere
      |
      = hint: did you mean `standby`?
    "#);
}
