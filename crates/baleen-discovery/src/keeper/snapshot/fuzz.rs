//! The body of the fuzz target of snapshots: what must hold for any bytes of a file.
//!
//! The target `names_snapshot` in the `fuzz` folder calls it, and so does the test below with the committed corpus.

use std::time::Duration;

use baleen_base::Tick;
use baleen_config::Hold as Rules;

use super::{HEADER_BYTES, MAGIC, Snapshot, VERSION, decode, encode};
use crate::keeper::hold::{Hold, Kept};

/// Reads bytes as a file, and as what a file holds. Nothing may panic; what is read is written the same again, and can be served.
pub fn fuzz_names_snapshot(data: &[u8]) {
    for bytes in [data.to_vec(), whole(data)] {
        match decode(&bytes) {
            Ok(snapshot) => {
                assert!(encode(&snapshot) == bytes);
                serve(snapshot);
            }
            Err(refused) => assert!(!refused.to_string().chars().any(char::is_control)),
        }
    }
}

/// A file that holds this, whatever it is.
fn whole(body: &[u8]) -> Vec<u8> {
    let crc = crc32fast::hash(body).to_le_bytes();
    let length = (body.len() as u64).to_le_bytes();
    let bytes = [&MAGIC[..], &VERSION.to_le_bytes(), &crc, &length, body].concat();
    assert_eq!(bytes.len(), HEADER_BYTES + body.len());
    bytes
}

fn serve(snapshot: Snapshot) {
    let kept = |service: super::Service| Kept {
        service: service.name,
        present: service.present,
        named: service.named,
        held: service.held.into_iter().map(|(e, ms)| (e, Tick::from_millis(ms))).collect(),
    };
    let rules = Rules::default();
    let mut hold = Hold::new(rules);
    for (_, endpoints) in hold.seed(Tick::ZERO, snapshot.services.into_iter().map(kept).collect()) {
        let list = endpoints.expect("what was kept is there");
        assert!(list.is_sorted_by(|a, b| a.addr < b.addr), "each address once");
    }
    let again = hold.kept();
    let mut next = Hold::new(rules);
    next.seed(Tick::ZERO, again.clone());
    assert_eq!(next.kept(), again, "what is kept of what was kept is the same");
    hold.poll(Tick::ZERO + rules.keep + Duration::from_nanos(1));
    assert!(hold.held().is_empty(), "everything held ends");
}

#[cfg(test)]
mod tests {
    #[test]
    fn corpus() {
        crate::settle::corpus("names_snapshot", super::fuzz_names_snapshot);
    }
}
