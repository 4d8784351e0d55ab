//! What this machine lets a drill do with networks.
//!
//! Nothing is assumed from a version or a file: a namespace is made, rules and classes are loaded into it, and it is gone with
//! the process that tried. Bounds: 5 s for each try. Not here: what is done without (`means`). Tested: in `tests/inject/`.

use std::fmt;
use std::path::{Path, PathBuf};

use super::tool;

/// Whether a drill may use the kernel's rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Wish {
    /// Where the machine lets it.
    #[default]
    Auto,
    /// It must: a fault that something else would have to stand in for is refused.
    Kernel,
    /// It must not.
    User,
}

/// How a network of one's own can be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Namespaces {
    /// As root.
    Root,
    /// In a user namespace.
    User,
}

/// What there is; and in people's words, why something is not.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What was asked for.
    pub wish: Wish,
    /// Namespaces.
    pub namespaces: Result<Namespaces, String>,
    nft: Result<PathBuf, String>,
    tc: Result<PathBuf, String>,
}

/// Everything that faults are made of.
const TRY_RULES: &str = "table ip t {
 chain o { type nat hook output priority -100; tcp dport 7001 redirect to :7000; }
 chain f { type filter hook output priority 0;
  ct state new ct mark set 1
  meta l4proto tcp ct original proto-dst 7001 ct mark < 1 drop
  meta l4proto tcp ct original proto-dst 7001 ct state new reject with tcp reset
  meta l4proto tcp ct original proto-dst 7001 ct direction reply drop
  meta l4proto tcp ct original proto-dst 7001 numgen random mod 1000000 < 10000 drop
  meta l4proto tcp ct original proto-dst 7001 meta priority set 1:7
 }
}
";
const TRY_RATES: &str = "qdisc add dev lo root handle 1: htb
class add dev lo parent 1: classid 1:7 htb rate 10gbit burst 70000 quantum 60000
qdisc add dev lo parent 1:7 tbf rate 8mbit burst 70000 limit 1000000
";

impl Machine {
    /// Try everything.
    #[must_use]
    pub fn probe(wish: Wish) -> Machine {
        if wish == Wish::User {
            return Machine::without("the kernel's rules are not to be used");
        }
        let namespaces = namespaces();
        let tried = |name: &str, args: &[&str], input: &str| match &namespaces {
            Err(why) => Err(why.clone()),
            Ok(_) => {
                let missing = || format!("`{name}` is not installed");
                let program = tool::find(name).ok_or_else(missing)?;
                tool::run(&program, args, input, true).map(|_| program)
            }
        };
        let nft = tried("nft", &["-f", "-"], TRY_RULES);
        let tc = match &nft {
            Ok(_) => tried("tc", &["-batch", "-"], TRY_RATES),
            Err(why) => Err(why.clone()),
        };
        Machine { wish, namespaces, nft, tc }
    }

    /// One on which faults are made without the kernel, for this reason.
    #[must_use]
    pub fn without(why: &str) -> Machine {
        let no = || Err(why.to_owned());
        Machine { wish: Wish::User, namespaces: Err(why.to_owned()), nft: no(), tc: no() }
    }

    /// Whether connections can be dropped, refused and led elsewhere by rules; otherwise why not.
    ///
    /// # Errors
    /// For people.
    pub fn rules(&self) -> Result<(), &str> {
        self.nft.as_ref().map(|_| ()).map_err(String::as_str)
    }

    /// Whether rates can be limited; otherwise why not.
    ///
    /// # Errors
    /// For people.
    pub fn rates(&self) -> Result<(), &str> {
        self.tc.as_ref().map(|_| ()).map_err(String::as_str)
    }

    pub(super) fn nft(&self) -> Result<&Path, &str> {
        self.nft.as_deref().map_err(String::as_str)
    }

    pub(super) fn tc(&self) -> Result<&Path, &str> {
        self.tc.as_deref().map_err(String::as_str)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = match &self.namespaces {
            Ok(Namespaces::Root) => "as root".to_owned(),
            Ok(Namespaces::User) => "in a user namespace".to_owned(),
            Err(why) => format!("no: {why}"),
        };
        let said = |what: Result<(), &str>| match what {
            Ok(()) => "yes".to_owned(),
            Err(why) => format!("no: {why}"),
        };
        writeln!(f, "a network of its own: {named}")?;
        writeln!(f, "rules (nft): {}", said(self.rules()))?;
        write!(f, "rates (tc, htb, tbf): {}", said(self.rates()))
    }
}

/// Make one in a child, and see.
fn namespaces() -> Result<Namespaces, String> {
    let program = tool::find("true").unwrap_or_else(|| PathBuf::from("/bin/true"));
    let made = tool::run(&program, &[], "", true);
    made.map_err(|why| {
        format!("namespaces can't be made ({})", why.trim_start_matches("`true`: "))
    })?;
    // SAFETY: it only says who we are.
    let root = unsafe { libc::geteuid() } == 0;
    Ok(if root { Namespaces::Root } else { Namespaces::User })
}
