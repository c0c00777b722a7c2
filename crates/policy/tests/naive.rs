//! For random policies and requests, the decision is the one that a direct reading of AWS's rules gives: every
//! statement is looked at, a deny wins, then an allow, and otherwise nothing is allowed. The reading below works on the
//! JSON itself and shares no code with the crate.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use stagedoor_policy::{Caller, Decision, Kind, Policy, Request};

type Keys = BTreeMap<String, Vec<String>>;

#[derive(Debug)]
struct Asked {
    /// ARN and account; none for somebody unknown.
    caller: Option<(&'static str, &'static str)>,
    action: String,
    resource: String,
    keys: Keys,
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|from| glob(rest, &text[from..])),
        Some((b'?', rest)) => !text.is_empty() && glob(rest, &text[1..]),
        Some((byte, rest)) => text.first() == Some(byte) && glob(rest, &text[1..]),
    }
}

fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().map(|value| value.as_str().unwrap().to_owned()).collect(),
        value => vec![value.as_str().unwrap().to_owned()],
    }
}

/// A wildcard in a value is no wildcard.
fn literal(value: &str) -> String {
    value.replace('*', "\u{1}")
}

/// `${a:user}` is the only variable that the policies below use; none stands for a key that has no single value.
fn resolve(text: &str, keys: &Keys) -> Option<String> {
    if !text.contains("${a:user}") {
        return Some(text.to_owned());
    }
    match keys.get("a:user").map(Vec::as_slice) {
        Some([user]) => Some(text.replace("${a:user}", &literal(user))),
        _ => None,
    }
}

/// `names` lists the caller: itself (2), its account (1), or not at all (0).
fn named(names: &[String], asked: &Asked) -> u8 {
    names
        .iter()
        .map(|name| match asked.caller {
            _ if name == "*" => 2,
            Some((arn, _)) if name == arn => 2,
            Some((_, account)) if name == account => 1,
            _ => 0,
        })
        .max()
        .unwrap_or(0)
}

/// A variable without a value matches nothing, and nothing is allowed because something is other than it.
fn condition_holds(operator: &str, key: &str, wanted: &[String], keys: &Keys, denies: bool) -> bool {
    let (set, operator) = operator.split_once(':').unwrap_or(("", operator));
    let (operator, if_exists) = match operator.strip_suffix("IfExists") {
        Some(operator) => (operator, true),
        None => (operator, false),
    };
    let none = Vec::new();
    let values = keys.get(key).unwrap_or(&none);
    if operator == "Null" {
        return wanted.iter().any(|want| (want == "true") == values.is_empty());
    }
    if values.is_empty() && if_exists {
        return true;
    }
    let one = |value: &String| -> bool {
        let matching = |want: &String| match (operator, resolve(want, keys)) {
            (_, None) => operator.contains("Not") && !denies,
            ("StringEquals" | "StringNotEquals", Some(want)) => literal(value) == literal(&want),
            ("StringLike" | "StringNotLike", Some(want)) => glob(want.as_bytes(), literal(value).as_bytes()),
            ("StringEqualsIgnoreCase", Some(want)) => literal(value).eq_ignore_ascii_case(&literal(&want)),
            ("NumericLessThan", _) => {
                value.parse::<f64>().is_ok_and(|value| value < want.parse::<f64>().unwrap())
            }
            _ => unreachable!("no such operator in this test"),
        };
        wanted.iter().any(matching)
    };
    let negated = operator.contains("Not");
    match set {
        "ForAllValues" => values.iter().all(|value| one(value) != negated),
        "ForAnyValue" => values.iter().any(|value| one(value) != negated),
        _ => values.iter().any(one) != negated,
    }
}

fn applies(statement: &Map<String, Value>, asked: &Asked, kind: Kind) -> bool {
    let denies = statement["Effect"] == "Deny";
    if kind == Kind::Resource {
        let fits = if let Some(principal) = statement.get("Principal") {
            named(&list(&principal["AWS"]), asked) > 0
        } else {
            let names = list(&statement["NotPrincipal"]["AWS"]);
            let whole = asked.caller.is_some_and(|(arn, account)| {
                names.iter().any(|name| name == arn) && names.iter().any(|name| name == account)
            });
            let everyone = names.iter().any(|name| name == "*");
            if denies { !(everyone || whole) } else { named(&names, asked) == 0 }
        };
        if !fits {
            return false;
        }
    }
    let matching = |patterns: Vec<String>, text: &str| -> bool {
        patterns.iter().any(|pattern| {
            resolve(pattern, &asked.keys).is_some_and(|pattern| glob(pattern.as_bytes(), text.as_bytes()))
        })
    };
    let lower = |value: &Value| list(value).iter().map(|action| action.to_lowercase()).collect::<Vec<_>>();
    let action_fits = match statement.get("Action") {
        Some(actions) => matching(lower(actions), &asked.action),
        None => !matching(lower(&statement["NotAction"]), &asked.action),
    };
    let resource_fits = match statement.get("Resource") {
        Some(resources) => matching(list(resources), &asked.resource),
        None => {
            let patterns = list(&statement["NotResource"]);
            let unknown = patterns.iter().any(|pattern| resolve(pattern, &asked.keys).is_none());
            !matching(patterns, &asked.resource) && (denies || !unknown)
        }
    };
    let conditions_hold = statement["Condition"].as_object().unwrap().iter().all(|(operator, block)| {
        let mut lines = block.as_object().unwrap().iter();
        lines.all(|(key, wanted)| {
            condition_holds(operator, &key.to_lowercase(), &list(wanted), &asked.keys, denies)
        })
    });
    action_fits && resource_fits && conditions_hold
}

