//! Snapshots: what is written is read, what is broken is refused, and whatever ends a write leaves the old or the new.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn endpoint(addr: &str, weight: u32, zone: u32) -> Endpoint {
    Endpoint { addr: addr.parse().unwrap(), weight, zone }
}

fn small(source: &str) -> Snapshot {
    let web = Service {
        name: "default/http/web".into(),
        present: true,
        named: vec![endpoint("10.0.0.1:80", 1, 0), endpoint("[fe80::1%3]:8080", 65_535, 9)],
        held: vec![(endpoint("10.0.0.2:80", 2, 7), 1_700_000_000_123)],
    };
    let empty = Service { name: "empty".into(), present: true, ..Service::default() };
    let gone = Service { name: "gone".into(), held: web.held.clone(), ..Service::default() };
    Snapshot {
        source: source.into(),
        heard_ms: 1_700_000_000_000,
        services: vec![web, empty, gone],
    }
}

#[test]
fn what_is_written_is_read() {
    for snapshot in [small("etcd http://127.0.0.1:2379 /services"), Snapshot::default()] {
        assert_eq!(decode(&encode(&snapshot)), Ok(snapshot));
    }
}

#[test]
fn the_form_is_the_one_described() {
    let services = vec![Service {
        name: "web".into(),
        present: true,
        named: vec![endpoint("10.0.0.1:80", 1, 2)],
        held: Vec::new(),
    }];
    let bytes = encode(&Snapshot { source: "x".into(), heard_ms: 5, services });
    let body = [
        &[5, 0, 0, 0, 0, 0, 0, 0][..],
        &[1, 0, b'x', 1, 0, 0, 0],
        &[3, 0, b'w', b'e', b'b', 1, 1, 0, 0, 0],
        &[4, 10, 0, 0, 1, 80, 0, 1, 0, 0, 0, 2, 0, 0, 0],
        &[0, 0, 0, 0],
    ]
    .concat();
    let crc = crc32fast::hash(&body).to_le_bytes();
    let length = (body.len() as u64).to_le_bytes();
    assert_eq!(bytes, [&b"BLNSNAP\n"[..], &[1, 0, 0, 0], &crc, &length, &body].concat());
}

#[test]
fn what_is_cut_short_or_changed_is_refused() {
    let bytes = encode(&small("here"));
    for end in 0..bytes.len() {
        assert!(decode(&bytes[..end]).is_err(), "cut at {end}");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut other = bytes.clone();
            other[at] ^= 1 << bit;
            assert!(decode(&other).is_err(), "bit {bit} of byte {at}");
        }
    }
    let longer = [&bytes[..], &[0]].concat();
    let (says, has) = ((bytes.len() - HEADER_BYTES) as u64, (longer.len() - HEADER_BYTES) as u64);
    assert_eq!(decode(&longer), Err(Refused::Length { says, has }));
}

/// A body with a header that fits.
fn whole(body: &[u8]) -> Vec<u8> {
    let crc = crc32fast::hash(body).to_le_bytes();
    let length = (body.len() as u64).to_le_bytes();
    [&MAGIC[..], &VERSION.to_le_bytes(), &crc, &length, body].concat()
}

#[test]
fn reasons() {
    let check = |bytes: &[u8], why: &str| assert_eq!(decode(bytes).unwrap_err().to_string(), why);
    check(b"", "it is no snapshot");
    check(b"[names]\ndtab = ''", "it is no snapshot");
    let mut newer = encode(&small("here"));
    newer[8] = 2;
    check(&newer, "it has version 2, and this program reads version 1");
    let mut changed = encode(&small("here"));
    *changed.last_mut().unwrap() ^= 1;
    check(&changed, "its checksum does not match what it holds");
    let head = [5, 0, 0, 0, 0, 0, 0, 0, 1, 0, b'x'];
    let body = |rest: &[u8]| whole(&[&head[..], rest].concat());
    check(&body(&[255, 255, 255, 255]), "the number of services at byte 15 makes no sense");
    check(&body(&[1, 0, 0, 0, 9, 0]), "a service's name at byte 17 makes no sense");
    check(&body(&[1, 0, 0, 0, 1, 0, 0xff]), "a service's name at byte 17 makes no sense");
    let web = [1, 0, 0, 0, 1, 0, b'w'];
    let body = |rest: &[u8]| whole(&[&head[..], &web, rest].concat());
    check(&body(&[2]), "whether a service is present at byte 19 makes no sense");
    check(&body(&[1, 1, 0, 0, 0, 5]), "the family of an address at byte 24 makes no sense");
    let port_0 = [1, 1, 0, 0, 0, 4, 10, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    check(&body(&port_0), "an address at byte 38 makes no sense");
    let weight_0 = [1, 1, 0, 0, 0, 4, 10, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    check(&body(&weight_0), "a weight at byte 38 makes no sense");
    check(
        &body(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 7]),
        "what follows the last service at byte 27 makes no sense",
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(&body));
        if let Ok(snapshot) = decode(&whole(&body)) {
            prop_assert_eq!(decode(&encode(&snapshot)), Ok(snapshot));
        }
    }
}

/// A folder in memory, and what of it would be left by a machine that stops: content that was not synced may be cut anywhere, a
/// name that was changed and not synced may be the old one.
#[derive(Clone, Default)]
struct Model {
    files: BTreeMap<String, (Vec<u8>, bool)>,
    /// The names as they surely are on the disk.
    synced: BTreeMap<String, (Vec<u8>, bool)>,
    /// All states that may be found after a stop.
    found: Vec<Option<Vec<u8>>>,
}

