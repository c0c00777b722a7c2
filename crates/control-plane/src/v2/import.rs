//! Whole HTTP APIs from OpenAPI 3.0 documents: `ImportApi` and `ReimportApi`.
//!
//! A document is read into an API with its routes, integrations and authorizers before anything is written, so one that
//! is refused leaves no trace. What is left out is told in the answer: in `warnings` what the author will miss, in
//! `importInfo` what HTTP APIs do not have at all.

mod deploy;
mod document;
mod extensions;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;
use stagedoor_openapi::Document;
use stagedoor_shapes::apigatewayv2::{
    Api, AuthorizationType, Authorizer, ImportApiRequest, Integration, ProtocolType, ReimportApiRequest,
    Route,
};

pub use deploy::HttpStageDefinition;
use stagedoor_shapes::snapshot::INTEGRATION_TARGET;

use super::keys::{self, Kind};
use super::{V2, all, apis, authorizers, members, route_key, routes};
use crate::control_plane::{bad_request, required};
use crate::imports::apply::with_parameters;
use crate::tx::Tx;
use crate::{ApiError, issuers, quotas};

/// What a document defines. Integrations and authorizers go by the names that they have in it.
#[derive(Debug, Default)]
struct Definition {
    api: Api,
    /// The names of integrations that cannot be made, and of which that has been said.
    unusable: BTreeSet<String>,
    integrations: BTreeMap<String, Integration>,
    /// Those that cannot be made are here without a shape, so that no route that they were to guard is open.
    authorizers: BTreeMap<String, Option<Authorizer>>,
    /// The issuers that authorizers may not name.
    refused_issuers: BTreeSet<String>,
    /// Each with the names of its integration and its authorizer.
    routes: Vec<(Route, Option<String>, Option<String>)>,
    errors: Vec<String>,
    /// What could not be made of what the document asks for: warnings of an import, errors in a project.
    lost: Vec<String>,
    warnings: Vec<String>,
    info: Vec<String>,
    /// What only REST APIs have: information of an import, warnings in a project.
    unheard: Vec<String>,
}

/// What becomes of the path that stands before all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BasePath {
    Ignore,
    Prepend,
    Split,
}

