//! VPC links. They are kept as AWS keeps them; where one leads is said by the configuration of the gateway, because the
//! load balancer that its ARN names is not there.

use std::collections::BTreeMap;

use stagedoor_shapes::apigateway::{
    ConnectionType, CreateVpcLinkRequest, DeleteVpcLinkRequest, GetVpcLinkRequest, GetVpcLinksRequest,
    Method, Resource, RestApi, Stage, UpdateVpcLinkRequest, VpcLink, VpcLinkStatus, VpcLinks,
};
use stagedoor_shapes::snapshot::RestApiSnapshot;

use crate::control_plane::{ControlPlane, bad_request, required};
use crate::keys::{self, Kind};
use crate::page::page;
use crate::patch::{REPLACE, Style, Table};
use crate::quotas::check_one_more;
use crate::store::Snapshot;
use crate::tx::Tx;
use crate::{ApiError, ids, tags, v2};

const ALL: &str = "vpclinks/";

#[derive(Clone, Copy, Debug)]
enum Field {
    Name,
    Description,
}

const PATCHES: Table<Field> = Table {
    style: Style::Listing,
    rows: &[("/name", REPLACE, Field::Name), ("/description", REPLACE, Field::Description)],
};

pub(crate) fn key(id: &str) -> String {
    format!("{ALL}{id}")
}

/// Every link, by id.
pub(crate) fn by_id(tx: &Tx) -> Result<BTreeMap<String, VpcLink>, ApiError> {
    let links = tx.scan::<VpcLink>(ALL)?.into_values();
    Ok(links.map(|link| (required(&link.id).to_owned(), link)).collect())
}

/// Every link, by id, as a reader of the store sees them.
pub(crate) fn all(view: &dyn Snapshot) -> Result<BTreeMap<String, VpcLink>, ApiError> {
    let mut links = BTreeMap::new();
    for (key, entry) in view.scan(ALL, None, usize::MAX)? {
        let link: VpcLink = serde_json::from_slice(&entry.value).map_err(|error| {
            ApiError::Internal(format!("the store's value under {key} is damaged: {error}"))
        })?;
        links.insert(required(&link.id).to_owned(), link);
    }
    Ok(links)
}

/// Whether an API sends traffic through links.
pub(crate) fn are_used(snapshot: &RestApiSnapshot) -> bool {
    let methods = snapshot.resources.iter().flat_map(|resource| resource.resource_methods.iter().flatten());
    let mut integrations = methods.filter_map(|(_, method)| method.method_integration.as_ref());
    integrations.any(|integration| integration.connection_type == Some(ConnectionType::VpcLink))
}

pub(crate) fn find(tx: &Tx, id: &str) -> Result<VpcLink, ApiError> {
    tx.get(&key(id))?.ok_or_else(|| ApiError::NotFound("Invalid Vpc Link identifier specified".to_owned()))
}

impl ControlPlane {
    /// `CreateVpcLink`. The answer says PENDING, as AWS's does; the link is there when the call returns.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] without a name or with something else than one load balancer's ARN.
    pub fn create_vpc_link(&self, input: CreateVpcLinkRequest) -> Result<VpcLink, ApiError> {
        let Some(name) = input.name.filter(|name| !name.is_empty()) else {
            return bad_request("Name cannot be empty");
        };
        let targets = input.target_arns.unwrap_or_default();
        for target in &targets {
            if !target.starts_with("arn:") || target.split(':').count() < 6 {
                return bad_request(format!("Invalid ARN. ARN is not well formed {target}"));
            }
        }
        match targets.len() {
            0 => return bad_request("No target arn specified for vpc link."),
            1 => {}
            _ => return bad_request("More than one target arn specified for vpc link."),
        }
        tags::check(input.tags.as_ref())?;
        let pending = VpcLink {
            id: Some(ids::short()?),
            name: Some(name),
            description: input.description.filter(|description| !description.is_empty()),
            target_arns: Some(targets),
            status: Some(VpcLinkStatus::Pending),
            status_message: None,
            tags: input.tags.filter(|tags| !tags.is_empty()),
        };
        let available = VpcLink {
            status: Some(VpcLinkStatus::Available),
            status_message: Some("Your vpc link is ready for use".to_owned()),
            ..pending.clone()
        };
        self.transact(|tx| {
            let there = tx.keys(ALL)?.len();
            check_one_more(there, self.settings.quotas.vpc_links, "VPC links", "account")?;
            tx.put(&key(required(&pending.id)), &available)
        })?;
        Ok(pending)
    }

