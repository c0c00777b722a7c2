//! Tags of HTTP and WebSocket APIs, their stages and VPC links, by ARN.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stagedoor_shapes::apigatewayv2::{
    Api, GetTagsRequest, GetTagsResponse, Stage, TagResourceRequest, TagResourceResponse,
    UntagResourceRequest, VpcLink,
};

use super::keys::{self, Kind};
use super::{V2, vpc_links};
use crate::ApiError;
use crate::control_plane::{bad_request, required};
use crate::tags::{self, check};
use crate::tx::Tx;

type TagMap = BTreeMap<String, String>;

/// What an ARN of this kind can name.
enum Tagged<'a> {
    Api(&'a str),
    Stage(&'a str, &'a str),
    VpcLink(&'a str),
    /// What both services have: custom domain names.
    Shared(tags::Tagged),
}

impl V2<'_> {
    /// `GetTags`.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for what is no ARN of API Gateway, [`ApiError::NotFound`] if it names nothing.
    pub fn get_tags(&self, input: GetTagsRequest) -> Result<GetTagsResponse, ApiError> {
        let tagged = self.parse_arn(required(&input.resource_arn))?;
        Ok(GetTagsResponse { tags: Some(self.0.read(|tx| self.edit_tags(tx, &tagged, None))?) })
    }

    /// `TagResource`.
    ///
    /// # Errors
    /// As for `GetTags`, and [`ApiError::BadRequest`] for tags that AWS refuses.
    pub fn tag_resource(&self, input: TagResourceRequest) -> Result<TagResourceResponse, ApiError> {
        let tagged = self.parse_arn(required(&input.resource_arn))?;
        self.0.transact(|tx| {
            let mut tags = self.edit_tags(tx, &tagged, None)?;
            tags.extend(input.tags.clone().unwrap_or_default());
            check(Some(&tags))?;
            self.edit_tags(tx, &tagged, Some(tags))?;
            Ok(TagResourceResponse {})
        })
    }

    /// `UntagResource`.
    ///
    /// # Errors
    /// As for `GetTags`.
    pub fn untag_resource(&self, input: UntagResourceRequest) -> Result<(), ApiError> {
        let tagged = self.parse_arn(required(&input.resource_arn))?;
        let removed = input.tag_keys.unwrap_or_default();
        self.0.transact(|tx| {
            let mut tags = self.edit_tags(tx, &tagged, None)?;
            tags.retain(|key, _| !removed.contains(key));
            self.edit_tags(tx, &tagged, Some(tags)).map(drop)
        })
    }

    /// Reads the tags of something, and writes new ones if there are any to write.
    fn edit_tags(&self, tx: &Tx, tagged: &Tagged<'_>, new: Option<TagMap>) -> Result<TagMap, ApiError> {
        match tagged {
            Tagged::Shared(tagged) => self.0.edit_tags(tx, tagged, new),
            Tagged::Api(id) => edit::<Api>(tx, &keys::api(id), self.api(tx, id)?, |api| &mut api.tags, new),
            Tagged::Stage(api, name) => {
                let stage = self.find(tx, api, Kind::Stage, name)?;
                edit::<Stage>(tx, &keys::one(api, Kind::Stage, name), stage, |stage| &mut stage.tags, new)
            }
            Tagged::VpcLink(id) => {
                let link = vpc_links::find(tx, id)?;
                edit::<VpcLink>(tx, &vpc_links::key(id), link, |link| &mut link.tags, new)
            }
        }
    }

    /// `arn:aws:apigateway:region::/apis/id/stages/name` and its like.
    fn parse_arn<'a>(&self, arn: &'a str) -> Result<Tagged<'a>, ApiError> {
        let path =
            arn.strip_prefix("arn:").and_then(|rest| rest.split_once("::/")).and_then(|(service, path)| {
                let ours = ["aws", "apigateway", self.0.settings.region.as_str()];
                service.split(':').eq(ours).then_some(path)
            });
        let Some(path) = path else { return bad_request("Invalid ARN specified in the request") };
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["apis", id] => Ok(Tagged::Api(id)),
            ["apis", id, "stages", name] => Ok(Tagged::Stage(id, name)),
            ["vpclinks", id] => Ok(Tagged::VpcLink(id)),
            ["domainnames", ..] => Ok(Tagged::Shared(self.0.parse(arn)?)),
            _ => bad_request("Invalid ARN specified in the request"),
        }
    }
}

fn edit<T: Serialize + DeserializeOwned>(
    tx: &Tx,
    key: &str,
    mut item: T,
    tags: impl Fn(&mut T) -> &mut Option<TagMap>,
    new: Option<TagMap>,
) -> Result<TagMap, ApiError> {
    if new.is_some() {
        *tags(&mut item) = new;
        tx.put(key, &item)?;
    }
    Ok(tags(&mut item).clone().unwrap_or_default())
}
