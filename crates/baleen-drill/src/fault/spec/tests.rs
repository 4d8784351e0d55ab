//! What is read and written, and that nothing makes it panic.

use proptest::prelude::*;

use baleen_fault::{Lane, Out};

use super::*;

fn toxic(value: Value) -> Result<ToxicSpec, Refusal> {
    ToxicSpec::read(value)
}

fn bytes(value: Value) -> Toxic {
    match toxic(value).expect("a toxic").kind {
        Kind::Bytes(toxic) => toxic,
        other => panic!("{other:?}"),
    }
}

#[test]
fn units_are_those_of_toxiproxy() {
    let ms = Duration::from_millis;
    let of = |name: &str, attributes: Value| bytes(json!({"type": name, "attributes": attributes}));
    let got = of("latency", json!({"latency": 5, "jitter": 2}));
    assert_eq!(got, Toxic::Latency { latency: ms(5), jitter: ms(2) });
    assert_eq!(of("bandwidth", json!({"rate": 7})), Toxic::Bandwidth { bytes_per_second: 7000 });
    let got = of("slicer", json!({"average_size": 3, "size_variation": 1, "delay": 9}));
    let delay = Duration::from_micros(9);
    assert_eq!(got, Toxic::Slicer { average: 3, variation: 1, delay });
    assert_eq!(of("timeout", json!({})), Toxic::Timeout { after: None });
    assert_eq!(of("timeout", json!({"timeout": 1})), Toxic::Timeout { after: Some(ms(1)) });
    assert_eq!(of("slow_close", json!({"delay": -1})), Toxic::SlowClose { delay: ms(0) });
    let got = of("packet_loss", json!({"correlation": 0.5}));
    assert_eq!(got, Toxic::PacketLoss { share_ppm: 100_000, correlation_ppm: 500_000 });
}

#[test]
fn shares_are_cut_at_their_ends() {
    let shares =
        [(0.0, 0), (-1.0, 0), (1e-9, 1), (0.5, 500_000), (1.0, WHOLE_PPM), (7.0, WHOLE_PPM)];
    for (share, want) in shares {
        assert_eq!(ppm(share), want, "{share}");
    }
}

#[test]
fn what_is_shown_can_be_given() {
    let given = json!({
        "type": "stall", "attributes": {"bytes": 9}, "name": "n", "stream": "upstream",
        "toxicity": 0.5, "start_ms": 1, "for_ms": 2, "lease_ms": 3, "only_new": true,
    });
    let read = toxic(given.clone()).expect("a toxic");
    assert_eq!(read.json(), given);
    // Case does not count in names of fields, and null is not given.
    let other = json!({"Type": "stall", "ATTRIBUTES": {"Bytes": 9}, "name": null});
    let read = toxic(other).expect("a toxic");
    assert_eq!((read.name.as_str(), &read.attributes["bytes"]), ("stall_downstream", &json!(9)));
}

#[test]
fn what_follows_the_first_value_is_not_looked_at() {
    assert_eq!(value(b"{} nonsense"), Ok(json!({})));
    assert_eq!(
        value(b" ").map_err(|r| r.message.into_owned()),
        Err("bad request body: EOF".into())
    );
    assert!(value(b"nonsense").is_err());
}

/// JSON of the shapes that come near to what is read.
fn near() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["", "latency", "http", "upstream", "exp(1ms)", "x: y", "\u{0}"])
            .prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "name",
        "type",
        "stream",
        "toxicity",
        "attributes",
        "listen",
        "upstream",
        "enabled",
        "toxics",
        "latency",
        "jitter",
        "rate",
        "average_size",
        "size_variation",
        "delay",
        "bytes",
        "status",
        "first",
        "header",
        "for_ms",
        "lease_ms",
        "start_ms",
        "distribution",
        "share",
    ]);
    leaf.prop_recursive(3, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|l| l.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(value in near(), bytes in any::<Vec<u8>>(), kind in 0usize..13) {
        let names = ["noop", "latency", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer",
            "limit_data", "packet_loss", "silent", "stall", "corrupt", "http"];
        let _ = super::value(&bytes);
        let _ = ProxySpec::read(value.clone(), 8);
        let given = json!({"type": names[kind], "attributes": value});
        if let Ok(read) = ToxicSpec::read(given) {
            let _ = (read.scope(Tick::from_millis(5)), read.changed(value));
            prop_assert_eq!(ToxicSpec::read(read.json()).map(|r| r.json()), Ok(read.json()));
        }
    }
}

/// The largest and the least numbers of every type go through a lane.
#[test]
fn numbers_of_any_size_are_harmless() {
    let http = ["status", "delay", "cut", "length"];
    for (type_name, list, _) in TYPES {
        for number in [json!(i64::MAX), json!(i64::MIN), json!(0)] {
            let numbers = list.iter().filter(|(_, form)| *form != Form::Text);
            let all: Map<String, Value> =
                numbers.map(|(name, _)| ((*name).to_owned(), number.clone())).collect();
            let Ok((Effect::Bytes(toxic), _)) = read_effect(type_name, Some(all.into())) else {
                assert!(["http", "delay", "refuse"].contains(&type_name), "{type_name} {number}");
                continue;
            };
            let mut lane = Lane::new(Tick::ZERO, 7);
            lane.set(Tick::ZERO, &[toxic]);
            lane.push(Tick::ZERO, &[0; 100]);
            lane.end(Tick::ZERO);
            for now in [Tick::ZERO, Tick::from_millis(1), Tick::NEVER] {
                while !matches!(lane.poll(now), Out::Wait(_) | Out::Idle) {}
            }
        }
    }
    for name in http {
        for number in [i64::MAX, i64::MIN] {
            let one = json!({ name: number });
            let read = read_effect("http", Some(one));
            assert!(matches!(read, Err(_) | Ok((Effect::Http(_), _))), "{name}");
        }
    }
    assert!(read_effect("slow", None).expect_err("unknown").contains("there are: noop, latency"));
}
