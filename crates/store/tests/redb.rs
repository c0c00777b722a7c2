//! The embedded store: the suite that every store passes, and what a file can do to it.

// A test may fail loudly.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod suite;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use stagedoor_control_plane::store::{Store, StoreError};
use stagedoor_store::RedbStore;
use suite::writes;

#[test]
fn it_passes_the_suite() {
    let root = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicU32::new(0);
    suite::suite(|| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        RedbStore::open(&root.path().join(number.to_string())).unwrap()
    });
}

#[test]
fn the_store_in_memory_passes_it_too() {
    suite::suite(stagedoor_control_plane::MemoryStore::new);
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("made/as/needed");
    let store = RedbStore::open(&dir).unwrap();
    let revision = store.commit(&writes(&[("a", Some("1"))])).unwrap();
    drop(store);
    let store = RedbStore::open(&dir).unwrap();
    assert_eq!(store.snapshot().unwrap().get("a").unwrap().unwrap().value, b"1");
    assert_eq!(*store.watch().borrow(), revision);
    assert_eq!(store.changes_since(0).unwrap(), Some(vec![("a".to_owned(), revision)]));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
}

/// Opening must fail with a message that holds `expected`, and change nothing.
fn check_refused(dir: &Path, expected: &str) {
    let file = dir.join("stagedoor.redb");
    let before = fs::read(&file).unwrap();
    let error = RedbStore::open(dir).unwrap_err();
    assert!(matches!(error, StoreError::Unusable(_)), "{error:?}");
    assert!(error.to_string().contains(expected), "{error}");
    assert!(fs::read(&file).unwrap() == before, "the file was changed");
    assert_eq!(fs::read_dir(dir).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    for content in ["", "short", "this is a text that somebody wrote, and no database at all"] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("stagedoor.redb"), content).unwrap();
        check_refused(dir.path(), "is not a Stagedoor store");
    }
}

#[test]
fn a_damaged_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path()).unwrap();
    store.commit(&writes(&[("a", Some("1"))])).unwrap();
    drop(store);
    let file = dir.path().join("stagedoor.redb");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..600]).unwrap();
    check_refused(dir.path(), "damaged");
    let garbled: Vec<u8> =
        whole.iter().enumerate().map(|(at, byte)| if at < 4096 { *byte } else { !byte }).collect();
    fs::write(&file, garbled).unwrap();
    check_refused(dir.path(), "damaged");
}

/// Harms a store of some size, and holds that it is either opened with what was in it or refused and left alone.
fn check_harmed(harm: impl Fn(&mut Vec<u8>)) -> Result<(), StoreError> {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path()).unwrap();
    for number in 0..40 {
        store.commit(&writes(&[(&format!("k{number}"), Some(&"x".repeat(number * 50)))])).unwrap();
    }
    drop(store);
    let file = dir.path().join("stagedoor.redb");
    let mut harmed = fs::read(&file).unwrap();
    harm(&mut harmed);
    fs::write(&file, &harmed).unwrap();
    match RedbStore::open(dir.path()) {
        Ok(store) => {
            assert!(store.snapshot().unwrap().scan("", None, 100).unwrap().len() >= 39);
            Ok(())
        }
        Err(error) => {
            assert!(fs::read(&file).unwrap() == harmed, "the file was changed");
            Err(error)
        }
    }
}

#[test]
fn however_a_file_is_damaged_it_is_refused() {
    let harms: [fn(&mut Vec<u8>); 5] = [
        |file| file.iter_mut().enumerate().for_each(|(at, byte)| *byte = ((at * 7919) >> 3) as u8),
        |file| file[..16].copy_from_slice(b"SQLite format 3\0"),
        |file| file.truncate(file.len() / 3),
        |file| file[64..].fill(0),
        |file| file[9..400].fill(0xff),
    ];
    for harm in harms {
        let error = check_harmed(harm).unwrap_err();
        assert!(matches!(error, StoreError::Unusable(_)), "{error:?}");
    }
}

