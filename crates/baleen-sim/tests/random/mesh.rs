//! Random settings of Baleen, straight from its list of settings: every key with some value within its bounds, put right where
//! two of them would contradict each other.
//!
//! Not here: where names lead (`plan.rs`). Tested: by every scenario that is read.

use baleen_config::table::{Def, Key, Kind, Stands};

use crate::dice::{Dice, milli};
use crate::tree::{Table, Value, quoted};

/// Keys that others put in, or that have no place here.
const NOT_HERE: [(&str, &str); 8] = [
    ("", "include"),
    ("", "route"),
    ("", "cluster"),
    ("", "namer"),
    ("route", "to"),
    ("route", "fallback"),
    ("cluster", "endpoints"),
    ("route.answer", "file"),
];

/// What rules all tables of one configuration.
#[derive(Clone, Copy)]
pub struct Style {
    /// How likely each setting is, of a hundred.
    pub dense: u64,
    /// Queues may be off, and then nothing needs them.
    pub no_queue: bool,
}

/// A table of Baleen with random settings.
pub fn table(dice: &mut Dice, def: &'static Def, named: bool, style: Style) -> Table {
    let mut table = Table::new(def);
    let mut kind = None;
    for key in def.keys {
        let elsewhere = NOT_HERE.contains(&(def.path, key.name));
        let not_all = !named && key.stands == Stands::Named;
        if elsewhere || not_all {
            continue;
        }
        let is_kind = key.name == "kind";
        if !is_kind && !key.required && !dice.chance(style.dense) {
            continue;
        }
        let of = kind.as_deref().unwrap_or_default();
        if !key.kinds.is_empty() && !key.kinds.contains(&of) {
            continue;
        }
        let value = value(dice, def, key, &key.kind, style);
        table.put(key.name, value);
        if is_kind {
            kind = table.word("kind").map(str::to_owned);
        }
    }
    put_right(dice, &mut table, style);
    table
}

fn value(
    dice: &mut Dice,
    def: &'static Def,
    key: &'static Key,
    kind: &'static Kind,
    style: Style,
) -> Value {
    let text = |text: String| Value::Raw(quoted(&text));
    let some = |dice: &mut Dice, words: &[&str]| Value::Raw(quoted(dice.pick(words)));
    match kind {
        Kind::Integer(min, max) => Value::Raw(integer(dice, *min, *max).to_string()),
        Kind::IntegerOr(min, max, words) => match dice.chance(20) {
            true => some(dice, words),
            false => Value::Raw(integer(dice, *min, *max).to_string()),
        },
        Kind::Decimal(min, max) => Value::Raw(milli(decimal(dice, *min, *max))),
        Kind::DecimalRange(min, max) => {
            let low = dice.scale(u64::from(*min), 3_000);
            let high = dice.scale(low + 100, u64::from(*max).min(20_000));
            text(format!("{}..{}", milli(low), milli(high)))
        }
        Kind::Percent(min, max) => text(format!("{}%", percent(dice, *min, *max))),
        Kind::PercentOr(min, max, words) => match dice.chance(20) {
            true => some(dice, words),
            false => text(format!("{}%", percent(dice, *min, *max))),
        },
        Kind::Frequency(_) => {
            let unit = dice.pick(&["s", "s", "s", "m", "h"]);
            text(format!("{}/{unit}", dice.scale(1, 1000)))
        }
        Kind::Boolean => Value::Raw(dice.chance(50).to_string()),
        Kind::Duration(min, max) => text(duration(dice, min.as_millis(), max.as_millis())),
        Kind::DurationOr(min, max, words) => match dice.chance(20) {
            true => some(dice, words),
            false => text(duration(dice, min.as_millis(), max.as_millis())),
        },
        Kind::DurationRange(min, _) => {
            let low = dice.scale(min.as_millis() as u64, 2_000);
            text(format!("{low}ms..{}ms", dice.scale(low, low * 8)))
        }
        Kind::Share => text(dice.share()),
        Kind::Size(min, max) => {
            let bytes = dice.scale(*min, (*max).min(4 << 20));
            text(format!("{}B", bytes.max(*min)))
        }
        Kind::Rate(_) => some(dice, &["off", "240B/s", "1KiB/s"]),
        Kind::Address => text(format!("127.0.0.1:{}", dice.range(20_000, 29_999))),
        Kind::AddressOr(words) => match dice.chance(30) {
            true => some(dice, words),
            false => text(format!("127.0.0.1:{}", dice.range(30_000, 39_999))),
        },
        Kind::Choice(words) => some(dice, words),
        Kind::Integers(min, max) => {
            let n = dice.range(1, 3);
            let list: Vec<Value> = (0..n)
                .map(|_| Value::Raw(dice.range(*min as u64, *max as u64).to_string()))
                .collect();
            Value::List(list)
        }
        Kind::Table(inner) => Value::Inline(table(dice, inner, false, style.inner())),
        Kind::TableOr(inner, words) => match dice.chance(25) {
            true => some(dice, words),
            false => Value::Inline(table(dice, inner, false, style.inner())),
        },
        Kind::TableOrValue(inner, words, single) => match dice.below(4) {
            0 => some(dice, words),
            1 => value(dice, def, key, single, style),
            _ => Value::Inline(table(dice, inner, false, style.inner())),
        },
        Kind::Tables(inner, _) => {
            let n = dice.range(1, 2);
            let mut one = |at: u64| {
                let mut table = table(dice, inner, false, style.inner());
                if inner.path == "listener" {
                    table.text("listen", format!("127.0.0.1:{}", 20_000 + at));
                }
                Value::Inline(table)
            };
            Value::List((0..n).map(&mut one).collect())
        }
        Kind::Text(_) | Kind::Texts(..) | Kind::TextOrTexts(..) | Kind::TextsByName(..) => {
            words(dice, def, key)
        }
        _ => panic!("no value for {}.{}", def.path, key.name),
    }
}

