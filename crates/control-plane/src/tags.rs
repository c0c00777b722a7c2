//! Tags, by ARN.

use std::collections::BTreeMap;

use stagedoor_shapes::apigateway::{
    ApiKey, GetTagsRequest, RestApi, Stage, TagResourceRequest, Tags, UntagResourceRequest, UsagePlan,
    VpcLink,
};

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, not_found, required};
use crate::keys::{self, Kind};
use crate::tx::Tx;
use crate::{api_keys, client_certificates, domain_access, domain_names, usage_plans, vpc_links};

type TagMap = BTreeMap<String, String>;

/// AWS takes no more tags than this on one thing.
const TAGS_MAX: usize = 50;

/// What an ARN of ours can name.
pub(crate) enum Tagged {
    Api(String),
    Stage(String, String),
    VpcLink(String),
    ApiKey(String),
    UsagePlan(String),
    ClientCertificate(String),
    /// A custom domain name, with the id of a private one behind a `+`.
    DomainName(String),
    /// By its whole ARN.
    DomainAccess(String),
}

impl ControlPlane {
    /// `GetTags`.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for what is no ARN of API Gateway, [`ApiError::NotFound`] if it names nothing.
    pub fn get_tags(&self, input: GetTagsRequest) -> Result<Tags, ApiError> {
        let tagged = self.parse(required(&input.resource_arn))?;
        Ok(Tags { tags: Some(self.read(|tx| self.edit_tags(tx, &tagged, None))?) })
    }

    /// `TagResource`.
    ///
    /// # Errors
    /// As for `GetTags`, and [`ApiError::BadRequest`] for tags that AWS refuses.
    pub fn tag_resource(&self, input: TagResourceRequest) -> Result<(), ApiError> {
        let tagged = self.parse(required(&input.resource_arn))?;
        let added = input.tags.unwrap_or_default();
        check(Some(&added))?;
        self.transact(|tx| {
            let mut tags = self.edit_tags(tx, &tagged, None)?;
            tags.extend(added.clone());
            check(Some(&tags))?;
            self.edit_tags(tx, &tagged, Some(tags)).map(drop)
        })
    }

    /// `UntagResource`.
    ///
    /// # Errors
    /// As for `GetTags`.
    pub fn untag_resource(&self, input: UntagResourceRequest) -> Result<(), ApiError> {
        let tagged = self.parse(required(&input.resource_arn))?;
        let removed = input.tag_keys.unwrap_or_default();
        self.transact(|tx| {
            let mut tags = self.edit_tags(tx, &tagged, None)?;
            tags.retain(|key, _| !removed.contains(key));
            self.edit_tags(tx, &tagged, Some(tags)).map(drop)
        })
    }

    /// Reads the tags of something, and writes new ones if there are any to write.
    pub(crate) fn edit_tags(
        &self,
        tx: &Tx,
        tagged: &Tagged,
        new: Option<TagMap>,
    ) -> Result<TagMap, ApiError> {
        match tagged {
            Tagged::Api(id) => {
                let mut api: RestApi = self.api(tx, id)?;
                edit(tx, &keys::api(id), &mut api, |api| &mut api.tags, new)
            }
            Tagged::Stage(api, name) => {
                let key = keys::one(api, Kind::Stage, name);
                let Some(mut stage) = tx.get::<Stage>(&key)? else {
                    return not_found("Invalid stage identifier specified");
                };
                edit(tx, &key, &mut stage, |stage| &mut stage.tags, new)
            }
            Tagged::VpcLink(id) => {
                let mut link: VpcLink = vpc_links::find(tx, id)?;
                edit(tx, &vpc_links::key(id), &mut link, |link| &mut link.tags, new)
            }
            Tagged::ApiKey(id) => {
                let mut key: ApiKey = api_keys::find(tx, id)?;
                edit(tx, &keys::api_key(id), &mut key, |key| &mut key.tags, new)
            }
            Tagged::UsagePlan(id) => {
                let mut plan: UsagePlan = usage_plans::find(tx, id)?;
                edit(tx, &keys::usage_plan(id), &mut plan, |plan| &mut plan.tags, new)
            }
            Tagged::ClientCertificate(id) => {
                let mut kept = client_certificates::find(tx, id)?;
                edit(tx, &client_certificates::key(id), &mut kept, |kept| &mut kept.certificate.tags, new)
            }
            Tagged::DomainName(identity) => {
                let mut domain = domain_names::find(tx, identity)?;
                edit(tx, &domain_names::key(identity), &mut domain, |domain| &mut domain.tags, new)
            }
            Tagged::DomainAccess(arn) => {
                let mut association = domain_access::find(tx, arn)?;
                edit(tx, &domain_access::key(arn), &mut association, |found| &mut found.tags, new)
            }
        }
    }

    /// `arn:aws:apigateway:region::/restapis/id/stages/name` and its like.
    pub(crate) fn parse(&self, arn: &str) -> Result<Tagged, ApiError> {
        let path =
            arn.strip_prefix("arn:").and_then(|rest| rest.split_once(":/")).and_then(|(place, path)| {
                let (service, account) = place.rsplit_once(':')?;
                // Only what is new enough has the account in its ARN.
                let ours = account.is_empty() || account == self.settings.account_id;
                let service = service.split(':').eq(["aws", "apigateway", self.settings.region.as_str()]);
                (service && ours).then_some(path)
            });
        let Some(path) = path else { return bad_request("Invalid ARN specified in the request") };
        let owned = |text: &str| text.to_owned();
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["restapis", id] => Ok(Tagged::Api(owned(id))),
            ["restapis", id, "stages", name] => Ok(Tagged::Stage(owned(id), owned(name))),
            ["vpclinks", id] => Ok(Tagged::VpcLink(owned(id))),
            ["apikeys", id] => Ok(Tagged::ApiKey(owned(id))),
            ["usageplans", id] => Ok(Tagged::UsagePlan(owned(id))),
            ["clientcertificates", id] => Ok(Tagged::ClientCertificate(owned(id))),
            ["domainnames", identity] => Ok(Tagged::DomainName(owned(identity))),
            ["domainnameaccessassociations", ..] => Ok(Tagged::DomainAccess(owned(arn))),
            _ => bad_request("Invalid ARN specified in the request"),
        }
    }
}

fn edit<T: serde::Serialize>(
    tx: &Tx,
    key: &str,
    item: &mut T,
    tags: impl Fn(&mut T) -> &mut Option<TagMap>,
    new: Option<TagMap>,
) -> Result<TagMap, ApiError> {
    if let Some(new) = new {
        *tags(item) = Some(new).filter(|tags| !tags.is_empty());
        tx.put(key, item)?;
    }
    Ok(tags(item).clone().unwrap_or_default())
}

/// AWS's rules for tags.
pub(crate) fn check(tags: Option<&TagMap>) -> Result<(), ApiError> {
    let Some(tags) = tags else { return Ok(()) };
    if tags.len() > TAGS_MAX {
        return bad_request(format!("The number of tags exceeds the limit of {TAGS_MAX}"));
    }
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > 128 {
            return bad_request("Invalid tag key specified. The length must be between 1 and 128 characters");
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return bad_request("Invalid tag key. Tag keys cannot start with 'aws:' (case insensitive)");
        }
        if value.chars().count() > 256 {
            return bad_request("Invalid tag value specified. The length must be at most 256 characters");
        }
    }
    Ok(())
}
