//! The numbers of the books, by hand.

use super::*;

#[test]
fn eight_servers_die() {
    let s = survivors(100_000.0, 8, Some(15_000.0)).unwrap();
    let each: Vec<String> = s.rows.iter().map(|r| count(r.each)).collect();
    assert_eq!(each, ["12.5k", "14.3k", "16.7k", "20k", "25k", "33.3k", "50k", "100k"]);
    let growth: Vec<String> = s.rows.iter().map(|r| percent(r.growth)).collect();
    assert_eq!(growth, ["0%", "14.3%", "33.3%", "60%", "100%", "166.7%", "300%", "700%"]);
    let step: Vec<String> = s.rows.iter().map(|r| percent(r.step)).collect();
    assert_eq!(step, ["0%", "14.3%", "16.7%", "20%", "25%", "33.3%", "50%", "100%"]);
    let within: Vec<bool> = s.rows.iter().filter_map(|r| r.within).collect();
    assert_eq!(within, [true, true, false, false, false, false, false, false]);
    assert_eq!(s.survives, Some(1));
    let verdict = s.verdict.unwrap();
    assert!(
        verdict
            .starts_with("survives 1 loss, the second cascades to zero: 16.7k each is above 15k"),
        "{verdict}"
    );
    assert!(s.arithmetic[1].contains("12.5k / 15k = 83.3% used"), "{:?}", s.arithmetic);
}

/// `k` of `n` can be lost exactly when at most `(n - k) / n` is used.
#[test]
fn the_rule_of_survival() {
    for n in 1..=40u32 {
        for limit in [50.0, 99.0, 100.0, 101.0, 250.0, 333.0] {
            let s = survivors(1000.0, n, Some(limit)).unwrap();
            let used = 1000.0 / f64::from(n) / limit;
            let most = (0..n).filter(|&k| used <= f64::from(n - k) / f64::from(n) + 1e-12).max();
            assert_eq!(s.survives, most, "{n} of {limit}");
            assert!(s.verdict.is_some());
        }
    }
    let verdict = |n, limit| survivors(100.0, n, Some(limit)).unwrap().verdict.unwrap();
    assert_eq!(verdict(4, 10.0), "too few: 10 of 10 each are needed, there are 4");
    assert!(verdict(2, 100.0).starts_with("survives 1 loss: one server can carry it all"));
    assert!(verdict(10, 10.0).starts_with("survives 0 losses, the first cascades"));
    assert!(verdict(22, 10.0).contains("survives 12 losses, the 13th cascades"));
    assert!(verdict(31, 10.0).contains("the 22nd cascades"));
}

#[test]
fn many_servers_get_few_lines() {
    let s = survivors(1e6, 10_000, Some(150.0)).unwrap();
    assert!(s.rows.len() < 20, "{}", s.rows.len());
    assert_eq!(s.survives, Some(3333));
    // The edge is there: the last that holds and the first that does not.
    let edge = s.rows.windows(2).find(|w| w[0].within != w[1].within).unwrap();
    assert_eq!((edge[0].left, edge[1].left), (6667, 6666));
    assert!(s.rows.windows(2).all(|w| w[0].left > w[1].left));
    assert_eq!(survivors(1e6, 10_000, None).unwrap().survives, None);
}

fn ask() -> CoresAsk {
    CoresAsk { rate: 10_000.0, per_core: 10.0, cores: 32, headroom: 0.2, domains: 3 }
}

#[test]
fn a_thousand_cores() {
    let c = cores(&ask()).unwrap();
    assert_eq!((c.cores, c.servers, c.with_headroom), (1000.0, 32.0, 40.0));
    assert_eq!(
        c.arithmetic,
        [
            "10k / 10 per core = 1000 cores",
            "1000 / 32 = 31.25, so 32 servers",
            "32 / (1 - 0.2) = 40 servers with 20% headroom",
            "to lose one of 3 domains: 32 / (3 - 1) = 16 in each, 48 servers; 65.1% used, 97.7% after the loss",
            "20% headroom alone: 40 - 14 = 26 are left of a lost domain, 32 are needed: not enough",
            "both: 40 / (3 - 1) = 20 in each, 60 servers",
        ]
    );
    let d = c.domains;
    assert_eq!((d.each, d.servers, d.servers_with_headroom), (16.0, 48.0, 60.0));
    assert!(!d.headroom_survives && (d.used_after_loss - 31.25 / 32.0).abs() < 1e-12);
}

