//! `TestInvokeMethod`: calls a method as it is defined now, deployed or not.

use stagedoor_shapes::apigateway::{
    Integration, Method, Resource, Stage, TestInvokeMethodRequest, TestInvokeMethodResponse,
};
use stagedoor_shapes::snapshot::RestApiSnapshot;

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, not_found, required};

/// The stage that AWS shows to what a test calls.
const STAGE: &str = "test-invoke-stage";

/// Runs a method. The data plane's pipeline stands behind it.
pub trait MethodTester: Send + Sync {
    /// Calls the only method of a snapshot, in a stage of its own. Blocks until it has answered.
    ///
    /// # Errors
    /// Everything that keeps the method from being called, one sentence each; none if nothing here can call methods.
    fn test(
        &self,
        snapshot: &RestApiSnapshot,
        stage: &Stage,
        input: &TestInvokeMethodRequest,
    ) -> Result<TestInvokeMethodResponse, Vec<String>>;
}

/// Calls nothing, for tests and tools that serve no traffic.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTester;

impl MethodTester for NoTester {
    fn test(
        &self,
        _: &RestApiSnapshot,
        _: &Stage,
        _: &TestInvokeMethodRequest,
    ) -> Result<TestInvokeMethodResponse, Vec<String>> {
        Err(Vec::new())
    }
}

impl ControlPlane {
    /// `TestInvokeMethod`. Who may call the method is not asked, as on AWS: authorizers, API keys, throttling and the
    /// resource policy are passed over.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, resource or method, [`ApiError::BadRequest`] for one that cannot be
    /// called.
    pub fn test_invoke_method(
        &self,
        input: TestInvokeMethodRequest,
    ) -> Result<TestInvokeMethodResponse, ApiError> {
        let api = required(&input.rest_api_id);
        let mut snapshot = self.read(|tx| self.load_api(tx, api))?;
        let id = required(&input.resource_id);
        let Some(resource) =
            snapshot.resources.into_iter().find(|resource| resource.id.as_deref() == Some(id))
        else {
            return not_found("Invalid Resource identifier specified");
        };
        if input.client_certificate_id.as_deref().is_some_and(|id| !id.is_empty()) {
            return bad_request("clientCertificateId: client certificates are not supported yet");
        }
        snapshot.resources = vec![with_method(resource, required(&input.http_method))?];
        snapshot.rest_api.policy = None;
        snapshot.rest_api.minimum_compression_size = None;
        let stage = Stage {
            stage_name: Some(STAGE.to_owned()),
            variables: input.stage_variables.clone(),
            ..Stage::default()
        };
        self.settings.method_tester.test(&snapshot, &stage, &input).map_err(|errors| {
            if errors.is_empty() {
                return ApiError::NotImplemented("Nothing here can call methods".to_owned());
            }
            ApiError::BadRequest(errors.join("; "))
        })
    }
}

/// A resource with one method of its own, which anybody may call.
fn with_method(resource: Resource, name: &str) -> Result<Resource, ApiError> {
    let mut methods = resource.resource_methods.unwrap_or_default();
    let Some((name, method)) = methods.remove_entry(name).or_else(|| methods.remove_entry("ANY")) else {
        return not_found("Invalid Method identifier specified");
    };
    let method = Method {
        authorization_type: Some("NONE".to_owned()),
        authorizer_id: None,
        authorization_scopes: None,
        api_key_required: Some(false),
        // What a test answers is not taken from a cache, nor kept in one.
        method_integration: method.method_integration.map(|integration| Integration {
            cache_key_parameters: None,
            cache_namespace: None,
            ..integration
        }),
        ..method
    };
    Ok(Resource { resource_methods: Some([(name, method)].into()), ..resource })
}
