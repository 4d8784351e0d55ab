//! A proxy that follows a store in memory, in virtual time.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;

use baleen_base::Prng;

use super::super::tests::Memory;
use super::super::{Note, Plan};
use super::*;
use crate::kv::Expect;

const A: &str = "/svc => /#/a";
const B: &str = "/svc => /#/b";

struct World {
    store: Arc<Store<Memory>>,
    told: mpsc::Receiver<Now>,
    /// Calls, failures, and how many of a thousand fail from now on.
    calls: Rc<Cell<(u64, u64, u64)>>,
    /// How often they were counted.
    counted: Rc<Cell<u64>>,
    _dir: tempfile::TempDir,
    file: PathBuf,
    watched: Watched,
}

impl World {
    /// The table that is told next, and what was said before it.
    async fn table(&mut self) -> (String, Option<String>, Vec<String>) {
        let mut talk = Vec::new();
        loop {
            match self.told.recv().await.expect("it follows") {
                Now::Table { text, staged, .. } => return (text, staged, talk),
                Now::Talk(text) => talk.push(text),
            }
        }
    }

    async fn put(&self, dtab: &str) {
        let note = Note::default();
        let put = self.store.put("web", dtab, Expect::Any, &note, true);
        put.await.expect("written");
    }

    async fn stage(&self) -> String {
        let bake = Duration::from_secs(60);
        let plan = Plan { dtab: B.to_owned(), shares: vec![100.0], bake };
        let note = Note::default();
        let staged = self.store.stage("web", &plan, Expect::Any, &note, true);
        staged.await.expect("staged").id
    }
}

/// Ten calls a tenth of a second, by `calls`; time passes as fast as it can.
fn check<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime.expect("a runtime"), async {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("state").join("web.table");
        let store = Arc::new(Store::new(Memory::new()));
        let calls = Rc::new(Cell::new((0, 0, 0)));
        let (to, told) = mpsc::channel(4);
        let watched = Watched::new("web");
        let options = Options {
            ns: "web".to_owned(),
            proxy: "p/1".to_owned(),
            file: Some(file.clone()),
            watched: watched.clone(),
        };
        let counts = Rc::clone(&calls);
        let counted = Rc::new(Cell::new(0));
        let times = Rc::clone(&counted);
        let totals = move || {
            times.set(times.get() + 1);
            Calls { calls: counts.get().0, failures: counts.get().1 }
        };
        let follower = follow(Arc::clone(&store), options, totals, to);
        let counts = Rc::clone(&calls);
        let traffic = async move {
            let mut rng = Prng::new(1);
            loop {
                sleep(Duration::from_millis(100)).await;
                let (all, failed, rate) = counts.get();
                let fails = (0..10).filter(|_| rng.below(1000) < rate).count() as u64;
                counts.set((all + 10, failed + fails, rate));
            }
        };
        tokio::select! {
            () = test(World { store, told, calls, counted, _dir: dir, file, watched }) => {}
            () = follower => panic!("it ended"),
            () = traffic => {}
        }
    });
}

#[test]
fn tables_are_told_and_kept() {
    check(|mut world| async move {
        world.put(A).await;
        assert_eq!(world.table().await.0, A);
        world.put(B).await;
        assert_eq!(world.table().await.0, B);
        let kept = last_good(&world.file).expect("readable").expect("kept");
        assert_eq!((kept.version, kept.dtab.as_deref()), (2, Some(B)));
        // Who deletes it takes no traffic down.
        world.store.delete("web", Expect::Any, &Note::default()).await.expect("deleted");
        let Some(Now::Talk(said)) = world.told.recv().await else { panic!("it is said") };
        assert!(said.contains("the last good one is used"), "{said}");
        let standing = world.watched.standing();
        assert_eq!((standing.version, standing.is_fresh()), (Some(2), false));
        assert!(
            standing.troubles()[0].contains("the last good table is used (version 2)"),
            "{standing:?}"
        );
        world.put(A).await;
        assert_eq!(world.table().await.0, A);
        let standing = world.watched.standing();
        assert_eq!((standing.version, standing.is_fresh(), standing.staged), (Some(4), true, None));
    });
}

