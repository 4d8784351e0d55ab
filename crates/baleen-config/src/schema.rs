//! The JSON schema of the file, for editors, printed from the list of settings.
//!
//! It knows names, types and words, not what contradicts what. Tested: in `tests/it/reference.rs`.

use serde_json::{Map, Value, json};

use crate::keys::ROOT;
use crate::table::{Def, Form, Kind};

/// The schema (draft 2020-12), indented.
#[must_use]
pub fn schema_json() -> String {
    schema_of(&ROOT, "baleen.toml")
}

/// The same of another file.
#[must_use]
pub fn schema_of(root: &Def, title: &str) -> String {
    let mut schema = object(root);
    if let Value::Object(map) = &mut schema {
        map.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        map.insert("title".into(), json!(title));
    }
    format!("{schema:#}\n")
}

fn object(def: &Def) -> Value {
    let mut properties = Map::new();
    for key in def.keys {
        let mut value = kind(&key.kind);
        if let Value::Object(map) = &mut value
            && !key.doc.is_empty()
        {
            map.insert("description".into(), json!(key.doc));
        }
        properties.insert(key.name.into(), value);
    }
    let required: Vec<&str> = def.keys.iter().filter(|k| k.required).map(|k| k.name).collect();
    // A table for one name takes the same keys.
    let others = match &def.named {
        Some(_) => {
            json!({ "type": "object", "properties": properties, "additionalProperties": false })
        }
        None => json!(false),
    };
    json!({
        "type": "object",
        "description": def.doc,
        "properties": properties,
        "required": required,
        "additionalProperties": others,
    })
}

fn kind(key: &Kind) -> Value {
    let duration = r"[0-9]+(\.[0-9]+)?(us|ms|s|m|h|d)";
    let decimal = r"[0-9]+(\.[0-9]{1,3})?";
    let size = r"[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB)";
    match key {
        Kind::Integer(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::IntegerOr(min, max, words) => {
            json!({ "anyOf": [{ "type": "integer", "minimum": min, "maximum": max }, { "enum": words }] })
        }
        Kind::Decimal(min, max) => {
            let (min, max) = (f64::from(*min) / 1e3, f64::from(*max) / 1e3);
            json!({ "anyOf": [{ "type": "number", "minimum": min, "maximum": max }, pattern(decimal)] })
        }
        Kind::DecimalRange(..) => pattern(&format!(r"{decimal}\.\.{decimal}")),
        Kind::Percent(..) => pattern("[0-9]+%"),
        Kind::PercentOr(_, _, words) => json!({ "anyOf": [pattern("[0-9]+%"), { "enum": words }] }),
        Kind::Frequency(_) => pattern("[0-9]+/(s|m|h)"),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Duration(..) => pattern(duration),
        Kind::DurationRange(..) => pattern(&format!(r"{duration}\.\.{duration}")),
        Kind::Share => pattern(r"[0-9]+(\.[0-9]+)?%"),
        Kind::Size(..) => pattern(size),
        Kind::Rate(_) => pattern(&format!("(off|{size}/s)")),
        Kind::Address | Kind::AddressOr(_) | Kind::Text(_) => json!({ "type": "string" }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Integers(min, max) => {
            json!({ "type": "array", "items": { "type": "integer", "minimum": min, "maximum": max } })
        }
        Kind::Texts(_, max) => {
            json!({ "type": "array", "items": { "type": "string" }, "maxItems": max })
        }
        Kind::TextsByName(_, max) => {
            json!({ "type": "object", "additionalProperties": { "type": "string" }, "maxProperties": max })
        }
        Kind::Target => json!({ "type": ["string", "array", "object"] }),
        Kind::Table(def) => object(def),
        Kind::TableOr(def, words) => json!({ "anyOf": [object(def), { "enum": words }] }),
        Kind::TableOrValue(def, words, short) => {
            json!({ "anyOf": [object(def), kind(short), { "enum": words }] })
        }
        Kind::Tables(def, max) => json!({ "type": "array", "items": object(def), "maxItems": max }),
        Kind::DurationOr(_, _, words) => {
            json!({ "anyOf": [pattern(duration), { "enum": words }] })
        }
        Kind::Form(Form { pattern: "", .. }) => json!({ "type": "string" }),
        Kind::Form(form) => pattern(form.pattern),
        Kind::TextOrTexts(_, max) => json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" }, "maxItems": max },
        ] }),
        Kind::TablesOrTexts(def, _, max) => {
            let item = json!({ "anyOf": [{ "type": "string" }, object(def)] });
            json!({ "type": "array", "items": item, "maxItems": max })
        }
        Kind::TablesByName(def, max) => {
            json!({ "type": "object", "additionalProperties": object(def), "maxProperties": max })
        }
        Kind::Elsewhere(def, _) => object(def),
    }
}

fn pattern(text: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^{text}$") })
}
