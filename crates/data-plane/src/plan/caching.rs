//! What of a method's responses is cached, for how long, and what tells them apart.
//!
//! A key is written so that two requests have the same one only if every part of it is the same: each part carries its
//! length. Beside the parameters that the API names, AWS separates deployments (a canary with a deployment of its own
//! shares nothing with its stage) and namespaces, which are resources unless the API says otherwise. Two more things
//! separate responses here that would not fit each other's clients: the method, and what of `Accept` chooses the form
//! of an answer.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use stagedoor_shapes::apigateway::{
    Integration as IntegrationShape, Stage, UnauthorizedCacheControlHeaderStrategy as Strategy,
};

use super::mapping::Source;
use super::media_types::MediaTypes;
use super::{PlanError, method_settings};
use crate::cache::Key;
use crate::exchange::Exchange;

/// How long AWS keeps a response if the stage says nothing.
const TIME_TO_LIVE_SECONDS: i32 = 300;
/// The setting that holds for every method without one of its own.
const EVERY_METHOD: &str = "*/*";
/// The methods that a method named `ANY` stands for.
const METHODS: [Method; 7] =
    [Method::DELETE, Method::GET, Method::HEAD, Method::OPTIONS, Method::PATCH, Method::POST, Method::PUT];

/// The caching of a method's responses.
#[derive(Debug)]
pub struct Caching {
    /// The methods whose responses are cached: one, or several of `ANY`.
    rules: Vec<(Method, CacheRules)>,
    /// Deployment and namespace.
    prefix: Box<[u8]>,
    parameters: Vec<Parameter>,
    /// The media types that `Accept` can choose among.
    chosen_types: Vec<Bytes>,
    /// Whether what the client accepts decides between binary and text.
    varies_by_binary: bool,
}

/// How the responses to one HTTP method are cached.
#[derive(Debug)]
pub struct CacheRules {
    /// How long a response is kept.
    pub time_to_live: Duration,
    /// Whether a client that asks for a fresh response (`Cache-Control: max-age=0`) has to be authorized to.
    pub needs_authorization: bool,
    /// What becomes of the one who is not.
    pub unauthorized: Strategy,
}

#[derive(Debug)]
struct Parameter {
    /// As the API names it, such as `method.request.querystring.page`.
    name: Box<str>,
    source: Source,
}

/// What caching is compiled with.
pub(super) struct CachingScope<'a> {
    /// The stage.
    pub(super) stage: &'a Stage,
    /// Its variables.
    pub(super) variables: &'a BTreeMap<String, String>,
    /// The API's binary media types.
    pub(super) binary_media_types: &'a MediaTypes,
    /// Whether a canary's requests are compiled, which use the stage's cache only if they are told to.
    pub(super) for_canary: bool,
}

impl CachingScope<'_> {
    /// The caching of a method; nothing if none of its responses are cached.
    pub(super) fn compile(
        &self,
        path: &str,
        name: &str,
        integration: &IntegrationShape,
        place: &str,
        errors: &mut Vec<PlanError>,
    ) -> Option<Caching> {
        let uses_cache = !self.for_canary
            || self.stage.canary_settings.as_ref().and_then(|canary| canary.use_stage_cache) == Some(true);
        if self.stage.cache_cluster_enabled != Some(true) || !uses_cache {
            return None;
        }
        let methods = METHODS.iter().filter(|method| name == "ANY" || method.as_str() == name);
        let rules: Vec<_> =
            methods.filter_map(|method| Some((method.clone(), self.rules(path, method)?))).collect();
        if rules.is_empty() {
            return None;
        }
        let mut parameters = Vec::new();
        for name in integration.cache_key_parameters.iter().flatten() {
            match self.source(name, integration) {
                Ok(source) => parameters.push(Parameter { name: name.as_str().into(), source }),
                Err(message) => errors.push(PlanError::new(format!("{place}, cache key {name}"), message)),
            }
        }
        let mut prefix = Vec::new();
        append(&mut prefix, self.stage.deployment_id.as_deref().unwrap_or_default().as_bytes());
        append(&mut prefix, integration.cache_namespace.as_deref().unwrap_or(path).as_bytes());
        let responses = integration.integration_responses.iter().flatten();
        let mut chosen_types: Vec<_> = responses
            .flat_map(|(_, response)| response.response_templates.iter().flatten())
            .map(|(media_type, _)| Bytes::from(media_type.to_ascii_lowercase()))
            .collect();
        chosen_types.sort();
        chosen_types.dedup();
        let varies_by_binary = !self.binary_media_types.is_empty();
        Some(Caching { rules, prefix: prefix.into(), parameters, chosen_types, varies_by_binary })
    }

    /// How responses to a method are cached: as its own setting says, or else the one for every method, which AWS
    /// applies to `GET` alone.
    fn rules(&self, path: &str, method: &Method) -> Option<CacheRules> {
        let settings = self.stage.method_settings.as_ref()?;
        let setting = method_settings::own(settings, path, method.as_str())
            .or_else(|| settings.get(EVERY_METHOD).filter(|_| *method == Method::GET))?;
        let seconds = setting.cache_ttl_in_seconds.unwrap_or(TIME_TO_LIVE_SECONDS);
        if setting.caching_enabled != Some(true) || seconds <= 0 {
            return None;
        }
        Some(CacheRules {
            time_to_live: Duration::from_secs(seconds.unsigned_abs().into()),
            needs_authorization: setting.require_authorization_for_cache_control.unwrap_or(true),
            unauthorized: setting
                .unauthorized_cache_control_header_strategy
                .unwrap_or(Strategy::SucceedWithResponseHeader),
        })
    }

    /// Where a key's parameter comes from. All its values count, also where a mapping would take the last.
    fn source(&self, name: &str, integration: &IntegrationShape) -> Result<Source, String> {
        if name.starts_with("integration.request.") {
            let mapped = integration.request_parameters.as_ref().and_then(|mapped| mapped.get(name));
            return mapped.map_or(Ok(Source::Absent), |expression| Source::parse(expression, self.variables));
        }
        if !name.starts_with("method.request.") {
            return Err("is no parameter of the method or the integration".to_owned());
        }
        let whole = name
            .replacen("method.request.querystring.", "method.request.multivaluequerystring.", 1)
            .replacen("method.request.header.", "method.request.multivalueheader.", 1);
        Source::parse(&whole, self.variables)
    }
}

