//! What every store must do. [`suite`] runs it all against stores made by `make_store`, each new and empty.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use stagedoor_control_plane::store::{CommitError, Revision, Snapshot, Store, Transaction};

/// Runs every check, each on a store of its own.
pub(crate) fn suite<S: Store>(make_store: impl Fn() -> S) {
    an_empty_store_has_nothing(&make_store());
    what_is_written_is_read(&make_store());
    a_snapshot_does_not_change(&make_store());
    a_changed_read_is_a_conflict(&make_store());
    a_changed_scan_is_a_conflict(&make_store());
    scans_are_ordered_and_limited(&make_store());
    the_feed_names_each_changed_key_once(&make_store());
    the_feed_forgets_at_some_point(&make_store());
    the_watch_follows_commits(&make_store());
    no_increment_is_lost(Arc::new(make_store()));
    it_behaves_as_a_map(&make_store);
}

/// A transaction of writes alone.
pub(crate) fn writes(entries: &[(&str, Option<&str>)]) -> Transaction {
    let writes =
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.map(|value| value.as_bytes().to_vec())));
    Transaction { writes: writes.collect(), ..Transaction::default() }
}

fn read(store: &impl Store, key: &str) -> Option<String> {
    store.snapshot().unwrap().get(key).unwrap().map(|found| String::from_utf8(found.value).unwrap())
}

fn keys(snapshot: &dyn Snapshot, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    snapshot.scan(prefix, after, limit).unwrap().into_iter().map(|(key, _)| key).collect()
}

fn an_empty_store_has_nothing(store: &impl Store) {
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.revision(), 0);
    assert_eq!(snapshot.get("a").unwrap(), None);
    assert_eq!(snapshot.scan("", None, 10).unwrap(), []);
    assert_eq!(store.changes_since(0).unwrap(), Some(vec![]));
    assert_eq!(*store.watch().borrow(), 0);
}

fn what_is_written_is_read(store: &impl Store) {
    let first = store.commit(&writes(&[("a", Some("1")), ("b", Some("2"))])).unwrap();
    let second = store.commit(&writes(&[("a", None), ("b", Some("3"))])).unwrap();
    assert!(second > first);
    assert_eq!(read(store, "a"), None);
    assert_eq!(read(store, "b"), Some("3".to_owned()));
    assert_eq!(store.snapshot().unwrap().get("b").unwrap().unwrap().revision, second);
}

fn a_snapshot_does_not_change(store: &impl Store) {
    store.commit(&writes(&[("a", Some("1"))])).unwrap();
    let snapshot = store.snapshot().unwrap();
    store.commit(&writes(&[("a", Some("2")), ("b", Some("2"))])).unwrap();
    assert_eq!(snapshot.get("a").unwrap().unwrap().value, b"1");
    assert_eq!(keys(&*snapshot, "", None, 10), ["a"]);
}

fn conflicts(store: &impl Store, transaction: &Transaction) {
    let before = store.snapshot().unwrap().revision();
    assert!(matches!(store.commit(transaction), Err(CommitError::Conflict)));
    assert_eq!(store.snapshot().unwrap().revision(), before);
    assert_eq!(read(store, "result"), None);
}

fn a_changed_read_is_a_conflict(store: &impl Store) {
    let old = store.commit(&writes(&[("a", Some("1"))])).unwrap();
    store.commit(&writes(&[("a", Some("2"))])).unwrap();
    let mut transaction = writes(&[("result", Some("x"))]);
    for read in [("a", Some(old)), ("a", None), ("missing", Some(old))] {
        transaction.reads = BTreeMap::from([(read.0.to_owned(), read.1)]);
        conflicts(store, &transaction);
    }
    transaction.reads = BTreeMap::from([("missing".to_owned(), None)]);
    store.commit(&transaction).unwrap();
}

fn a_changed_scan_is_a_conflict(store: &impl Store) {
    let first = store.commit(&writes(&[("p/a", Some("1")), ("q", Some("1"))])).unwrap();
    let second = store.commit(&writes(&[("p/b", Some("1"))])).unwrap();
    let whole = vec![("p/a".to_owned(), first), ("p/b".to_owned(), second)];
    let mut transaction = writes(&[("result", Some("x"))]);
    let mut changed = vec![whole.clone(), whole.clone(), whole.clone()];
    changed[0].pop();
    changed[1].push(("p/c".to_owned(), second));
    changed[2][0].1 = second;
    for seen in changed {
        transaction.scans = BTreeMap::from([("p/".to_owned(), seen)]);
        conflicts(store, &transaction);
    }
    transaction.scans = BTreeMap::from([("p/".to_owned(), whole), ("none/".to_owned(), vec![])]);
    store.commit(&transaction).unwrap();
}

fn scans_are_ordered_and_limited(store: &impl Store) {
    store.commit(&writes(&["a/2", "a/10", "a", "b/1", "a/1", "a0"].map(|key| (key, Some("x"))))).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(keys(&*snapshot, "a/", None, 9), ["a/1", "a/10", "a/2"]);
    assert_eq!(keys(&*snapshot, "a/", None, 2), ["a/1", "a/10"]);
    assert_eq!(keys(&*snapshot, "a/", Some("a/10"), 2), ["a/2"]);
    assert_eq!(keys(&*snapshot, "a/", Some("a/0"), 1), ["a/1"]);
    assert_eq!(keys(&*snapshot, "a/", Some("A"), 1), ["a/1"]);
    assert_eq!(keys(&*snapshot, "a/", Some("b"), 9), [""; 0]);
    assert_eq!(keys(&*snapshot, "a/", None, 0), [""; 0]);
    assert_eq!(keys(&*snapshot, "", None, 9).len(), 6);
}