impl V2<'_> {
    /// `ImportApi`.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a document that cannot be imported, with all that is wrong with it.
    pub fn import_api(&self, input: ImportApiRequest) -> Result<Api, ApiError> {
        let definition = self.read(input.body.as_deref(), input.basepath.as_deref())?;
        self.0.transact(|tx| {
            let api = Api { protocol_type: Some(ProtocolType::Http), ..definition.api.clone() };
            let api = self.new_api(tx, api)?;
            let lost = self.fill(tx, &api, &definition)?;
            answer(api, &definition, lost, input.fail_on_warnings)
        })
    }

    /// `ReimportApi`: the document takes the place of everything but the API's id and its stages. Routes that are in both
    /// keep their ids.
    ///
    /// # Errors
    /// As for `ImportApi`, and [`ApiError::NotFound`] if there is no such API.
    pub fn reimport_api(&self, input: ReimportApiRequest) -> Result<Api, ApiError> {
        let id = required(&input.api_id);
        self.0.read(|tx| self.api(tx, id).map(drop))?;
        let definition = self.read(input.body.as_deref(), input.basepath.as_deref())?;
        self.0.transact(|tx| {
            let (api, lost) = self.replace(tx, self.api(tx, id)?, &definition)?;
            answer(api, &definition, lost, input.fail_on_warnings)
        })
    }

    /// Has a document take the place of an API's definitions. Answers the API and what could not be made.
    fn replace(&self, tx: &Tx, before: Api, definition: &Definition) -> Result<(Api, Vec<String>), ApiError> {
        if !super::is_http(&before) {
            return bad_request("Import is only supported for HTTP APIs");
        }
        let new = &definition.api;
        let api = Api {
            name: new.name.clone(),
            description: new.description.clone(),
            version: new.version.clone(),
            cors_configuration: new.cors_configuration.clone(),
            disable_execute_api_endpoint: new
                .disable_execute_api_endpoint
                .or(before.disable_execute_api_endpoint),
            ip_address_type: new.ip_address_type.or(before.ip_address_type),
            tags: new.tags.clone().or(before.tags),
            ..before
        };
        let id = required(&api.api_id);
        apis::check(&api)?;
        apis::check_cors_of(&api)?;
        tx.put(&keys::api(id), &api)?;
        let known: Vec<Route> = all(tx, id, Kind::Route)?;
        for kind in [Kind::Route, Kind::Integration, Kind::Authorizer] {
            tx.delete_all(&keys::all(id, kind))?;
        }
        let mut definition_again = definition.routes.clone();
        let known: HashMap<_, _> =
            known.iter().map(|route| (required(&route.route_key), &route.route_id)).collect();
        for (route, ..) in &mut definition_again {
            route.route_id = known.get(required(&route.route_key)).and_then(|id| (*id).clone());
        }
        let lost = self.fill_with(tx, &api, definition, &definition_again)?;
        Ok((api, lost))
    }

    fn fill(&self, tx: &Tx, api: &Api, definition: &Definition) -> Result<Vec<String>, ApiError> {
        self.fill_with(tx, api, definition, &definition.routes)
    }

    /// Writes what belongs to an API, and deploys it where that is asked for. Answers what could not be made.
    fn fill_with(
        &self,
        tx: &Tx,
        api: &Api,
        definition: &Definition,
        defined: &[(Route, Option<String>, Option<String>)],
    ) -> Result<Vec<String>, ApiError> {
        let id = required(&api.api_id);
        let most = &self.0.settings.quotas;
        quotas::check(defined.len(), most.routes_per_api, "Routes", "API")?;
        quotas::check(definition.integrations.len(), most.integrations_per_api, "Integrations", "API")?;
        quotas::check(definition.authorizers.len(), most.authorizers_per_api, "Authorizers", "API")?;
        let (mut errors, mut lost) = (Vec::new(), Vec::new());
        let mut integration_ids = BTreeMap::new();
        for (name, integration) in &definition.integrations {
            match self.new_integration(tx, api, integration.clone()) {
                Ok(made) => _ = integration_ids.insert(name, made.integration_id),
                Err(ApiError::BadRequest(message)) => {
                    let users =
                        defined.iter().filter(|(_, integration, _)| integration.as_ref() == Some(name));
                    let mut places: Vec<_> = users.map(|(route, ..)| required(&route.route_key)).collect();
                    if places.is_empty() {
                        places.push(name);
                    }
                    lost.extend(places.into_iter().map(|place| document::no_integration(place, &message)));
                }
                Err(error) => return Err(error),
            }
        }
        let mut authorizer_ids = BTreeMap::new();
        for (name, authorizer) in &definition.authorizers {
            let Some(mut authorizer) = authorizer.clone() else { continue };
            let authorizer_id = members::unused(tx, id, Kind::Authorizer)?;
            authorizer.authorizer_id = Some(authorizer_id.clone());
            let issuer = authorizers::issuer_of(authorizer.jwt_configuration.as_ref()).unwrap_or_default();
            let checked = authorizers::check(api, &authorizer);
            let checked = checked.and_then(|()| match definition.refused_issuers.contains(issuer) {
                true => bad_request(issuers::refusal(issuer)),
                false => Ok(()),
            });
            match checked {
                Ok(()) => tx.put(&keys::one(id, Kind::Authorizer, &authorizer_id), &authorizer)?,
                Err(error) => {
                    lost.push(document::no_authorizer(name, &error.to_string()));
                    continue;
                }
            }
            authorizer_ids.insert(name, authorizer_id);
        }
        let mut forms = HashSet::with_capacity(defined.len());
        for (route, integration, authorizer) in defined {
            let mut route = route.clone();
            if route.route_id.is_none() {
                route.route_id = Some(members::unused(tx, id, Kind::Route)?);
            }
            let target = integration.as_ref().and_then(|name| integration_ids.get(name).cloned().flatten());
            route.target = target.map(|id| format!("{INTEGRATION_TARGET}{id}"));
            route.authorizer_id = match authorizer.as_ref().map(|name| authorizer_ids.get(name)) {
                None => None,
                Some(Some(id)) => Some(id.clone()),
                // Without what was to guard it the route would be open.
                Some(None) => {
                    let kind = route.authorization_type.as_ref().unwrap_or(&AuthorizationType::Jwt);
                    lost.push(document::unguarded(required(&route.route_key), kind.as_str()));
                    continue;
                }
            };
            // Asking the store for other routes each time would take the square of their number.
            let key = required(&route.route_key);
            let checked = match forms.insert(route_key::form(key)) {
                true => routes::check_alone(tx, api, &route, None),
                false => routes::already_there(key),
            };
            match checked {
                Ok(()) => tx.put(&keys::one(id, Kind::Route, required(&route.route_id)), &route)?,
                Err(ApiError::Internal(message)) => return Err(ApiError::Internal(message)),
                Err(error) => errors.push(format!("{}: {error}", required(&route.route_key))),
            }
        }
        if !errors.is_empty() {
            return refused(&errors);
        }
        self.redeploy(tx, id)?;
        Ok(lost)
    }
}

