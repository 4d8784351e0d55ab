//! Every configuration that the documentation shows is valid, without a warning.

use std::fs;
use std::path::{Path, PathBuf};

use baleen_config::{Look, parse_str, render};

/// Markdown below a folder.
fn pages(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|e| e == "md") {
            found.push(path);
        }
    }
}

#[test]
fn examples_in_the_documentation_are_valid() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut paths = vec![root.join("README.md")];
    pages(&root.join("docs"), &mut paths);
    let mut seen = 0;
    for path in paths.iter().filter(|p| p.exists()) {
        let page = fs::read_to_string(path).unwrap();
        for block in page.split("```toml\n").skip(1) {
            let text = block.split("\n```").next().unwrap();
            // What has no listener is a piece of a file.
            if !text.contains("[[listener]]") {
                continue;
            }
            seen += 1;
            let wrong = match parse_str(&path.display().to_string(), text) {
                Ok((_, warnings)) => warnings,
                Err(errors) => errors,
            };
            assert!(wrong.is_empty(), "{}", render(&wrong, Look::Plain));
        }
    }
    assert!(seen > 0, "no example was found");
}
