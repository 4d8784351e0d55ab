//! Keys as paths, both ways.
//!
//! Letters, digits and `-_:@,=+~.` stand for themselves; every other byte is `%XX`, and so is a dot in front (those files are
//! the store's own) and the one of a `.d` at the end (that is a folder's). Each key has one path and each path at most one key.
//!
//! Not here: which keys are keys (`kv.rs`). Tested: below.

use std::path::PathBuf;

use crate::kv::KvError;

/// What a folder's name ends in.
pub(super) const FOLDER: &str = ".d";
/// Longest name that file systems take.
const NAME_BYTES_MAX: usize = 255;

/// The file of a key, below the root.
pub(super) fn file(key: &str) -> Result<PathBuf, KvError> {
    let mut path = PathBuf::new();
    let mut labels = key.split('/').peekable();
    while let Some(label) = labels.next() {
        let mut name = encode(label);
        if labels.peek().is_some() {
            name.push_str(FOLDER);
        }
        if name.len() > NAME_BYTES_MAX {
            let why = format!("the label `{label}` is too long for the name of a file");
            return Err(KvError::Refused(why));
        }
        path.push(name);
    }
    Ok(path)
}

/// The folder of what is below a key, below the root.
pub(super) fn folder(prefix: &str) -> Result<PathBuf, KvError> {
    if prefix.is_empty() {
        return Ok(PathBuf::new());
    }
    let mut path = file(prefix)?.into_os_string();
    path.push(FOLDER);
    Ok(path.into())
}

/// A label as a file's name.
fn encode(label: &str) -> String {
    let mut name = String::with_capacity(label.len());
    let ends = label.len().saturating_sub(FOLDER.len());
    let folder = label.ends_with(FOLDER);
    for (at, byte) in label.bytes().enumerate() {
        let dot = byte == b'.' && at != 0 && !(folder && at == ends);
        if dot || byte.is_ascii_alphanumeric() || b"-_:@,=+~".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

/// The label of a file's name; `None` when it is none that [`encode`] writes.
pub(super) fn decode(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let label = String::from_utf8(bytes).ok()?;
    (!label.is_empty() && encode(&label) == name).then_some(label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_have_readable_paths() {
        let path = |key: &str| file(key).unwrap().to_str().unwrap().to_owned();
        assert_eq!(path("web/10.0.0.1:80"), "web.d/10.0.0.1:80");
        assert_eq!(path("default"), "default");
        assert_eq!(path(".lock/x.d/a b/é"), "%2Elock.d/x%2Ed.d/a%20b.d/%C3%A9");
        assert_eq!(folder("web").unwrap().to_str(), Some("web.d"));
        assert_eq!(folder("").unwrap().to_str(), Some(""));
        assert!(matches!(file(&"é".repeat(50)), Err(KvError::Refused(_))));
    }

    #[test]
    fn names_that_nobody_wrote_are_no_keys() {
        for name in ["", ".lock", "web.d", "a%", "a%2", "a%zz", "a%2e", "%61", "a b", "%FF", "%+1"]
        {
            assert_eq!(decode(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn each_label_comes_back(label in "\\PC{1,20}|[.d%/a-c]{1,8}") {
            let name = encode(&label);
            prop_assert!(!name.starts_with('.') && !name.ends_with(FOLDER) && !name.contains('/'));
            prop_assert_eq!(decode(&name), Some(label));
        }
    }
}
