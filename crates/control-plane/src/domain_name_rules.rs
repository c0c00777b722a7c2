//! Which settings of a custom domain name go together.

use stagedoor_shapes::apigateway::{
    DomainName, EndpointAccessMode, EndpointType, IpAddressType, SecurityPolicy,
};

use crate::ApiError;
use crate::control_plane::{bad_request, required};
use crate::domain_names::has_type;

/// The longest name, by DNS.
const NAME_MAX: usize = 253;

/// Whether a policy is one of those that API Gateway calls enhanced.
pub(crate) fn is_enhanced(policy: SecurityPolicy) -> bool {
    policy.as_str().starts_with("SecurityPolicy_")
}

/// Refuses certificates that a new domain has no use for. One that moves from one type of endpoint to another may have
/// them for a while.
pub(crate) fn check_new(domain: &DomainName) -> Result<(), ApiError> {
    let edge = has_type(domain, EndpointType::Edge) || has_type(domain, EndpointType::Private);
    let regional = has_type(domain, EndpointType::Regional);
    let has_edge = domain.certificate_arn.is_some() || domain.certificate_name.is_some();
    let has_regional =
        domain.regional_certificate_arn.is_some() || domain.regional_certificate_name.is_some();
    if regional && !edge && has_edge {
        return bad_request("Cannot import certificates for EDGE while REGIONAL is active.");
    }
    if has_type(domain, EndpointType::Private) && required(&domain.domain_name).starts_with('*') {
        return bad_request("Wildcard domain names are not supported for Private domain names.");
    }
    if edge && !regional && has_regional {
        let active = if has_type(domain, EndpointType::Private) { "PRIVATE" } else { "EDGE" };
        return bad_request(format!("Cannot import certificates for REGIONAL while {active} is active."));
    }
    Ok(())
}

fn no_certificate(kind: EndpointType) -> Result<(), ApiError> {
    bad_request(format!("A certificate was not provided for the endpoint type {kind}."))
}

/// Where CloudFront finds its certificates, and so where those of edge-optimized domains have to be.
const EDGE_REGION: &str = "us-east-1";

/// Refuses a certificate of another region. Those of IAM are of none.
fn check_region(arn: Option<&String>, region: &str) -> Result<(), ApiError> {
    let Some(arn) = arn else { return Ok(()) };
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        [_, _, "acm", found, ..] if *found != region => {
            bad_request(format!("Invalid certificate ARN: {arn}. Certificate must be in '{region}'."))
        }
        _ => Ok(()),
    }
}

