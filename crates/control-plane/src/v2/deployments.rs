//! Deployments: what an API was at some moment, for stages to serve.

use stagedoor_shapes::apigatewayv2::{
    CreateDeploymentRequest, DeleteDeploymentRequest, Deployment, DeploymentStatus, GetDeploymentRequest,
    GetDeploymentsRequest, GetDeploymentsResponse, Stage, UpdateDeploymentRequest,
};
use stagedoor_shapes::snapshot::ApiSnapshot;

use super::keys::{self, Kind};
use super::{V2, all, is_http, members, page_of, updated};
use crate::ApiError;
use crate::control_plane::{bad_request, required, whole_seconds};
use crate::page::newest_first;
use crate::tx::Tx;

impl V2<'_> {
    /// `CreateDeployment`: freezes the API as it is, and points a stage at it if one is named.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API or stage, [`ApiError::BadRequest`] if the API has no routes, or with
    /// everything that could not be served.
    pub fn create_deployment(&self, input: CreateDeploymentRequest) -> Result<Deployment, ApiError> {
        let api = required(&input.api_id);
        self.0.transact(|tx| {
            let snapshot = self.snapshot(tx, api)?;
            let stage = match input.stage_name.as_deref().filter(|name| !name.is_empty()) {
                Some(name) => {
                    let stage: Stage = members::find(tx, api, Kind::Stage, name)?;
                    if stage.auto_deploy == Some(true) {
                        return bad_request(
                            "Deployment cannot be specified for a stage with autoDeploy enabled",
                        );
                    }
                    Some(stage)
                }
                None => None,
            };
            self.check_deployable(&snapshot, stage.as_ref()).map_err(ApiError::BadRequest)?;
            let description = input.description.clone().filter(|text| !text.is_empty());
            let deployment = self.freeze(tx, api, &snapshot, false, description)?;
            if let Some(mut stage) = stage {
                stage.deployment_id.clone_from(&deployment.deployment_id);
                stage.last_updated_date = Some(self.0.now());
                tx.put(&keys::one(api, Kind::Stage, required(&stage.stage_name)), &stage)?;
            }
            Ok(answer(deployment))
        })
    }

    /// Keeps an API as it is, for stages to serve.
    pub(super) fn freeze(
        &self,
        tx: &Tx,
        api: &str,
        snapshot: &ApiSnapshot,
        is_automatic: bool,
        description: Option<String>,
    ) -> Result<Deployment, ApiError> {
        let id = members::unused(tx, api, Kind::Deployment)?;
        let deployment = Deployment {
            auto_deployed: Some(is_automatic),
            created_date: Some(self.0.now()),
            deployment_id: Some(id.clone()),
            deployment_status: Some(DeploymentStatus::Deployed),
            deployment_status_message: None,
            description,
        };
        tx.put(&keys::one(api, Kind::Snapshot, &id), snapshot)?;
        tx.put(&keys::one(api, Kind::Deployment, &id), &deployment)?;
        Ok(deployment)
    }

    /// `GetDeployment`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such deployment.
    pub fn get_deployment(&self, input: GetDeploymentRequest) -> Result<Deployment, ApiError> {
        let (api, id) = (required(&input.api_id), required(&input.deployment_id));
        self.0.read(|tx| self.find(tx, api, Kind::Deployment, id).map(answer))
    }

    /// `GetDeployments`, the newest first, as the AWS CLI's documentation shows them.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::BadRequest`] for a token that no page has answered.
    pub fn get_deployments(&self, input: GetDeploymentsRequest) -> Result<GetDeploymentsResponse, ApiError> {
        let api = required(&input.api_id);
        let deployments: Vec<Deployment> = self.0.read(|tx| {
            self.api(tx, api)?;
            all(tx, api, Kind::Deployment)
        })?;
        let mut deployments: Vec<_> = deployments
            .into_iter()
            .map(|one| (newest_first(one.created_date, required(&one.deployment_id)), answer(one)))
            .collect();
        deployments.sort_by(|(one, _), (other, _)| one.cmp(other));
        let (items, next_token) =
            page_of(deployments, input.next_token.as_deref(), input.max_results.as_deref())?;
        Ok(GetDeploymentsResponse { items, next_token })
    }

    /// `UpdateDeployment`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such deployment.
    pub fn update_deployment(&self, input: UpdateDeploymentRequest) -> Result<Deployment, ApiError> {
        let (api, id) = (required(&input.api_id), required(&input.deployment_id));
        self.0.transact(|tx| {
            let mut deployment: Deployment =
                updated(&self.find::<Deployment>(tx, api, Kind::Deployment, id)?, &input)?;
            deployment.description = deployment.description.filter(|text| !text.is_empty());
            tx.put(&keys::one(api, Kind::Deployment, id), &deployment)?;
            Ok(answer(deployment))
        })
    }

    /// `DeleteDeployment`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such deployment, [`ApiError::BadRequest`] if a stage serves it.
    pub fn delete_deployment(&self, input: DeleteDeploymentRequest) -> Result<(), ApiError> {
        let (api, id) = (required(&input.api_id), required(&input.deployment_id));
        self.0.transact(|tx| {
            self.find::<Deployment>(tx, api, Kind::Deployment, id)?;
            let stages: Vec<Stage> = all(tx, api, Kind::Stage)?;
            if stages.iter().any(|stage| stage.deployment_id.as_deref() == Some(id)) {
                return bad_request("Active stages pointing to this deployment must be moved or deleted");
            }
            tx.delete(&keys::one(api, Kind::Deployment, id));
            tx.delete(&keys::one(api, Kind::Snapshot, id));
            Ok(())
        })
    }

    /// Whether an API can be served as it is defined; a sentence with everything that cannot if not.
    pub(super) fn check_deployable(
        &self,
        snapshot: &ApiSnapshot,
        stage: Option<&Stage>,
    ) -> Result<(), String> {
        if snapshot.routes.is_empty() {
            return Err(match is_http(&snapshot.api) {
                true => "Unable to deploy API because no routes exist in this API".to_owned(),
                false => "At least one route is required before deploying the Api".to_owned(),
            });
        }
        let checked = self.0.settings.deployment_check.check_v2(snapshot, stage);
        checked.map_err(|errors| format!("This cannot be deployed: {}", errors.join("; ")))
    }
}

fn answer(mut deployment: Deployment) -> Deployment {
    deployment.created_date = whole_seconds(deployment.created_date);
    deployment
}
