//! The tree of resources: AWS's rules, and that no sequence of calls breaks the tree.

// A test may fail loudly.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;
use serde_json::{Value, json};
use stagedoor_control_plane::ControlPlane;
use support::{api, call, patch, plane, resource, text};

fn update(plane: &ControlPlane, api: &str, id: &str, path: &str, value: &str) -> Value {
    let input =
        json!({ "restApiId": api, "resourceId": id, "patchOperations": patch("replace", path, value) });
    call(|input| plane.update_resource(input), input)
}

fn create(plane: &ControlPlane, api: &str, parent: &str, part: &str) -> Value {
    let input = json!({ "restApiId": api, "parentId": parent, "pathPart": part });
    call(|input| plane.create_resource(input), input)
}

fn list(plane: &ControlPlane, api: &str) -> Vec<Value> {
    let page = call(|input| plane.get_resources(input), json!({ "restApiId": api, "limit": 500 }));
    page["item"].as_array().unwrap().clone()
}

#[test]
fn greedy_and_sibling_rules_are_those_of_aws() {
    let plane = plane();
    let (api, root) = api(&plane);
    let proxy = resource(&plane, &api, &root, "{proxy+}");
    let sibling =
        "A sibling ({proxy+}) of this resource already has a variable path part -- only one is allowed";
    assert_eq!(create(&plane, &api, &root, "{dynamic}"), json!({ "BadRequest": sibling }));
    let child = "Cannot create a child of a resource with a greedy path variable: {proxy+}";
    assert_eq!(create(&plane, &api, &proxy, "child"), json!({ "BadRequest": child }));
    let taken = "Another resource with the same parent already has this name: {proxy+}";
    assert_eq!(create(&plane, &api, &root, "{proxy+}"), json!({ "Conflict": taken }));
    let parent = resource(&plane, &api, &root, "parent");
    let greedy = create(&plane, &api, &parent, "{child+}");
    assert_eq!(greedy["path"], "/parent/{child+}");
    // A parent of others cannot become greedy.
    let message = "Cannot create a child of a resource with a greedy path variable: {rest+}";
    let other = resource(&plane, &api, &parent, "other");
    resource(&plane, &api, &other, "below");
    call(|input| plane.delete_resource(input), json!({ "restApiId": api, "resourceId": greedy["id"] }));
    assert_eq!(update(&plane, &api, &other, "/pathPart", "{rest+}"), json!({ "BadRequest": message }));
    for wrong in ["", "a/b", "a b", "{a", "a}", "{}", "{+}", "{a b}", "ä"] {
        assert!(create(&plane, &api, &parent, wrong)["BadRequest"].is_string(), "{wrong}");
    }
}

#[test]
fn a_move_takes_everything_below_along() {
    let plane = plane();
    let (api, root) = api(&plane);
    let pets = resource(&plane, &api, &root, "pets");
    let one = resource(&plane, &api, &pets, "{id}");
    let toys = resource(&plane, &api, &one, "toys");
    let animals = resource(&plane, &api, &root, "animals");
    let cyclical = json!({ "BadRequest": "Resources cannot be cyclical." });
    assert_eq!(update(&plane, &api, &pets, "/parentId", &toys), cyclical);
    assert_eq!(update(&plane, &api, &pets, "/parentId", &pets), cyclical);
    assert_eq!(update(&plane, &api, &pets, "/parentId", &animals)["path"], "/animals/pets");
    assert_eq!(update(&plane, &api, &pets, "/pathPart", "dogs")["path"], "/animals/dogs");
    let found = call(|input| plane.get_resource(input), json!({ "restApiId": api, "resourceId": toys }));
    assert_eq!(found["path"], "/animals/dogs/{id}/toys");
    call(|input| plane.delete_resource(input), json!({ "restApiId": api, "resourceId": animals }));
    assert_eq!(list(&plane, &api).len(), 1);
    let deleted = call(|input| plane.delete_resource(input), json!({ "restApiId": api, "resourceId": root }));
    assert_eq!(deleted, json!({ "BadRequest": "Root resource cannot be deleted." }));
}

