//! Custom domain names. Both services see the same ones; what the newer one says about them is in
//! `v2/domain_names.rs`, what may be set together in `domain_name_rules.rs`.
//!
//! Public names are unique. Private ones are told apart by an id, so that a name may stand for a private domain in
//! one network and for a public one elsewhere.

use stagedoor_shapes::apigateway::{
    CreateDomainNameRequest, DeleteDomainNameRequest, DomainName, DomainNameStatus, DomainNames,
    EndpointAccessMode, EndpointConfiguration, EndpointType, GetDomainNameRequest, GetDomainNamesRequest,
    IpAddressType, MutualTlsAuthentication, Op, PatchOperation, ResourceOwner, RoutingMode, SecurityPolicy,
    UpdateDomainNameRequest,
};

use crate::control_plane::{ControlPlane, bad_request, not_found, required, whole_seconds};
use crate::page::page;
use crate::patch::{ENTRY, MEMBER, Patch, REPLACE, Style, Table};
use crate::quotas::check_one_more;
use crate::tx::Tx;
use crate::v2::routing_rules;
use crate::{ApiError, api_mappings, domain_name_rules, ids, policy, tags};

/// Where custom domain names stand in the store.
pub(crate) const ALL: &str = "domainnames/";

/// AWS's hosted zone of every CloudFront distribution.
const DISTRIBUTION_ZONE: &str = "Z2FDTNDATAQYW2";

#[derive(Clone, Copy, Debug)]
enum Field {
    CertificateArn,
    CertificateName,
    RegionalCertificateArn,
    RegionalCertificateName,
    EndpointType,
    IpAddressType,
    TruststoreUri,
    TruststoreVersion,
    OwnershipCertificateArn,
    SecurityPolicy,
    EndpointAccessMode,
    Policy,
    ManagementPolicy,
    RoutingMode,
}

const PATCHES: Table<Field> = Table {
    style: Style::Listing,
    rows: &[
        ("/certificateName", ENTRY, Field::CertificateName),
        ("/certificateArn", ENTRY, Field::CertificateArn),
        ("/regionalCertificateName", ENTRY, Field::RegionalCertificateName),
        ("/regionalCertificateArn", ENTRY, Field::RegionalCertificateArn),
        ("/endpointConfiguration/types", MEMBER, Field::EndpointType),
        ("/endpointConfiguration/ipAddressType", REPLACE, Field::IpAddressType),
        ("/securityPolicy", REPLACE, Field::SecurityPolicy),
        ("/endpointAccessMode", REPLACE, Field::EndpointAccessMode),
        ("/mutualTlsAuthentication/truststoreUri", ENTRY, Field::TruststoreUri),
        ("/mutualTlsAuthentication/truststoreVersion", ENTRY, Field::TruststoreVersion),
        ("/ownershipVerificationCertificateArn", ENTRY, Field::OwnershipCertificateArn),
        ("/policy", REPLACE, Field::Policy),
        ("/managementPolicy", REPLACE, Field::ManagementPolicy),
        ("/routingMode", REPLACE, Field::RoutingMode),
    ],
};

/// A domain's own part of keys: the name, and the id of a private one.
pub(crate) fn identity(name: &str, id: Option<&str>) -> String {
    match id.filter(|id| !id.is_empty()) {
        Some(id) => format!("{name}+{id}"),
        None => name.to_owned(),
    }
}

pub(crate) fn key(identity: &str) -> String {
    format!("{ALL}{identity}")
}

pub(crate) fn find(tx: &Tx, identity: &str) -> Result<DomainName, ApiError> {
    match tx.get(&key(identity))? {
        Some(domain) => Ok(domain),
        None => not_found("Invalid domain name identifier specified"),
    }
}

/// Whether a domain has a type of endpoint.
pub(crate) fn has_type(domain: &DomainName, kind: EndpointType) -> bool {
    let types = domain.endpoint_configuration.as_ref().and_then(|endpoint| endpoint.types.as_deref());
    types.is_some_and(|types| types.contains(&kind))
}

