//! Processes that end: which of them make a run void.

use std::ffi::OsString;
use std::net::SocketAddr;

use super::*;
use crate::process::{Player, Program as Started, Ready, Spawner};

const WEB: Who = Who::Replica(ServiceId(0), 0);
const POISON: &str = "[[fault]]\nkind = \"poison\"\nat = \"500ms\"\nshare = \"5%\"\ndown = \"200ms\"\non = \"shop\"\n";

struct Set {
    scene: Arc<Scene>,
    _dir: tempfile::TempDir,
}

/// Replica 0 of `web` is a program that ends at once in this way.
fn set(web: &str, faults: &str, code: i32) -> Set {
    let text = format!(
        "[scenario]\nduration = \"1s\"\n[[workload]]\nname = \"shop\"\nto = \"web\"\nrate = \"1/s\"\n[service.web]\n{web}\n{faults}"
    );
    let (scenario, _) = baleen_scenario::parse_str("a.toml", &text, &[]).expect("a scenario");
    let dir = tempfile::tempdir().expect("a folder");
    // Nobody listens on port 1.
    let at = SocketAddr::from(([127, 0, 0, 1], 1));
    let program = Started {
        name: "web/0".to_owned(),
        command: ["sh", "-c", &format!("exit {code}")].iter().map(OsString::from).collect(),
        folder: dir.path().to_owned(),
        again: Vec::new(),
        drill: "1-1".to_owned(),
        log: dir.path().join("web-0.log"),
        tells: false,
    };
    let player = Player { who: WEB, program, at, ready: Ready::Accepts };
    let troupe = Troupe::new(Spawner::new().expect("a thread"), vec![player]);
    let registry = Registry::new(&[("web".to_owned(), 1)], scenario.registry.lag.clone(), 1);
    let cast = Cast {
        scenario: PathBuf::from("a.toml"),
        set: Vec::new(),
        seed: 1,
        epoch: 0,
        replicas: vec![vec![at]],
        proxies: Vec::new(),
        doors: BTreeMap::new(),
    };
    let scene = Scene::new(&scenario, &cast, troupe, registry, Journal::default());
    let set = Set { scene: Arc::new(scene), _dir: dir };
    set.start();
    set
}

impl Set {
    /// It has started, and ended. Nobody was told yet.
    fn start(&self) {
        assert_eq!(self.scene.troupe.start(WEB), Ok(true));
        let late = Instant::now() + Duration::from_secs(20);
        while !self.scene.troupe.has_ended(WEB) {
            assert!(Instant::now() < late, "it does not end");
            std::thread::yield_now();
        }
    }

    fn ended(&self) {
        let ended = self.scene.troupe.ended();
        assert_eq!(ended.len(), 1);
        self.scene.ended(&ended[0]);
    }
}

#[test]
fn who_dies_of_a_request_makes_nothing_void() {
    let set = set("", POISON, POISONED);
    let scene = &set.scene;
    // It may die before it is ready, and before the fault was said to have begun.
    scene.is_not_ready(WEB, "it ended".to_owned());
    let mut crew = Crew(Arc::clone(scene));
    assert_eq!(crew.control(ServiceId(0), 0, "slow=2"), Ok(()), "it is told when it is back");
    set.ended();
    assert_eq!(crew.control(ServiceId(0), 0, "slow=2"), Ok(()));
    assert_eq!(scene.all_wrong(), Vec::<String>::new());
    assert_eq!(scene.deaths.load(Ordering::Relaxed), 1);
    let dead = lock(&scene.dead).clone();
    let died = lock(&scene.downs)[&(ServiceId(0), 0)];
    assert_eq!(dead, [(died + 200_000_000, WEB)], "as long as the scenario says");
    assert!(lock(&scene.restarted).is_empty());
    scene.is_back(WEB, Duration::ZERO);
    assert_eq!(*lock(&scene.restarted), [(ServiceId(0), 0)], "now it is told");
}

#[test]
fn who_dies_is_down_as_long_as_the_fault_that_is_on_says() {
    let set = set("", POISON, POISONED);
    let mut crew = Crew(Arc::clone(&set.scene));
    let (long, short) = (Duration::from_secs(9), Duration::from_secs(1));
    for (share, down) in [(1000, long), (0, long), (1000, short)] {
        crew.poison(WorkloadId(0), share, down).expect("it can");
    }
    set.ended();
    let died = lock(&set.scene.downs)[&(ServiceId(0), 0)];
    assert_eq!(*lock(&set.scene.dead), [(died + 1_000_000_000, WEB)], "the first one is over");
}

#[test]
fn others_that_end_unasked_make_it_void() {
    let real = "run = [\"sh\"]";
    for (web, faults, code) in [("", POISON, 1), ("", "", POISONED), (real, "", POISONED)] {
        let set = set(web, faults, code);
        set.ended();
        let wrong = set.scene.all_wrong();
        assert_eq!(wrong, [format!("web/0 ended unasked: exit status {code}")]);
        assert!(lock(&set.scene.dead).is_empty());
    }
    let set = set("", "", 1);
    set.scene.is_not_ready(WEB, "it ended".to_owned());
    assert_eq!(set.scene.all_wrong(), ["it ended"]);
    set.scene.over.store(true, Ordering::Release);
    set.scene.is_not_ready(WEB, "it ended when all was over".to_owned());
    assert_eq!(set.scene.all_wrong(), ["it ended"]);
    let told = Crew(Arc::clone(&set.scene)).control(ServiceId(0), 0, "slow=2");
    assert!(told.is_err_and(|why| why.contains("can't be told")), "it is not away as it should be");
}
