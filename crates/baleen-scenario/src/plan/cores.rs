//! How many cores and servers a rate needs: bare, with headroom, and so that a failure domain can be lost.
//!
//! Headroom is a share of what is bought: with 20 % of it, 80 % carry the load, so the servers are divided by 0.8. That is for
//! growth and for peaks; it says nothing of losing a rack. Losing one of `d` domains asks for something else: the others must
//! carry all, so each has `1 / (d - 1)` of what is needed.
//!
//! Tested: in `tests.rs`.

use serde::Serialize;

use super::{SERVERS_MAX, count, number_of, percent, positive, up};

/// What is asked.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CoresAsk {
    /// Requests per second.
    pub rate: f64,
    /// Requests per second that one core carries.
    pub per_core: f64,
    /// Cores of a server.
    pub cores: u32,
    /// Share of capacity that is to stay free, below 1. 0: none.
    pub headroom: f64,
    /// Failure domains (racks, zones) that servers are spread over. At least 2.
    pub domains: u32,
}

/// What a rate needs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Cores {
    /// Cores.
    pub cores: f64,
    /// Servers, bare.
    pub servers: f64,
    /// Servers with headroom; the same without.
    pub with_headroom: f64,
    /// What losing a domain asks instead.
    pub domains: Domains,
    /// How it was found.
    pub arithmetic: Vec<String>,
}

/// Servers over failure domains, one of which can be lost.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Domains {
    /// How many domains.
    pub domains: u32,
    /// Servers in each.
    pub each: f64,
    /// Servers in all.
    pub servers: f64,
    /// Part of the capacity that is used while all are there.
    pub used: f64,
    /// And with one lost.
    pub used_after_loss: f64,
    /// Whether the servers with headroom, spread evenly, survive the loss of a domain, too.
    pub headroom_survives: bool,
    /// With headroom that is still there after the loss: servers in all.
    pub servers_with_headroom: f64,
}

/// Cores and servers for a rate.
///
/// # Errors
/// What is out of bounds.
pub fn cores(ask: &CoresAsk) -> Result<Cores, String> {
    let rate = positive("the rate", ask.rate)?;
    let per_core = positive("the rate of a core", ask.per_core)?;
    let per_server = number_of("the number of cores", ask.cores, 1)?;
    number_of("the number of domains", ask.domains, 2)?;
    if !(0.0..=0.99).contains(&ask.headroom) {
        return Err("headroom is not within 0% and 99%".to_owned());
    }
    let cores = up(rate / per_core);
    let servers = up(cores / per_server);
    positive("the number of cores", cores)?;
    let with_headroom = up(servers / (1.0 - ask.headroom));
    let mut arithmetic = vec![
        format!("{} / {} per core = {} cores", count(rate), count(per_core), count(cores)),
        format!(
            "{} / {} = {} servers",
            count(cores),
            ask.cores,
            rounded(cores / per_server, servers)
        ),
    ];
    if ask.headroom > 0.0 {
        arithmetic.push(format!(
            "{} / (1 - {}) = {} servers with {} headroom",
            count(servers),
            ask.headroom,
            rounded(servers / (1.0 - ask.headroom), with_headroom),
            percent(ask.headroom)
        ));
    }
    let domains = spread(ask, cores, servers, with_headroom, &mut arithmetic);
    Ok(Cores { cores, servers, with_headroom, domains, arithmetic })
}

fn spread(
    ask: &CoresAsk,
    cores: f64,
    servers: f64,
    with_headroom: f64,
    arithmetic: &mut Vec<String>,
) -> Domains {
    let n = f64::from(ask.domains.min(SERVERS_MAX));
    let others = n - 1.0;
    let each = up(servers / others);
    let bare = cores / f64::from(ask.cores);
    arithmetic.push(format!(
        "to lose one of {} domains: {} / ({} - 1) = {} in each, {} servers; {} used, {} after the loss",
        ask.domains,
        count(servers),
        ask.domains,
        rounded(servers / others, each),
        count(each * n),
        percent(bare / (each * n)),
        percent(bare / (each * others)),
    ));
    let lost = up(with_headroom / n);
    let headroom_survives = with_headroom - lost >= servers;
    let each_with_headroom = up(with_headroom / others);
    if ask.headroom > 0.0 {
        arithmetic.push(format!(
            "{} headroom alone: {} - {} = {} are left of a lost domain, {} are needed: {}",
            percent(ask.headroom),
            count(with_headroom),
            count(lost),
            count(with_headroom - lost),
            count(servers),
            if headroom_survives { "enough" } else { "not enough" }
        ));
        arithmetic.push(format!(
            "both: {} / ({} - 1) = {} in each, {} servers",
            count(with_headroom),
            ask.domains,
            rounded(with_headroom / others, each_with_headroom),
            count(each_with_headroom * n)
        ));
    }
    Domains {
        domains: ask.domains,
        each,
        servers: each * n,
        used: bare / (each * n),
        used_after_loss: bare / (each * others),
        headroom_survives,
        servers_with_headroom: each_with_headroom * n,
    }
}

/// `31.25, so 32`, or `40`.
fn rounded(exact: f64, up: f64) -> String {
    let exact = (exact * 100.0).round() / 100.0;
    if exact == up { count(up) } else { format!("{exact}, so {}", count(up)) }
}
