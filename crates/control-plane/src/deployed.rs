//! What is deployed, for those who serve it: stages with the snapshots they point at, and which APIs have changed.

use std::collections::{BTreeMap, BTreeSet};

use stagedoor_shapes::apigateway::{EndpointAccessMode, RestApi, SecurityPolicy, Stage};
use stagedoor_shapes::apigatewayv2;
use stagedoor_shapes::snapshot::{ApiSnapshot, RestApiSnapshot};

use crate::keys::{self, Kind};
use crate::store::{Revision, Snapshot};
use crate::{ApiError, ControlPlane, canary, default_endpoint, v2, vpc_links};

/// A stage and what it serves.
#[derive(Clone, Debug)]
pub struct DeployedStage {
    /// The stage.
    pub stage: Stage,
    /// What its deployment froze.
    pub snapshot: RestApiSnapshot,
    /// Its canary.
    pub canary: Option<DeployedCanary>,
    /// When its cache was flushed last: another number means that nothing cached before may be served.
    pub cache_generation: Revision,
}

/// A stage of an HTTP or WebSocket API and what it serves.
#[derive(Clone, Debug)]
pub struct DeployedStageV2 {
    /// The stage.
    pub stage: apigatewayv2::Stage,
    /// What its deployment froze.
    pub snapshot: ApiSnapshot,
}

/// What serves a share of a stage's requests.
#[derive(Clone, Debug)]
pub struct DeployedCanary {
    /// The stage as these requests see it.
    pub stage: Stage,
    /// What the canary's deployment froze.
    pub snapshot: RestApiSnapshot,
    /// From 0.0 to 100.0.
    pub percent_traffic: f64,
}

/// An API with its stages. A stage counts as changed when its own revision or that of its snapshot has changed.
#[derive(Clone, Debug, Default)]
pub struct DeployedApi {
    /// Whether `{api-id}.execute-api` addresses are switched off.
    pub endpoint_disabled: bool,
    /// What clients of these addresses have to agree to.
    pub security_policy: Option<SecurityPolicy>,
    /// Whether they have to connect for the very address (`endpointAccessMode` STRICT).
    pub strict: bool,
    /// Stages by name, with the newest revision of what they are made of.
    pub stages: BTreeMap<String, (Revision, DeployedStage)>,
    /// Whether it is an HTTP or WebSocket API, which has its stages in the next member.
    pub is_v2: bool,
    /// Whether it is a WebSocket API.
    pub is_websocket: bool,
    /// The same for HTTP and WebSocket APIs.
    pub stages_v2: BTreeMap<String, (Revision, DeployedStageV2)>,
}

impl ControlPlane {
    /// The APIs that have changed after a revision, `None` meaning all of them, and the revision that this shows.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the store cannot be read.
    pub fn apis_changed_since(
        &self,
        revision: Revision,
    ) -> Result<(Revision, Option<BTreeSet<String>>), ApiError> {
        // Read first: a change that comes in between is then reported twice rather than never.
        let now = self.store().snapshot()?.revision();
        let changes = self.store().changes_since(revision)?;
        let apis = changes.map(|changes| {
            changes.iter().filter_map(|(key, _)| served_api_of(key)).map(str::to_owned).collect()
        });
        Ok((now, apis))
    }

    /// The ids of all APIs.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the store cannot be read.
    pub fn api_ids(&self) -> Result<BTreeSet<String>, ApiError> {
        self.read(|tx| {
            let rest = tx.top_level::<RestApi>(keys::APIS)?.into_iter().filter_map(|api| api.id);
            let others = tx.top_level::<apigatewayv2::Api>(v2::keys::APIS)?;
            Ok(rest.chain(others.into_iter().filter_map(|api| api.api_id)).collect())
        })
    }

    /// An API as it is to be served; `None` if there is none with this id.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the store cannot be read or holds something unreadable.
    pub fn deployed_api(&self, api: &str) -> Result<Option<DeployedApi>, ApiError> {
        let view = self.store().snapshot()?;
        let Some((_, rest_api)) = read::<RestApi>(&*view, &keys::api(api))? else {
            return deployed_v2(&*view, api);
        };
        let mut deployed = DeployedApi {
            endpoint_disabled: default_endpoint::is_disabled(
                &*view,
                &keys::api(api),
                rest_api.disable_execute_api_endpoint,
            )?,
            security_policy: rest_api.security_policy,
            strict: rest_api.endpoint_access_mode == Some(EndpointAccessMode::Strict),
            ..DeployedApi::default()
        };
        let links = vpc_links::all(&*view)?;
        let link_names = link_names(&*view)?;
        for (key, entry) in view.scan(&keys::all(api, Kind::Stage), None, usize::MAX)? {
            let stage: Stage = decode(&key, &entry.value)?;
            let Some(deployment) = &stage.deployment_id else { continue };
            let key = keys::one(api, Kind::Snapshot, deployment);
            let Some((revision, mut snapshot)) = read::<RestApiSnapshot>(&*view, &key)? else { continue };
            snapshot.vpc_links.clone_from(&links);
            snapshot.vpc_link_names.clone_from(&link_names);
            let name = stage.stage_name.clone().unwrap_or_default();
            let flushed = view.get(&keys::one(api, Kind::CacheFlush, &name))?;
            let cache_generation = flushed.map_or(0, |flushed| flushed.revision);
            let mut revision = entry.revision.max(revision).max(cache_generation);
            let mut canary = None;
            if let Some(seen) = canary::stage_of_canary(&stage) {
                let key = keys::one(api, Kind::Snapshot, seen.deployment_id.as_deref().unwrap_or_default());
                if let Some((frozen_at, mut snapshot)) = read::<RestApiSnapshot>(&*view, &key)? {
                    revision = revision.max(frozen_at);
                    snapshot.vpc_links.clone_from(&links);
                    snapshot.vpc_link_names.clone_from(&link_names);
                    let percent = stage.canary_settings.as_ref().and_then(|canary| canary.percent_traffic);
                    let percent_traffic = percent.unwrap_or_default();
                    canary = Some(DeployedCanary { stage: seen, snapshot, percent_traffic });
                }
            }
            deployed
                .stages
                .insert(name, (revision, DeployedStage { stage, snapshot, canary, cache_generation }));
        }
        Ok(Some(deployed))
    }
}

