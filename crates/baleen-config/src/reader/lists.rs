//! Reading lists: of numbers, of strings.
//!
//! Tested: with all other settings in `tests/it/`.

use super::{NUMBERS_MAX, Reader};
use crate::span::At;
use crate::table::Kind;
use crate::tree::{Node, Value};
use crate::value::Wrong;

impl<'a> Reader<'a, '_> {
    /// A list of whole numbers.
    pub fn integers<T: TryFrom<i64>>(&mut self, name: &'static str) -> Option<At<Vec<T>>> {
        let (key, node) = self.node(name)?;
        let Value::Array(items) = &node.value else {
            let label = format!("expected {}, found {}", key.kind.expected(), node.kind());
            self.wrong(name, &node.place, Wrong::new(label));
            return None;
        };
        if items.len() > NUMBERS_MAX {
            let label = format!("at most {NUMBERS_MAX} are allowed, found {}", items.len());
            self.wrong(name, &node.place, Wrong::new(label));
            return None;
        }
        let found: Vec<_> = items.iter().map(|item| self.integer_of(key, item)).collect();
        let values = found.into_iter().map(|n| n.map(|n| n.value)).collect::<Option<_>>()?;
        Some(At::new(values, &node.place))
    }

    /// A string, or a list of strings, each with its node; too long lists are cut.
    pub fn text_or_texts(&mut self, name: &'static str) -> Option<At<Vec<&'a Node>>> {
        let (key, node) = self.node(name)?;
        let Kind::TextOrTexts(_, max) = key.kind else {
            debug_assert!(false, "`{name}` is no string or list of strings");
            return None;
        };
        match &node.value {
            Value::String(_) => Some(At::new(vec![node], &node.place)),
            Value::Array(items) => Some(At::new(self.strings(name, node, items, max), &node.place)),
            _ => {
                let label = format!("expected {}, found {}", key.kind.expected(), node.kind());
                self.wrong(name, &node.place, Wrong::new(label));
                None
            }
        }
    }

    /// A list of strings, each with its node; too long ones are cut.
    pub fn texts(&mut self, name: &'static str) -> Option<At<Vec<&'a Node>>> {
        let (key, node) = self.node(name)?;
        let Kind::Texts(_, max) = key.kind else {
            debug_assert!(false, "`{name}` is no list of strings");
            return None;
        };
        let Value::Array(items) = &node.value else {
            let label = format!("expected {}, found {}", key.kind.expected(), node.kind());
            let hint = node.as_str().map(|text| format!("did you mean [\"{text}\"]?"));
            self.wrong(name, &node.place, Wrong { label, hint });
            return None;
        };
        Some(At::new(self.strings(name, node, items, max), &node.place))
    }

    fn strings(&mut self, name: &str, node: &Node, items: &'a [Node], max: usize) -> Vec<&'a Node> {
        self.at_most(name, node, items.len(), max);
        let mut found = Vec::new();
        for item in items.iter().take(max) {
            if item.as_str().is_some() {
                found.push(item);
            } else {
                let label = format!("expected a string, found {}", item.kind());
                self.wrong(name, &item.place, Wrong::new(label));
            }
        }
        found
    }

    pub(super) fn at_most(&mut self, name: &str, node: &Node, found: usize, max: usize) {
        if found > max {
            let label = format!("at most {max} are allowed, found {found}");
            self.wrong(name, &node.place, Wrong::new(label));
        }
    }
}