impl Style {
    /// Of a table that is there: more of it is said.
    fn inner(self) -> Style {
        Style { dense: self.dense.max(50), ..self }
    }
}

/// Strings of a form.
fn words(dice: &mut Dice, def: &Def, key: &Key) -> Value {
    let list: &[&str] = match (def.path, key.name) {
        ("", "zone") => &["\"rack-0\"", "\"rack-1\"", "\"elsewhere\""],
        ("names", "dtab") => {
            &["\"/svc => /#/files ; /svc => /#/static\"", "\"/s => /#/files ; /svc => /s\""]
        }
        ("names", "store") => &["\"file:dtabs\"", "\"etcd://127.0.0.1:2379/baleen/dtabs\""],
        ("names", "namespace") => &["\"web\""],
        ("names", "state_dir") => &["\"state\""],
        ("namer", "dir") => &["\"services\""],
        ("namer", "endpoints") => {
            &["[\"http://127.0.0.1:2379\"]", "[\"https://e1:2379\", \"http://[::1]:1\"]"]
        }
        ("namer", "servers") => &["[\"127.0.0.1:2181\"]", "[\"10.0.0.1:53\", \"[::1]:53\"]"],
        ("namer", "address") => &["\"http://127.0.0.1:8500\"", "\"https://k8s:6443\""],
        ("namer", "prefix") => &["\"/services\"", "\"/a/b\""],
        ("namer", "user" | "datacenter" | "tag" | "namespace") => &["\"web\""],
        ("namer", "password" | "token") => &["\"env:SECRET\"", "\"file:secret\""],
        ("namer", "ca") => &["\"ca.pem\""],
        ("control", "listen") => &["\"off\"", "\"127.0.0.1:9991\"", "\"unix:run/control\""],
        ("control", "token") => &["\"env:TOKEN\"", "\"file:token\""],
        ("route.retry", "methods") => &["[\"GET\"]", "[\"GET\", \"POST\", \"PUT\"]", "[]"],
        ("route.rate", "key") => {
            &["\"route\"", "\"address\"", "\"header:x-user\"", "\"cookie:sid\""]
        }
        ("route.sticky", "by") => &["\"address\"", "\"header:x-user\"", "\"cookie:sid\""],
        ("route.answer", "type") => &["\"text/html\"", "\"application/json\""],
        ("route.answer", "body") => &["\"sorry\"", "\"\""],
        ("cluster.balance", "probe_path") => &["\"/load\""],
        ("listener", "name") => &["\"/svc/{host}\"", "\"/svc/web\""],
        ("listener", "access_log") => &["\"off\"", "\"stdout\""],
        ("listener", "trusted_callers") => &["[\"10.0.0.0/8\"]", "[]"],
        ("listener.rule", "name") => {
            &["\"/svc/{host}\"", "\"/svc/{method}/{path:2}\"", "\"{header:l5d-name}\""]
        }
        ("listener.rule", "host") => &["\"api.example.com\"", "\"*.example.com\""],
        ("listener.rule", "path") => &["\"/a\"", "\"/\"", "\"=/a\""],
        ("listener.rule", "method") => &["\"GET\"", "[\"GET\", \"HEAD\"]"],
        ("listener.rule", "header") => &["{ x-canary = \"1\" }", "{ x = \"a*\", y = \"*\" }"],
        ("listener.rule.rewrite", "path") => &["\"/\"", "\"/new\""],
        ("listener.rule.rewrite", "host") => &["\"web.internal\"", "\"[::1]:80\""],
        ("listener.rule.request_headers" | "listener.rule.response_headers", "set" | "add") => {
            &["{ x-a = \"1\" }", "{ x-b = \"two words\", x-c = \"\" }"]
        }
        ("listener.rule.request_headers" | "listener.rule.response_headers", "remove") => {
            &["[\"x-d\"]", "[]"]
        }
        ("listener.rule.redirect", "to") => &["\"https://{host}{path}\"", "\"/new{rest}\""],
        ("listener.rule.answer", "file") => &["\"sorry.html\""],
        ("listener.rule.answer", "type") => &["\"text/html\""],
        ("listener.rule.answer", "body") => &["\"ok\"", "\"\""],
        (path, key) => panic!("no texts for {path}.{key}"),
    };
    Value::Raw(dice.pick(list).to_owned())
}