fn refused<T>(errors: &[String]) -> Result<T, ApiError> {
    bad_request(format!("Errors found during import:{}", lines(errors)))
}

fn lines(findings: &[String]) -> String {
    findings.iter().map(|finding| format!("\n\t{finding}")).collect()
}

/// The API with all that was found, unless warnings are to fail the import.
fn answer(
    api: Api,
    definition: &Definition,
    lost: Vec<String>,
    fail_on_warnings: Option<bool>,
) -> Result<Api, ApiError> {
    let mut warnings = [&definition.warnings[..], &definition.lost[..]].concat();
    warnings.extend(lost);
    if fail_on_warnings == Some(true) && !warnings.is_empty() {
        return bad_request(format!("Warnings found during import:{}", lines(&warnings)));
    }
    let some = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
    let info = [&definition.info[..], &definition.unheard[..]].concat();
    let (warnings, import_info) = (some(warnings), some(info));
    Ok(Api { warnings, import_info, ..apis::answer(api) })
}

impl V2<'_> {
    /// Reads a document, or says everything that is wrong with it.
    fn read(&self, body: Option<&str>, base_path: Option<&str>) -> Result<Definition, ApiError> {
        let base_path = match base_path {
            None | Some("" | "ignore") => BasePath::Ignore,
            Some("prepend") => BasePath::Prepend,
            Some("split") => BasePath::Split,
            Some(other) => {
                return bad_request(format!(
                    "Invalid basepath '{other}' specified. Valid options are ignore,prepend,split"
                ));
            }
        };
        let body = body.unwrap_or_default();
        let root = Document::parse(body).map_err(|findings| {
            let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
            ApiError::BadRequest(format!("Invalid OpenAPI input.{}", lines(&findings)))
        })?;
        let mut root = root.to_json();
        if body.trim_start().starts_with('{') {
            shorten_versions(&mut root);
        }
        let definition = self.definition(root, base_path);
        if !definition.errors.is_empty() {
            return refused(&definition.errors);
        }
        Ok(definition)
    }

    /// What a document defines, with its issuers asked. CloudFormation's pseudo parameters are replaced, as they are for REST APIs.
    fn definition(&self, mut root: Value, base_path: BasePath) -> Definition {
        let settings = &self.0.settings;
        replace_parameters(&mut root, &|text| with_parameters(text, &settings.account_id, &settings.region));
        let mut definition = document::read(&root, base_path);
        if definition.errors.is_empty() {
            let authorizers = definition.authorizers.values().flatten();
            // More are refused once they are looked at.
            let authorizers = authorizers
                .filter(|it| authorizers::check(&definition.api, it).is_ok())
                .take(settings.quotas.authorizers_per_api);
            let named = authorizers.filter_map(|it| authorizers::issuer_of(it.jwt_configuration.as_ref()));
            definition.refused_issuers = issuers::refused(settings, named);
        }
        definition
    }
}

/// AWS reads a number of JSON without the zeros at its end, and knows no format 1: the developer guide's own example of a
/// document makes no integrations. In YAML `1.0` stays what it is.
fn shorten_versions(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(shorten_versions),
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_f64().filter(|_| name == "payloadFormatVersion") {
                    Some(number) => *member = number.to_string().into(),
                    None => shorten_versions(member),
                }
            }
        }
        _ => {}
    }
}

fn replace_parameters(value: &mut Value, with: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) if text.contains("${AWS::") => *text = with(text),
        Value::Array(items) => items.iter_mut().for_each(|item| replace_parameters(item, with)),
        Value::Object(members) => members.values_mut().for_each(|member| replace_parameters(member, with)),
        _ => {}
    }
}