#[test]
fn headroom_is_enough_for_one_of_many_domains() {
    let c = cores(&CoresAsk { domains: 10, ..ask() }).unwrap();
    assert!(c.domains.headroom_survives, "40 - 4 = 36 of 32");
    let c = cores(&CoresAsk { headroom: 0.0, ..ask() }).unwrap();
    assert_eq!((c.with_headroom, c.arithmetic.len()), (32.0, 3));
    // Whatever is lost, the rest carries all.
    for domains in 2..20 {
        for rate in [1.0, 9.0, 777.0, 10_000.0, 123_456.0] {
            let c = cores(&CoresAsk { rate, domains, ..ask() }).unwrap();
            let left = c.domains.servers - c.domains.each;
            assert!(left * 320.0 >= rate && c.domains.used_after_loss <= 1.0, "{rate} {domains}");
        }
    }
}

#[test]
fn division_gives_no_server_for_nothing() {
    let c = |rate, per_core| {
        cores(&CoresAsk { rate, per_core, cores: 1, headroom: 0.0, domains: 2 }).unwrap().cores
    };
    assert_eq!((c(1.1, 0.1), c(0.6, 0.2), c(0.7, 0.1), c(1.11, 0.1)), (11.0, 3.0, 7.0, 12.0));
}

#[test]
fn ten_megabytes_a_second() {
    let v = volume(10_000.0, 1000.0, COMPRESSION).unwrap();
    assert_eq!(v.plain(), "10 MB/s, 0.86 TB/day");
    assert_eq!(v.compressed(), "2 MB/s, 0.17 TB/day");
    assert_eq!(v.per_day, 864e9);
    assert_eq!(v.arithmetic[0], "10k x 1 KB = 10 MB/s");
    assert_eq!(volume(1.0, 200.0, 2.0).unwrap().plain(), "200 B/s, 17.3 MB/day");
    assert_eq!(volume(1e6, 1e4, 1.0).unwrap().compressed(), "10 GB/s, 864 TB/day");
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    assert!(survivors(0.0, 8, None).is_err() && survivors(f64::NAN, 8, None).is_err());
    assert!(survivors(1.0, 0, None).is_err() && survivors(1.0, 2_000_000, None).is_err());
    assert!(survivors(1.0, 8, Some(-1.0)).is_err());
    assert!(cores(&CoresAsk { headroom: 1.0, ..ask() }).is_err());
    assert!(cores(&CoresAsk { domains: 1, ..ask() }).is_err());
    assert!(cores(&CoresAsk { per_core: f64::INFINITY, ..ask() }).is_err());
    assert!(cores(&CoresAsk { rate: 1e15, per_core: 0.001, ..ask() }).is_err());
    assert!(volume(1.0, 1.0, 0.5).is_err() && volume(-1.0, 1.0, 5.0).is_err());
}

#[test]
fn numbers_are_read_and_written() {
    assert_eq!(parse_count("100k"), Ok(100_000.0));
    assert_eq!(parse_count(" 12.5k/s "), Ok(12_500.0));
    assert_eq!(parse_bytes("1KB"), Ok(1000.0));
    assert_eq!(parse_bytes("1 KiB"), Ok(1024.0));
    assert_eq!(parse_percent("20%"), Ok(0.2));
    for wrong in ["", "k", "-1", "1x", "0", "1e9", "1.2.3", "9999999T", "é"] {
        assert!(parse_count(wrong).is_err(), "{wrong}");
    }
    assert!(parse_bytes("1k").is_err() && parse_bytes("1").is_err());
    assert!(
        parse_percent("100%").is_err()
            && parse_percent("20").is_err()
            && parse_percent("-1%").is_err()
    );
    let shown = |v: f64| count(v);
    assert_eq!(
        [shown(8.0), shown(9999.0), shown(99_999.0), shown(0.25), shown(14_285.7)],
        ["8", "9999", "100k", "0.25", "14.3k"]
    );
    assert_eq!([bytes(999.6), bytes(1.0), bytes(1536.0)], ["1 KB", "1 B", "1.54 KB"]);
}