fn naive(statements: &[Value], asked: &Asked, kind: Kind) -> Decision {
    let effects: Vec<bool> = statements
        .iter()
        .map(|statement| statement.as_object().unwrap())
        .filter(|statement| applies(statement, asked, kind))
        .map(|statement| statement["Effect"] == "Allow")
        .collect();
    if effects.contains(&false) {
        Decision::ExplicitDeny
    } else if effects.contains(&true) {
        Decision::Allow
    } else {
        Decision::ImplicitDeny
    }
}

const ANN: &str = "arn:aws:iam::111111111111:user/ann";
const BOB: &str = "arn:aws:iam::222222222222:user/bob";

fn some_of(values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(values).prop_map(|value| json!(value)),
        prop::collection::vec(prop::sample::select(values), 1..4).prop_map(|values| json!(values)),
    ]
}

fn condition() -> impl Strategy<Value = (String, String, Value)> {
    let texts = prop_oneof![
        Just("StringEquals"),
        Just("StringNotEquals"),
        Just("StringLike"),
        Just("StringNotLike"),
        Just("StringEqualsIgnoreCase"),
        Just("StringEqualsIfExists"),
        Just("StringNotLikeIfExists"),
        Just("ForAllValues:StringLike"),
        Just("ForAllValues:StringNotEquals"),
        Just("ForAnyValue:StringEquals"),
        Just("ForAnyValue:StringNotLike"),
    ]
    .prop_flat_map(|operator| {
        (Just(operator.to_owned()), key(), some_of(&["a", "b", "A", "a*", "?", "${a:user}", "${a:user}*"]))
    });
    let numbers = (Just("NumericLessThan".to_owned()), key(), some_of(&["1", "5"]));
    let null = (Just("Null".to_owned()), key(), some_of(&["true", "false"]));
    prop_oneof![4 => texts, 1 => numbers, 1 => null]
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(&["a:user", "A:User", "a:tags", "a:n", "a:absent"][..]).prop_map(str::to_owned)
}

fn statement(kind: Kind) -> impl Strategy<Value = Value> {
    let head = (any::<bool>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.3));
    let lists = (
        some_of(&["e:Invoke", "e:*", "E:In?oke", "s3:*", "*"]),
        some_of(&[
            "*",
            "arn:aws:e:r:1:api/dev/GET/a",
            "arn:aws:e:r:1:api/*/a",
            "arn:aws:e:*:*:api/dev/*/${a:user}",
            "arn:aws:e:r:1:other/*",
        ]),
        some_of(&["*", ANN, BOB, "111111111111", "222222222222"]),
    );
    (head, lists, prop::collection::vec(condition(), 0..3)).prop_map(
        move |((allow, not_action, not_resource, not_principal), (actions, resources, names), conditions)| {
            let mut statement = Map::new();
            statement.insert("Effect".to_owned(), json!(if allow { "Allow" } else { "Deny" }));
            statement.insert((if not_action { "NotAction" } else { "Action" }).to_owned(), actions);
            statement.insert((if not_resource { "NotResource" } else { "Resource" }).to_owned(), resources);
            if kind == Kind::Resource {
                let element = if not_principal { "NotPrincipal" } else { "Principal" };
                statement.insert(element.to_owned(), json!({ "AWS": names }));
            }
            let mut blocks = Map::new();
            for (operator, key, wanted) in conditions {
                blocks.entry(operator).or_insert_with(|| json!({}))[key] = wanted;
            }
            statement.insert("Condition".to_owned(), Value::Object(blocks));
            Value::Object(statement)
        },
    )
}

fn asked() -> impl Strategy<Value = Asked> {
    (
        prop::sample::select(&[None, Some((ANN, "111111111111")), Some((BOB, "222222222222"))][..]),
        prop::sample::select(&["e:invoke", "s3:getobject"][..]),
        prop::sample::select(&["arn:aws:e:r:1:api/dev/GET/a", "arn:aws:e:r:1:api/dev/GET/b"][..]),
        prop::option::of(prop::sample::select(&["a", "b", "*"][..])),
        prop::collection::vec(prop::sample::select(&["a", "b", "ab"][..]), 0..3),
        prop::sample::select(&["0", "3", "x"][..]),
    )
        .prop_map(|(caller, action, resource, user, tags, number)| {
            let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
            let mut keys = Keys::new();
            if let Some(user) = user {
                keys.insert("a:user".to_owned(), owned(&[user]));
            }
            keys.insert("a:tags".to_owned(), owned(&tags));
            keys.insert("a:n".to_owned(), owned(&[number]));
            Asked { caller, action: action.to_owned(), resource: resource.to_owned(), keys }
        })
}

fn check(statements: &[Value], asked: &Asked, kind: Kind) {
    let document = json!({"Version": "2012-10-17", "Statement": statements});
    let policy = Policy::from_value(&document, kind).unwrap_or_else(|error| panic!("{error}: {document}"));
    let arns = asked.caller.map(|(arn, _)| [arn]);
    let caller = match (&arns, asked.caller) {
        (Some(arns), Some((_, account))) => Caller::Known { account, arns },
        _ => Caller::Anonymous,
    };
    let request = Request { caller, action: &asked.action, resource: &asked.resource, keys: &asked.keys };
    let explanation = policy.explain(&request);
    let expected = naive(statements, asked, kind);
    assert_eq!(explanation.verdict.decision, expected, "{document:#}\n{:?}\n{explanation}", asked.keys);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn identity_policies_read_as_written(
        statements in prop::collection::vec(statement(Kind::Identity), 1..5),
        asked in asked(),
    ) {
        check(&statements, &asked, Kind::Identity);
    }

    #[test]
    fn resource_policies_read_as_written(
        statements in prop::collection::vec(statement(Kind::Resource), 1..5),
        asked in asked(),
    ) {
        check(&statements, &asked, Kind::Resource);
    }
}
