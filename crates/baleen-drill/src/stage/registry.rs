//! The registry of a drill: a folder of files for each Baleen process, kept up to date with the scenario's lag.
//!
//! As in the simulator: a change of a service's members reaches each process after a lag of its own, in order. While the registry
//! is down (its folders are moved away) nothing is learnt, not even what was on its way; when it is back, every process is told how
//! things stand then. A process that starts anew knows the endpoints at once.
//!
//! Bounds: one entry on its way for each process and service. Not here: who is a member (`run`). Tested: below.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use baleen_base::Prng;
use baleen_scenario::Distribution;
use baleen_scenario::model::{ProxyId, ServiceId};

/// A process of Baleen, and where it reaches whom.
#[derive(Clone, Debug)]
pub struct Reader {
    /// Of this group.
    pub group: ProxyId,
    /// This one.
    pub nth: u32,
    /// Its folder.
    pub folder: PathBuf,
    /// By service and replica.
    pub reach: Vec<Vec<SocketAddr>>,
}

struct Told {
    reader: Reader,
    /// By service: when it is told, and of which members.
    due: Vec<Option<(u64, Vec<bool>)>>,
}

/// Who is listed, and who was told.
pub struct Registry {
    services: Vec<String>,
    lag: Distribution,
    rng: Prng,
    listed: Vec<Vec<bool>>,
    told: Vec<Told>,
    downs: u32,
    missed: Vec<bool>,
}

impl Registry {
    /// All replicas of all services are listed.
    #[must_use]
    pub fn new(services: &[(String, u32)], lag: Distribution, seed: u64) -> Registry {
        Registry {
            services: services.iter().map(|(name, _)| name.clone()).collect(),
            lag,
            rng: Prng::new(seed),
            listed: services.iter().map(|(_, replicas)| vec![true; *replicas as usize]).collect(),
            told: Vec::new(),
            downs: 0,
            missed: vec![false; services.len()],
        }
    }

    /// One more process, which is told all at once.
    ///
    /// # Errors
    /// Its folder can't be written.
    pub fn add(&mut self, reader: Reader) -> io::Result<()> {
        fs::create_dir_all(&reader.folder)?;
        for (service, name) in self.services.iter().enumerate() {
            write(&reader, service, name, &self.listed[service])?;
        }
        self.told.push(Told { reader, due: vec![None; self.services.len()] });
        Ok(())
    }

    /// The folder of the first process.
    #[must_use]
    pub fn first_folder(&self) -> Option<PathBuf> {
        self.told.first().map(|told| told.reader.folder.clone())
    }

    /// A replica is listed from now on, or no longer. Whether that is a change.
    pub fn list(&mut self, service: ServiceId, replica: u32, listed: bool, now: u64) -> bool {
        let members = self.listed.get_mut(service.index());
        let Some(was) = members.and_then(|m| m.get_mut(replica as usize)) else { return false };
        if *was == listed {
            return false;
        }
        *was = listed;
        self.changed(service.index(), now);
        true
    }

    fn changed(&mut self, service: usize, now: u64) {
        if self.downs > 0 {
            self.missed[service] = true;
            return;
        }
        for told in &mut self.told {
            let lag = u64::try_from(self.lag.sample(&mut self.rng).as_nanos()).unwrap_or(u64::MAX);
            let last = told.due[service].as_ref().map_or(0, |(at, _)| *at);
            let at = now.saturating_add(lag).max(last);
            told.due[service] = Some((at, self.listed[service].clone()));
        }
    }

    /// One reason more to be down, or one less.
    ///
    /// # Errors
    /// A folder can't be moved.
    pub fn down(&mut self, down: bool, now: u64) -> io::Result<()> {
        if down {
            self.downs += 1;
            if self.downs > 1 {
                return Ok(());
            }
            for service in 0..self.services.len() {
                for told in &mut self.told {
                    self.missed[service] |= told.due[service].take().is_some();
                }
            }
            return self.told.iter().try_for_each(|told| take_away(&told.reader.folder));
        }
        self.downs = self.downs.saturating_sub(1);
        if self.downs > 0 {
            return Ok(());
        }
        self.told.iter().try_for_each(|told| bring_back(&told.reader.folder))?;
        for service in 0..self.services.len() {
            if std::mem::take(&mut self.missed[service]) {
                self.changed(service, now);
            }
        }
        Ok(())
    }

