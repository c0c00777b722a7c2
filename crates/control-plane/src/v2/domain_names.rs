//! Custom domain names as the newer service shows them: one configuration per type of endpoint. Private domain names
//! are the older service's alone.

use stagedoor_shapes::apigateway::{self as v1, DomainName as Kept, EndpointType as KeptType};
use stagedoor_shapes::apigatewayv2::{
    CreateDomainNameRequest, CreateDomainNameResponse, DeleteDomainNameRequest, DomainName,
    DomainNameConfiguration, DomainNameStatus, EndpointType, GetDomainNameRequest, GetDomainNameResponse,
    GetDomainNamesRequest, GetDomainNamesResponse, IpAddressType, MutualTlsAuthentication,
    MutualTlsAuthenticationInput, RoutingMode, SecurityPolicy, UpdateDomainNameRequest,
    UpdateDomainNameResponse,
};

use super::{V2, page_of};
use crate::control_plane::{bad_request, not_found, required};
use crate::domain_names::{self, ALL, has_type};
use crate::tx::Tx;
use crate::{ApiError, api_mappings};

fn find(tx: &Tx, name: &str) -> Result<Kept, ApiError> {
    let domain = domain_names::find(tx, name)?;
    if has_type(&domain, KeptType::Private) {
        return not_found("Invalid domain name identifier specified");
    }
    Ok(domain)
}

impl V2<'_> {
    /// `CreateDomainName`.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] for a name that is taken, [`ApiError::BadRequest`] for settings that cannot go together.
    pub fn create_domain_name(
        &self,
        input: CreateDomainNameRequest,
    ) -> Result<CreateDomainNameResponse, ApiError> {
        let mut domain = Kept {
            domain_name: input.domain_name,
            tags: input.tags.filter(|tags| !tags.is_empty()),
            routing_mode: input.routing_mode.map(kept_mode),
            mutual_tls_authentication: input
                .mutual_tls_authentication
                .and_then(|given| changed_mutual_tls(None, given)),
            ..Kept::default()
        };
        let configurations = input.domain_name_configurations.unwrap_or_default();
        if configurations.iter().any(|given| given.endpoint_type == Some(EndpointType::Edge)) {
            return bad_request("EDGE endpoint type is not supported for APIGatewayV2 domainName");
        }
        configure(&mut domain, &configurations)?;
        let made = self.0.new_domain_name(domain, |message| ApiError::Conflict(message.to_owned()))?;
        let shown = shown(made);
        Ok(CreateDomainNameResponse {
            api_mapping_selection_expression: shown.api_mapping_selection_expression,
            domain_name: shown.domain_name,
            domain_name_arn: shown.domain_name_arn,
            domain_name_configurations: shown.domain_name_configurations,
            mutual_tls_authentication: shown.mutual_tls_authentication,
            routing_mode: shown.routing_mode,
            tags: shown.tags.filter(|tags| !tags.is_empty()),
        })
    }

    /// `GetDomainName`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such name.
    pub fn get_domain_name(&self, input: GetDomainNameRequest) -> Result<GetDomainNameResponse, ApiError> {
        let shown = shown(self.0.read(|tx| find(tx, required(&input.domain_name)))?);
        Ok(GetDomainNameResponse {
            api_mapping_selection_expression: shown.api_mapping_selection_expression,
            domain_name: shown.domain_name,
            domain_name_arn: shown.domain_name_arn,
            domain_name_configurations: shown.domain_name_configurations,
            mutual_tls_authentication: shown.mutual_tls_authentication,
            routing_mode: shown.routing_mode,
            tags: shown.tags,
        })
    }

    /// `GetDomainNames`.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a token that no page has answered.
    pub fn get_domain_names(&self, input: GetDomainNamesRequest) -> Result<GetDomainNamesResponse, ApiError> {
        let domains = self.0.read(|tx| tx.scan::<Kept>(ALL))?;
        let public = domains.into_iter().filter(|(_, domain)| !has_type(domain, KeptType::Private));
        let (items, next_token) = page_of(
            public.map(|(key, domain)| {
                let shown = shown(domain);
                // Of tags that are not there GetDomainName alone tells.
                (key, DomainName { tags: shown.tags.filter(|tags| !tags.is_empty()), ..shown })
            }),
            input.next_token.as_deref(),
            input.max_results.as_deref(),
        )?;
        Ok(GetDomainNamesResponse { items, next_token })
    }

    /// `UpdateDomainName`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such name, [`ApiError::BadRequest`] for settings that cannot go together.
    pub fn update_domain_name(
        &self,
        input: UpdateDomainNameRequest,
    ) -> Result<UpdateDomainNameResponse, ApiError> {
        let name = required(&input.domain_name);
        let domain = self.0.transact(|tx| {
            let mut domain = find(tx, name)?;
            if let Some(configurations) =
                input.domain_name_configurations.as_deref().filter(|given| !given.is_empty())
            {
                configure(&mut domain, configurations)?;
            }
            if let Some(given) = input.mutual_tls_authentication.clone() {
                domain.mutual_tls_authentication =
                    changed_mutual_tls(domain.mutual_tls_authentication.take(), given);
            }
            domain.routing_mode = input.routing_mode.map(kept_mode).or(domain.routing_mode);
            self.0.settle(&mut domain)?;
            api_mappings::check_domain(tx, name, &domain)?;
            tx.put(&domain_names::key(name), &domain)?;
            Ok(domain)
        })?;
        let shown = shown(domain);
        Ok(UpdateDomainNameResponse {
            api_mapping_selection_expression: shown.api_mapping_selection_expression,
            domain_name: shown.domain_name,
            domain_name_arn: shown.domain_name_arn,
            domain_name_configurations: shown.domain_name_configurations,
            mutual_tls_authentication: shown.mutual_tls_authentication,
            routing_mode: shown.routing_mode,
            tags: shown.tags.filter(|tags| !tags.is_empty()),
        })
    }

    /// `DeleteDomainName`, with its mappings and rules.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such name.
    pub fn delete_domain_name(&self, input: DeleteDomainNameRequest) -> Result<(), ApiError> {
        let name = required(&input.domain_name);
        self.0.read(|tx| find(tx, name))?;
        self.0.delete_domain(name)
    }
}