/// Refuses settings that AWS does not take together. `region` is the gateway's.
pub(crate) fn check(domain: &DomainName, region: &str) -> Result<(), ApiError> {
    check_name(required(&domain.domain_name))?;
    let types = domain.endpoint_configuration.as_ref().and_then(|endpoint| endpoint.types.as_deref());
    let types = types.unwrap_or_default();
    let has = |kind| has_type(domain, kind);
    match types {
        [] => return bad_request("REGIONAL Configuration and EDGE Configuration cannot be both DISABLED."),
        [_] => {}
        _ if types.len() == 2 && has(EndpointType::Edge) && has(EndpointType::Regional) => {}
        _ => return bad_request("Cannot create a domain name with these Endpoint Types."),
    }
    let private = has(EndpointType::Private);
    let ip_address_type =
        domain.endpoint_configuration.as_ref().and_then(|endpoint| endpoint.ip_address_type);
    if private && ip_address_type == Some(IpAddressType::Ipv4) {
        return bad_request("Only dualstack ipAddressType is supported for Private domain names.");
    }
    if (has(EndpointType::Edge) || private)
        && domain.certificate_arn.is_none()
        && domain.certificate_name.is_none()
    {
        return no_certificate(if private { EndpointType::Private } else { EndpointType::Edge });
    }
    if has(EndpointType::Regional)
        && domain.regional_certificate_arn.is_none()
        && domain.regional_certificate_name.is_none()
    {
        return no_certificate(EndpointType::Regional);
    }
    let arns = [
        &domain.certificate_arn,
        &domain.regional_certificate_arn,
        &domain.ownership_verification_certificate_arn,
    ];
    for arn in arns.into_iter().flatten() {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        if !matches!(parts.as_slice(), ["arn", _, "acm" | "iam", _, _, name] if !name.is_empty()) {
            return bad_request("Invalid ARN specified in the request");
        }
    }
    let edge_region = if private { region } else { EDGE_REGION };
    check_region(domain.certificate_arn.as_ref(), edge_region)?;
    check_region(domain.regional_certificate_arn.as_ref(), region)?;
    check_policy(domain, private)?;
    if let Some(mutual_tls) = &domain.mutual_tls_authentication {
        let uri = required(&mutual_tls.truststore_uri);
        let object = uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
        if !object.is_some_and(|(bucket, key)| !bucket.is_empty() && !key.is_empty()) {
            return bad_request(format!("Invalid truststore URI {uri}: write it as s3://bucket/key"));
        }
        if types != [EndpointType::Regional] {
            return bad_request("Mutual TLS is supported for REGIONAL domain names only");
        }
        if domain.security_policy != Some(SecurityPolicy::Tls1_2) {
            return bad_request("Mutual TLS authentication is only supported with TLS 1.2.");
        }
    }
    if !private && (domain.policy.is_some() || domain.management_policy.is_some()) {
        return bad_request("Policies are supported for private domain names only");
    }
    Ok(())
}

fn check_policy(domain: &DomainName, private: bool) -> Result<(), ApiError> {
    let policy = domain.security_policy.unwrap_or(SecurityPolicy::Tls1_2);
    let types = domain.endpoint_configuration.as_ref().and_then(|endpoint| endpoint.types.as_deref());
    check_security(policy, domain.endpoint_access_mode, types.unwrap_or_default())?;
    if private && policy == SecurityPolicy::Tls1_0 {
        return bad_request("The security policy TLS_1_0 is not supported for private domain names");
    }
    Ok(())
}

/// What a security policy asks of the other settings of a domain name or a REST API: an enhanced one has an endpoint
/// access mode, and is for edge-optimized endpoints or for the others.
pub(crate) fn check_security(
    policy: SecurityPolicy,
    mode: Option<EndpointAccessMode>,
    types: &[EndpointType],
) -> Result<(), ApiError> {
    if !is_enhanced(policy) {
        return match mode {
            Some(EndpointAccessMode::Strict) => {
                bad_request(format!("endpointAccessMode is not supported with the security policy {policy}"))
            }
            _ => Ok(()),
        };
    }
    if mode.is_none() {
        return bad_request("Endpoint access mode is required for the specified security policy");
    }
    let edge = types.contains(&EndpointType::Edge);
    if policy.as_str().ends_with("_EDGE") != edge || (edge && types.contains(&EndpointType::Regional)) {
        return bad_request(format!("The security policy {policy} is not supported for this endpoint type"));
    }
    Ok(())
}

