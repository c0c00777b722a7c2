//! What a stage sets for its methods: execution logs, metrics, throttling and caching.

use std::collections::BTreeMap;

use stagedoor_shapes::apigateway::{MethodSetting, Stage};

/// The settings that hold for every method without ones of its own.
const EVERY_METHOD: &str = "*/*";

/// The settings of one method: its own, or those for every method. A method that has settings of its own takes nothing
/// from the others; that happened when they were made.
#[must_use]
pub fn of<'s>(stage: &'s Stage, path: &str, method: &str) -> Option<&'s MethodSetting> {
    let settings = stage.method_settings.as_ref()?;
    own(settings, path, method).or_else(|| settings.get(EVERY_METHOD))
}

/// The settings that a method of a resource has of its own. A key names the resource's path as whoever set it wrote
/// it, as AWS does: `pets/{id}/GET`, or `~1pets~1{id}/GET` with its slashes escaped.
#[must_use]
pub fn own<'s>(
    settings: &'s BTreeMap<String, MethodSetting>,
    path: &str,
    method: &str,
) -> Option<&'s MethodSetting> {
    let path = path.strip_prefix('/').unwrap_or(path);
    if let Some(found) = settings.get(&format!("{path}/{method}")) {
        return Some(found);
    }
    let names_it = |key: &str| {
        key.rsplit_once('/').is_some_and(|(resource, verb)| {
            let resource = resource.replace("~1", "/").replace("~0", "~");
            verb == method && resource.strip_prefix('/').unwrap_or(&resource) == path
        })
    };
    settings.iter().find(|(key, _)| names_it(key)).map(|(_, setting)| setting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_has_its_own_settings_or_those_of_all() {
        let setting =
            |seconds| MethodSetting { cache_ttl_in_seconds: Some(seconds), ..MethodSetting::default() };
        let settings = [
            ("*/*", 0),
            ("~1/GET", 1),
            ("pets/{id}/GET", 2),
            ("pets/ANY", 3),
            ("/POST", 4),
            ("~1a~1{b}/PUT", 5),
        ];
        let settings = settings.into_iter().map(|(key, seconds)| (key.to_owned(), setting(seconds)));
        let stage = Stage { method_settings: Some(settings.collect()), ..Stage::default() };
        let check = |path: &str, method: &str, expected: i32| {
            let found = of(&stage, path, method).and_then(|setting| setting.cache_ttl_in_seconds);
            assert_eq!(found, Some(expected), "{method} {path}");
        };
        check("/", "GET", 1);
        check("/", "POST", 4);
        check("/", "PUT", 0);
        check("/a/{b}", "PUT", 5);
        check("/pets/{id}", "GET", 2);
        check("/pets", "ANY", 3);
        check("/pets", "GET", 0);
        assert!(of(&Stage::default(), "/", "GET").is_none());
    }
}