    /// `GetVpcLink`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such link.
    pub fn get_vpc_link(&self, input: GetVpcLinkRequest) -> Result<VpcLink, ApiError> {
        self.read(|tx| find(tx, required(&input.vpc_link_id)).map(with_tags))
    }

    /// `GetVpcLinks`.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a position that no page has answered.
    pub fn get_vpc_links(&self, input: GetVpcLinksRequest) -> Result<VpcLinks, ApiError> {
        let links = self.read(|tx| tx.scan::<VpcLink>(ALL))?;
        let (items, position) = page(links, input.position.as_deref(), input.limit)?;
        Ok(VpcLinks { items, position })
    }

    /// `UpdateVpcLink`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such link, [`ApiError::BadRequest`] for a patch that AWS refuses.
    pub fn update_vpc_link(&self, input: UpdateVpcLinkRequest) -> Result<VpcLink, ApiError> {
        let id = required(&input.vpc_link_id);
        self.transact(|tx| {
            let mut link = find(tx, id)?;
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                match (patch.field, patch.text()) {
                    (Field::Name, None) => return bad_request("Name cannot be empty"),
                    (Field::Name, name) => link.name = name,
                    (Field::Description, description) => link.description = description,
                }
            }
            tx.put(&key(id), &link)?;
            Ok(with_tags(link))
        })
    }

    /// `DeleteVpcLink`. Stages and routes that lead to it have to be gone, or to lead elsewhere, before.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such link, [`ApiError::BadRequest`] while a stage or a route leads to it.
    pub fn delete_vpc_link(&self, input: DeleteVpcLinkRequest) -> Result<(), ApiError> {
        let id = required(&input.vpc_link_id);
        self.transact(|tx| {
            find(tx, id)?;
            check_unused(tx, id)?;
            v2::vpc_links::check_unused(tx, id)?;
            tx.delete(&key(id));
            Ok(())
        })
    }
}

/// Refuses the deletion of a link that stages of REST APIs lead to, and names every place.
pub(crate) fn check_unused(tx: &Tx, id: &str) -> Result<(), ApiError> {
    let mut places = Vec::new();
    for api in tx.top_level::<RestApi>(keys::APIS)? {
        let api = required(&api.id);
        for stage in tx.scan::<Stage>(&keys::all(api, Kind::Stage))?.into_values() {
            let name = required(&stage.stage_name);
            let canary = stage.canary_settings.as_ref().and_then(|canary| canary.deployment_id.as_deref());
            for deployment in [stage.deployment_id.as_deref(), canary].into_iter().flatten() {
                let snapshot: Option<RestApiSnapshot> =
                    tx.get(&keys::one(api, Kind::Snapshot, deployment))?;
                for place in snapshot.iter().flat_map(|snapshot| leading_there(snapshot, id)) {
                    let place = format!("{api}:{place}:{name}");
                    if !places.contains(&place) {
                        places.push(place);
                    }
                }
            }
        }
    }
    match places.is_empty() {
        true => Ok(()),
        false => bad_request(format!(
            "Cannot delete vpc link. Vpc link '{id}', is referenced in [{}] in format of \
             [RESTApiId:Method:Resource:Stage].",
            places.join(", ")
        )),
    }
}

/// The methods of an API that lead to a link, as `{method}:{resource id}`.
fn leading_there(snapshot: &RestApiSnapshot, id: &str) -> Vec<String> {
    let of_resource = |resource: &Resource| {
        let leads = |method: &Method| {
            let integration = method.method_integration.as_ref();
            integration.and_then(|integration| integration.connection_id.as_deref()) == Some(id)
        };
        let methods = resource.resource_methods.iter().flatten().filter(|(_, method)| leads(method));
        methods.map(|(method, _)| format!("{method}:{}", required(&resource.id))).collect::<Vec<_>>()
    };
    snapshot.resources.iter().flat_map(of_resource).collect()
}

fn with_tags(mut link: VpcLink) -> VpcLink {
    link.tags.get_or_insert_default();
    link
}
