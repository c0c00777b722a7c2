//! VPC links of the second kind, which HTTP APIs use. They are kept as AWS keeps them; where their traffic goes is said
//! by the gateway's configuration.

use std::collections::{BTreeMap, BTreeSet};

use stagedoor_shapes::apigatewayv2::{
    Api, CreateVpcLinkRequest, DeleteVpcLinkRequest, DeleteVpcLinkResponse, GetVpcLinkRequest,
    GetVpcLinksRequest, GetVpcLinksResponse, Integration, Route, UpdateVpcLinkRequest, VpcLink,
    VpcLinkStatus, VpcLinkVersion,
};
use stagedoor_shapes::snapshot::INTEGRATION_TARGET;

use super::keys::{self, Kind};
use super::{V2, page_of, recast, updated};
use crate::control_plane::{bad_request, required, whole_seconds};
use crate::tx::Tx;
use crate::{ApiError, ids, tags};

pub(crate) const ALL: &str = "v2/vpclinks/";

pub(crate) fn key(id: &str) -> String {
    format!("{ALL}{id}")
}

pub(crate) fn find(tx: &Tx, id: &str) -> Result<VpcLink, ApiError> {
    tx.get(&key(id))?.ok_or_else(|| ApiError::NotFound(format!("Invalid VpcLink identifier specified {id}")))
}

/// The names of links by id.
pub(crate) fn names(links: impl Iterator<Item = VpcLink>) -> BTreeMap<String, String> {
    links.filter_map(|link| Some((link.vpc_link_id?, link.name?))).collect()
}

/// The names of all links by id: of this kind, for HTTP APIs, and of the kind that WebSocket APIs share with REST APIs.
pub(crate) fn names_now(tx: &Tx) -> Result<BTreeMap<String, String>, ApiError> {
    let mut found = names(tx.scan(ALL)?.into_values());
    let older = crate::vpc_links::by_id(tx)?.into_iter();
    found.extend(older.filter_map(|(id, link)| Some((id, link.name?))));
    Ok(found)
}

impl V2<'_> {
    /// `CreateVpcLink`. The answer says PENDING, as AWS's does; the link is there when the call returns.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] without a name or without subnets.
    pub fn create_vpc_link(&self, input: CreateVpcLinkRequest) -> Result<VpcLink, ApiError> {
        if required(&input.name).is_empty() {
            return bad_request("Name cannot be empty");
        }
        if input.subnet_ids.as_ref().is_none_or(Vec::is_empty) {
            return bad_request("SubnetIds for a vpc link cannot be empty");
        }
        tags::check(input.tags.as_ref())?;
        let mut pending: VpcLink = recast(&input)?;
        pending.vpc_link_id = Some(ids::short()?);
        pending.created_date = Some(self.0.now());
        pending.security_group_ids.get_or_insert_default();
        pending.tags.get_or_insert_default();
        pending.vpc_link_status = Some(VpcLinkStatus::Pending);
        pending.vpc_link_status_message = Some("VPC link is provisioning ENIs".to_owned());
        pending.vpc_link_version = Some(VpcLinkVersion::V2);
        let available = VpcLink {
            vpc_link_status: Some(VpcLinkStatus::Available),
            vpc_link_status_message: Some("VPC link is ready to route traffic".to_owned()),
            ..pending.clone()
        };
        self.0.transact(|tx| tx.put(&key(required(&pending.vpc_link_id)), &available))?;
        Ok(answer(pending))
    }

    /// `GetVpcLink`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such link.
    pub fn get_vpc_link(&self, input: GetVpcLinkRequest) -> Result<VpcLink, ApiError> {
        self.0.read(|tx| find(tx, required(&input.vpc_link_id)).map(answer))
    }

    /// `GetVpcLinks`.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a token that no page has answered.
    pub fn get_vpc_links(&self, input: GetVpcLinksRequest) -> Result<GetVpcLinksResponse, ApiError> {
        let links = self.0.read(|tx| tx.scan::<VpcLink>(ALL))?;
        let links = links.into_iter().map(|(key, link)| (key, answer(link)));
        let (items, next_token) = page_of(links, input.next_token.as_deref(), input.max_results.as_deref())?;
        Ok(GetVpcLinksResponse { items, next_token })
    }

    /// `UpdateVpcLink`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such link, [`ApiError::BadRequest`] for an empty name.
    pub fn update_vpc_link(&self, input: UpdateVpcLinkRequest) -> Result<VpcLink, ApiError> {
        let id = required(&input.vpc_link_id);
        self.0.transact(|tx| {
            let link: VpcLink = updated(&find(tx, id)?, &input)?;
            if required(&link.name).is_empty() {
                return bad_request("Name cannot be empty");
            }
            tx.put(&key(id), &link)?;
            Ok(answer(link))
        })
    }

    /// `DeleteVpcLink`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such link, [`ApiError::BadRequest`] while a route or a stage leads to it.
    pub fn delete_vpc_link(&self, input: DeleteVpcLinkRequest) -> Result<DeleteVpcLinkResponse, ApiError> {
        let id = required(&input.vpc_link_id);
        self.0.transact(|tx| {
            find(tx, id)?;
            crate::vpc_links::check_unused(tx, id)?;
            check_unused(tx, id)?;
            tx.delete(&key(id));
            Ok(DeleteVpcLinkResponse {})
        })
    }
}

/// Refuses the deletion of a link that routes of HTTP and WebSocket APIs lead to, and names every one of them.
pub(crate) fn check_unused(tx: &Tx, id: &str) -> Result<(), ApiError> {
    let mut places = Vec::new();
    for api in tx.top_level::<Api>(keys::APIS)? {
        let api = required(&api.api_id);
        let integrations = tx.scan::<Integration>(&keys::all(api, Kind::Integration))?;
        let using = integrations.values().filter(|one| one.connection_id.as_deref() == Some(id));
        let targets: BTreeSet<String> =
            using.map(|one| format!("{INTEGRATION_TARGET}{}", required(&one.integration_id))).collect();
        for route in tx.scan::<Route>(&keys::all(api, Kind::Route))?.into_values() {
            if targets.contains(required(&route.target)) {
                let method = required(&route.route_key).split(' ').next().unwrap_or_default();
                places.push(format!("{method}:{}", required(&route.route_id)));
            }
        }
    }
    match places.is_empty() {
        true => Ok(()),
        false => bad_request(format!(
            "Cannot delete vpc link. Vpc link '{id}', is referenced in [{}] in format of [Method:Resource].",
            places.join(", ")
        )),
    }
}

fn answer(mut link: VpcLink) -> VpcLink {
    link.created_date = whole_seconds(link.created_date);
    link
}
