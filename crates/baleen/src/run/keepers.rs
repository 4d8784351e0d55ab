//! The registries that the configuration names, each with its client and its keeper.
//!
//! Folders of files are not among them (`baleen_discovery::files`). Host names below `/$/inet` are asked for by a keeper of
//! their own, which is there from the first such name.
//!
//! A registry that can be listed is *settled* when its keeper has something to serve: from then on a service that it does not tell
//! of does not exist, so that names go on to their next alternative. They do so, too, when it was out of reach for [`UNHEARD_AFTER`],
//! but then a name that leads nowhere is not unknown.
//!
//! Of one that can't be listed it is looked every [`LOOK_EVERY`] what names lead to; that is wanted again, and the rest is given
//! up after a while ([`dns::FORGET_AFTER`]). What is gone, or could not be asked for, is asked for again after [`GONE_FOR`].
//!
//! Bounds: what a keeper takes; [`IN_VAIN_MAX`] places that nobody could be asked for; [`NEWS_MAX`] changes at once.
//! Not here: asking registries, keeping what they said (`baleen-discovery`), what is done with endpoints (`wire.rs`).
//! Tested: `keepers/tests.rs`, in `tests/it/names.rs` and with real registries in `tests/it`.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future as _, poll_fn};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use baleen_config::{Config, Login, Namer, NamerKind, Secret};
use baleen_discovery::consul::{self, Consul};
use baleen_discovery::dns::{self, Dns};
use baleen_discovery::etcd::{self, Etcd};
use baleen_discovery::http::{Bearer, Origin, Tls, TlsFiles};
use baleen_discovery::keeper::{Keeper, Settings, State, Update};
use baleen_discovery::kubernetes::{self, Kubernetes};
use baleen_discovery::kv_namer::KvNamer;
use baleen_discovery::zookeeper::{self, ZooKeeper};
use baleen_names::Path;
use baleen_proxy::directory::asked_labels;
use tokio::time::Instant;

use super::views::Registry;

/// How often it is looked at who is settled.
pub const TICK: Duration = Duration::from_millis(100);
/// How long what is gone is taken for gone, where only asking shows that it is back.
const GONE_FOR: Duration = Duration::from_secs(5);
/// How long a registry that was never heard may fail before names go on without it.
const UNHEARD_AFTER: Duration = Duration::from_secs(3);
/// How often it is looked at what is used of what has to be asked for.
const LOOK_EVERY: Duration = Duration::from_secs(120);
/// What was not used for so long is given up, if its registry did not do so before.
const UNUSED_FOR: Duration = dns::FORGET_AFTER.saturating_add(LOOK_EVERY);
/// What is said to be gone when it was not used for so long was given up.
const GIVEN_UP_AFTER: Duration = dns::FORGET_AFTER.saturating_sub(Duration::from_secs(10));
/// Most places that are remembered since nobody could be asked for them.
const IN_VAIN_MAX: usize = 1024;
/// Most changes that are taken at once.
const NEWS_MAX: usize = 1024;
/// Labels of a mount.
const MOUNT_LABELS: usize = 2;

/// One registry.
struct One {
    name: String,
    kind: &'static str,
    keeper: Keeper,
    on_demand: bool,
    settled: Settled,
    /// Since when it fails without ever having been heard.
    failing: Option<Instant>,
    /// It was quiet and heard at the last look.
    quiet: bool,
    /// What was wanted, by its place.
    wanted: BTreeMap<Path, Wanted>,
}

struct Wanted {
    service: String,
    /// When somebody last wanted it, or was seen to use it.
    at: Instant,
    gone: Option<Instant>,
}

/// Whether names wait for a registry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Settled {
    No,
    /// They do not, and nothing is known.
    Unheard,
    Yes,
}

/// What came of waiting.
pub enum News {
    /// A service changed: its place, and who is there.
    Service(Path, Update),
    /// This registry is settled.
    Settled(String),
    /// This registry is out of reach, and nothing is known of it.
    Unheard(String),
    /// Names are to be evaluated anew, so that it is seen which are used.
    Renew,
    /// What these places are is to be asked again.
    Forget(Vec<Path>),
}

/// All of them.
pub struct Keepers {
    all: Vec<One>,
    state_dir: Option<PathBuf>,
    look_at: Instant,
    /// Places that nobody could be asked for, and since when, the oldest first.
    in_vain: VecDeque<(Instant, Path)>,
}

