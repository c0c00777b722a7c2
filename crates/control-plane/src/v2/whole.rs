//! A whole WebSocket API, put in place at once: what a project's template defines.
//!
//! The ids of its members are given, so that whoever made the definition can refer to them before anything is written, and
//! can tell what a refusal is about.

use std::cell::RefCell;
use std::collections::BTreeSet;

use stagedoor_shapes::apigatewayv2::{
    Api, AuthorizationType, Authorizer, Deployment, Integration, IntegrationResponse, Model, ProtocolType,
    Route, RouteResponse, Stage,
};
use stagedoor_shapes::snapshot::ApiSnapshot;

use super::keys::{self, Kind};
use super::{
    V2, apis, authorizers, integration_responses, integrations, is_http, members, models, route_responses,
    routes, stages,
};
use crate::ApiError;
use crate::control_plane::{conflict, required};
use crate::quotas;
use crate::tx::Tx;

/// Marks the deployments that are made here, so that those that serve nothing any more can go.
const DESCRIPTION: &str = "Applied from a template";

/// An API with everything that belongs to it. Every member has its id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebSocketDefinition {
    /// The API. Its id is one that the definition chooses.
    pub api: Api,
    /// Models.
    pub models: Vec<Model>,
    /// Authorizers.
    pub authorizers: Vec<Authorizer>,
    /// Integrations.
    pub integrations: Vec<Integration>,
    /// Responses of integrations, each with the integration's id.
    pub integration_responses: Vec<(String, IntegrationResponse)>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Responses of routes, each with the route's id.
    pub route_responses: Vec<(String, RouteResponse)>,
    /// The stages that it is deployed to.
    pub stages: Vec<Stage>,
}

/// Why a definition is not put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The id of the member that is wrong, or the name of the stage; the API itself without one.
    pub member: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// Refusals as they are found.
#[derive(Default)]
struct Found(RefCell<Vec<Refusal>>);

impl Found {
    /// Notes a refusal, and passes on what is none.
    fn note(&self, member: Option<&str>, result: Result<(), ApiError>) -> Result<bool, ApiError> {
        match result {
            Ok(()) => Ok(true),
            Err(error @ ApiError::Internal(_)) => Err(error),
            Err(error) => {
                let refusal = Refusal { member: member.map(str::to_owned), message: error.to_string() };
                self.0.borrow_mut().push(refusal);
                Ok(false)
            }
        }
    }
}