fn integer(dice: &mut Dice, min: i64, max: i64) -> u64 {
    let (min, max) = (min as u64, max as u64);
    match dice.below(10) {
        0 => min,
        1 if max <= 1 << 20 => max,
        _ => dice.scale(min, max.min(min + 200)),
    }
}

fn decimal(dice: &mut Dice, min: u32, max: u32) -> u64 {
    dice.scale(u64::from(min.max(100)), u64::from(max.min(10_000)))
}

fn percent(dice: &mut Dice, min: u32, max: u32) -> u64 {
    dice.scale(u64::from(min), u64::from(max.min(400)))
}

fn duration(dice: &mut Dice, min: u128, max: u128) -> String {
    let ms = dice.scale(min as u64, (max as u64).min(8_000).max(min as u64));
    format!("{ms}ms")
}

/// What two settings may not say together. Tables are laid over each other leaf by leaf, so each is right beside all others.
fn put_right(dice: &mut Dice, table: &mut Table, style: Style) {
    match table.def.path {
        "" => peers(dice, table),
        "route" => route(table),
        "names" if table.get("store").is_some() => table.drop_key("dtab"),
        "namer" => namer(table),
        "namer.hold" => {
            if table.get("window").is_some() {
                table.text("window", format!("{}ms", dice.range(100, 5_000)));
            }
            if table.get("for").is_some() {
                table.text("for", format!("{}s", dice.range(5, 600)));
            }
        }
        "route.rate" | "route.retry" | "cluster.balance" => {}
        "route.stale" => {
            if table.get("body").is_some() {
                table.text("body", format!("{}B", dice.scale(0, 1 << 20)));
            }
            if table.get("bytes").is_some() {
                table.text("bytes", format!("{}MiB", dice.range(1, 64)));
            }
        }
        "route.answer" => table.raw("status", dice.pick(&[200, 404, 429, 500, 503, 599])),
        "listener.rule" => rule(dice, table),
        "listener.rule.answer" => {
            table.raw("status", dice.pick(&[200, 404, 503]));
            if table.get("body").is_some() {
                table.drop_key("file");
            }
        }
        "listener.rule.redirect" => table.raw("status", dice.pick(&[301, 302, 303, 307, 308])),
        "cluster" => cluster(dice, table, style),
        "cluster.codel" => {
            if table.get("target").is_some() {
                table.text("target", format!("{}ms", dice.range(1, 20)));
            }
            if table.get("interval").is_some() {
                table.text("interval", format!("{}ms", dice.range(20, 500)));
            }
        }
        "cluster.adaptive" => {
            table.raw("min", dice.range(1, 5));
            table.raw("initial", dice.range(5, 20));
            table.raw("max", dice.range(20, 200));
            if table.get("backoff").is_some() {
                table.text("backoff", format!("{}%", dice.range(1, 99)));
            }
        }
        _ => {}
    }
}

fn peers(dice: &mut Dice, table: &mut Table) {
    if let Some(Value::Inline(peers)) = table.get_mut("peers") {
        let index = dice.below(20);
        peers.raw("index", index);
        peers.raw("count", dice.range(index + 1, 40));
    }
}

/// A rule does one thing.
fn rule(dice: &mut Dice, table: &mut Table) {
    let does = ["name", "redirect", "answer"];
    let there: Vec<&str> = does.into_iter().filter(|key| table.get(key).is_some()).collect();
    if there.is_empty() {
        table.text("name", "/svc/{host}");
        return;
    }
    let one = dice.pick(&there);
    for key in there.iter().filter(|key| **key != one) {
        table.drop_key(key);
    }
}

fn namer(table: &mut Table) {
    if table.word("kind") == Some("zookeeper") && table.get("servers").is_none() {
        table.raw("servers", "[\"127.0.0.1:2181\"]");
    }
    match (table.get("user").is_some(), table.get("password").is_some()) {
        (true, false) => table.text("password", "env:SECRET"),
        (false, true) => table.text("user", "web"),
        _ => {}
    }
}

fn route(table: &mut Table) {
    let once = match table.get("retry") {
        Some(Value::Raw(_)) => true,
        Some(Value::Inline(retry)) => retry.word("tries") == Some("1"),
        _ => false,
    };
    if once && matches!(table.get("hedge"), Some(Value::Inline(_))) {
        table.drop_key("hedge");
    }
}

fn cluster(dice: &mut Dice, table: &mut Table, style: Style) {
    if style.no_queue {
        table.drop_key("admission");
        if dice.chance(50) {
            table.raw("queue", 0);
        }
    } else if table.word("queue") == Some("0") {
        table.raw("queue", dice.range(1, 50));
    }
}