impl Keepers {
    /// Starts to ask. Errors: what can't be used, for people.
    pub fn start(config: &Config) -> Result<Keepers, String> {
        let state_dir = config.names.state_dir.clone();
        let mut all = Vec::new();
        for namer in &config.namers {
            let started = start(namer, state_dir.as_deref());
            let keeper = started.map_err(|why| format!("namer {}: {why}", namer.name))?;
            let Some(keeper) = keeper else { continue };
            let on_demand = matches!(namer.kind, NamerKind::Dns { .. });
            all.push(One::new(&namer.name, namer.kind.word(), keeper, on_demand));
        }
        let look_at = Instant::now() + LOOK_EVERY;
        Ok(Keepers { all, state_dir, look_at, in_vain: VecDeque::new() })
    }

    /// What is known from before, to be served from the start.
    pub fn cold(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        for one in &mut self.all {
            let cold = one.keeper.take_cold();
            if !cold.is_empty() {
                one.settled = Settled::Yes;
            }
            if one.settled == Settled::Yes {
                news.push(News::Settled(one.name.clone()));
            }
            news.extend(cold.into_iter().flat_map(|update| one.news(update, Instant::now())));
        }
        news
    }

    /// To look at.
    pub fn registries(&self) -> Vec<Registry> {
        let registry = |one: &One| Registry {
            name: one.name.clone(),
            kind: one.kind,
            is_listed: !one.on_demand,
            asker: one.keeper.asker(),
        };
        self.all.iter().map(registry).collect()
    }

    /// The next changes, all that are there. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Vec<News> {
        poll_fn(|cx| {
            let mut news = Vec::new();
            for one in &mut self.all {
                while news.len() < NEWS_MAX {
                    let heard = pin!(one.keeper.recv()).poll(cx);
                    let Poll::Ready(Some(update)) = heard else { break };
                    one.quiet = false;
                    news.extend(one.news(update, Instant::now()));
                }
            }
            if news.is_empty() { Poll::Pending } else { Poll::Ready(news) }
        })
        .await
    }

    /// To be called every [`TICK`], when nothing waits in [`Keepers::next`]. `take_used`: whether a name was seen to lead to a
    /// place since this was last asked.
    pub fn tick(&mut self, now: Instant, take_used: &dyn Fn(&Path) -> bool) -> Vec<News> {
        let mut news = Vec::new();
        let look = now >= self.look_at;
        if look {
            self.look_at = now + LOOK_EVERY;
        }
        let (mut forgotten, mut renew) = (Vec::new(), false);
        for one in &mut self.all {
            news.extend(one.settle(now));
            if look && one.on_demand {
                one.want_used(now, take_used);
                renew |= !one.wanted.is_empty();
            }
            one.forget(now, &mut forgotten);
        }
        while self.in_vain.front().is_some_and(|(at, _)| now >= *at + GONE_FOR) {
            forgotten.extend(self.in_vain.pop_front().map(|(_, place)| place));
        }
        if !forgotten.is_empty() {
            news.push(News::Forget(forgotten));
        }
        if renew {
            news.push(News::Renew);
        }
        news
    }

    /// Somebody wants what is at this path. False: nobody can be asked; it may be asked for again after [`GONE_FOR`].
    pub fn want(&mut self, path: &Path) -> bool {
        let Some(labels) = asked_labels(path) else { return false };
        let place = path.take(labels);
        let wanted = self.want_place(&place).is_some();
        if !wanted {
            if self.in_vain.len() >= IN_VAIN_MAX {
                // Whoever keeps what was asked for in vain gives up the oldest, too.
                self.in_vain.pop_front();
            }
            self.in_vain.push_back((Instant::now(), place));
        }
        wanted
    }

    fn want_place(&mut self, place: &Path) -> Option<()> {
        let label = |i| place.label(i).and_then(|label| std::str::from_utf8(label).ok());
        let (root, mount) = (label(0)?, label(1)?);
        let service = place.drop(MOUNT_LABELS).to_string();
        let service = service.trim_start_matches('/').to_owned();
        let at =
            if root == "$" { self.inet() } else { self.all.iter().position(|o| o.name == mount) };
        let one = at.and_then(|at| self.all.get_mut(at)).filter(|one| one.on_demand)?;
        if !one.keeper.asker().want(&service) {
            return None;
        }
        one.wanted.insert(place.clone(), Wanted { service, at: Instant::now(), gone: None });
        Some(())
    }

    /// The one for host names, started by the first of them.
    fn inet(&mut self) -> Option<usize> {
        let found = self.all.iter().position(|one| one.name == INET);
        found.or_else(|| {
            let settings =
                Settings { source: "dns".to_owned(), on_demand: true, ..Settings::default() };
            let client = Dns::new(dns::Options::default());
            let state = self.state_dir.as_ref().map(|dir| dir.join(INET_FOLDER));
            let keeper = Keeper::start(INET_FOLDER, client, settings, state.as_deref());
            self.all.push(One::new(INET, "dns", keeper, true));
            Some(self.all.len() - 1)
        })
    }

    /// Stops, after what is known was written.
    pub async fn stop(self) {
        for one in self.all {
            one.keeper.stop().await;
        }
    }
}