#[test]
fn of_equal_names_at_the_same_time_one_wins() {
    let plane = Arc::new(plane());
    let (api, root) = api(&plane);
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (plane, api, root) = (Arc::clone(&plane), api.clone(), root.clone());
            thread::spawn(move || {
                let made = (0..10).filter(|number| {
                    resource(&plane, &api, &root, &format!("own-{worker}-{number}"));
                    create(&plane, &api, &root, &format!("shared-{number}"))["id"].is_string()
                });
                made.count()
            })
        })
        .collect();
    let shared: usize = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    assert_eq!(shared, 10);
    assert_eq!(list(&plane, &api).len(), 1 + 80 + 10);
}

#[test]
fn names_are_free_again_and_taken_in_a_copy() {
    let plane = plane();
    let (api, root) = api(&plane);
    let pets = resource(&plane, &api, &root, "pets");
    let toys = resource(&plane, &api, &pets, "toys");
    resource(&plane, &api, &pets, "{id}");
    update(&plane, &api, &toys, "/parentId", &root);
    update(&plane, &api, &pets, "/pathPart", "animals");
    let cats = resource(&plane, &api, &pets, "toys");
    resource(&plane, &api, &root, "pets");
    call(|input| plane.delete_resource(input), json!({ "restApiId": api, "resourceId": cats }));
    resource(&plane, &api, &pets, "toys");
    let copy = call(|input| plane.create_rest_api(input), json!({ "name": "copy", "cloneFrom": api }));
    let (copy, root) = (text(&copy, "id"), text(&copy, "rootResourceId"));
    let animals = list(&plane, &copy).into_iter().find(|one| one["path"] == "/animals").unwrap();
    let taken = create(&plane, &copy, &root, "animals");
    assert_eq!(taken["Conflict"], "Another resource with the same parent already has this name: animals");
    let sibling = create(&plane, &copy, &text(&animals, "id"), "{other}");
    assert_eq!(
        sibling["BadRequest"],
        "A sibling ({id}) of this resource already has a variable path part -- only one is allowed"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Create(usize, &'static str),
    Move(usize, usize),
    Rename(usize, &'static str),
    Delete(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let part = prop::sample::select(vec!["a", "b", "{x}", "{y}", "{rest+}"]);
    prop_oneof![
        3 => (any::<usize>(), part.clone()).prop_map(|(at, part)| Step::Create(at, part)),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(at, to)| Step::Move(at, to)),
        1 => (any::<usize>(), part).prop_map(|(at, part)| Step::Rename(at, part)),
        1 => any::<usize>().prop_map(Step::Delete),
    ]
}

/// Every resource hangs below the root, its path is that of its parent and its part, and siblings are compatible.
fn check_tree(resources: &[Value]) {
    let by_id: BTreeMap<&str, &Value> =
        resources.iter().map(|one| (one["id"].as_str().unwrap(), one)).collect();
    let mut names = BTreeSet::new();
    let mut variables = BTreeSet::new();
    for one in resources {
        let Some(parent) = one["parentId"].as_str() else {
            assert_eq!(one["path"], "/");
            continue;
        };
        let parent_path = text(by_id[parent], "path");
        let part = text(one, "pathPart");
        assert_eq!(text(one, "path"), format!("{}/{part}", parent_path.trim_end_matches('/')));
        assert!(!parent_path.ends_with("+}"), "{parent_path} has a child");
        assert!(names.insert((parent, part.clone())), "{part} twice");
        assert!(!part.starts_with('{') || variables.insert(parent), "two variables");
    }
    assert_eq!(resources.iter().filter(|one| one["parentId"].is_null()).count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_sequence_of_calls_breaks_the_tree(steps in prop::collection::vec(step(), 0..40)) {
        let plane = plane();
        let (api, _) = api(&plane);
        for step in steps {
            let ids: Vec<String> = list(&plane, &api).iter().map(|one| text(one, "id")).collect();
            let id = |at: usize| ids[at % ids.len()].as_str();
            match step {
                Step::Create(at, part) => drop(create(&plane, &api, id(at), part)),
                Step::Move(at, to) => drop(update(&plane, &api, id(at), "/parentId", id(to))),
                Step::Rename(at, part) => drop(update(&plane, &api, id(at), "/pathPart", part)),
                Step::Delete(at) => {
                    let input = json!({ "restApiId": api, "resourceId": id(at) });
                    call(|input| plane.delete_resource(input), input);
                }
            }
            check_tree(&list(&plane, &api));
        }
    }
}