impl V2<'_> {
    /// Puts an API in place of what was there under its id, and deploys it to its stages. Other stages stay.
    ///
    /// # Errors
    /// Everything that AWS would refuse or that cannot be served; nothing has changed then.
    pub fn put_websocket(&self, definition: &WebSocketDefinition) -> Result<(), Vec<Refusal>> {
        let found = Found::default();
        let done = self.0.transact(|tx| {
            found.0.borrow_mut().clear();
            self.put_all(tx, definition, &found)?;
            // What has been written so far goes with this error.
            match found.0.borrow().is_empty() {
                true => Ok(()),
                false => conflict("the definition is refused"),
            }
        });
        let found = found.0.into_inner();
        match done {
            Ok(()) => Ok(()),
            Err(_) if !found.is_empty() => Err(found),
            Err(error) => Err(vec![Refusal { member: None, message: error.to_string() }]),
        }
    }

    fn put_all(&self, tx: &Tx, definition: &WebSocketDefinition, found: &Found) -> Result<(), ApiError> {
        let id = required(&definition.api.api_id);
        let before: Option<Api> = tx.get(&keys::api(id))?;
        let created = before.as_ref().and_then(|before| before.created_date);
        if before.is_some_and(|before| is_http(&before)) || tx.exists(&crate::keys::api(id))? {
            let taken = conflict(format!("the id {id} belongs to another API"));
            return found.note(None, taken).map(drop);
        }
        let mut api = definition.api.clone();
        api.protocol_type = Some(ProtocolType::Websocket);
        api.created_date = created;
        self.fill_in(&mut api);
        if !found.note(None, apis::check(&api))? {
            return Ok(());
        }
        let most = &self.0.settings.quotas;
        for (count, max, what) in [
            (definition.routes.len(), most.routes_per_api, "Routes"),
            (definition.integrations.len(), most.integrations_per_api, "Integrations"),
            (definition.authorizers.len(), most.authorizers_per_api, "Authorizers"),
        ] {
            found.note(None, quotas::check(count, max, what, "API"))?;
        }
        tx.put(&keys::api(id), &api)?;
        self.put_members(tx, &api, definition, found)?;
        if found.0.borrow().is_empty() {
            self.put_stages(tx, &api, &definition.stages, found)?;
        }
        Ok(())
    }

    fn put_members(
        &self,
        tx: &Tx,
        api: &Api,
        definition: &WebSocketDefinition,
        found: &Found,
    ) -> Result<(), ApiError> {
        let id = required(&api.api_id);
        use Kind::{Authorizer, Integration, IntegrationResponse, Model, Route, RouteResponse};
        for kind in [Authorizer, Integration, IntegrationResponse, Model, Route, RouteResponse] {
            tx.delete_all(&keys::all(id, kind))?;
        }
        for model in &definition.models {
            let mut model = model.clone();
            model.content_type.get_or_insert_with(|| "application/json".to_owned());
            // A model may refer to one that comes after it.
            tx.put(&keys::one(id, Model, required(&model.model_id)), &model)?;
        }
        for model in &definition.models {
            let stored = members::find(tx, id, Model, required(&model.model_id))?;
            found.note(model.model_id.as_deref(), models::check(tx, id, &stored))?;
        }
        for authorizer in &definition.authorizers {
            let own = authorizer.authorizer_id.as_deref();
            let checked = authorizers::check(api, authorizer)
                .and_then(|()| authorizers::check_unique(tx, id, authorizer));
            found.note(own, checked)?;
            tx.put(&keys::one(id, Authorizer, own.unwrap_or_default()), authorizer)?;
        }
        for integration in &definition.integrations {
            let mut integration = integration.clone();
            integrations::complete(api, &mut integration);
            let own = integration.integration_id.as_deref();
            found.note(own, integrations::check(tx, api, &integration))?;
            tx.put(&keys::one(id, Integration, own.unwrap_or_default()), &integration)?;
        }
        for (owner, response) in &definition.integration_responses {
            let own = response.integration_response_id.as_deref();
            found.note(own, integration_responses::check(tx, id, owner, response))?;
            tx.put(&keys::one_of(id, IntegrationResponse, owner, own.unwrap_or_default()), response)?;
        }
        for route in &definition.routes {
            let mut route = route.clone();
            route.api_key_required.get_or_insert(false);
            route.authorization_type.get_or_insert(AuthorizationType::None);
            let own = route.route_id.as_deref();
            let checked = routes::check_alone(tx, api, &route, None)
                .and_then(|()| routes::check_unique(tx, id, &route));
            found.note(own, checked)?;
            tx.put(&keys::one(id, Route, own.unwrap_or_default()), &route)?;
        }
        for (owner, response) in &definition.route_responses {
            let own = response.route_response_id.as_deref();
            found.note(own, route_responses::check(tx, api, owner, response))?;
            tx.put(&keys::one_of(id, RouteResponse, owner, own.unwrap_or_default()), response)?;
        }
        Ok(())
    }

    fn put_stages(&self, tx: &Tx, api: &Api, wanted: &[Stage], found: &Found) -> Result<(), ApiError> {
        let id = required(&api.api_id);
        let snapshot: ApiSnapshot = self.snapshot(tx, id)?;
        let deployment = match served_already(tx, id, &snapshot)? {
            Some(deployment) => deployment,
            None => {
                let made = self.freeze(tx, id, &snapshot, false, Some(DESCRIPTION.to_owned()))?;
                made.deployment_id.unwrap_or_default()
            }
        };
        for stage in wanted {
            let name = required(&stage.stage_name);
            let before: Option<Stage> = tx.get(&keys::one(id, Kind::Stage, name))?;
            let mut stage: Stage = super::updated(&self.new_stage(name, false), stage)?;
            stage.created_date =
                before.as_ref().and_then(|before| before.created_date).or(stage.created_date);
            stage.deployment_id = Some(deployment.clone());
            if let Some(before) = &before {
                let as_then = Stage { last_updated_date: before.last_updated_date, ..stage.clone() };
                if as_then == *before {
                    stage = as_then;
                }
            }
            let checked = stages::check_name(api, name)
                .and_then(|()| stages::check(tx, api, &stage))
                .and_then(|()| self.check_deployable(&snapshot, Some(&stage)).map_err(ApiError::BadRequest));
            found.note(Some(name), checked)?;
            tx.put(&keys::one(id, Kind::Stage, name), &stage)?;
        }
        let most = self.0.settings.quotas.stages_per_api;
        found
            .note(None, quotas::check(tx.keys(&keys::all(id, Kind::Stage))?.len(), most, "Stages", "API"))?;
        // Those before it that no other stage serves are of no use to anybody; what somebody else deployed is theirs.
        let stages = tx.scan::<Stage>(&keys::all(id, Kind::Stage))?.into_values();
        let served: BTreeSet<String> = stages.filter_map(|stage| stage.deployment_id).collect();
        for old in tx.scan::<Deployment>(&keys::all(id, Kind::Deployment))?.into_values() {
            let is_ours = old.description.as_deref() == Some(DESCRIPTION);
            let old = required(&old.deployment_id);
            if is_ours && !served.contains(old) {
                tx.delete(&keys::one(id, Kind::Deployment, old));
                tx.delete(&keys::one(id, Kind::Snapshot, old));
            }
        }
        Ok(())
    }
}

/// The deployment of a stage that serves just this.
fn served_already(tx: &Tx, id: &str, snapshot: &ApiSnapshot) -> Result<Option<String>, ApiError> {
    for stage in tx.scan::<Stage>(&keys::all(id, Kind::Stage))?.into_values() {
        let Some(deployment) = stage.deployment_id else { continue };
        let served: Option<ApiSnapshot> = tx.get(&keys::one(id, Kind::Snapshot, &deployment))?;
        if served.as_ref() == Some(snapshot) {
            return Ok(Some(deployment));
        }
    }
    Ok(None)
}