/// What the keeper of host names is called; no namer can be.
const INET: &str = "$/inet";
/// The folder that its snapshot is in: a namer of this name has files of this name beside it.
const INET_FOLDER: &str = "inet";

impl One {
    fn new(name: &str, kind: &'static str, keeper: Keeper, on_demand: bool) -> One {
        One {
            name: name.to_owned(),
            kind,
            keeper,
            on_demand,
            // What can't be listed is never waited for.
            settled: if on_demand { Settled::Yes } else { Settled::No },
            failing: None,
            quiet: false,
            wanted: BTreeMap::new(),
        }
    }

    fn news(&mut self, update: Update, now: Instant) -> Vec<News> {
        let root = if self.name == INET { ["$", "inet"] } else { ["#", &self.name] };
        let place = Path::from_labels(root.into_iter().chain(update.service.split('/')));
        let Some(place) = place else { return Vec::new() };
        let given_up = self.on_demand && !self.note(&place, &update, now);
        let forget = given_up.then(|| News::Forget(vec![place.clone()]));
        [News::Service(place, update)].into_iter().chain(forget).collect()
    }

    /// Remembers what was said of a place. False: it is not gone, but was given up since nobody used it.
    fn note(&mut self, place: &Path, update: &Update, now: Instant) -> bool {
        match self.wanted.get_mut(place) {
            Some(known) if update.endpoints.is_some() => known.gone = None,
            Some(known) if now < known.at + GIVEN_UP_AFTER => known.gone = Some(now),
            None if update.endpoints.is_some() => {
                // It is known from before a restart, and nobody has asked for it yet.
                let service = update.service.clone();
                self.keeper.asker().want(&service);
                self.wanted.insert(place.clone(), Wanted { service, at: now, gone: None });
            }
            _ => {
                self.keeper.asker().forget(&update.service);
                self.wanted.remove(place);
                return false;
            }
        }
        true
    }

    /// Wants again what names lead to.
    fn want_used(&mut self, now: Instant, take_used: &dyn Fn(&Path) -> bool) {
        let asker = self.keeper.asker();
        for (_, wanted) in self.wanted.iter_mut().filter(|(place, _)| take_used(place)) {
            // One that does not fit now is wanted again at the next look.
            if asker.want(&wanted.service) {
                wanted.at = now;
            }
        }
    }

    /// Gives up what was gone for a while, and what was not used for long.
    fn forget(&mut self, now: Instant, forgotten: &mut Vec<Path>) {
        let over =
            |w: &Wanted| w.gone.is_some_and(|at| now >= at + GONE_FOR) || now >= w.at + UNUSED_FOR;
        let asker = self.keeper.asker();
        self.wanted.retain(|place, wanted| {
            let over = over(wanted);
            if over {
                asker.forget(&wanted.service);
                forgotten.push(place.clone());
            }
            !over
        });
    }

    /// Says when names need not wait for it any more.
    fn settle(&mut self, now: Instant) -> Option<News> {
        if self.settled == Settled::Yes {
            return None;
        }
        let health = self.keeper.health();
        let heard = health.state != State::NeverHeard;
        // Nothing more came of it since the last look.
        let complete = heard && self.quiet;
        self.quiet = heard;
        if complete {
            self.settled = Settled::Yes;
            return Some(News::Settled(self.name.clone()));
        }
        if heard || health.failing.is_none() {
            self.failing = None;
            return None;
        }
        let since = *self.failing.get_or_insert(now);
        let unheard = self.settled == Settled::No && now >= since + UNHEARD_AFTER;
        unheard.then(|| {
            self.settled = Settled::Unheard;
            News::Unheard(self.name.clone())
        })
    }
}