impl Model {
    fn note(&mut self) {
        for names in [&self.files, &self.synced] {
            match names.get("a.snapshot") {
                None => self.found.push(None),
                Some((bytes, true)) => self.found.push(Some(bytes.clone())),
                Some((bytes, false)) => {
                    let cut = (0..=bytes.len()).map(|end| Some(bytes[..end].to_vec()));
                    self.found.extend(cut);
                }
            }
        }
    }
}

impl Disk for Model {
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.files.insert(name.into(), (bytes.to_vec(), false));
        self.note();
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.files.get_mut(name).unwrap().1 = true;
        self.note();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let file = self.files.remove(from).unwrap();
        self.files.insert(to.into(), file);
        self.note();
        Ok(())
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.synced = self.files.clone();
        self.note();
        Ok(())
    }
}

/// What is found after a stop at any step of a replacement, cut anywhere.
fn found(steps: impl Fn(&mut Model, &[u8])) -> Vec<Option<Vec<u8>>> {
    let mut model = Model::default();
    for source in ["old", "new"] {
        model.found.clear();
        steps(&mut model, &encode(&small(source)));
    }
    model.found
}

#[test]
fn a_stop_at_any_moment_leaves_the_old_or_the_new() {
    let right = found(|disk, bytes| replace(disk, "a.tmp", "a.snapshot", bytes).unwrap());
    let sources: Vec<String> =
        right.into_iter().map(|bytes| decode(&bytes.unwrap()).unwrap().source).collect();
    assert!(sources.iter().all(|s| s == "old" || s == "new"));
    assert!(sources.contains(&"old".to_owned()) && sources.contains(&"new".to_owned()));
    // The model sees what would be wrong: a rename before the content is on the disk.
    let hasty = found(|disk, bytes| {
        disk.write("a.tmp", bytes).unwrap();
        disk.rename("a.tmp", "a.snapshot").unwrap();
        disk.sync_folder().unwrap();
    });
    assert!(hasty.iter().any(|b| b.as_ref().is_some_and(|b| decode(b).is_err())));
}

#[test]
fn a_broken_file_is_moved_aside_and_only_the_last_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("state"), "etcd").unwrap();
    assert_eq!(store.load(), Ok(None));
    for text in ["broken", "broken again"] {
        fs::write(store.path(), text).unwrap();
        let why = store.load().unwrap_err();
        assert!(why.contains("is refused: it is no snapshot; it was moved to"), "{why}");
        assert_eq!(fs::read_to_string(store.file("bad")).unwrap(), text);
        assert_eq!(store.load(), Ok(None));
    }
    assert_eq!(store.save(&small("here")), Ok(Saved::Done));
    assert_eq!(store.load(), Ok(Some(small("here"))));
    let names = names(&dir.path().join("state"));
    assert_eq!(names, ["etcd.bad", "etcd.lock", "etcd.snapshot"]);
}

#[test]
fn of_two_that_have_one_folder_one_writes() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(dir.path(), "etcd").unwrap();
    let (mut old, mut new) = (open(), open());
    assert_eq!(old.save(&small("old")), Ok(Saved::Done));
    assert_eq!(new.load(), Ok(Some(small("old"))));
    assert_eq!(new.save(&small("new")), Ok(Saved::NotOurs));
    assert_eq!(old.save(&small("old again")), Ok(Saved::Done));
    assert_eq!(new.load(), Ok(Some(small("old again"))));
    drop(old);
    assert_eq!(new.save(&small("new")), Ok(Saved::Done));
    assert_eq!(new.load(), Ok(Some(small("new"))));
}

#[test]
fn a_folder_that_does_not_let_us_is_said() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("state"), "a file").unwrap();
    assert!(Store::open(&dir.path().join("state"), "etcd").is_err());
    for name in ["", "..", "a/b", ".hidden"] {
        assert!(Store::open(dir.path(), name).is_err(), "{name:?}");
    }
    let state = dir.path().join("other");
    let mut store = Store::open(&state, "etcd").unwrap();
    fs::remove_dir(&state).unwrap();
    let why = store.save(&small("here")).unwrap_err();
    assert!(why.contains("other: No such file"), "{why}");
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn who_peeks_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let path = path_in(&state, "etcd");
    assert_eq!(peek(&path), Ok(None));
    assert!(!state.exists());
    fs::create_dir(&state).unwrap();
    fs::write(&path, "broken").unwrap();
    let why = peek(&path).unwrap_err();
    assert!(why.ends_with("etcd.snapshot is refused: it is no snapshot"), "{why}");
    fs::write(&path, encode(&small("here"))).unwrap();
    assert_eq!(peek(&path), Ok(Some(small("here"))));
    assert_eq!(names(&state), ["etcd.snapshot"]);
    let why = peek(&path.join("below")).unwrap_err();
    assert!(why.starts_with("can not read "), "{why}");
}

#[test]
fn one_of_another_version_stays_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), "etcd").unwrap();
    let mut newer = encode(&small("here"));
    newer[8] = 2;
    fs::write(store.path(), &newer).unwrap();
    for found in [store.load(), peek(&store.path())] {
        let why = found.unwrap_err();
        let said = "is not used, and stays as it is: it has version 2, and this program reads";
        assert!(why.contains(said), "{why}");
    }
    assert_eq!(names(dir.path()), ["etcd.snapshot"]);
    assert_eq!(fs::read(store.path()).unwrap(), newer);
}
