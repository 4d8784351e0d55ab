//! A writer of HTML and SVG that can't forget to escape or to close.
//!
//! Texts and attributes are escaped; control characters and those that turn the direction of text become U+FFFD. Numbers are
//! written with at most two decimals and are never `NaN`. Not here: what is drawn. Tested: in `report/tests.rs`.

use std::fmt::{self, Display, Write};

/// HTML elements without an end tag.
const VOID: [&str; 4] = ["meta", "input", "br", "link"];

/// What is being written.
#[derive(Default)]
pub struct Markup {
    text: String,
    open: Vec<&'static str>,
    in_tag: bool,
    /// SVG elements without content end themselves.
    svg: usize,
}

impl Markup {
    /// Nothing yet.
    pub fn new() -> Markup {
        Markup::default()
    }

    /// Starts an element; attributes follow.
    pub fn open(&mut self, tag: &'static str) -> &mut Markup {
        self.end_tag();
        if self.svg > 0 || tag == "svg" {
            self.svg += 1;
        }
        self.text.push('<');
        self.text.push_str(tag);
        self.open.push(tag);
        self.in_tag = true;
        self
    }

    /// An attribute of the element just started.
    pub fn attr(&mut self, name: &str, value: impl Display) -> &mut Markup {
        let _ = write!(self.text, " {name}=\"");
        let _ = write!(Escaped(&mut self.text), "{value}");
        self.text.push('"');
        self
    }

    /// The `class` of the element just started.
    pub fn class(&mut self, class: impl Display) -> &mut Markup {
        self.attr("class", class)
    }

    /// An attribute that is a number.
    pub fn num(&mut self, name: &str, value: f64) -> &mut Markup {
        self.attr(name, Coordinate(value))
    }

    /// Several of them.
    pub fn nums(&mut self, all: &[(&str, f64)]) -> &mut Markup {
        for (name, value) in all {
            self.num(name, *value);
        }
        self
    }

    /// Text within the element.
    pub fn text(&mut self, text: impl Display) -> &mut Markup {
        self.end_tag();
        let _ = write!(Escaped(&mut self.text), "{text}");
        self
    }

    /// A constant of ours that must not be escaped: styles, scripts.
    pub fn constant(&mut self, text: &'static str) -> &mut Markup {
        self.end_tag();
        self.text.push_str(text);
        self
    }

    /// Data for a script: `<`, `>` and `&` are written so that they can't end it.
    pub fn data(&mut self, json: &str) -> &mut Markup {
        self.end_tag();
        let text = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
        self.text.push_str(&text);
        self
    }

    /// Ends the element that was started last.
    pub fn close(&mut self) -> &mut Markup {
        let Some(tag) = self.open.pop() else { return self };
        let alone = self.in_tag && self.svg > 1;
        self.svg = self.svg.saturating_sub(1);
        if alone {
            self.text.push_str("/>");
            self.in_tag = false;
            return self;
        }
        self.end_tag();
        if !VOID.contains(&tag) {
            let _ = write!(self.text, "</{tag}>");
        }
        self
    }

    /// An element with text alone.
    pub fn leaf(&mut self, tag: &'static str, text: impl Display) -> &mut Markup {
        self.open(tag).text(text).close()
    }

    /// The same, with a class.
    pub fn leaf_of(&mut self, tag: &'static str, class: &str, text: impl Display) -> &mut Markup {
        self.open(tag).class(class).text(text).close()
    }

    /// A line of its own in the source.
    pub fn line(&mut self) -> &mut Markup {
        self.end_tag();
        self.text.push('\n');
        self
    }

    /// All of it; what is open is closed.
    pub fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text
    }

    fn end_tag(&mut self) {
        if self.in_tag {
            self.text.push('>');
            self.in_tag = false;
        }
    }
}

/// A character as it may be shown.
pub fn tame(c: char) -> char {
    match c {
        '\n' | '\t' => c,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match tame(c) {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

/// A position in a drawing.
#[derive(Clone, Copy)]
pub struct Coordinate(pub f64);

impl Display for Coordinate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_finite() {
            return f.write_str("0");
        }
        let text = format!("{:.2}", self.0);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        f.write_str(if text == "-0" { "0" } else { text })
    }
}
