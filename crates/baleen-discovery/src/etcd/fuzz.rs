//! The body of the fuzz target of etcd's answers: what must hold for any bytes.
//!
//! The target `etcd_answer` in the `fuzz` folder calls it, and so does the test below with the committed corpus.

use super::answer::{
    Authenticated, Lease, Watched, Wrong, read, read_line, read_range, read_written,
};

/// Reads bytes as each of the answers. Nothing may panic; an answer without a revision is none; what is wrong is said in one line.
pub fn fuzz_etcd_answer(data: &[u8]) {
    match read_range(data) {
        Ok(range) => {
            assert!(range.header.revision > 0);
            let bytes: usize = range.kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum();
            assert!(bytes <= data.len(), "base64 does not shrink");
        }
        Err(why) => shown(&why),
    }
    match read_written(data) {
        Ok(written) => assert!(written.header.revision > 0),
        Err(why) => shown(&why),
    }
    for why in [
        read::<Lease>(data).err(),
        read::<Authenticated>(data).err(),
        read::<Wrong>(data).err(),
        read_line::<Lease>(data).err(),
        read_line::<Watched>(data).err(),
    ] {
        shown(&why.unwrap_or_default());
    }
}

fn shown(why: &str) {
    assert!(!why.chars().any(char::is_control) && why.len() < 4_000, "{why:?}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn corpus() {
        crate::settle::corpus("etcd_answer", super::fuzz_etcd_answer);
    }
}
