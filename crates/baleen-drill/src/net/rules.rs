//! The kernel's rules of a drill: one table of nftables, and classes of `tc` for rates.
//!
//! A chain leads doors to where they lead; another has what faults do, and is written anew as a whole in one transaction each time
//! a fault begins or ends, so that no moment is between two. A rule fits connections by the port that the caller asked for
//! (`ct original proto-dst`), in both directions: a door has a port of its own, so what comes through it is told from
//! everything else. Packets are dropped where they would arrive, so that whoever sent them takes them for sent, as on a wire.
//!
//! **Connections that stand go silent.** Every new connection is marked with a number that grows by one with each such fault; dropped is
//! what is marked with less than the fault's own. So faults of that kind that overlap compose.
//!
//! Bounds: as many rules as faults on doors; [`RATES_MAX`] classes. Not here: which fault is which rule (`inject`).
//! Tested: in `tests/inject/`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use super::{Machine, is_private, tool};

/// Most rates at once.
pub const RATES_MAX: usize = 1024;
/// Bytes on the wire for each byte that is carried, when a packet is full: 1514 for 1448.
const FRAMING: f64 = 1514.0 / 1448.0;
/// A packet must fit.
const BURST_BYTES_MIN: u64 = 3200;
/// Bytes that wait for their turn; the senders' own buffers end before.
const WAITING_BYTES_MAX: u64 = 64 << 20;

/// A port that leads to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Redirect {
    /// From here.
    pub door: u16,
    /// To here.
    pub to: u16,
}

/// Which packets of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// All.
    Both,
    /// Those of who called.
    There,
    /// Those of who was called.
    Back,
}

/// So much passes, and no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Bytes carried per second.
    pub bytes_per_second: u64,
}

/// What happens to connections to certain ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// Those that stand: nothing arrives. New ones work.
    Silent,
    /// New ones are refused. Those that stand work.
    Refuse,
    /// Nothing arrives.
    Drop(Way),
    /// So many packets are lost, in parts per million.
    Loss(u32),
    /// All of them together are slow.
    Slow(Way, Rate),
}

/// Asks the kernel which rules it has.
#[derive(Clone, Debug)]
pub struct Asker {
    nft: PathBuf,
}

impl Asker {
    /// Whether the kernel has rules of this name.
    ///
    /// # Errors
    /// It can't be asked.
    pub fn has(&self, name: &str) -> Result<bool, String> {
        let all = tool::run(&self.nft, &["list", "table", "ip", "baleen_drill"], "", false)?;
        Ok(all.contains(&format!("comment \"{name}\"")))
    }
}

struct Rule {
    ports: Vec<u16>,
    what: What,
    /// Of `Silent`: its number. Of `Slow`: its class.
    number: u32,
}

/// All rules of this process's network.
pub struct Rules {
    nft: PathBuf,
    tc: Option<PathBuf>,
    redirects: Vec<Redirect>,
    active: BTreeMap<String, Vec<Rule>>,
    silences: u32,
    has_root: bool,
}

impl Rules {
    /// Lead doors to where they lead.
    ///
    /// # Errors
    /// This process is not in a network of its own; the machine can't.
    pub fn new(machine: &Machine, redirects: Vec<Redirect>) -> Result<Rules, String> {
        if !is_private() {
            return Err("this is not a network of the drill's own".to_owned());
        }
        let nft = machine.nft()?.to_owned();
        let tc = machine.tc().ok().map(ToOwned::to_owned);
        let active = BTreeMap::new();
        let rules = Rules { nft, tc, redirects, active, silences: 0, has_root: false };
        rules.apply(true)?;
        Ok(rules)
    }

