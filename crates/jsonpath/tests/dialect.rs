//! What versions of Jayway later than the packaged one have: operators spelled as words, functions, negative indexes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use serde_json::{Value, json};
use stagedoor_jsonpath::Path;

const DOCUMENT: &str = include_str!("oracle/document.json");

/// Reads a path; `expected` of `None` means no result.
fn check(path: &str, expected: impl Into<Option<Value>>) {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let parsed = Path::parse(path).unwrap_or_else(|error| panic!("{error}"));
    let found = parsed.read(&document).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(found.map(std::borrow::Cow::into_owned), expected.into(), "{path}");
}

fn check_titles(filter: &str, expected: &[&str]) {
    check(&format!("$.store.book[?({filter})].title"), json!(expected));
}

#[test]
fn operators_spelled_as_words() {
    check_titles("@.category in ['fiction', 'x']", &["Sword", "Moby"]);
    check_titles(r#"@.category in ["reference"]"#, &["Sayings"]);
    check_titles("@.category nin ['fiction']", &["Sayings", "Ünï"]);
    check_titles("@.price in $.nums", &[]);
    check_titles("'a' in @.tags", &["Moby"]);
    check_titles("@.tags contains 'a'", &["Moby"]);
    check_titles("@.title contains 'S'", &["Sayings", "Sword"]);
    check_titles("@.tags size 2", &["Moby"]);
    check_titles("@.title size 5", &["Sword"]);
    check_titles("@.tags empty true", &["Ünï"]);
    check_titles("@.author empty true", &["Ünï"]);
    check_titles("@.tags EMPTY false", &["Moby"]);
    check_titles("@.tags subsetof ['a','b','c']", &["Moby", "Ünï"]);
    check_titles("@.tags anyof ['b','c']", &["Moby"]);
    check_titles("@.tags noneof ['c']", &["Moby", "Ünï"]);
    check_titles("@.tags all ['a']", &["Moby"]);
    check_titles("@.sold type 'boolean'", &["Sword"]);
}

#[test]
fn logic_and_types() {
    check_titles("!(@.price > 8.95)", &["Sayings", "Ünï"]);
    check_titles("!@.tags && @.price < 10", &["Sayings"]);
    check_titles("(@.category == 'fiction' || @.price == 0) && !@.sold", &["Moby", "Ünï"]);
    check_titles("@.category == \"fiction\"", &["Sword", "Moby"]);
    check_titles("@.price == '8.95'", &["Sayings"]);
    check_titles("@.price === '8.95'", &[]);
    check_titles("@.missing == null", &[]);
    check_titles("@.title =~ /.*w.*/", &["Sword"]);
    check_titles("@.title =~ /s.*/i", &["Sayings", "Sword"]);
    check_titles("@.tags == ['a','b']", &["Moby"]);
    check_titles("@.tags[-1] == 'b'", &["Moby"]);
    check_titles("@.tags.length() == 2", &["Moby"]);
}

#[test]
fn functions() {
    check("$.nums.length()", json!(5));
    check("$.store.length()", json!(2));
    check("$.s.length()", None);
    check("$.nums.min()", json!(1.0));
    check("$.nums.max()", json!(5.0));
    check("$.nums.avg()", json!(3.0));
    check("$.nums.sum()", json!(15.0));
    check("$.nums.stddev()", json!(2.0_f64.sqrt()));
    check("$..price.max()", json!(19.95));
    check("$..book.length()", json!(1));
    check("$.store.keys()", json!(["book", "bicycle"]));
    check("$.nums.first()", json!(1));
    check("$.nums.last()", json!(5));
    check("$.nums.index(-2)", json!(4));
    check("$.nums.append(6, \"x\")", json!([1, 2, 3, 4, 5, 6, "x"]));
    check("$.concat($.s, \"-\", $.store.bicycle.color)", json!("str-red"));
    check("$.sum($.exp, 5)", json!(15.0));
}

#[test]
fn brackets() {
    check("$.nums[-1]", json!(5));
    check("$.nums[-9]", None);
    check("$.nums[-1, 0]", json!([5, 1]));
    check(r#"$["a b"]["c.d"]"#, json!(2));
    check(r"$['it\'s']", None);
    check("$.nums[1:3:2]", json!([2, 3]));
    check("$.nums[1:-1]", json!([]));
    check("nums[0]", json!(1));
}

#[test]
fn functions_fail_on_what_they_do_not_fit() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    for path in ["$.e.min()", "$.s.first()", "$.nums.index('a')", "$.e.last()"] {
        assert!(Path::parse(path).unwrap().read(&document).is_err(), "{path}");
    }
}

#[test]
fn scans_within_scans_end() {
    let mut value = json!([1]);
    for _ in 0..12 {
        value = Value::Array(vec![value.clone(), value]);
    }
    let path = Path::parse("$..*..*..*").unwrap();
    assert!(path.read(&value).is_err());
    let mut deep = Value::Null;
    for _ in 0..20_000 {
        deep = Value::Array(vec![deep]);
    }
    assert!(path.read(&deep).is_err());
    // Dropping so deep a value would overflow the stack.
    std::mem::forget(deep);
}
