//! Answers as the documentation shows them, and what is wrong with others.

use baleen_config::{ENDPOINTS_MAX, zone_hash};
use proptest::prelude::*;

use super::*;

/// Like the sample of the page "Health", with an instance more that has no address of its own.
const HEALTH: &str = r#"[
  {"Node": {"ID": "40e4a748-2192-161a-0510-9bf59fe950b5", "Node": "foobar", "Address": "10.1.10.12", "Datacenter": "dc1",
    "TaggedAddresses": {"lan": "10.1.10.12", "wan": "10.1.10.12"}, "Meta": {"instance_type": "t2.medium", "zone": "n"}},
   "Service": {"ID": "redis", "Service": "redis", "Tags": ["primary"], "Address": "10.1.10.13",
    "TaggedAddresses": {"lan": {"address": "10.1.10.12", "port": 8000}}, "Meta": {"redis_version": "4.0", "zone": "s"},
    "Port": 8000, "Weights": {"Passing": 10, "Warning": 1}, "Namespace": "default"},
   "Checks": [{"Node": "foobar", "CheckID": "serfHealth", "Status": "passing", "ServiceTags": []}]},
  {"Node": {"Node": "two", "Address": "10.1.10.2", "Meta": {"zone": "n"}},
   "Service": {"ID": "redis-2", "Service": "redis", "Address": "", "Port": 8001, "Meta": null}, "Checks": null}
]"#;

#[test]
fn instances_with_weight_zone_and_the_address_of_their_node() {
    let (endpoints, refused) = health(HEALTH.as_bytes(), None).unwrap();
    let line = |e: &Endpoint| (e.addr.to_string(), e.weight, e.zone);
    let expected = [
        ("10.1.10.2:8001".to_owned(), 1, zone_hash("n")),
        ("10.1.10.13:8000".to_owned(), 10, zone_hash("s")),
    ];
    assert_eq!(endpoints.iter().map(line).collect::<Vec<_>>(), expected);
    assert!(refused.is_empty());
    assert_eq!(health(HEALTH.as_bytes(), Some("primary")).unwrap().0, [endpoints[1]]);
    assert!(health(HEALTH.as_bytes(), Some("other")).unwrap().0.is_empty());
}

#[test]
fn what_is_no_endpoint_is_refused_and_the_rest_taken() {
    let entry = |id: &str, host: &str, rest: &str| {
        format!(
            r#"{{"Node":{{"Node":"n"}},"Service":{{"ID":"{id}","Address":"{host}","Port":80{rest}}}}}"#
        )
    };
    let body = [
        entry("good", "10.0.0.1", ""),
        entry("named", "db.example", ""),
        entry("nowhere", "", ""),
        entry("heavy", "10.0.0.2", r#","Weights":{"Passing":70000}"#),
        entry("again", "10.0.0.1", ""),
    ];
    let (endpoints, refused) = health(format!("[{}]", body.join(",")).as_bytes(), None).unwrap();
    assert_eq!(endpoints.len(), 1);
    let keys: Vec<_> = refused.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["named on n", "nowhere on n", "heavy on n"]);
    assert!(refused[0].1.contains("`db.example` is no IP address"), "{}", refused[0].1);
}

#[test]
fn more_than_a_cluster_may_have_is_cut_and_said() {
    let one = |n: usize| {
        format!(r#"{{"Service":{{"Address":"10.0.{}.{}","Port":80}}}}"#, n / 256, n % 256)
    };
    let all: Vec<_> = (0..5000).map(one).collect();
    let (endpoints, refused) = health(format!("[{}]", all.join(",")).as_bytes(), None).unwrap();
    assert_eq!(endpoints.len(), ENDPOINTS_MAX);
    assert!(refused[0].1.contains(&format!("{} endpoints", 5000 - ENDPOINTS_MAX)));
    let bad = vec![r#"{"Service":{}}"#; 1000].join(",");
    assert_eq!(health(format!("[{bad}]").as_bytes(), None).unwrap().1.len(), REFUSED_MAX);
}

#[test]
fn services_by_tag() {
    let body = br#"{"redis": [], "postgresql": ["primary", "secondary"], "web": null, "a b": ["primary"]}"#;
    let (names, refused) = services(body, None).unwrap();
    assert_eq!(names, ["postgresql", "redis", "web"]);
    assert_eq!(refused[0].0, "a b");
    assert_eq!(services(body, Some("primary")).unwrap().0, ["postgresql"]);
    assert_eq!(services(b"{}", None).unwrap().0, Vec::<String>::new());
}

#[test]
fn what_is_no_answer_is_an_error() {
    for body in ["", "null", "[", "{}", "[{}]", "[null]", "\"x\"", &HEALTH[..HEALTH.len() - 3]] {
        assert!(health(body.as_bytes(), None).is_err(), "{body}");
    }
    for body in ["", "null", "[]", "{\"a\":", "{\"a\":1}", "{\"a\":[1]}"] {
        assert!(services(body.as_bytes(), None).is_err(), "{body}");
    }
    assert_eq!(leader(b"\"10.1.10.12:8300\""), Ok(()));
    assert_eq!(leader(b"\"\""), Err("it has no leader".to_owned()));
    assert!(leader(b"").is_err() && leader(b"null").is_err());
}

#[test]
fn the_rules_of_the_index() {
    assert_eq!(next(0, Some("7")), Ok(Next::After { index: 7, moved: true }));
    assert_eq!(next(7, Some("7")), Ok(Next::After { index: 7, moved: false }));
    assert_eq!(next(7, Some("8")), Ok(Next::After { index: 8, moved: true }));
    assert_eq!(next(7, Some("6")), Ok(Next::Reset));
    for odd in [None, Some("0"), Some(""), Some("-1"), Some("x"), Some("99999999999999999999")] {
        assert!(next(7, odd).is_err(), "{odd:?}");
    }
}

proptest! {
    #[test]
    fn an_index_that_is_used_never_goes_back(answers in prop::collection::vec(0u64..50, 0..50)) {
        let mut last = 0;
        for answer in answers {
            match next(last, Some(&answer.to_string())) {
                Ok(Next::After { index, moved }) => {
                    prop_assert!(index > 0 && index >= last && moved == (index != last));
                    last = index;
                }
                Ok(Next::Reset) => { prop_assert!(answer < last); last = 0; }
                Err(_) => prop_assert_eq!(answer, 0),
            }
        }
    }
}