impl ControlPlane {
    /// `CreateDomainName`.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a name that is taken or settings that cannot go together.
    pub fn create_domain_name(&self, input: CreateDomainNameRequest) -> Result<DomainName, ApiError> {
        if [&input.certificate_body, &input.certificate_private_key, &input.certificate_chain]
            .iter()
            .any(|part| part.is_some())
        {
            return bad_request(
                "certificateBody, certificatePrivateKey and certificateChain are not supported: name the certificate \
                 by certificateArn or regionalCertificateArn",
            );
        }
        let mutual_tls = input.mutual_tls_authentication.map(|given| MutualTlsAuthentication {
            truststore_uri: given.truststore_uri,
            truststore_version: given.truststore_version.filter(|version| !version.is_empty()),
            truststore_warnings: None,
        });
        let domain = DomainName {
            domain_name: input.domain_name,
            certificate_name: input.certificate_name,
            certificate_arn: input.certificate_arn,
            regional_certificate_name: input.regional_certificate_name,
            regional_certificate_arn: input.regional_certificate_arn,
            endpoint_configuration: input.endpoint_configuration,
            security_policy: input.security_policy,
            endpoint_access_mode: input.endpoint_access_mode,
            tags: input.tags.filter(|tags| !tags.is_empty()),
            mutual_tls_authentication: mutual_tls,
            ownership_verification_certificate_arn: input.ownership_verification_certificate_arn,
            policy: input.policy.filter(|policy| !policy.is_empty()),
            routing_mode: input.routing_mode,
            ..DomainName::default()
        };
        let made = self.new_domain_name(domain, |message| ApiError::BadRequest(message.to_owned()))?;
        Ok(answer(made))
    }

    /// Completes and keeps a new domain name, whichever service it was asked of.
    pub(crate) fn new_domain_name(
        &self,
        mut domain: DomainName,
        taken: impl Fn(&str) -> ApiError,
    ) -> Result<DomainName, ApiError> {
        tags::check(domain.tags.as_ref())?;
        let endpoint = domain.endpoint_configuration.get_or_insert_with(EndpointConfiguration::default);
        endpoint.types.get_or_insert_with(|| vec![EndpointType::Edge]);
        let private = has_type(&domain, EndpointType::Private);
        if let Some(endpoint) = domain.endpoint_configuration.as_mut() {
            endpoint.ip_address_type.get_or_insert(if private {
                IpAddressType::Dualstack
            } else {
                IpAddressType::Ipv4
            });
        }
        domain.security_policy.get_or_insert(SecurityPolicy::Tls1_2);
        domain.routing_mode.get_or_insert(RoutingMode::BasePathMappingOnly);
        let name = required(&domain.domain_name).to_owned();
        if private {
            domain.domain_name_id = Some(ids::api()?);
        }
        let identity = identity(&name, domain.domain_name_id.as_deref());
        let account = if private { self.settings.account_id.as_str() } else { "" };
        domain.domain_name_arn =
            Some(format!("arn:aws:apigateway:{}:{account}:/domainnames/{identity}", self.settings.region));
        domain.domain_name_status = Some(DomainNameStatus::Available);
        if let Some(policy) = domain.policy.take() {
            domain.policy = Some(policy::stored(&policy, &self.domain_policy_arn(&identity))?);
        }
        domain_name_rules::check_new(&domain)?;
        self.settle(&mut domain)?;
        self.transact(|tx| {
            if tx.exists(&key(&identity))? {
                return Err(taken("The domain name you provided already exists."));
            }
            let quotas = &self.settings.quotas;
            let (max, what) = match private {
                true => (quotas.private_domain_names, "Private custom domain names"),
                false => (quotas.public_domain_names, "Custom domain names"),
            };
            let kept: Vec<DomainName> = tx.scan(ALL)?.into_values().collect();
            let there = kept.iter().filter(|kept| has_type(kept, EndpointType::Private) == private).count();
            check_one_more(there, max, what, "account")?;
            tx.put(&key(&identity), &domain)
        })?;
        Ok(domain)
    }

    /// Checks a domain's settings together, and gives it what follows from them: addresses and dates.
    pub(crate) fn settle(&self, domain: &mut DomainName) -> Result<(), ApiError> {
        domain_name_rules::check(domain, &self.settings.region)?;
        if let Some(mutual_tls) = &mut domain.mutual_tls_authentication {
            let (uri, version) =
                (required(&mutual_tls.truststore_uri), mutual_tls.truststore_version.as_deref());
            let warnings = self.settings.truststores.inspect(uri, version).map_err(ApiError::BadRequest)?;
            mutual_tls.truststore_warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
        }
        if has_type(domain, EndpointType::Edge) {
            if domain.distribution_domain_name.is_none() {
                let distribution =
                    format!("d{}{}.cloudfront.net", ids::api()?, ids::short()?.get(..3).unwrap_or_default());
                domain.distribution_domain_name = Some(distribution);
                domain.distribution_hosted_zone_id = Some(DISTRIBUTION_ZONE.to_owned());
            }
        } else {
            domain.distribution_domain_name = None;
            domain.distribution_hosted_zone_id = None;
        }
        domain.certificate_upload_date.get_or_insert(self.now().floor());
        if has_type(domain, EndpointType::Regional) {
            if domain.regional_domain_name.is_none() {
                let region = &self.settings.region;
                domain.regional_domain_name =
                    Some(format!("d-{}.execute-api.{region}.amazonaws.com", ids::api()?));
                domain.regional_hosted_zone_id = hosted_zone(region).map(str::to_owned);
            }
        } else {
            domain.regional_domain_name = None;
            domain.regional_hosted_zone_id = None;
        }
        Ok(())
    }