/// Gives a domain the configurations that a call names: each type of endpoint has one certificate.
fn configure(domain: &mut Kept, configurations: &[DomainNameConfiguration]) -> Result<(), ApiError> {
    let mut types = Vec::new();
    if configurations.is_empty() {
        return bad_request("At least one domain name configuration must be specified");
    }
    for given in configurations {
        let (arn, name) = (given.certificate_arn.clone(), given.certificate_name.clone());
        match given.endpoint_type.unwrap_or(EndpointType::Regional) {
            EndpointType::Regional => {
                types.push(KeptType::Regional);
                if arn.is_some() {
                    // It is dated anew.
                    domain.certificate_upload_date = None;
                }
                domain.regional_certificate_arn = arn.or(domain.regional_certificate_arn.take());
                domain.regional_certificate_name = name.or(domain.regional_certificate_name.take());
            }
            EndpointType::Edge => {
                types.push(KeptType::Edge);
                domain.certificate_arn = arn.or(domain.certificate_arn.take());
                domain.certificate_name = name.or(domain.certificate_name.take());
            }
        }
        if let Some(policy) = given.security_policy {
            domain.endpoint_access_mode = None;
            domain.security_policy = Some(match policy {
                SecurityPolicy::Tls1_0 => v1::SecurityPolicy::Tls1_0,
                SecurityPolicy::Tls1_2 => v1::SecurityPolicy::Tls1_2,
            });
        }
        let ownership = given.ownership_verification_certificate_arn.clone();
        domain.ownership_verification_certificate_arn =
            ownership.or(domain.ownership_verification_certificate_arn.take());
        let endpoint = domain.endpoint_configuration.get_or_insert_default();
        endpoint.ip_address_type = match given.ip_address_type {
            Some(IpAddressType::Ipv4) => Some(v1::IpAddressType::Ipv4),
            Some(IpAddressType::Dualstack) => Some(v1::IpAddressType::Dualstack),
            None => endpoint.ip_address_type,
        };
    }
    domain.endpoint_configuration.get_or_insert_default().types = Some(types);
    Ok(())
}