    /// What is due is told.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn tell(&mut self, now: u64) -> io::Result<()> {
        for told in &mut self.told {
            for (service, due) in told.due.iter_mut().enumerate() {
                if let Some((_, members)) = due.take_if(|(at, _)| *at <= now) {
                    write(&told.reader, service, &self.services[service], &members)?;
                }
            }
        }
        Ok(())
    }

    /// For a process that starts anew: how things stand, even while the registry is down. Until [`Registry::started`].
    ///
    /// # Errors
    /// A folder can't be moved or written.
    pub fn starting(&mut self, group: ProxyId, nth: u32) -> io::Result<()> {
        let down = self.downs > 0;
        for told in self.of(group, nth) {
            if down {
                bring_back(&told.reader.folder)?;
            }
        }
        let Registry { told, services, listed, .. } = self;
        for told in told.iter_mut().filter(|t| (t.reader.group, t.reader.nth) == (group, nth)) {
            for (service, name) in services.iter().enumerate() {
                told.due[service] = None;
                write(&told.reader, service, name, &listed[service])?;
            }
        }
        Ok(())
    }

    /// It has started.
    ///
    /// # Errors
    /// A folder can't be moved.
    pub fn started(&mut self, group: ProxyId, nth: u32) -> io::Result<()> {
        if self.downs == 0 {
            return Ok(());
        }
        self.of(group, nth).try_for_each(|told| take_away(&told.reader.folder))
    }

    fn of(&mut self, group: ProxyId, nth: u32) -> impl Iterator<Item = &mut Told> {
        self.told.iter_mut().filter(move |t| (t.reader.group, t.reader.nth) == (group, nth))
    }
}

fn away(folder: &Path) -> PathBuf {
    folder.with_extension("away")
}

fn take_away(folder: &Path) -> io::Result<()> {
    fs::rename(folder, away(folder))
}

fn bring_back(folder: &Path) -> io::Result<()> {
    match fs::rename(away(folder), folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && folder.is_dir() => Ok(()),
        moved => moved,
    }
}

/// A service's file, replaced as a whole.
fn write(reader: &Reader, service: usize, name: &str, members: &[bool]) -> io::Result<()> {
    let mut text = String::new();
    let reach = reader.reach.get(service).map(Vec::as_slice).unwrap_or_default();
    for (at, _) in reach.iter().zip(members).filter(|(_, listed)| **listed) {
        let _ = writeln!(text, "{at}");
    }
    // Files that begin with a dot are no services.
    let draft = reader.folder.join(format!(".{name}"));
    fs::write(&draft, text)?;
    fs::rename(draft, reader.folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const S: ServiceId = ServiceId(0);
    const P: ProxyId = ProxyId(0);

    fn registry(dir: &Path) -> (Registry, PathBuf) {
        let lag = Distribution::constant(Duration::from_nanos(100));
        let mut registry = Registry::new(&[("web".to_owned(), 2)], lag, 1);
        let folder = dir.join("services-proxy-0");
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let reach = vec![vec![at(1), at(2)]];
        let reader = Reader { group: P, nth: 0, folder: folder.clone(), reach };
        registry.add(reader).expect("a folder");
        (registry, folder.join("web"))
    }

    #[test]
    fn news_take_their_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut registry, file) = registry(dir.path());
        let read = || fs::read_to_string(&file).expect("a file");
        assert_eq!(read(), "127.0.0.1:1\n127.0.0.1:2\n");
        assert!(registry.list(S, 0, false, 1000));
        assert!(!registry.list(S, 0, false, 1000));
        registry.tell(1099).expect("fine");
        assert_eq!(read(), "127.0.0.1:1\n127.0.0.1:2\n");
        registry.tell(1100).expect("fine");
        assert_eq!(read(), "127.0.0.1:2\n");
    }

    #[test]
    fn while_it_is_down_nothing_is_learnt() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut registry, file) = registry(dir.path());
        let read = || fs::read_to_string(&file).ok();
        let all = Some("127.0.0.1:1\n127.0.0.1:2\n".to_owned());
        registry.list(S, 1, false, 0);
        registry.down(true, 50).expect("moved");
        registry.down(true, 50).expect("fine");
        registry.tell(200).expect("fine");
        assert_eq!(read(), None);
        // A process that starts anew knows at once how things stand.
        registry.starting(P, 0).expect("fine");
        assert_eq!(read(), Some("127.0.0.1:1\n".to_owned()));
        registry.started(P, 0).expect("fine");
        assert_eq!(read(), None);
        registry.list(S, 1, true, 300);
        registry.down(false, 400).expect("fine");
        assert_eq!(read(), None);
        registry.down(false, 400).expect("moved");
        registry.tell(499).expect("fine");
        assert_eq!(read(), Some("127.0.0.1:1\n".to_owned()));
        registry.tell(500).expect("fine");
        assert_eq!(read(), all);
    }
}
