//! The form of a file: one line, then the value's bytes.
//!
//! `baleen-kv 1 VERSION TTL LENGTH CHECK`: the version of the value, for how many milliseconds it is held (`-`: for good), its length, and
//! the CRC-32 of all this. Not here: files. Tested: below; fuzzed (`folder_value`).

use std::time::Duration;

use crate::kv::{VALUE_BYTES_MAX, Value};

/// How a file begins.
const MAGIC: &str = "baleen-kv 1 ";
/// Most bytes of the line.
const LINE_BYTES_MAX: usize = 128;
/// Most bytes of a file.
pub(super) const FILE_BYTES_MAX: usize = VALUE_BYTES_MAX + LINE_BYTES_MAX;

/// What a file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stored {
    pub(super) value: Value,
    /// How long it counts after its file's time; for good without.
    pub(super) ttl: Option<Duration>,
}

/// A file's bytes.
pub(super) fn print(stored: &Stored) -> Vec<u8> {
    let Value { bytes, version } = &stored.value;
    let ttl = match stored.ttl {
        Some(ttl) => ttl_ms(ttl).to_string(),
        None => "-".to_owned(),
    };
    let fields = format!("{version} {ttl} {}", bytes.len());
    let check = check(&fields, bytes);
    let mut file = format!("{MAGIC}{fields} {check:08x}\n").into_bytes();
    file.extend_from_slice(bytes);
    file
}

fn ttl_ms(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}

fn check(fields: &str, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(fields.as_bytes());
    hasher.update(b"\n");
    hasher.update(bytes);
    hasher.finalize()
}

/// Reads a file's bytes.
///
/// # Errors
///
/// In one line, for people.
pub(super) fn parse(file: &[u8]) -> Result<Stored, String> {
    let Some(rest) = file.strip_prefix(MAGIC.as_bytes()) else {
        return Err(format!(
            "it does not begin with `{}`: it was not written by Baleen",
            MAGIC.trim()
        ));
    };
    let end = rest.iter().take(LINE_BYTES_MAX).position(|b| *b == b'\n');
    let (line, bytes) =
        end.and_then(|end| rest.split_at_checked(end)).ok_or("its first line has no end")?;
    let bytes = bytes.get(1..).unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| "its first line is no text")?;
    let words: Vec<&str> = line.split(' ').collect();
    let [version, ttl, length, sum] = words[..] else {
        return Err("its first line has not four fields".to_owned());
    };
    let number = |text: &str| text.parse::<u64>().ok().filter(|n| n.to_string() == text);
    let ttl = match ttl {
        "-" => None,
        ttl => Some(Duration::from_millis(number(ttl).ok_or("its time is no number")?)),
    };
    let value = Value {
        version: number(version).ok_or("its version is no number")?,
        bytes: bytes.to_vec(),
    };
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(format!("it has more than {VALUE_BYTES_MAX} bytes"));
    }
    if number(length) != Some(bytes.len() as u64) {
        return Err(format!("it has {} bytes and says {length}", bytes.len()));
    }
    let fields = line.rsplit_once(' ').map_or("", |(fields, _)| fields);
    if format!("{:08x}", check(fields, bytes)) != sum {
        return Err("its checksum is wrong".to_owned());
    }
    Ok(Stored { value, ttl })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(ttl: Option<u64>, bytes: &[u8]) -> Stored {
        let value = Value { bytes: bytes.to_vec(), version: 7 };
        Stored { value, ttl: ttl.map(Duration::from_millis) }
    }

    #[test]
    fn it_is_one_line_and_the_bytes() {
        let file = print(&stored(Some(1500), b"a\nb"));
        assert_eq!(String::from_utf8(file.clone()).unwrap(), "baleen-kv 1 7 1500 3 cd17626a\na\nb");
        assert_eq!(parse(&file), Ok(stored(Some(1500), b"a\nb")));
        let empty = print(&stored(None, b""));
        assert!(empty.starts_with(b"baleen-kv 1 7 - 0 "));
        assert_eq!(parse(&empty), Ok(stored(None, b"")));
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let good = print(&stored(None, b"/svc => /#/etcd"));
        for n in 0..good.len() {
            assert!(parse(&good[..n]).is_err(), "cut at {n}");
            let mut bad = good.clone();
            bad[n] ^= 1;
            assert!(parse(&bad).is_err(), "flipped at {n}");
        }
        let more = [&good[..], b"x"].concat();
        assert_eq!(parse(&more), Err("it has 16 bytes and says 15".to_owned()));
        assert!(parse(b"/svc => /#/etcd").unwrap_err().contains("not written by Baleen"));
        assert!(parse(b"baleen-kv 1 +7 - 0 00000000\n").unwrap_err().contains("version"));
    }

    proptest! {
        #[test]
        fn it_comes_back(version: u64, ttl: Option<u64>, bytes: Vec<u8>) {
            let stored = Stored { value: Value { bytes, version }, ttl: ttl.map(Duration::from_millis) };
            prop_assert_eq!(parse(&print(&stored)), Ok(stored));
        }
    }
}
