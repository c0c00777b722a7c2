//! Which operations are built, and the method of the control plane that each of them is.
//!
//! `cargo xtask conformance` reads this file: keep one `Operation => method,` on a line. The rest of what it needs
//! to know about an operation is in the model.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use stagedoor_control_plane::{ApiError, ControlPlane, V2};

use crate::{failure::Failure, output::internal, service::Service};

macro_rules! operations {
    ($(#[$meta:meta])* $table:ident, $call:ident, $plane:ty { $($operation:ident => $method:ident,)* }) => {
        $(#[$meta])*
        const $table: &[&str] = &[$(stringify!($operation),)*];

        fn $call(plane: $plane, operation: &str, input: Map<String, Value>) -> Result<Value, Failure> {
            match operation {
                $(stringify!($operation) => run(input, |input| plane.$method(input)),)*
                _ => Err(internal(format!("{operation} is not in the table of operations"))),
            }
        }
    };
}

operations! {
    /// REST APIs.
    REST, call_rest, &ControlPlane {
        CreateApiKey => create_api_key,
        CreateAuthorizer => create_authorizer,
        CreateBasePathMapping => create_base_path_mapping,
        CreateDeployment => create_deployment,
        CreateDocumentationPart => create_documentation_part,
        CreateDocumentationVersion => create_documentation_version,
        CreateDomainName => create_domain_name,
        CreateDomainNameAccessAssociation => create_domain_name_access_association,
        CreateModel => create_model,
        CreateRequestValidator => create_request_validator,
        CreateResource => create_resource,
        CreateRestApi => create_rest_api,
        CreateStage => create_stage,
        CreateUsagePlan => create_usage_plan,
        CreateUsagePlanKey => create_usage_plan_key,
        CreateVpcLink => create_vpc_link,
        DeleteApiKey => delete_api_key,
        DeleteAuthorizer => delete_authorizer,
        DeleteBasePathMapping => delete_base_path_mapping,
        DeleteClientCertificate => delete_client_certificate,
        DeleteDeployment => delete_deployment,
        DeleteDocumentationPart => delete_documentation_part,
        DeleteDocumentationVersion => delete_documentation_version,
        DeleteDomainName => delete_domain_name,
        DeleteDomainNameAccessAssociation => delete_domain_name_access_association,
        DeleteGatewayResponse => delete_gateway_response,
        DeleteIntegration => delete_integration,
        DeleteIntegrationResponse => delete_integration_response,
        DeleteMethod => delete_method,
        DeleteMethodResponse => delete_method_response,
        DeleteModel => delete_model,
        DeleteRequestValidator => delete_request_validator,
        DeleteResource => delete_resource,
        DeleteRestApi => delete_rest_api,
        DeleteStage => delete_stage,
        DeleteUsagePlan => delete_usage_plan,
        DeleteUsagePlanKey => delete_usage_plan_key,
        DeleteVpcLink => delete_vpc_link,
        FlushStageAuthorizersCache => flush_stage_authorizers_cache,
        FlushStageCache => flush_stage_cache,
        GenerateClientCertificate => generate_client_certificate,
        GetAccount => get_account,
        GetApiKey => get_api_key,
        GetApiKeys => get_api_keys,
        GetAuthorizer => get_authorizer,
        GetAuthorizers => get_authorizers,
        GetBasePathMapping => get_base_path_mapping,
        GetBasePathMappings => get_base_path_mappings,
        GetClientCertificate => get_client_certificate,
        GetClientCertificates => get_client_certificates,
        GetDeployment => get_deployment,
        GetDeployments => get_deployments,
        GetDocumentationPart => get_documentation_part,
        GetDocumentationParts => get_documentation_parts,
        GetDocumentationVersion => get_documentation_version,
        GetDocumentationVersions => get_documentation_versions,
        GetExport => get_export,
        GetDomainName => get_domain_name,
        GetDomainNameAccessAssociations => get_domain_name_access_associations,
        GetDomainNames => get_domain_names,
        GetGatewayResponse => get_gateway_response,
        GetGatewayResponses => get_gateway_responses,
        GetIntegration => get_integration,
        GetIntegrationResponse => get_integration_response,
        GetMethod => get_method,
        GetMethodResponse => get_method_response,
        GetModel => get_model,
        GetModelTemplate => get_model_template,
        GetModels => get_models,
        GetRequestValidator => get_request_validator,
        GetRequestValidators => get_request_validators,
        GetResource => get_resource,
        GetResources => get_resources,
        GetRestApi => get_rest_api,
        GetRestApis => get_rest_apis,
        GetSdk => get_sdk,
        GetSdkType => get_sdk_type,
        GetSdkTypes => get_sdk_types,
        GetStage => get_stage,
        GetStages => get_stages,
        GetTags => get_tags,
        GetUsage => get_usage,
        GetUsagePlan => get_usage_plan,
        GetUsagePlanKey => get_usage_plan_key,
        GetUsagePlanKeys => get_usage_plan_keys,
        GetUsagePlans => get_usage_plans,
        GetVpcLink => get_vpc_link,
        GetVpcLinks => get_vpc_links,
        ImportApiKeys => import_api_keys,
        ImportDocumentationParts => import_documentation_parts,
        ImportRestApi => import_rest_api,
        PutGatewayResponse => put_gateway_response,
        PutIntegration => put_integration,
        PutIntegrationResponse => put_integration_response,
        PutMethod => put_method,
        PutMethodResponse => put_method_response,
        PutRestApi => put_rest_api,
        RejectDomainNameAccessAssociation => reject_domain_name_access_association,
        TagResource => tag_resource,
        TestInvokeAuthorizer => test_invoke_authorizer,
        TestInvokeMethod => test_invoke_method,
        UntagResource => untag_resource,
        UpdateAccount => update_account,
        UpdateApiKey => update_api_key,
        UpdateAuthorizer => update_authorizer,
        UpdateBasePathMapping => update_base_path_mapping,
        UpdateClientCertificate => update_client_certificate,
        UpdateDeployment => update_deployment,
        UpdateDocumentationPart => update_documentation_part,
        UpdateDocumentationVersion => update_documentation_version,
        UpdateDomainName => update_domain_name,
        UpdateGatewayResponse => update_gateway_response,
        UpdateIntegration => update_integration,
        UpdateIntegrationResponse => update_integration_response,
        UpdateMethod => update_method,
        UpdateMethodResponse => update_method_response,
        UpdateModel => update_model,
        UpdateRequestValidator => update_request_validator,
        UpdateResource => update_resource,
        UpdateRestApi => update_rest_api,
        UpdateStage => update_stage,
        UpdateUsage => update_usage,
        UpdateUsagePlan => update_usage_plan,
        UpdateVpcLink => update_vpc_link,
    }
}

operations! {
    /// HTTP and WebSocket APIs.
    HTTP, call_http, V2<'_> {
        CreateApi => create_api,
        CreateApiMapping => create_api_mapping,
        CreateAuthorizer => create_authorizer,
        CreateDeployment => create_deployment,
        CreateDomainName => create_domain_name,
        CreateIntegration => create_integration,
        CreateIntegrationResponse => create_integration_response,
        CreateModel => create_model,
        CreateRoute => create_route,
        CreateRouteResponse => create_route_response,
        CreateRoutingRule => create_routing_rule,
        CreateStage => create_stage,
        CreateVpcLink => create_vpc_link,
        DeleteAccessLogSettings => delete_access_log_settings,
        DeleteApi => delete_api,
        DeleteApiMapping => delete_api_mapping,
        DeleteAuthorizer => delete_authorizer,
        DeleteCorsConfiguration => delete_cors_configuration,
        DeleteDeployment => delete_deployment,
        DeleteDomainName => delete_domain_name,
        DeleteIntegration => delete_integration,
        DeleteIntegrationResponse => delete_integration_response,
        DeleteModel => delete_model,
        DeleteRoute => delete_route,
        DeleteRouteRequestParameter => delete_route_request_parameter,
        DeleteRouteResponse => delete_route_response,
        DeleteRouteSettings => delete_route_settings,
        DeleteRoutingRule => delete_routing_rule,
        DeleteStage => delete_stage,
        DeleteVpcLink => delete_vpc_link,
        ExportApi => export_api,
        GetApi => get_api,
        GetApiMapping => get_api_mapping,
        GetApiMappings => get_api_mappings,
        GetApis => get_apis,
        GetAuthorizer => get_authorizer,
        GetAuthorizers => get_authorizers,
        GetDeployment => get_deployment,
        GetDeployments => get_deployments,
        GetDomainName => get_domain_name,
        GetDomainNames => get_domain_names,
        GetIntegration => get_integration,
        GetIntegrationResponse => get_integration_response,
        GetIntegrationResponses => get_integration_responses,
        GetIntegrations => get_integrations,
        GetModel => get_model,
        GetModelTemplate => get_model_template,
        GetModels => get_models,
        GetRoute => get_route,
        GetRouteResponse => get_route_response,
        GetRouteResponses => get_route_responses,
        GetRoutes => get_routes,
        GetRoutingRule => get_routing_rule,
        GetStage => get_stage,
        GetStages => get_stages,
        GetTags => get_tags,
        GetVpcLink => get_vpc_link,
        GetVpcLinks => get_vpc_links,
        ListRoutingRules => list_routing_rules,
        PutRoutingRule => put_routing_rule,
        ImportApi => import_api,
        ReimportApi => reimport_api,
        ResetAuthorizersCache => reset_authorizers_cache,
        TagResource => tag_resource,
        UntagResource => untag_resource,
        UpdateApi => update_api,
        UpdateApiMapping => update_api_mapping,
        UpdateAuthorizer => update_authorizer,
        UpdateDeployment => update_deployment,
        UpdateDomainName => update_domain_name,
        UpdateIntegration => update_integration,
        UpdateIntegrationResponse => update_integration_response,
        UpdateModel => update_model,
        UpdateRoute => update_route,
        UpdateRouteResponse => update_route_response,
        UpdateStage => update_stage,
        UpdateVpcLink => update_vpc_link,
    }
}

/// `@connections`: what the data plane answers, at the addresses of APIs and stages.
const CONNECTIONS: &[&str] = &["DeleteConnection", "GetConnection", "PostToConnection"];

/// Whether an operation is built.
pub(crate) fn is_built(service: Service, operation: &str) -> bool {
    let table = match service {
        Service::Rest => REST,
        Service::Http => HTTP,
        Service::Connections => CONNECTIONS,
    };
    table.contains(&operation)
}

/// Runs an operation.
///
/// # Errors
/// What the control plane answers; or 501 for an operation that is not built.
pub(crate) fn call(
    plane: &ControlPlane,
    service: Service,
    operation: &'static str,
    input: Map<String, Value>,
) -> Result<Value, Failure> {
    match service {
        Service::Rest if is_built(service, operation) => call_rest(plane, operation, input),
        Service::Http if is_built(service, operation) => call_http(plane.v2(), operation, input),
        _ => Err(Failure::not_built(service, operation)),
    }
}

/// Members to the shape that the method takes, and the shape that it gives to members.
fn run<I: DeserializeOwned, O: Serialize>(
    input: Map<String, Value>,
    method: impl FnOnce(I) -> Result<O, ApiError>,
) -> Result<Value, Failure> {
    // The types have been checked against the model; what is left is text of a form of its own, as base64.
    let input = serde_json::from_value(Value::Object(input))
        .map_err(|error| Failure::bad_request("SerializationException", error.to_string()))?;
    let output = method(input)?;
    serde_json::to_value(output).map_err(|error| internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_an_operation() {
        for (service, table) in
            [(Service::Rest, REST), (Service::Http, HTTP), (Service::Connections, CONNECTIONS)]
        {
            for name in table {
                assert!(service.operations().iter().any(|operation| operation.name == *name), "{name}");
            }
        }
    }
}
