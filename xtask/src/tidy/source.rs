//! A Rust file with its comments and literals blanked, and its tests known.
//!
//! Not a parser: it knows comments, strings, characters and braces, which is enough for
//! rules about words and sizes, and it never fails. Line numbers are kept everywhere.

/// A file, its code without comments and literals, and that code without tests.
pub struct Source {
    /// Relative to the repository's root, with slashes.
    pub path: String,
    /// As it is in the file.
    pub text: String,
    /// Comments and the insides of literals replaced by blanks.
    pub code: String,
    /// `code` with `#[cfg(test)]` items blanked too.
    pub live: String,
    /// Lines that belong to `#[cfg(test)]` items.
    pub test_lines: usize,
}

impl Source {
    /// Reads one file.
    pub fn new(path: &str, text: &str) -> Self {
        let code = blank(text);
        let (live, test_lines) = without_tests(&code);
        Self { path: path.to_owned(), text: text.to_owned(), code, live, test_lines }
    }

    /// A file that only tests see, by its place.
    pub fn is_test(&self) -> bool {
        let path = &self.path;
        path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("/benches/")
    }

    /// Files and folders of modules declared `#[cfg(test)] mod name;` here.
    pub fn test_module_files(&self) -> Vec<String> {
        let (dir, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let dir = match file {
            "lib.rs" | "main.rs" | "mod.rs" => dir.to_owned(),
            file => format!("{dir}/{}", file.trim_end_matches(".rs")),
        };
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices(CFG_TEST) {
            let rest = self.code[at + CFG_TEST.len()..].trim_start();
            let rest = rest.strip_prefix("pub(crate)").unwrap_or(rest).trim_start();
            let Some(rest) = rest.strip_prefix("mod ") else { continue };
            if let Some((name, _)) = rest.split_once(';').filter(|(name, _)| !name.contains('{')) {
                found.push(format!("{dir}/{}", name.trim()));
            }
        }
        found
    }

    /// Places of a word in the code outside tests, as line numbers.
    pub fn live_word(&self, word: &str) -> Vec<usize> {
        let boundary = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let check_start = word.starts_with(|c: char| c.is_alphanumeric());
        let check_end = word.ends_with(|c: char| c.is_alphanumeric());
        let hits = self.live.match_indices(word).filter(|(at, _)| {
            let before = self.live[..*at].chars().next_back();
            let after = self.live[at + word.len()..].chars().next();
            (!check_start || boundary(before)) && (!check_end || boundary(after))
        });
        hits.map(|(at, _)| line_of(&self.live, at)).collect()
    }
}

/// Whether `path` is one of these modules' files.
pub fn is_within(path: &str, modules: &[String]) -> bool {
    modules.iter().any(|module| {
        path.strip_prefix(module.as_str())
            .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    })
}

const CFG_TEST: &str = "#[cfg(test)]";

/// One-based line of a byte position.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Position just after the brace that closes the one at `open`.
pub fn after_block(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return open + at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Blanks `#[cfg(test)]` items; also how many lines they took.
fn without_tests(code: &str) -> (String, usize) {
    let mut live = String::with_capacity(code.len());
    let (mut from, mut lines) = (0, 0);
    while let Some(found) = code[from..].find(CFG_TEST) {
        let start = from + found;
        let end = item_end(code, start + CFG_TEST.len());
        live.push_str(&code[from..start]);
        live.extend(code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        lines += code[start..end].matches('\n').count() + 1;
        from = end;
    }
    live.push_str(&code[from..]);
    (live, lines)
}

/// Position after the item that starts at `from`: its block, or its semicolon.
fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0usize;
    for (at, c) in code[from..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return from + at + 1,
            '{' if depth == 0 => return after_block(code, from + at),
            _ => {}
        }
    }
    code.len()
}

/// Replaces comments and the insides of literals by blanks, keeping lines and bytes.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = comment(rest).or_else(|| literal(rest, out.chars().next_back()));
        let end = match skip {
            Some(end) => {
                out.extend(rest[..end].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }));
                end
            }
            None => {
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[end..];
    }
    out
}

/// Length of the comment that starts here, if one does. Block comments nest.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0usize);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if bytes[at..].starts_with(b"*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    Some(bytes.len())
}

/// Length of the string or character literal that starts here, if one does.
fn literal(text: &str, before: Option<char>) -> Option<usize> {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if text.starts_with('"') {
        return Some(quoted(text, '"'));
    }
    if text.starts_with('\'') {
        let mut chars = text.chars().skip(1);
        let (first, second) = (chars.next()?, chars.next());
        // Anything else after a single quote is a lifetime or a label.
        return (first == '\\' || second == Some('\'')).then(|| quoted(text, '\''));
    }
    let raw = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    if in_word || !raw[hashes..].starts_with('"') {
        return None;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let body = &raw[hashes + 1..];
    let end = body.find(&close).map_or(body.len(), |at| at + close.len());
    Some(text.len() - body.len() + end)
}

/// Length of a literal with escapes, both quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}