    /// Begin: this happens to connections to these ports, all of a name together. A name is letters and digits.
    ///
    /// # Errors
    /// The kernel refuses it; then nothing has changed.
    pub fn add(&mut self, name: &str, list: &[(Vec<u16>, What)]) -> Result<(), String> {
        if !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(format!("`{}` is no name of a rule", name.escape_debug()));
        }
        if self.active.contains_key(name) {
            return Err(format!("`{name}` is there already"));
        }
        let mut rules: Vec<Rule> = Vec::new();
        for (ports, what) in list {
            let number = match what {
                What::Silent => {
                    self.silences += 1;
                    self.silences
                }
                What::Slow(_, rate) => match self.class(*rate, &rules) {
                    Ok(class) => class,
                    Err(e) => {
                        self.declass(&rules);
                        return Err(e);
                    }
                },
                _ => 0,
            };
            rules.push(Rule { ports: ports.clone(), what: *what, number });
        }
        self.active.insert(name.to_owned(), rules);
        let done = self.apply(false);
        if done.is_err() {
            let rules = self.active.remove(name).unwrap_or_default();
            self.declass(&rules);
        }
        done
    }

    /// End. What is not there is no error.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn remove(&mut self, name: &str) -> Result<(), String> {
        let Some(rules) = self.active.remove(name) else { return Ok(()) };
        if let Err(e) = self.apply(false) {
            // It is still in force: it can be tried again.
            self.active.insert(name.to_owned(), rules);
            return Err(e);
        }
        self.declass(&rules);
        Ok(())
    }

    /// End all but the doors.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn clear(&mut self) -> Result<(), String> {
        let all = std::mem::take(&mut self.active);
        if let Err(e) = self.apply(false) {
            self.active = all;
            return Err(e);
        }
        all.values().for_each(|rules| self.declass(rules));
        Ok(())
    }

    /// A way to ask the kernel for what is in force, for any thread.
    #[must_use]
    pub fn asker(&self) -> Asker {
        Asker { nft: self.nft.clone() }
    }

    fn apply(&self, first: bool) -> Result<(), String> {
        tool::run(&self.nft, &["-f", "-"], &self.text(first), false).map(|_| ())
    }

    /// Everything, as one transaction.
    fn text(&self, first: bool) -> String {
        let mut out = String::new();
        if first {
            out.push_str("table ip baleen_drill\ndelete table ip baleen_drill\n");
            out.push_str(
                "table ip baleen_drill {\n chain doors { type nat hook output priority -100; }\n",
            );
            out.push_str(" chain rates { type filter hook output priority 0; }\n");
            out.push_str(" chain faults { type filter hook input priority 0; }\n}\n");
            for Redirect { door, to } in &self.redirects {
                let _ = writeln!(
                    out,
                    "add rule ip baleen_drill doors ip daddr 127.0.0.0/8 tcp dport {door} redirect to :{to}"
                );
            }
        }
        let silences = self.silences;
        out.push_str("flush chain ip baleen_drill rates\nflush chain ip baleen_drill faults\n");
        let _ = writeln!(out, "add rule ip baleen_drill rates ct state new ct mark set {silences}");
        let all = self.active.iter().flat_map(|(name, rules)| rules.iter().map(move |r| (name, r)));
        for (name, rule) in all {
            let chain = if matches!(rule.what, What::Slow(..)) { "rates" } else { "faults" };
            for port in &rule.ports {
                let fits = format!("meta l4proto tcp ct original proto-dst {port}");
                let words = rule.words();
                let _ = writeln!(
                    out,
                    "add rule ip baleen_drill {chain} {fits} {words} comment \"{name}\""
                );
            }
        }
        out
    }

    /// A class of this rate that no rule has.
    fn class(&mut self, rate: Rate, more: &[Rule]) -> Result<u32, String> {
        let tc = self.tc.clone().ok_or("rates can't be limited here")?;
        let taken = |n: u32| {
            let slow = |r: &Rule| matches!(r.what, What::Slow(..)) && r.number == n;
            self.active.values().flatten().chain(more).any(slow)
        };
        let free = (1..=RATES_MAX as u32).find(|n| !taken(*n)).ok_or("too many rates at once")?;
        let mut text = String::new();
        if !self.has_root {
            // What an earlier one left in this network, if there was one.
            let _ = tool::run(&tc, &["-batch", "-"], "qdisc del dev lo root\n", false);
            text.push_str("qdisc add dev lo root handle 1: htb\n");
        }
        let wire = (rate.bytes_per_second as f64 * FRAMING).ceil() as u64;
        let bits = wire.saturating_mul(8).max(8);
        // As much as comes in two milliseconds may pass at once.
        let burst = (wire / 500).max(BURST_BYTES_MIN);
        let _ = writeln!(
            text,
            "class add dev lo parent 1: classid 1:{free:x} htb rate 100gbit burst 1000000 quantum 60000"
        );
        let _ = writeln!(
            text,
            "qdisc add dev lo parent 1:{free:x} tbf rate {bits}bit burst {burst} limit {WAITING_BYTES_MAX}"
        );
        tool::run(&tc, &["-batch", "-"], &text, false)?;
        self.has_root = true;
        Ok(free)
    }

    /// Forget classes. What waits in them is lost, and sent again by who sent it.
    fn declass(&self, rules: &[Rule]) {
        let Some(tc) = &self.tc else { return };
        for rule in rules.iter().filter(|r| matches!(r.what, What::Slow(..))) {
            let text = format!("class del dev lo parent 1: classid 1:{:x}\n", rule.number);
            // One that stays does nothing: nothing is led to it.
            let _ = tool::run(tc, &["-batch", "-"], &text, false);
        }
    }
}

impl Rule {
    /// What comes after the port.
    fn words(&self) -> String {
        let way = |way| match way {
            Way::Both => "",
            Way::There => "ct direction original ",
            Way::Back => "ct direction reply ",
        };
        match self.what {
            What::Silent => format!("ct mark < {} drop", self.number),
            What::Refuse => "ct state new reject with tcp reset".to_owned(),
            What::Drop(which) => format!("{}drop", way(which)),
            What::Loss(ppm) => format!("numgen random mod 1000000 < {ppm} drop"),
            What::Slow(which, _) => {
                format!("{}meta priority set 1:{:x}", way(which), self.number)
            }
        }
    }
}
