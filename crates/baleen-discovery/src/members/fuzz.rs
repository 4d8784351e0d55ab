//! The body of the fuzz target of members: what must hold for any label and value.
//!
//! The target `registry_members` in the `fuzz` folder calls it, and so does the test below with the committed corpus.

use baleen_config::WEIGHT_MAX;

/// Reads the first line as a member's label and the rest as its value. Nothing may panic; what is read is fit for use, and is read
/// alike from the line that says the same; what is not says why in one line.
pub fn fuzz_registry_members(data: &[u8]) {
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (label, value) = data.split_at(at);
    let label = String::from_utf8_lossy(label);
    let value = value.get(1..).unwrap_or_default();
    match super::parse(&label, value) {
        Ok(Some(e)) => {
            assert!(e.addr.port() != 0 && !e.addr.ip().is_unspecified(), "{e:?}");
            assert!((1..=WEIGHT_MAX).contains(&e.weight), "{e:?}");
            let line = format!("{} {}", e.addr, e.weight);
            let again = super::parse("", line.as_bytes()).expect("what we wrote").expect("serves");
            assert_eq!((again.addr, again.weight), (e.addr, e.weight));
        }
        Ok(None) => {}
        Err(why) => {
            assert!(!why.chars().any(char::is_control) && why.len() < 2_000, "{why:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn corpus() {
        crate::settle::corpus("registry_members", super::fuzz_registry_members);
    }
}
