//! A small checker: every element that opens is closed, in order, and attributes are quoted and escaped.

/// Panics with the place of what is wrong.
pub fn check_balance(page: &str) {
    let mut open: Vec<String> = Vec::new();
    let mut rest = page.strip_prefix("<!doctype html>\n").unwrap_or(page);
    while let Some(at) = rest.find('<') {
        let text = &rest[..at];
        assert!(!text.contains('>'), "a bare > in {:?}", tail(text));
        entities(text);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('/') {
            let (name, after) = after.split_once('>').expect("an end");
            assert_eq!(open.pop().as_deref(), Some(name), "before {:?}", tail(after));
            rest = after;
            continue;
        }
        let (name, alone, after) = tag(rest);
        rest = after;
        if alone || ["meta", "input", "br", "link"].contains(&name.as_str()) {
            continue;
        }
        if name == "script" || name == "style" {
            let end = rest.find(&format!("</{name}>")).expect("its end");
            assert!(!rest[..end].contains("</"), "{name} holds an end");
            rest = &rest[end..];
        }
        open.push(name);
    }
    assert_eq!(open, Vec::<String>::new());
}

/// Its name, whether it ends itself, and what comes after it.
fn tag(text: &str) -> (String, bool, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).expect("a name");
    let (name, mut rest) = text.split_at(end);
    assert!(!name.is_empty(), "a bare < before {:?}", tail(rest));
    loop {
        if let Some(after) = rest.strip_prefix("/>") {
            return (name.to_owned(), true, after);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (name.to_owned(), false, after);
        }
        rest = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{name}: {:?}", tail(rest)));
        let (key, after) = rest.split_once("=\"").expect("a value");
        let sound = |c: char| c.is_ascii_alphanumeric() || c == '-';
        assert!(!key.is_empty() && key.chars().all(sound), "{name} {key:?}");
        let (value, after) = after.split_once('"').expect("its end");
        assert!(!value.contains(['<', '>']), "{key}={value:?}");
        entities(value);
        rest = after;
    }
}

/// Each `&` begins an entity of ours.
fn entities(text: &str) {
    for after in text.split('&').skip(1) {
        let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
        assert!(known.iter().any(|e| after.starts_with(e)), "a bare & in {:?}", tail(after));
    }
}

fn tail(text: &str) -> String {
    text.chars().take(80).collect()
}

#[test]
#[should_panic(expected = "before")]
fn a_wrong_end_is_found() {
    check_balance("<div><p></div></p>");
}

#[test]
#[should_panic(expected = "left")]
fn a_missing_end_is_found() {
    check_balance("<div><path d=\"M0 0\"/>");
}

#[test]
#[should_panic(expected = "a bare &")]
fn a_bare_ampersand_is_found() {
    check_balance("<p>a & b</p>");
}
