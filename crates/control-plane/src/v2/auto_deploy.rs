//! Stages that deploy themselves: whatever changes an API makes a deployment of it, and those stages serve it.
//!
//! A change that cannot be served does not fail: as on AWS the stage goes on with what it served, and says why in
//! `lastDeploymentStatusMessage`.

use std::collections::BTreeSet;

use stagedoor_shapes::apigatewayv2::{Deployment, Stage};

use super::V2;
use super::keys::{self, Kind};
use crate::ApiError;
use crate::control_plane::required;
use crate::tx::Tx;

/// What a stage's message begins with where it could not be deployed to.
pub(super) const FAILED: &str = "Deployment attempt failed: ";

const DESCRIPTION: &str = "Automatic deployment triggered by changes to the Api configuration";

/// How many automatic deployments that no stage serves are kept: each holds a whole API.
const KEPT: usize = 10;

impl V2<'_> {
    /// Deploys an API to its stages that ask for it, after a change to what a deployment freezes.
    pub(super) fn redeploy(&self, tx: &Tx, api: &str) -> Result<(), ApiError> {
        let stages = tx.scan::<Stage>(&keys::all(api, Kind::Stage))?;
        let automatic = stages.into_values().filter(|stage| stage.auto_deploy == Some(true));
        let automatic: Vec<Stage> = automatic.collect();
        if automatic.is_empty() {
            return Ok(());
        }
        let snapshot = self.snapshot(tx, api)?;
        let mut deployment = None;
        for mut stage in automatic {
            if let Err(message) = self.check_deployable(&snapshot, Some(&stage)) {
                stage.last_deployment_status_message = Some(format!("{FAILED}{message}"));
            } else {
                let id = match &deployment {
                    Some(id) => id,
                    None => {
                        let made = self.freeze(tx, api, &snapshot, true, Some(DESCRIPTION.to_owned()))?;
                        deployment.insert(made.deployment_id.unwrap_or_default())
                    }
                };
                stage.last_deployment_status_message =
                    Some(format!("Successfully deployed stage with deployment ID '{id}'"));
                stage.deployment_id = Some(id.clone());
            }
            stage.last_updated_date = Some(self.0.now());
            tx.put(&keys::one(api, Kind::Stage, required(&stage.stage_name)), &stage)?;
        }
        self.forget_old(tx, api)
    }

    /// Deletes automatic deployments that no stage serves, but for the newest.
    fn forget_old(&self, tx: &Tx, api: &str) -> Result<(), ApiError> {
        let stages = tx.scan::<Stage>(&keys::all(api, Kind::Stage))?;
        let served: BTreeSet<_> = stages.into_values().filter_map(|stage| stage.deployment_id).collect();
        let deployments = tx.scan::<Deployment>(&keys::all(api, Kind::Deployment))?;
        let mut old: Vec<_> = deployments
            .into_values()
            .filter(|one| one.auto_deployed == Some(true) && !served.contains(required(&one.deployment_id)))
            .collect();
        old.sort_by(|one, other| {
            other.created_date.partial_cmp(&one.created_date).unwrap_or(std::cmp::Ordering::Equal)
        });
        for deployment in old.iter().skip(KEPT) {
            let id = required(&deployment.deployment_id);
            tx.delete(&keys::one(api, Kind::Deployment, id));
            tx.delete(&keys::one(api, Kind::Snapshot, id));
        }
        Ok(())
    }
}