/// The names of the VPC links of the second kind, by id.
fn link_names(view: &dyn Snapshot) -> Result<BTreeMap<String, String>, ApiError> {
    let mut links = Vec::new();
    for (key, entry) in view.scan(v2::vpc_links::ALL, None, usize::MAX)? {
        links.push(decode(&key, &entry.value)?);
    }
    Ok(v2::vpc_links::names(links.into_iter()))
}

fn deployed_v2(view: &dyn Snapshot, id: &str) -> Result<Option<DeployedApi>, ApiError> {
    let Some((_, api)) = read::<apigatewayv2::Api>(view, &v2::keys::api(id))? else { return Ok(None) };
    let mut deployed = DeployedApi {
        endpoint_disabled: default_endpoint::is_disabled(
            view,
            &v2::keys::api(id),
            api.disable_execute_api_endpoint,
        )?,
        is_v2: true,
        is_websocket: api.protocol_type == Some(apigatewayv2::ProtocolType::Websocket),
        ..DeployedApi::default()
    };
    let mut link_names = link_names(view)?;
    link_names.extend(vpc_links::all(view)?.into_iter().filter_map(|(id, link)| Some((id, link.name?))));
    for (key, entry) in view.scan(&v2::keys::all(id, v2::keys::Kind::Stage), None, usize::MAX)? {
        let stage: apigatewayv2::Stage = decode(&key, &entry.value)?;
        let Some(deployment) = &stage.deployment_id else { continue };
        let key = v2::keys::one(id, v2::keys::Kind::Snapshot, deployment);
        let Some((revision, mut snapshot)) = read::<ApiSnapshot>(view, &key)? else { continue };
        snapshot.vpc_link_names.clone_from(&link_names);
        let name = stage.stage_name.clone().unwrap_or_default();
        let revision = entry.revision.max(revision);
        deployed.stages_v2.insert(name, (revision, DeployedStageV2 { stage, snapshot }));
    }
    Ok(Some(deployed))
}

/// The API whose traffic a key may bear on. What is being edited is served only once a snapshot of it is deployed, so
/// that edits, however many, never cost the data plane anything.
fn served_api_of(key: &str) -> Option<&str> {
    const EDITED: [Kind; 8] = [
        Kind::Resource,
        Kind::Model,
        Kind::Validator,
        Kind::Authorizer,
        Kind::GatewayResponse,
        Kind::Deployment,
        Kind::DocumentationPart,
        Kind::DocumentationVersion,
    ];
    if let Some(rest) = key.strip_prefix(v2::keys::APIS) {
        return v2::keys::is_served(key).then(|| rest.split('/').next())?;
    }
    let api = key.strip_prefix(keys::APIS)?.split('/').next()?;
    let edited = EDITED.iter().any(|kind| key.starts_with(&keys::all(api, *kind)));
    (!edited).then_some(api)
}

fn read<T: serde::de::DeserializeOwned>(
    view: &dyn Snapshot,
    key: &str,
) -> Result<Option<(Revision, T)>, ApiError> {
    let found = view.get(key)?;
    found.map(|found| Ok((found.revision, decode(key, &found.value)?))).transpose()
}

fn decode<T: serde::de::DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::Internal(format!("the store's value under {key} is damaged: {error}")))
}

#[cfg(test)]
mod tests {
    use super::served_api_of;

    fn check(key: &str, expected: Option<&str>) {
        assert_eq!(served_api_of(key), expected, "{key}");
    }

    #[test]
    fn edits_are_not_served() {
        check("restapis/a1", Some("a1"));
        check("restapis/a1/stages/dev", Some("a1"));
        check("restapis/a1/snapshots/d1", Some("a1"));
        check("restapis/a1/resources/r1", None);
        check("restapis/a1/deployments/d1", None);
        check("restapis/a1/documentation-parts/p1", None);
        check("vpclinks/l1", None);
    }
}
