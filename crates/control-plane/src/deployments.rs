//! Deployments: what an API was at some moment, for stages to serve.

use std::collections::BTreeMap;

use stagedoor_shapes::apigateway::{
    CreateDeploymentRequest, DeleteDeploymentRequest, Deployment, Deployments, GetDeploymentRequest,
    GetDeploymentsRequest, MethodSnapshot, Stage, UpdateDeploymentRequest,
};
use stagedoor_shapes::snapshot::RestApiSnapshot;

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, not_found, required, whole_seconds};
use crate::keys::{self, Kind};
use crate::page::{by_date, page};
use crate::patch::{REPLACE, Style, Table};
use crate::tx::Tx;
use crate::{canary, ids, stages};

#[derive(Clone, Copy, Debug)]
enum Field {
    Description,
}

const PATCHES: Table<Field> =
    Table { style: Style::Listing, rows: &[("/description", REPLACE, Field::Description)] };

impl ControlPlane {
    /// `CreateDeployment`: freezes the API as it is, and points a stage at it if one is named. A stage that is not
    /// there is made.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::BadRequest`] if the API has no methods, or with everything
    /// that could not be served.
    pub fn create_deployment(&self, input: CreateDeploymentRequest) -> Result<Deployment, ApiError> {
        let api = required(&input.rest_api_id);
        self.transact(|tx| {
            let snapshot = self.load_api(tx, api)?;
            check_methods(&snapshot)?;
            let deployment = Deployment {
                id: Some(unused_id(tx, api)?),
                description: input.description.clone().filter(|description| !description.is_empty()),
                created_date: Some(self.now()),
                api_summary: Some(summary(&snapshot)),
            };
            let id = required(&deployment.id);
            let stage = self.deployed_to(tx, &input, id)?;
            let seen = stage.as_ref().and_then(canary::stage_of_canary);
            self.check_deployable(&snapshot, seen.as_ref().or(stage.as_ref()))?;
            if let Some(stage) = stage {
                tx.put(&keys::one(api, Kind::Stage, required(&stage.stage_name)), &stage)?;
            }
            tx.put(&keys::one(api, Kind::Snapshot, id), &snapshot)?;
            tx.put(&keys::one(api, Kind::Deployment, id), &deployment)?;
            Ok(answer(deployment, false))
        })
    }

    /// The stage that a deployment goes to, as it will be.
    fn deployed_to(
        &self,
        tx: &Tx,
        input: &CreateDeploymentRequest,
        deployment: &str,
    ) -> Result<Option<Stage>, ApiError> {
        let Some(name) = input.stage_name.as_deref().filter(|name| !name.is_empty()) else {
            if input.canary_settings.is_some() {
                // The missing space is AWS's.
                return bad_request(format!(
                    "Invalid deployment content specified.Non null and non empty stageName must be provided for \
                     canary deployment. Provided value is {}",
                    input.stage_name.as_deref().unwrap_or("null")
                ));
            }
            return Ok(None);
        };
        let key = keys::one(required(&input.rest_api_id), Kind::Stage, name);
        let mut stage = match tx.get::<Stage>(&key)? {
            Some(stage) => stage,
            None if input.canary_settings.is_some() => {
                return bad_request(format!(
                    "Invalid deployment content specified.Stage {name} must already be created before making a canary \
                     release deployment"
                ));
            }
            None => {
                self.check_stage_quota(tx, required(&input.rest_api_id))?;
                stages::new(name, self.now())?
            }
        };
        match &input.canary_settings {
            Some(settings) => stage.canary_settings = Some(canary::deployed(settings, deployment)?),
            None if stage.canary_settings.is_some() => {
                return bad_request(format!(
                    "Invalid deployment content specified.Non canary deployment not supported on stage {name} because Canary \
                     is enabled. Provide CanarySettings in deploymentInput."
                ));
            }
            None => stage.deployment_id = Some(deployment.to_owned()),
        }
        stage.last_updated_date = Some(self.now());
        let description = input.stage_description.clone().filter(|description| !description.is_empty());
        stage.description = description.or(stage.description);
        if let Some(variables) = &input.variables {
            stages::check_variables(variables)?;
            stage.variables = Some(variables.clone()).filter(|variables| !variables.is_empty());
        }
        stages::set_cache_cluster(&mut stage, input.cache_cluster_enabled, input.cache_cluster_size);
        stage.tracing_enabled = input.tracing_enabled.or(stage.tracing_enabled);
        Ok(Some(stage))
    }

