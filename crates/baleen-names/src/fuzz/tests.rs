//! Replays the committed corpora of the fuzz targets, and any bytes.

use std::path::Path as File;

use proptest::prelude::*;

use super::*;

/// Every file of the corpus of `target`, in order of name.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = File::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("readable folder").path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{} has {} files", folder.display(), files.len());
    for file in files {
        let data = std::fs::read(&file).expect("readable file");
        let ran = std::panic::catch_unwind(|| run(&data));
        assert!(ran.is_ok(), "replay: {} breaks {target}", file.display());
    }
}

#[test]
fn corpus_of_paths() {
    replay("names_path", fuzz_path);
}

#[test]
fn corpus_of_trees() {
    replay("names_tree", fuzz_tree);
}

#[test]
fn corpus_of_dtabs() {
    replay("names_dtab", fuzz_dtab);
}

proptest! {
    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_path(&data);
        fuzz_tree(&data);
        fuzz_dtab(&data);
    }
}