#[test]
fn a_large_store_that_is_damaged_is_opened_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path()).unwrap();
    for number in 0..12 {
        store.commit(&writes(&[(&format!("k{number}"), Some(&"x".repeat(500_000)))])).unwrap();
    }
    drop(store);
    let file = dir.path().join("stagedoor.redb");
    let whole = fs::read(&file).unwrap();
    assert!(whole.len() > 5 * 1024 * 1024, "too small to be beyond what is read as a whole");
    for from in (0..whole.len()).step_by(whole.len() / 24) {
        let mut harmed = whole.clone();
        harmed[from..].iter_mut().take(20_000).enumerate().for_each(|(at, byte)| *byte = (at * 31) as u8);
        fs::write(&file, &harmed).unwrap();
        if let Err(error) = RedbStore::open(dir.path()) {
            assert!(matches!(error, StoreError::Unusable(_)), "{error:?}");
            assert!(fs::read(&file).unwrap() == harmed, "the file was changed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn bytes_that_are_overwritten_never_end_in_a_panic(
        overwritten in prop::collection::vec((prop_oneof![0usize..512, 0usize..200_000], any::<u8>()), 1..20),
        cut in prop::option::of(0usize..1_000_000),
    ) {
        // Bytes in pages that nothing uses do no harm, so either outcome is right.
        let _ = check_harmed(|file| {
            for (at, byte) in &overwritten {
                if let Some(place) = file.get_mut(*at) {
                    *place = *byte;
                }
            }
            file.truncate(cut.unwrap_or(usize::MAX));
        });
    }
}

#[test]
fn a_database_of_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(redb::Database::create(dir.path().join("stagedoor.redb")).unwrap());
    check_refused(dir.path(), "not a Stagedoor store");
}

#[test]
fn a_newer_format_is_refused_even_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    drop(RedbStore::open(dir.path()).unwrap());
    let file = dir.path().join("stagedoor.redb");
    let database = redb::Database::open(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).unwrap().insert("format", 99).unwrap();
    transaction.commit().unwrap();
    // A copy of an open file is what a crash leaves: opening it for writing would repair it.
    let crashed = fs::read(&file).unwrap();
    drop(database);
    check_refused(dir.path(), "has format 99");
    fs::write(&file, crashed).unwrap();
    check_refused(dir.path(), "has format 99");
}

#[test]
fn a_store_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _store = RedbStore::open(dir.path()).unwrap();
    check_refused(dir.path(), "is used by another process");
}

#[test]
fn a_data_directory_that_cannot_be_made_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    let error = RedbStore::open(&dir.path().join("file/data")).unwrap_err();
    assert!(error.to_string().starts_with("cannot make the data directory"), "{error}");
}

/// Not a test of its own: the process that the next test kills. It writes and says so until then.
#[test]
fn crash_child() {
    let Some(dir) = std::env::var_os("STAGEDOOR_CRASH_DIR") else { return };
    let store = RedbStore::open(Path::new(&dir)).unwrap();
    for number in 0u64.. {
        let value = "x".repeat(number as usize % 5000);
        store
            .commit(&writes(&[(&format!("k{number}"), Some(&value)), ("last", Some(&number.to_string()))]))
            .unwrap();
        println!("\nacknowledged {number}");
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    for acknowledgements in [1, 7, 60] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash_child", "--nocapture"])
            .env("STAGEDOOR_CRASH_DIR", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut acknowledged =
            lines.by_ref().filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<u64>().ok());
        let mut last = acknowledged.by_ref().nth(acknowledgements - 1).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        last = acknowledged.last().unwrap_or(last);
        let store = RedbStore::open(dir.path()).unwrap();
        let snapshot = store.snapshot().unwrap();
        for number in 0..=last {
            let found = snapshot.get(&format!("k{number}")).unwrap().unwrap();
            assert_eq!(found.value.len() as u64, number % 5000);
        }
        let written = snapshot.get("last").unwrap().unwrap();
        assert!(String::from_utf8(written.value).unwrap().parse::<u64>().unwrap() >= last);
    }
}
