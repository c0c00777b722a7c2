//! Domain name access associations: which VPC endpoints a private custom domain name is reached through.

use stagedoor_shapes::apigateway::{
    AccessAssociationSourceType, CreateDomainNameAccessAssociationRequest,
    DeleteDomainNameAccessAssociationRequest, DomainName, DomainNameAccessAssociation,
    DomainNameAccessAssociations, GetDomainNameAccessAssociationsRequest,
    RejectDomainNameAccessAssociationRequest, ResourceOwner,
};

use crate::control_plane::{ControlPlane, bad_request, conflict, not_found, required};
use crate::page::page;
use crate::quotas::check_one_more;
use crate::tx::Tx;
use crate::{ApiError, domain_names, tags};

/// Where associations stand in the store.
pub(crate) const ALL: &str = "domainaccess/";

/// The store's key of an association: its ARN has slashes, which keys use themselves.
pub(crate) fn key(arn: &str) -> String {
    format!("{ALL}{}", arn.replace('/', "|"))
}

pub(crate) fn find(tx: &Tx, arn: &str) -> Result<DomainNameAccessAssociation, ApiError> {
    match tx.get(&key(arn))? {
        Some(association) => Ok(association),
        None => not_found("Invalid domain name access association identifier specified"),
    }
}

/// Whether a domain is reached through any VPC endpoint.
pub(crate) fn is_associated(tx: &Tx, domain_arn: &str) -> Result<bool, ApiError> {
    let all = tx.scan::<DomainNameAccessAssociation>(ALL)?;
    Ok(all.values().any(|association| association.domain_name_arn.as_deref() == Some(domain_arn)))
}

impl ControlPlane {
    /// The private domain that an ARN names.
    fn private_domain(&self, tx: &Tx, arn: &str) -> Result<DomainName, ApiError> {
        let Some((_, identity)) = arn.split_once(":/domainnames/") else {
            return bad_request("Invalid ARN specified in the request");
        };
        let domain = domain_names::find(tx, identity)?;
        if domain.domain_name_arn.as_deref() != Some(arn) || domain.domain_name_id.is_none() {
            return bad_request(
                "Domain name access associations are supported for private domain names only",
            );
        }
        Ok(domain)
    }

    /// `CreateDomainNameAccessAssociation`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown domain, [`ApiError::BadRequest`] for one that is not private or a source
    /// that is no VPC endpoint, [`ApiError::Conflict`] if it is there already.
    pub fn create_domain_name_access_association(
        &self,
        input: CreateDomainNameAccessAssociationRequest,
    ) -> Result<DomainNameAccessAssociation, ApiError> {
        tags::check(input.tags.as_ref())?;
        let source = required(&input.access_association_source);
        if !source.starts_with("vpce-")
            || input.access_association_source_type != Some(AccessAssociationSourceType::Vpce)
        {
            return bad_request("Invalid VPC endpoint id specified");
        }
        let domain_arn = required(&input.domain_name_arn);
        self.transact(|tx| {
            let domain = self.private_domain(tx, domain_arn)?;
            let arn = format!(
                "arn:aws:apigateway:{}:{}:/domainnameaccessassociations/domainname/{}/vpcesource/{source}",
                self.settings.region,
                self.settings.account_id,
                required(&domain.domain_name),
            );
            if tx.exists(&key(&arn))? {
                return conflict("The domain name access association already exists");
            }
            let association = DomainNameAccessAssociation {
                domain_name_access_association_arn: Some(arn.clone()),
                domain_name_arn: Some(domain_arn.to_owned()),
                access_association_source_type: input.access_association_source_type,
                access_association_source: Some(source.to_owned()),
                tags: input.tags.clone().filter(|tags| !tags.is_empty()),
            };
            let there = tx.keys(ALL)?.len();
            let max = self.settings.quotas.domain_name_access_associations;
            check_one_more(there, max, "Domain name access associations", "account")?;
            tx.put(&key(&arn), &association)?;
            Ok(association)
        })
    }

    /// `GetDomainNameAccessAssociations`. All of them belong to the one account there is.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a position that no page has answered.
    pub fn get_domain_name_access_associations(
        &self,
        input: GetDomainNameAccessAssociationsRequest,
    ) -> Result<DomainNameAccessAssociations, ApiError> {
        let all = match input.resource_owner {
            Some(ResourceOwner::OtherAccounts) => Default::default(),
            _ => self.read(|tx| tx.scan::<DomainNameAccessAssociation>(ALL))?,
        };
        let (items, position) = page(all, input.position.as_deref(), input.limit)?;
        Ok(DomainNameAccessAssociations { items, position })
    }

    /// `DeleteDomainNameAccessAssociation`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such association.
    pub fn delete_domain_name_access_association(
        &self,
        input: DeleteDomainNameAccessAssociationRequest,
    ) -> Result<(), ApiError> {
        let arn = required(&input.domain_name_access_association_arn);
        self.transact(|tx| {
            find(tx, arn)?;
            tx.delete(&key(arn));
            Ok(())
        })
    }

    /// `RejectDomainNameAccessAssociation`: what the domain's owner does to an association of another account. Where
    /// there is one account, it removes the association as its deletion does.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such association of this domain.
    pub fn reject_domain_name_access_association(
        &self,
        input: RejectDomainNameAccessAssociationRequest,
    ) -> Result<(), ApiError> {
        let arn = required(&input.domain_name_access_association_arn);
        self.transact(|tx| {
            let association = find(tx, arn)?;
            if association.domain_name_arn != input.domain_name_arn {
                return not_found("Invalid domain name access association identifier specified");
            }
            tx.delete(&key(arn));
            Ok(())
        })
    }
}