fn the_feed_names_each_changed_key_once(store: &impl Store) {
    let first = store.commit(&writes(&[("a", Some("1")), ("b", Some("1"))])).unwrap();
    let second = store.commit(&writes(&[("b", None)])).unwrap();
    let all = vec![("a".to_owned(), first), ("b".to_owned(), second)];
    assert_eq!(store.changes_since(0).unwrap(), Some(all));
    assert_eq!(store.changes_since(first).unwrap(), Some(vec![("b".to_owned(), second)]));
    assert_eq!(store.changes_since(second).unwrap(), Some(vec![]));
}

fn the_feed_forgets_at_some_point(store: &impl Store) {
    let keys: Vec<String> = (0..4000).map(|number| format!("k{number}")).collect();
    let many: Vec<(&str, Option<&str>)> = keys.iter().map(|key| (key.as_str(), Some("x"))).collect();
    let mut newest = 0;
    for _ in 0..4 {
        newest = store.commit(&writes(&many)).unwrap();
    }
    assert_eq!(store.changes_since(0).unwrap(), None);
    assert_eq!(store.changes_since(newest - 1).unwrap().unwrap().len(), 4000);
    assert_eq!(store.changes_since(newest).unwrap(), Some(vec![]));
}

fn the_watch_follows_commits(store: &impl Store) {
    let mut watch = store.watch();
    let revision = store.commit(&writes(&[("a", Some("1"))])).unwrap();
    assert!(watch.has_changed().unwrap());
    assert_eq!(*watch.borrow_and_update(), revision);
    let failing =
        Transaction { reads: BTreeMap::from([("a".to_owned(), None)]), ..writes(&[("b", Some("1"))]) };
    store.commit(&failing).unwrap_err();
    assert!(!watch.has_changed().unwrap());
}

fn no_increment_is_lost<S: Store>(store: Arc<S>) {
    const THREADS: u32 = 8;
    const EACH: u32 = 25;
    let workers: Vec<_> = (0..THREADS)
        .map(|_| {
            let store = Arc::clone(&store);
            thread::spawn(move || (0..EACH).for_each(|_| increment(&*store)))
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    assert_eq!(read(&*store, "counter"), Some((THREADS * EACH).to_string()));
}

fn increment(store: &impl Store) {
    loop {
        let found = store.snapshot().unwrap().get("counter").unwrap();
        let count: u32 =
            found.as_ref().map_or(0, |found| String::from_utf8_lossy(&found.value).parse().unwrap());
        let mut transaction = writes(&[("counter", Some(&(count + 1).to_string()))]);
        transaction.reads.insert("counter".to_owned(), found.map(|found| found.revision));
        match store.commit(&transaction) {
            Ok(_) => return,
            Err(CommitError::Conflict) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

type Entry = (String, Option<Vec<u8>>);

fn it_behaves_as_a_map<S: Store>(make_store: &impl Fn() -> S) {
    let key = "[ab/]{1,3}";
    let transactions = prop::collection::vec(
        prop::collection::vec((key, prop::option::of(prop::collection::vec(any::<u8>(), 0..4))), 0..5),
        0..8,
    );
    TestRunner::new(Config::with_cases(24))
        .run(&(transactions, key, key), |(transactions, prefix, after)| {
            let store = make_store();
            check_against_map(&store, &transactions, &prefix, &after);
            Ok(())
        })
        .unwrap();
}

fn check_against_map(store: &impl Store, transactions: &[Vec<Entry>], prefix: &str, after: &str) {
    let mut model: BTreeMap<String, (Revision, Vec<u8>)> = BTreeMap::new();
    for entries in transactions {
        let transaction = Transaction { writes: entries.iter().cloned().collect(), ..Transaction::default() };
        let revision = store.commit(&transaction).unwrap();
        for (key, value) in transaction.writes {
            match value {
                Some(value) => drop(model.insert(key, (revision, value))),
                None => drop(model.remove(&key)),
            }
        }
    }
    let snapshot = store.snapshot().unwrap();
    for after in [None, Some(after)] {
        let expected = model.iter().filter(|(key, _)| key.starts_with(prefix) && Some(key.as_str()) > after);
        let expected: Vec<_> =
            expected.map(|(key, (revision, value))| (key.clone(), *revision, value.clone())).collect();
        let found = snapshot.scan(prefix, after, 100).unwrap();
        let found: Vec<_> =
            found.into_iter().map(|(key, entry)| (key, entry.revision, entry.value)).collect();
        assert_eq!(found, expected);
    }
    assert_eq!(snapshot.count(prefix).unwrap(), model.keys().filter(|key| key.starts_with(prefix)).count());
    for (key, (revision, value)) in &model {
        let found = snapshot.get(key).unwrap().unwrap();
        assert_eq!((found.revision, &found.value), (*revision, value));
    }
}