impl Caching {
    /// How responses to this HTTP method are cached; nothing if they are not.
    #[must_use]
    pub fn rules(&self, method: &Method) -> Option<&CacheRules> {
        self.rules.iter().find(|(candidate, _)| candidate == method).map(|(_, rules)| rules)
    }

    /// Whether a parameter of the key stands in the request's body.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        self.parameters.iter().any(|parameter| parameter.source.needs_body())
    }

    /// What a request's response is kept under.
    #[must_use]
    pub fn key(&self, exchange: &Exchange<'_>) -> Key {
        let mut key = Vec::with_capacity(self.prefix.len() + 128);
        key.extend_from_slice(&self.prefix);
        append(&mut key, exchange.head.method.as_str().as_bytes());
        if self.varies_by_binary || self.chosen_types.len() > 1 {
            let accepted = exchange.accepted_type();
            let chosen = self.chosen_types.iter().find(|known| known.as_ref() == accepted.as_bytes());
            append(&mut key, chosen.map_or(&b""[..], |chosen| chosen));
            key.push(u8::from(self.varies_by_binary && exchange.plan.binary_media_types.contains(&accepted)));
        }
        for parameter in &self.parameters {
            append(&mut key, parameter.name.as_bytes());
            let values = parameter.source.values(exchange);
            append_length(&mut key, values.len());
            for value in &values {
                append(&mut key, value.as_bytes());
            }
        }
        key.into()
    }
}

fn append(key: &mut Vec<u8>, part: &[u8]) {
    append_length(key, part.len());
    key.extend_from_slice(part);
}

fn append_length(key: &mut Vec<u8>, length: usize) {
    // Everything in a key comes out of one request, which is far smaller.
    key.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use stagedoor_shapes::apigateway::MethodSetting;

    use super::*;

    #[test]
    fn settings_are_found_by_path_and_method() {
        let keys = ["~1/GET", "pets/GET", "pets/{id}/POST", "*/*"];
        let settings: BTreeMap<_, _> =
            keys.into_iter().map(|key| (key.to_owned(), MethodSetting::default())).collect();
        let check = |path: &str, method: &str, expected: bool| {
            assert_eq!(method_settings::own(&settings, path, method).is_some(), expected, "{path} {method}");
        };
        check("/", "GET", true);
        check("/", "POST", false);
        check("/pets", "GET", true);
        check("/pets/{id}", "POST", true);
        check("/pets/{id}", "GET", false);
    }

    fn rules_of(stage: Stage, path: &str, method: &Method) -> Option<u64> {
        let scope = CachingScope {
            stage: &stage,
            variables: &BTreeMap::new(),
            binary_media_types: &MediaTypes::default(),
            for_canary: false,
        };
        scope.rules(path, method).map(|rules| rules.time_to_live.as_secs())
    }

    #[test]
    fn what_is_cached() {
        let setting = |enabled: bool, seconds: i32| MethodSetting {
            caching_enabled: Some(enabled),
            cache_ttl_in_seconds: Some(seconds),
            ..MethodSetting::default()
        };
        let stage = |settings: &[(&str, MethodSetting)]| Stage {
            method_settings: Some(
                settings.iter().map(|(key, own)| ((*key).to_owned(), own.clone())).collect(),
            ),
            ..Stage::default()
        };
        let check = |settings: &[(&str, MethodSetting)], method: Method, expected: Option<u64>| {
            assert_eq!(rules_of(stage(settings), "/pets", &method), expected, "{settings:?} {method}");
        };
        check(&[], Method::GET, None);
        check(&[("*/*", setting(true, 60))], Method::GET, Some(60));
        check(&[("*/*", setting(true, 60))], Method::POST, None);
        check(&[("*/*", setting(true, 0))], Method::GET, None);
        check(&[("*/*", setting(true, 60)), ("pets/GET", setting(false, 60))], Method::GET, None);
        check(&[("pets/POST", setting(true, 5))], Method::POST, Some(5));
        check(&[("pets/POST", setting(true, 5))], Method::GET, None);
    }

    proptest::proptest! {
        #[test]
        fn parts_never_run_into_each_other(
            one in proptest::collection::vec("[ab]{0,3}", 0..4),
            other in proptest::collection::vec("[ab]{0,3}", 0..4),
        ) {
            let written = |parts: &[String]| {
                let mut key = Vec::new();
                append_length(&mut key, parts.len());
                parts.iter().for_each(|part| append(&mut key, part.as_bytes()));
                key
            };
            proptest::prop_assert_eq!(written(&one) == written(&other), one == other);
        }
    }
}