    /// The ARN below which a domain's resources stand in its policy.
    fn domain_policy_arn(&self, identity: &str) -> String {
        let (region, account) = (&self.settings.region, &self.settings.account_id);
        format!("arn:aws:execute-api:{region}:{account}:/domainnames/{identity}")
    }

    /// `GetDomainName`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such name.
    pub fn get_domain_name(&self, input: GetDomainNameRequest) -> Result<DomainName, ApiError> {
        let identity = identity(required(&input.domain_name), input.domain_name_id.as_deref());
        self.read(|tx| find(tx, &identity).map(with_tags))
    }

    /// `GetDomainNames`. All of them belong to the one account there is.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a position that no page has answered.
    pub fn get_domain_names(&self, input: GetDomainNamesRequest) -> Result<DomainNames, ApiError> {
        let domains = match input.resource_owner {
            Some(ResourceOwner::OtherAccounts) => Default::default(),
            _ => self.read(|tx| tx.scan::<DomainName>(ALL))?,
        };
        let domains = domains.into_iter().map(|(key, domain)| (key, answer(domain)));
        let (items, position) = page(domains, input.position.as_deref(), input.limit)?;
        Ok(DomainNames { items, position })
    }

    /// `UpdateDomainName`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such name, [`ApiError::BadRequest`] for a patch that AWS refuses.
    pub fn update_domain_name(&self, input: UpdateDomainNameRequest) -> Result<DomainName, ApiError> {
        let identity = identity(required(&input.domain_name), input.domain_name_id.as_deref());
        self.transact(|tx| {
            let mut domain = find(tx, &identity)?;
            let operations = input.patch_operations.as_deref().unwrap_or_default();
            check_patches(operations, &domain)?;
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                self.patch_domain(&mut domain, &patch, &identity)?;
            }
            self.settle(&mut domain)?;
            api_mappings::check_domain(tx, &identity, &domain)?;
            tx.put(&key(&identity), &domain)?;
            Ok(with_tags(domain))
        })
    }

    fn patch_domain(
        &self,
        domain: &mut DomainName,
        patch: &Patch<Field>,
        identity: &str,
    ) -> Result<(), ApiError> {
        match patch.field {
            Field::CertificateArn => {
                domain.certificate_upload_date = Some(self.now().floor());
                domain.certificate_arn = patch.text();
            }
            Field::CertificateName => domain.certificate_name = patch.text(),
            Field::RegionalCertificateArn => {
                domain.certificate_upload_date = Some(self.now().floor());
                domain.regional_certificate_arn = patch.text();
            }
            Field::RegionalCertificateName => domain.regional_certificate_name = patch.text(),
            Field::EndpointType => patch_types(domain, patch)?,
            Field::IpAddressType => {
                let kind =
                    patch.one_of::<IpAddressType>("ipAddressType must be either ipv4 or dualstack.")?;
                domain.endpoint_configuration.get_or_insert_default().ip_address_type = Some(kind);
            }
            Field::TruststoreUri => match patch.text() {
                // An empty URI turns mutual TLS off.
                None => domain.mutual_tls_authentication = None,
                uri => domain.mutual_tls_authentication.get_or_insert_default().truststore_uri = uri,
            },
            Field::TruststoreVersion => {
                domain.mutual_tls_authentication.get_or_insert_default().truststore_version = patch.text();
            }
            Field::OwnershipCertificateArn => {
                domain.ownership_verification_certificate_arn = patch.text();
            }
            Field::SecurityPolicy => {
                let policy = patch.one_of::<SecurityPolicy>("Invalid security policy specified")?;
                if !domain_name_rules::is_enhanced(policy) {
                    domain.endpoint_access_mode = None;
                }
                domain.security_policy = Some(policy);
            }
            Field::EndpointAccessMode => {
                let message = "Invalid endpoint access mode specified. Valid options are BASIC,STRICT";
                let mode = patch.text().map(|_| patch.one_of::<EndpointAccessMode>(message)).transpose()?;
                domain.endpoint_access_mode = mode;
            }
            Field::Policy => {
                let arn = self.domain_policy_arn(identity);
                domain.policy = patch.text().map(|policy| policy::stored(&policy, &arn)).transpose()?;
            }
            Field::ManagementPolicy => {
                let arn = self.domain_policy_arn(identity);
                domain.management_policy =
                    patch.text().map(|policy| policy::stored(&policy, &arn)).transpose()?;
            }
            Field::RoutingMode => {
                domain.routing_mode = Some(patch.one_of::<RoutingMode>("Invalid routing mode specified")?);
            }
        }
        Ok(())
    }

    /// `DeleteDomainName`, with its mappings and rules.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such name.
    pub fn delete_domain_name(&self, input: DeleteDomainNameRequest) -> Result<(), ApiError> {
        self.delete_domain(&identity(required(&input.domain_name), input.domain_name_id.as_deref()))
    }

    pub(crate) fn delete_domain(&self, identity: &str) -> Result<(), ApiError> {
        self.transact(|tx| {
            let domain = find(tx, identity)?;
            if crate::domain_access::is_associated(tx, required(&domain.domain_name_arn))? {
                return bad_request(
                    "The domain name has domain name access associations, which must be deleted first",
                );
            }
            tx.delete(&key(identity));
            tx.delete_all(&api_mappings::all(identity))?;
            tx.delete_all(&routing_rules::all(identity))
        })
    }
}

