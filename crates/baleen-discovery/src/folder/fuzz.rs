//! The body of the fuzz target of a folder's files: what must hold for any bytes.
//!
//! The target `folder_value` in the `fuzz` folder calls it, and so does the test below with the committed corpus.

use super::format::{parse, print};
use super::names::{decode, file};

/// Reads bytes as a file and as the name of one. What is read and printed again must be the same bytes.
pub fn fuzz_folder_value(data: &[u8]) {
    match parse(data) {
        Ok(stored) => assert_eq!(print(&stored), data),
        Err(why) => assert!(!why.chars().any(char::is_control), "{why:?}"),
    }
    let name = std::str::from_utf8(data).ok().filter(|name| name.len() <= 255);
    if let Some((name, label)) = name.and_then(|name| Some((name, decode(name)?))) {
        // A label with `/` in it is no label of a key; whose name is written by nobody.
        if !label.contains('/') {
            assert_eq!(file(&label).ok().as_deref(), Some(std::path::Path::new(name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_holds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/folder_value");
        let mut read = 0;
        for entry in std::fs::read_dir(folder).expect("the corpus") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
            read += usize::from(parse(&bytes).is_ok());
            fuzz_folder_value(&bytes);
        }
        assert!(read >= 2, "the corpus has files that are read");
    }
}