/// Mutual TLS after a call: what the call does not name stays, as the developer guide changes the version alone, and
/// only an empty URI turns it off.
fn changed_mutual_tls(
    before: Option<v1::MutualTlsAuthentication>,
    given: MutualTlsAuthenticationInput,
) -> Option<v1::MutualTlsAuthentication> {
    let before = before.unwrap_or_default();
    let uri = given.truststore_uri.or(before.truststore_uri);
    let version =
        given.truststore_version.or(before.truststore_version).filter(|version| !version.is_empty());
    // A version without a URI is left to the rules, which refuse it.
    if uri.as_deref().is_some_and(str::is_empty) || uri.is_none() && version.is_none() {
        return None;
    }
    Some(v1::MutualTlsAuthentication {
        truststore_uri: uri,
        truststore_version: version,
        truststore_warnings: None,
    })
}

fn kept_mode(mode: RoutingMode) -> v1::RoutingMode {
    match mode {
        RoutingMode::ApiMappingOnly => v1::RoutingMode::BasePathMappingOnly,
        RoutingMode::RoutingRuleOnly => v1::RoutingMode::RoutingRuleOnly,
        RoutingMode::RoutingRuleThenApiMapping => v1::RoutingMode::RoutingRuleThenBasePathMapping,
    }
}

fn shown(domain: Kept) -> DomainName {
    let endpoint = domain.endpoint_configuration.clone().unwrap_or_default();
    let ip_address_type = endpoint.ip_address_type.map(|kind| match kind {
        v1::IpAddressType::Ipv4 => IpAddressType::Ipv4,
        v1::IpAddressType::Dualstack => IpAddressType::Dualstack,
    });
    let status =
        domain.domain_name_status.and_then(|status| status.as_str().parse::<DomainNameStatus>().ok());
    // The newer service's model has no word for the newest policies.
    let security_policy =
        domain.security_policy.and_then(|policy| policy.as_str().parse::<SecurityPolicy>().ok());
    let configurations = endpoint.types.unwrap_or_default().into_iter().map(|kind| {
        let edge = kind == KeptType::Edge;
        let pick = |at_edge: &Option<String>, regional: &Option<String>| {
            if edge { at_edge.clone() } else { regional.clone() }
        };
        DomainNameConfiguration {
            api_gateway_domain_name: pick(&domain.distribution_domain_name, &domain.regional_domain_name),
            certificate_arn: pick(&domain.certificate_arn, &domain.regional_certificate_arn),
            certificate_name: pick(&domain.certificate_name, &domain.regional_certificate_name),
            certificate_upload_date: if edge { domain.certificate_upload_date } else { None },
            domain_name_status: status,
            domain_name_status_message: domain.domain_name_status_message.clone(),
            endpoint_type: Some(if edge { EndpointType::Edge } else { EndpointType::Regional }),
            hosted_zone_id: pick(&domain.distribution_hosted_zone_id, &domain.regional_hosted_zone_id),
            ip_address_type,
            security_policy,
            ownership_verification_certificate_arn: domain.ownership_verification_certificate_arn.clone(),
        }
    });
    let configurations = configurations.collect();
    DomainName {
        api_mapping_selection_expression: Some("$request.basepath".to_owned()),
        domain_name_configurations: Some(configurations),
        mutual_tls_authentication: domain.mutual_tls_authentication.map(|kept| MutualTlsAuthentication {
            truststore_uri: kept.truststore_uri,
            truststore_version: kept.truststore_version,
            truststore_warnings: kept.truststore_warnings,
        }),
        routing_mode: domain.routing_mode.map(|mode| match mode {
            v1::RoutingMode::BasePathMappingOnly => RoutingMode::ApiMappingOnly,
            v1::RoutingMode::RoutingRuleOnly => RoutingMode::RoutingRuleOnly,
            v1::RoutingMode::RoutingRuleThenBasePathMapping => RoutingMode::RoutingRuleThenApiMapping,
        }),
        tags: Some(domain.tags.unwrap_or_default()),
        domain_name_arn: domain.domain_name_arn,
        domain_name: domain.domain_name,
    }
}
