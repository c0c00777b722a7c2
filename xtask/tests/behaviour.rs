//! The tables of `docs/behaviour` name tests of `conformance/`. This holds each page to its form and each named test to
//! its existence, so that a behaviour cannot lose its test unnoticed.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

const HEADER: &str = "| behaviour | test |";

#[test]
fn tables_name_tests_that_exist() {
    let tests = tests();
    let mut wrong = Vec::new();
    let mut rows = 0;
    for (page, text) in read("docs/behaviour", "md") {
        if page == "README.md" {
            continue;
        }
        let (found, complaints) = check(&text, &tests);
        rows += found;
        wrong.extend(complaints.into_iter().map(|complaint| format!("docs/behaviour/{page}: {complaint}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A folder that was moved must not make this test pass.
    assert!(rows > 0 || read("docs/behaviour", "md").len() < 2, "no rows in docs/behaviour");
    assert!(tests.len() > 50, "only {} files of tests in conformance", tests.len());
}

/// The number of rows of a page, and what is wrong with it.
fn check(page: &str, tests: &BTreeMap<String, BTreeSet<String>>) -> (usize, Vec<String>) {
    let (mut rows, mut wrong, mut in_table, mut headers) = (0, Vec::new(), false, 0);
    for (index, line) in page.lines().map(str::trim).enumerate() {
        let number = index + 1;
        if !line.starts_with('|') {
            in_table = false;
            continue;
        }
        if !in_table {
            in_table = true;
            headers += 1;
            if line != HEADER {
                wrong.push(format!("line {number}: a table begins with `{HEADER}`"));
            }
            continue;
        }
        if line.chars().all(|character| matches!(character, '|' | '-' | ' ')) {
            continue;
        }
        rows += 1;
        let cells: Vec<&str> = cells(line);
        let [behaviour, named] = cells.as_slice() else {
            wrong.push(format!("line {number}: {} cells instead of two", cells.len()));
            continue;
        };
        if behaviour.is_empty() {
            wrong.push(format!("line {number}: says nothing"));
        }
        for name in named.split(',').map(|name| name.trim().trim_matches('`')) {
            let exists = name
                .split_once("::")
                .is_some_and(|(file, test)| tests.get(file).is_some_and(|known| known.contains(test)));
            if !exists {
                wrong.push(format!("line {number}: there is no test `{name}` in conformance"));
            }
        }
    }
    if headers == 0 {
        wrong.push("has no table".to_owned());
    }
    (rows, wrong)
}

/// The cells of a row. `\|` is a bar within one.
fn cells(row: &str) -> Vec<&str> {
    let row = row.strip_prefix('|').unwrap_or(row);
    let mut cells = Vec::new();
    let (mut from, mut escaped) = (0, false);
    for (at, character) in row.char_indices() {
        if character == '|' && !escaped {
            cells.push(row.get(from..at).unwrap_or_default().trim());
            from = at + 1;
        }
        escaped = character == '\\' && !escaped;
    }
    cells
}

/// The names of the tests in each file of `conformance/`: what pytest would collect, parametrized or not.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let files = read("conformance", "py").into_iter().filter(|(name, _)| name.starts_with("test_"));
    let name_of = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("async ").unwrap_or(line);
        let name = line.strip_prefix("def ")?.split('(').next()?;
        name.starts_with("test_").then(|| name.to_owned())
    };
    files.map(|(name, text)| (name, text.lines().filter_map(name_of).collect())).collect()
}

/// The files of a folder with this extension, by name.
fn read(folder: &str, extension: &str) -> BTreeMap<String, String> {
    let folder = root().join(folder);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files
        .map(|file| file.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| {
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            let text =
                std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (name, text)
        })
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn what_is_wrong_is_found() {
    let tests = BTreeMap::from([("test_a.py".to_owned(), BTreeSet::from(["test_one".to_owned()]))]);
    let page = |rows: &str| format!("# Title\n\nText.\n\n{HEADER}\n| --- | --- |\n{rows}\n");
    let check = |page: &str, rows: usize, complaints: usize| {
        let (found, wrong) = check(page, &tests);
        assert_eq!((found, wrong.len()), (rows, complaints), "{page}: {wrong:?}");
    };
    check(&page("| it works | test_a.py::test_one |"), 1, 0);
    check(&page("| a \\| b | `test_a.py::test_one`, test_a.py::test_one |"), 1, 0);
    check(&page("| it works | test_a.py::test_two |"), 1, 1);
    check(&page("| it works | test_b.py::test_one, test_a.py::test_one |"), 1, 1);
    check(&page("| it works | |"), 1, 1);
    check(&page("| | test_a.py::test_one |"), 1, 1);
    check(&page("| it works | test_a.py::test_one | more |"), 1, 1);
    check("# Nothing\n", 0, 1);
    check("| other | header |\n| --- | --- |\n| it works | test_a.py::test_one |\n", 1, 1);
}