/// A domain moves from one type of endpoint to another in two calls: one adds the new type and its certificate, another
/// takes the old ones away.
fn check_patches(operations: &[PatchOperation], domain: &DomainName) -> Result<(), ApiError> {
    let does = |wanted: Op| {
        operations.iter().any(|operation| {
            let path = operation.path.as_deref().unwrap_or_default();
            let moves = path == "/endpointConfiguration/types"
                || path.ends_with("ertificateName")
                || (path.ends_with("ertificateArn") && path != "/ownershipVerificationCertificateArn");
            moves && operation.op == Some(wanted)
        })
    };
    if does(Op::Add) && does(Op::Remove) {
        return bad_request(
            "Endpoint types and certificates cannot be added and removed in the same request",
        );
    }
    // What Terraform's users have seen when a domain's only type was to be replaced, and a mode given to one with mutual TLS.
    let several = domain.endpoint_configuration.as_ref().and_then(|endpoint| endpoint.types.as_ref());
    let several = several.is_some_and(|types| types.len() > 1);
    let mutual_tls = domain.mutual_tls_authentication.is_some();
    let cannot = |path: &str| match path {
        "/endpointAccessMode" => mutual_tls,
        // AWS documents that the types have to be brought down to one first.
        "/securityPolicy" => several,
        _ => path.starts_with("/endpointConfiguration/types/"),
    };
    let mut paths = operations.iter().filter_map(|operation| operation.path.as_deref());
    match paths.find(|path| cannot(path)) {
        Some(path) => bad_request(format!("{path} Invalid request input")),
        None => Ok(()),
    }
}

/// Adds or removes a type of endpoint.
fn patch_types(domain: &mut DomainName, patch: &Patch<Field>) -> Result<(), ApiError> {
    let endpoint = domain.endpoint_configuration.get_or_insert_default();
    let types = endpoint.types.get_or_insert_default();
    let message = "Invalid EndpointTypes specified. Valid options are REGIONAL,EDGE,PRIVATE";
    match patch.op {
        Op::Add => {
            let kind = patch.one_of::<EndpointType>(message)?;
            if !types.contains(&kind) {
                types.push(kind);
            }
        }
        _ => {
            let kind = patch.one_of::<EndpointType>(message)?;
            types.retain(|other| *other != kind);
        }
    }
    Ok(())
}

/// A domain name as it is answered.
pub(crate) fn answer(mut domain: DomainName) -> DomainName {
    domain.certificate_upload_date = whole_seconds(domain.certificate_upload_date);
    domain.policy = domain.policy.map(|policy| policy::answered(&policy));
    domain.management_policy = domain.management_policy.map(|policy| policy::answered(&policy));
    domain
}

fn with_tags(domain: DomainName) -> DomainName {
    let mut domain = answer(domain);
    domain.tags.get_or_insert_default();
    domain
}

/// Route 53's zone of a region's regional domain names, where AWS publishes one.
fn hosted_zone(region: &str) -> Option<&'static str> {
    Some(match region {
        "us-east-1" => "Z1UJRXOUMOOFQ8",
        "us-east-2" => "ZOJJZC49E0EPZ",
        "us-west-1" => "Z2MUQ32089INYE",
        "us-west-2" => "Z2OJLYMUO9EFXC",
        "ap-northeast-1" => "Z1YSHQZHG15GKL",
        "ap-northeast-2" => "Z20JF4UZKIW1U8",
        "ap-south-1" => "Z3VO1THU9YC4UR",
        "ap-southeast-1" => "ZL327KTPIQFUL",
        "ap-southeast-2" => "Z2RPCDW04V8134",
        "ca-central-1" => "Z19DQILCV0OWEC",
        "eu-central-1" => "Z1U9ULNL0V5AJ3",
        "eu-north-1" => "Z3UWIKFBOOGXPP",
        "eu-west-1" => "ZLY8HYME6SFDD",
        "eu-west-2" => "ZJ5UAJN8Y3Z2Q",
        "eu-west-3" => "Z3KY65QIEKYHQQ",
        "sa-east-1" => "ZCMLWB8V5SYIT",
        _ => return None,
    })
}
