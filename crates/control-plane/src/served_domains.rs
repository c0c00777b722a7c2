//! Custom domain names as they are to be served, for those who serve them.

use stagedoor_shapes::apigateway::DomainName;
use stagedoor_shapes::apigatewayv2::{RoutingRuleAction, RoutingRuleCondition};

use crate::api_mappings::{self, Mapping};
use crate::domain_access;
use crate::domain_names::{self, identity};
use crate::store::Revision;
use crate::v2::routing_rules::{self, asks};
use crate::{ApiError, ControlPlane};

/// A custom domain name and where its requests go.
#[derive(Clone, Debug, Default)]
pub struct ServedDomain {
    /// Its name, with the id of a private one behind a `+`.
    pub identity: String,
    /// Its settings.
    pub domain: DomainName,
    /// Its routing rules in the order in which they are asked; none if its routing mode does not ask them.
    pub rules: Vec<ServedRule>,
    /// Its mappings; none if its routing mode does not ask them.
    pub mappings: Vec<Mapping>,
    /// The VPC endpoints that a private one is reached through.
    pub vpc_endpoints: Vec<String>,
}

/// A routing rule.
#[derive(Clone, Debug, Default)]
pub struct ServedRule {
    /// `$context.customDomain.routingRuleIdMatched`.
    pub id: String,
    /// What has to hold, all of it.
    pub conditions: Vec<RoutingRuleCondition>,
    /// Where requests go.
    pub actions: Vec<RoutingRuleAction>,
}

/// What belongs to custom domains in the store.
const KINDS: &[&str] = &[domain_names::ALL, api_mappings::PREFIX, routing_rules::PREFIX, domain_access::ALL];

impl ControlPlane {
    /// Whether anything about custom domain names has changed after a revision.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the store cannot be read.
    pub fn domains_changed_since(&self, revision: Revision) -> Result<bool, ApiError> {
        let Some(changes) = self.store().changes_since(revision)? else { return Ok(true) };
        Ok(changes.iter().any(|(key, _)| KINDS.iter().any(|kind| key.starts_with(kind))))
    }

    /// All custom domain names as they are to be served.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the store cannot be read or holds something unreadable.
    pub fn served_domains(&self) -> Result<Vec<ServedDomain>, ApiError> {
        self.read(|tx| {
            let associations = tx
                .scan::<stagedoor_shapes::apigateway::DomainNameAccessAssociation>(domain_access::ALL)?
                .into_values()
                .collect::<Vec<_>>();
            let domains = tx.scan::<DomainName>(domain_names::ALL)?;
            let served = domains.into_values().map(|domain| {
                let identity = identity(
                    domain.domain_name.as_deref().unwrap_or_default(),
                    domain.domain_name_id.as_deref(),
                );
                let (asks_rules, asks_mappings) = asks(domain.routing_mode);
                let rules = if asks_rules { routing_rules::of_domain(tx, &identity)? } else { Vec::new() };
                let mappings =
                    if asks_mappings { api_mappings::of_domain(tx, &identity)? } else { Vec::new() };
                let vpc_endpoints = associations
                    .iter()
                    .filter(|association| association.domain_name_arn == domain.domain_name_arn)
                    .filter_map(|association| association.access_association_source.clone())
                    .collect();
                let rules = rules
                    .into_iter()
                    .map(|rule| ServedRule {
                        id: rule.id,
                        conditions: rule.conditions,
                        actions: rule.actions,
                    })
                    .collect();
                Ok(ServedDomain { identity, domain, rules, mappings, vpc_endpoints })
            });
            served.collect()
        })
    }
}
