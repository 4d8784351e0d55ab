//! The reference page of metrics is what the table of families says. `BALEEN_UPDATE=1` writes it.

use std::path::Path;

#[test]
fn the_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/metrics.md");
    let page = baleen_telemetry::reference_markdown();
    if std::env::var_os("BALEEN_UPDATE").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/reference/metrics.md is out of date: BALEEN_UPDATE=1 cargo test -p baleen-telemetry --test reference"
    );
}

#[test]
fn names_follow_the_conventions() {
    for family in baleen_telemetry::families() {
        let name = family.name;
        let counter = family.kind == baleen_telemetry::Kind::Counter;
        assert!(name.starts_with("baleen_") || name.starts_with("process_"), "{name}");
        assert_eq!(
            counter,
            name.ends_with("_total"),
            "{name}: counters, and only they, end in _total"
        );
        assert!(family.help.ends_with('.'), "{name}: help is a sentence");
        if family.kind == baleen_telemetry::Kind::Histogram {
            assert!(name.ends_with("_seconds"), "{name}: the unit comes last");
        }
    }
}