/// Lower-case DNS names, with `*` for a whole first label.
fn check_name(name: &str) -> Result<(), ApiError> {
    let label = |label: &str| {
        let inside =
            label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        !label.is_empty() && label.len() <= 63 && inside && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.contains('_') {
        return bad_request("Domain names cannot contain an underscore character");
    }
    if name.ends_with('.') {
        return bad_request("Trailing period should be omitted from domain name");
    }
    let rest = name.strip_prefix("*.").unwrap_or(name);
    if name.len() > NAME_MAX || rest.split('.').count() < 2 || !rest.split('.').all(label) {
        return bad_request(format!("Invalid domain name specified: {name}"));
    }
    // Such a host names an API by its id.
    if name.split('.').any(|label| label == "execute-api") {
        return bad_request(format!(
            "Invalid domain name specified: {name} is an address of API Gateway's own"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use stagedoor_shapes::apigateway::{EndpointConfiguration, MutualTlsAuthentication};

    use super::*;

    fn domain() -> DomainName {
        DomainName {
            domain_name: Some("api.example.com".into()),
            regional_certificate_arn: Some("arn:aws:acm:us-east-1:000000000000:certificate/1".into()),
            endpoint_configuration: Some(EndpointConfiguration {
                types: Some(vec![EndpointType::Regional]),
                ..Default::default()
            }),
            ..DomainName::default()
        }
    }

    fn check_that(change: impl Fn(&mut DomainName), expected: &str) {
        let mut domain = domain();
        change(&mut domain);
        let found =
            check(&domain, "us-east-1").map_or_else(|error| error.to_string(), |()| "fine".to_owned());
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn what_goes_together() {
        check_that(|_| {}, "fine");
        check_that(|d| d.domain_name = Some("*.example.com".into()), "fine");
        for name in ["Api.example.com", "localhost", "a..b", "a.*.b", "-a.b", "a.b:80", "", "x.execute-api.y"]
        {
            check_that(|d| d.domain_name = Some(name.into()), "Invalid domain name specified");
        }
        check_that(
            |d| d.regional_certificate_arn = None,
            "A certificate was not provided for the endpoint type REGIONAL.",
        );
        check_that(|d| d.regional_certificate_arn = Some("x".into()), "Invalid ARN");
        let elsewhere = "arn:aws:acm:eu-west-1:000000000000:certificate/1";
        let message = format!("Invalid certificate ARN: {elsewhere}. Certificate must be in 'us-east-1'.");
        check_that(|d| d.regional_certificate_arn = Some(elsewhere.into()), &message);
        let types = |d: &mut DomainName, types: &[EndpointType]| {
            d.endpoint_configuration.as_mut().unwrap().types = Some(types.to_vec());
        };
        check_that(
            |d| types(d, &[EndpointType::Edge]),
            "A certificate was not provided for the endpoint type EDGE.",
        );
        check_that(
            |d| {
                types(d, &[EndpointType::Edge]);
                d.certificate_arn = Some(elsewhere.into());
            },
            &message,
        );
        check_that(|d| types(d, &[]), "cannot be both DISABLED");
        check_that(
            |d| types(d, &[EndpointType::Private, EndpointType::Regional]),
            "with these Endpoint Types",
        );
        let enhanced = SecurityPolicy::SecurityPolicyTls13_1_3_2025_09;
        check_that(|d| d.security_policy = Some(enhanced), "Endpoint access mode is required");
        let edge = SecurityPolicy::SecurityPolicyTls13_2025Edge;
        let with_mode = |d: &mut DomainName, policy| {
            d.security_policy = Some(policy);
            d.endpoint_access_mode = Some(EndpointAccessMode::Strict);
        };
        check_that(|d| with_mode(d, edge), "not supported for this endpoint type");
        check_that(|d| with_mode(d, enhanced), "fine");
        check_that(|d| with_mode(d, SecurityPolicy::Tls1_2), "endpointAccessMode is not supported");
        let mutual = |d: &mut DomainName, uri: &str| {
            d.security_policy = Some(SecurityPolicy::Tls1_2);
            d.mutual_tls_authentication =
                Some(MutualTlsAuthentication { truststore_uri: Some(uri.into()), ..Default::default() });
        };
        check_that(|d| mutual(d, "s3://b/k.pem"), "fine");
        check_that(|d| mutual(d, "/etc/passwd"), "Invalid truststore URI");
        check_that(
            |d| {
                mutual(d, "s3://b/k");
                with_mode(d, enhanced);
            },
            "Mutual TLS authentication is only supported",
        );
        check_that(|d| d.policy = Some("{}".into()), "Policies are supported for private");
    }
}