/// The keeper of a registry; nothing for a folder of files.
fn start(namer: &Namer, state: Option<&std::path::Path>) -> Result<Option<Keeper>, String> {
    let settings = Settings {
        source: namer.source(),
        hold: namer.hold,
        stuck_after: namer.stuck_after,
        on_demand: matches!(namer.kind, NamerKind::Dns { .. }),
    };
    let name = namer.name.as_str();
    Ok(Some(match &namer.kind {
        NamerKind::Files { .. } => return Ok(None),
        NamerKind::Etcd { endpoints, prefix, login, ca } => {
            let origins = endpoints.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
            let store = etcd(origins, prefix, login.as_ref(), ca.clone())?;
            Keeper::start(name, KvNamer::new(Arc::new(store), ""), settings, state)
        }
        NamerKind::ZooKeeper { servers, prefix, login } => {
            let auth = match login {
                Some(login) => {
                    let secret = secret(&login.password)?;
                    Some(("digest".to_owned(), format!("{}:{secret}", login.user)))
                }
                None => None,
            };
            let (servers, root) = (servers.clone(), prefix.clone());
            let options = zookeeper::Options { servers, root, auth };
            let store = ZooKeeper::new(options).map_err(|e| e.to_string())?;
            Keeper::start(name, KvNamer::new(Arc::new(store), ""), settings, state)
        }
        NamerKind::Consul { address, datacenter, token, tag, ca } => {
            let http = consul::connect(address, ca.clone())?;
            let options = consul::Options {
                dc: datacenter.clone(),
                tag: tag.clone(),
                token: bearer(token.as_ref())?,
                ..consul::Options::default()
            };
            Keeper::start(name, Consul::new(http, options), settings, state)
        }
        NamerKind::Kubernetes { address, namespace, token, ca } => {
            let access = kubernetes::Access {
                address: address.clone(),
                ca: ca.clone(),
                token: bearer(token.as_ref())?,
            };
            let options =
                kubernetes::Options { namespace: namespace.clone(), ..Default::default() };
            Keeper::start(name, Kubernetes::new(access.connect()?, options), settings, state)
        }
        NamerKind::Dns { servers, ttl } => {
            let servers = servers.clone();
            let options = dns::Options { servers, ttl: *ttl, ..dns::Options::default() };
            Keeper::start(name, Dns::new(options), settings, state)
        }
    }))
}

fn etcd(
    endpoints: Vec<Origin>,
    prefix: &str,
    login: Option<&Login>,
    ca: Option<PathBuf>,
) -> Result<Etcd, String> {
    let tls = endpoints.iter().any(|origin| origin.tls);
    let files = TlsFiles { ca, ..TlsFiles::default() };
    let tls = tls.then(|| Tls::new(&files)).transpose()?;
    let login = login.map(|login| {
        let password = match &login.password {
            Secret::File(path) => etcd::Password::File(path.clone()),
            env => etcd::Password::Text(secret(env)?),
        };
        Ok::<_, String>(etcd::Login { user: login.user.clone(), password })
    });
    let options = etcd::Options::new(endpoints, prefix);
    Etcd::new(etcd::Options { tls, login: login.transpose()?, ..options })
}

/// A token that is shown to a registry.
fn bearer(token: Option<&Secret>) -> Result<Bearer, String> {
    Ok(match token {
        None => Bearer::None,
        Some(Secret::File(path)) => Bearer::File(path.clone()),
        Some(env) => Bearer::Token(secret(env)?),
    })
}

/// A secret, without white space around it.
fn secret(secret: &Secret) -> Result<String, String> {
    let (text, place) = match secret {
        Secret::Env(name) => (std::env::var(name).ok(), format!("the variable {name}")),
        Secret::File(path) => (std::fs::read_to_string(path).ok(), path.display().to_string()),
    };
    let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    text.ok_or_else(|| format!("there is no secret in {place}"))
}

#[cfg(test)]
mod tests;
