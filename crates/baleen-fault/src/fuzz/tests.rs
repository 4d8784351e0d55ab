//! Replays the committed corpus of the fuzz target, and any bytes.

use std::path::Path;

use proptest::prelude::*;

use super::*;

#[test]
fn corpus_of_exchange_faults() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/exchange_faults");
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("readable folder").path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{} has {} files", folder.display(), files.len());
    for file in files {
        let data = std::fs::read(&file).expect("readable file");
        let ran = std::panic::catch_unwind(|| fuzz_filter(&data));
        assert!(ran.is_ok(), "replay: {} breaks exchange_faults", file.display());
    }
}

proptest! {
    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_filter(&data);
    }

    #[test]
    fn exchanges_in_any_pieces(which in any::<u8>(), sizes in prop::collection::vec(1..64u8, 1..40), up in 1..4usize) {
        let get = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n".repeat(up);
        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".repeat(up);
        let mut data = vec![which];
        let (mut asked, mut answered) = (get.as_slice(), ok.as_slice());
        for (i, size) in sizes.iter().enumerate() {
            let from = if i % 2 == 0 { &mut asked } else { &mut answered };
            let (piece, rest) = from.split_at(usize::from(*size).min(from.len()));
            *from = rest;
            data.push((piece.len() as u8) << 2 | (i % 2) as u8);
            data.extend_from_slice(piece);
        }
        fuzz_filter(&data);
    }
}