    /// `GetDeployment`; `embed=apisummary` asks for the methods that it has.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such deployment.
    pub fn get_deployment(&self, input: GetDeploymentRequest) -> Result<Deployment, ApiError> {
        let deployment =
            self.read(|tx| find(tx, required(&input.rest_api_id), required(&input.deployment_id)))?;
        let embed = input.embed.unwrap_or_default();
        Ok(answer(deployment, embed.iter().any(|part| part.eq_ignore_ascii_case("apisummary"))))
    }

    /// `GetDeployments`, in the order in which they were made.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API.
    pub fn get_deployments(&self, input: GetDeploymentsRequest) -> Result<Deployments, ApiError> {
        let api = required(&input.rest_api_id);
        let deployments = self.read(|tx| {
            self.api(tx, api)?;
            tx.scan::<Deployment>(&keys::all(api, Kind::Deployment))
        })?;
        let deployments: BTreeMap<_, _> = deployments
            .into_values()
            .map(|deployment| {
                (by_date(deployment.created_date, required(&deployment.id)), answer(deployment, false))
            })
            .collect();
        let (items, position) = page(deployments, input.position.as_deref(), input.limit)?;
        Ok(Deployments { items, position })
    }

    /// `UpdateDeployment`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such deployment, [`ApiError::BadRequest`] for a patch that AWS refuses.
    pub fn update_deployment(&self, input: UpdateDeploymentRequest) -> Result<Deployment, ApiError> {
        let (api, id) = (required(&input.rest_api_id), required(&input.deployment_id));
        self.transact(|tx| {
            let mut deployment = find(tx, api, id)?;
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                match patch.field {
                    Field::Description => deployment.description = patch.text(),
                }
            }
            tx.put(&keys::one(api, Kind::Deployment, id), &deployment)?;
            Ok(answer(deployment, false))
        })
    }

    /// `DeleteDeployment`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such deployment, [`ApiError::BadRequest`] if a stage serves it.
    pub fn delete_deployment(&self, input: DeleteDeploymentRequest) -> Result<(), ApiError> {
        let (api, id) = (required(&input.rest_api_id), required(&input.deployment_id));
        self.transact(|tx| {
            find(tx, api, id)?;
            let stages = tx.scan::<Stage>(&keys::all(api, Kind::Stage))?;
            let serves = |stage: &Stage| {
                let canary =
                    stage.canary_settings.as_ref().and_then(|canary| canary.deployment_id.as_deref());
                stage.deployment_id.as_deref() == Some(id) || canary == Some(id)
            };
            if stages.values().any(serves) {
                return bad_request("Active stages pointing to this deployment must be moved or deleted");
            }
            tx.delete(&keys::one(api, Kind::Deployment, id));
            tx.delete(&keys::one(api, Kind::Snapshot, id));
            Ok(())
        })
    }
}

fn find(tx: &Tx, api: &str, id: &str) -> Result<Deployment, ApiError> {
    match tx.get(&keys::one(api, Kind::Deployment, id))? {
        Some(deployment) => Ok(deployment),
        None => not_found("Invalid Deployment identifier specified"),
    }
}

pub(crate) fn unused_id(tx: &Tx, api: &str) -> Result<String, ApiError> {
    loop {
        let id = ids::short()?;
        if !tx.exists(&keys::one(api, Kind::Deployment, &id))? {
            return Ok(id);
        }
    }
}

fn answer(mut deployment: Deployment, with_summary: bool) -> Deployment {
    deployment.created_date = whole_seconds(deployment.created_date);
    deployment.api_summary = deployment.api_summary.filter(|_| with_summary);
    deployment
}

/// An API needs a method to be deployed, and every method an integration.
fn check_methods(snapshot: &RestApiSnapshot) -> Result<(), ApiError> {
    let mut methods =
        snapshot.resources.iter().flat_map(|resource| resource.resource_methods.iter().flatten());
    let Some(first) = methods.next() else {
        return bad_request("The REST API doesn't contain any methods");
    };
    if std::iter::once(first).chain(methods).any(|(_, method)| method.method_integration.is_none()) {
        return bad_request("No integration defined for method");
    }
    Ok(())
}

pub(crate) fn summary(snapshot: &RestApiSnapshot) -> BTreeMap<String, BTreeMap<String, MethodSnapshot>> {
    let mut summary = BTreeMap::new();
    for resource in &snapshot.resources {
        let methods = resource.resource_methods.iter().flatten().map(|(name, method)| {
            let shown = MethodSnapshot {
                authorization_type: method.authorization_type.clone(),
                api_key_required: method.api_key_required,
            };
            (name.clone(), shown)
        });
        let methods: BTreeMap<_, _> = methods.collect();
        if !methods.is_empty() {
            summary.insert(required(&resource.path).to_owned(), methods);
        }
    }
    summary
}
