//! A document applied as a whole: the HTTP API, and stages that serve it, in one transaction.
//!
//! This is what keeps a project in place while it is edited, as `imports/deploy.rs` does for REST APIs: either everything
//! in the document is served, or what was served before goes on being served.

use std::collections::BTreeMap;

use serde_json::Value;
use stagedoor_shapes::apigatewayv2::{Api, ProtocolType, RouteSettings, Stage};

use super::super::keys::{self, Kind};
use super::super::{V2, stages};
use super::BasePath;
use crate::control_plane::{bad_request, required};
use crate::tx::Tx;
use crate::{ApiError, api_mappings, quotas};

/// A stage as a document's project defines it. It deploys itself. Whatever else a stage has stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpStageDefinition {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// All its variables.
    pub variables: BTreeMap<String, String>,
    /// Settings of routes that have none of their own.
    pub default_route_settings: Option<RouteSettings>,
    /// Settings by route key.
    pub route_settings: BTreeMap<String, RouteSettings>,
}

impl V2<'_> {
    /// Makes the HTTP API of that id what a document says, and serves it in stages. The API is made if it is not there.
    /// Stages of an earlier call that are not named any more are removed; those that somebody else made are left alone.
    /// Answers the warnings of the import.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] with all that is wrong, a line each; then nothing has changed.
    pub fn deploy_document(
        &self,
        id: &str,
        root: &Value,
        definitions: &[HttpStageDefinition],
    ) -> Result<Vec<String>, ApiError> {
        let definition = self.definition(root.clone(), BasePath::Ignore);
        // What is left out, and a route that leads nowhere, is a slip of the pen in a project.
        let mut problems = [&definition.errors[..], &definition.lost[..]].concat();
        let lost = definition.routes.iter().filter(|(_, integration, _)| integration.is_none());
        let lost: Vec<String> = lost
            .map(|(route, ..)| format!("{}: there is no integration", required(&route.route_key)))
            .collect();
        if !lost.is_empty() {
            problems.extend([&definition.warnings[..], &lost[..]].concat());
        }
        if !problems.is_empty() {
            return bad_request(problems.join("\n"));
        }
        self.0.transact(|tx| {
            if tx.exists(&crate::keys::api(id))? {
                return bad_request(format!(
                    "there is a REST API with the id {id}; delete it, or take another id"
                ));
            }
            let before = tx.get::<Api>(&keys::api(id))?;
            // The stages come first: what is filled in is deployed to them.
            let lost = match before {
                Some(before) => {
                    self.put_project_stages(tx, &before, definitions)?;
                    self.replace(tx, before, &definition)?.1
                }
                None => {
                    let (api_id, protocol_type) = (Some(id.to_owned()), Some(ProtocolType::Http));
                    let api = self.new_api(tx, Api { api_id, protocol_type, ..definition.api.clone() })?;
                    self.put_project_stages(tx, &api, definitions)?;
                    self.fill(tx, &api, &definition)?
                }
            };
            if !lost.is_empty() {
                return bad_request(lost.join("\n"));
            }
            self.check_served(tx, id, definitions)?;
            Ok([&definition.warnings[..], &definition.unheard[..]].concat())
        })
    }

    fn put_project_stages(
        &self,
        tx: &Tx,
        api: &Api,
        definitions: &[HttpStageDefinition],
    ) -> Result<(), ApiError> {
        let id = required(&api.api_id);
        for definition in definitions {
            stages::check_name(api, &definition.name)?;
            let key = keys::one(id, Kind::Stage, &definition.name);
            let mut stage = match tx.get::<Stage>(&key)? {
                Some(stage) => stage,
                None => self.new_stage(&definition.name, true),
            };
            stage.auto_deploy = Some(true);
            stage.description.clone_from(&definition.description);
            stage.stage_variables = Some(definition.variables.clone());
            let settings = definition.default_route_settings.clone();
            stage.default_route_settings =
                settings.or_else(|| self.new_stage(&definition.name, true).default_route_settings);
            stage.route_settings = Some(definition.route_settings.clone());
            tx.put(&key, &stage)?;
        }
        let key = keys::project_stages(id);
        let named: Vec<&str> = definitions.iter().map(|definition| definition.name.as_str()).collect();
        let ours: Vec<String> = tx.get(&key)?.unwrap_or_default();
        for gone in ours.iter().filter(|name| !named.contains(&name.as_str())) {
            api_mappings::check_unmapped_v2(tx, id, Some(gone))?;
            tx.delete(&keys::one(id, Kind::Stage, gone));
        }
        tx.put(&key, &named)?;
        let most = self.0.settings.quotas.stages_per_api;
        quotas::check(tx.keys(&keys::all(id, Kind::Stage))?.len(), most, "Stages", "API")
    }

    /// A stage that could not be deployed to goes on with what it served. Here that fails the whole.
    fn check_served(&self, tx: &Tx, id: &str, definitions: &[HttpStageDefinition]) -> Result<(), ApiError> {
        let api = self.api(tx, id)?;
        let mut problems: Vec<String> = Vec::new();
        for definition in definitions {
            let stage: Stage = self.find(tx, id, Kind::Stage, &definition.name)?;
            stages::check(tx, &api, &stage)?;
            let message = required(&stage.last_deployment_status_message);
            let Some(failure) = message.strip_prefix(super::super::auto_deploy::FAILED) else { continue };
            // The message has all of it in one line; asked again, the compiler says what is wrong one by one.
            let snapshot = self.snapshot(tx, id)?;
            let found = self.0.settings.deployment_check.check_v2(&snapshot, Some(&stage));
            for problem in found.err().unwrap_or_else(|| vec![failure.to_owned()]) {
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { bad_request(problems.join("\n")) }
    }
}