#[test]
fn with_nothing_staged_calls_are_counted_rarely() {
    check(|mut world| async move {
        world.put(A).await;
        assert_eq!(world.table().await.0, A);
        world.counted.set(0);
        sleep(Duration::from_secs(600)).await;
        assert!((50..=62).contains(&world.counted.get()), "{} in 600 s", world.counted.get());
        world.stage().await;
        assert_eq!(world.table().await.0, B);
        world.counted.set(0);
        sleep(Duration::from_secs(30)).await;
        assert!((28..=40).contains(&world.counted.get()), "{} in 30 s", world.counted.get());
    });
}

#[test]
fn a_staged_table_that_fares_worse_is_left() {
    check(|mut world| async move {
        world.put(A).await;
        assert_eq!(world.table().await.0, A);
        sleep(Duration::from_secs(60)).await;
        let id = world.stage().await;
        let (text, staged, talk) = world.table().await;
        assert_eq!((text.as_str(), staged.as_ref()), (B, Some(&id)));
        assert!(talk.iter().any(|line| line.contains("is taken")), "{talk:?}");
        let on_trial = format!("the staged change {id} is on trial here, at step 1 of 1");
        assert_eq!(world.watched.standing().troubles(), [on_trial]);
        sleep(Duration::from_secs(2)).await;
        let report = &world.store.reports("web", &id).await.expect("reports")["p-1"];
        assert!(report.before.calls > 500 && report.left.is_none(), "{report:?}");
        world.calls.set((world.calls.get().0, world.calls.get().1, 500));
        let (text, staged, talk) = world.table().await;
        assert_eq!((text.as_str(), staged), (A, None));
        assert!(talk.iter().any(|line| line.contains("is left: ")), "{talk:?}");
        sleep(Duration::from_secs(2)).await;
        let report = &world.store.reports("web", &id).await.expect("reports")["p-1"];
        assert!(report.left.is_some(), "{report:?}");
        // Its report goes with the change.
        world.store.withdraw("web", &id).await.expect("withdrawn");
        sleep(Duration::from_secs(2)).await;
        assert!(world.store.reports("web", &id).await.expect("reports").is_empty());
        // That it was here is worth knowing until there is another version.
        let troubles = world.watched.standing().troubles();
        assert!(
            troubles[0].starts_with(&format!("the staged change {id} was reverted here: ")),
            "{troubles:?}"
        );
        world.put(B).await;
        assert_eq!(world.table().await.0, B);
        assert!(world.watched.standing().troubles().is_empty());
    });
}

#[test]
fn a_change_whose_driver_died_is_withdrawn() {
    check(|mut world| async move {
        world.put(A).await;
        assert_eq!(world.table().await.0, A);
        let id = world.stage().await;
        assert_eq!(world.table().await.0, B);
        let (text, staged, talk) = world.table().await;
        assert_eq!((text.as_str(), staged), (A, None));
        assert!(talk.iter().any(|line| line.contains("is dropped: ")), "{talk:?}");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(world.store.get("web").await.expect("a record").and_then(|r| r.staged), None);
        assert!(world.store.reports("web", &id).await.expect("reports").is_empty());
    });
}

#[test]
fn a_file_that_is_damaged_is_not_used() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("web.table");
    assert_eq!(last_good(&file), Ok(None));
    let record = Record::new(7, Some(A.to_owned()), &Note::default());
    keep(&file, &record).expect("kept");
    assert_eq!(last_good(&file), Ok(Some(record)));
    let whole = fs::read(&file).expect("readable");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&file, &bytes).expect("written");
        assert!(last_good(&file).is_err(), "byte {at}");
        fs::write(&file, &whole[..at]).expect("written");
        assert!(last_good(&file).is_err(), "cut at {at}");
    }
}
