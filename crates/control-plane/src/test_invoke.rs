//! `TestInvokeMethod` and `TestInvokeAuthorizer`: call a method or an authorizer as it is defined now, deployed or not.

use stagedoor_shapes::apigateway::{
    AuthorizerType, Integration, IntegrationType, Method, Resource, Stage, TestInvokeAuthorizerRequest,
    TestInvokeAuthorizerResponse, TestInvokeMethodRequest, TestInvokeMethodResponse,
};
use stagedoor_shapes::snapshot::RestApiSnapshot;

use crate::ApiError;
use crate::authorizers;
use crate::client_certificates::ClientIdentity;
use crate::control_plane::{ControlPlane, bad_request, not_found, required};
use crate::resources;

/// The stage that AWS shows to what a test calls.
const STAGE: &str = "test-invoke-stage";
/// The same for authorizers.
const AUTHORIZER_STAGE: &str = "ESTestInvoke-stage";

/// Runs a method. The data plane's pipeline stands behind it.
pub trait MethodTester: Send + Sync {
    /// Calls the only method of a snapshot, in a stage of its own. Backends are shown the certificate, if there is
    /// one. Blocks until it has answered.
    ///
    /// # Errors
    /// Everything that keeps the method from being called, one sentence each; none if nothing here can call methods.
    fn test(
        &self,
        snapshot: &RestApiSnapshot,
        stage: &Stage,
        certificate: Option<&ClientIdentity>,
        input: &TestInvokeMethodRequest,
    ) -> Result<TestInvokeMethodResponse, Vec<String>>;

    /// Asks the only authorizer of a snapshot about a request to its only method. Blocks until it has answered.
    ///
    /// # Errors
    /// As for [`MethodTester::test`].
    fn test_authorizer(
        &self,
        snapshot: &RestApiSnapshot,
        stage: &Stage,
        input: &TestInvokeAuthorizerRequest,
    ) -> Result<TestInvokeAuthorizerResponse, Vec<String>>;
}

/// Calls nothing, for tests and tools that serve no traffic.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTester;

impl MethodTester for NoTester {
    fn test(
        &self,
        _: &RestApiSnapshot,
        _: &Stage,
        _: Option<&ClientIdentity>,
        _: &TestInvokeMethodRequest,
    ) -> Result<TestInvokeMethodResponse, Vec<String>> {
        Err(Vec::new())
    }

    fn test_authorizer(
        &self,
        _: &RestApiSnapshot,
        _: &Stage,
        _: &TestInvokeAuthorizerRequest,
    ) -> Result<TestInvokeAuthorizerResponse, Vec<String>> {
        Err(Vec::new())
    }
}

fn refused(errors: &[String]) -> ApiError {
    if errors.is_empty() {
        return ApiError::NotImplemented("Nothing here can call methods".to_owned());
    }
    ApiError::BadRequest(errors.join("; "))
}

impl ControlPlane {
    /// `TestInvokeAuthorizer`. The answer tells what the authorizer said of a caller; it is held against no method.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API or authorizer, [`ApiError::BadRequest`] for one that cannot be asked.
    pub fn test_invoke_authorizer(
        &self,
        input: TestInvokeAuthorizerRequest,
    ) -> Result<TestInvokeAuthorizerResponse, ApiError> {
        let api = required(&input.rest_api_id);
        let id = required(&input.authorizer_id);
        let mut snapshot = self.read(|tx| {
            // An unknown API is answered like an unknown authorizer, as `GetAuthorizer` does.
            authorizers::find(tx, api, id)?;
            self.load_api(tx, api)
        })?;
        snapshot.authorizers.retain(|authorizer| authorizer.id.as_deref() == Some(id));
        let Some(authorizer) = snapshot.authorizers.first() else {
            return not_found("Invalid Authorizer identifier specified");
        };
        let kind = match authorizer.type_ {
            Some(AuthorizerType::CognitoUserPools) => "COGNITO_USER_POOLS",
            Some(AuthorizerType::Jwt) => "JWT",
            _ => "CUSTOM",
        };
        let method = Method {
            http_method: Some("GET".to_owned()),
            authorization_type: Some(kind.to_owned()),
            authorizer_id: Some(id.to_owned()),
            method_integration: Some(Integration {
                type_: Some(IntegrationType::Mock),
                ..Integration::default()
            }),
            ..Method::default()
        };
        snapshot.resources = vec![Resource {
            path: Some("/".to_owned()),
            resource_methods: Some([("GET".to_owned(), method)].into()),
            ..Resource::default()
        }];
        snapshot.rest_api.policy = None;
        let stage = Stage {
            stage_name: Some(AUTHORIZER_STAGE.to_owned()),
            variables: input.stage_variables.clone(),
            ..Stage::default()
        };
        let tester = &self.settings.method_tester;
        tester.test_authorizer(&snapshot, &stage, &input).map_err(|errors| refused(&errors))
    }

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
        let id = required(&input.resource_id);
        let mut snapshot = self.read(|tx| {
            resources::find(tx, api, id)?;
            self.load_api(tx, api)
        })?;
        let Some(resource) =
            snapshot.resources.into_iter().find(|resource| resource.id.as_deref() == Some(id))
        else {
            return not_found("Invalid Resource identifier specified");
        };
        let certificate = match input.client_certificate_id.as_deref().filter(|id| !id.is_empty()) {
            Some(id) => match self.client_identity(id)? {
                Some(identity) => Some(identity),
                None => return bad_request("Invalid Client Certificate ID specified"),
            },
            None => None,
        };
        snapshot.resources = vec![with_method(resource, required(&input.http_method))?];
        snapshot.rest_api.policy = None;
        snapshot.rest_api.minimum_compression_size = None;
        let stage = Stage {
            stage_name: Some(STAGE.to_owned()),
            variables: input.stage_variables.clone(),
            ..Stage::default()
        };
        let tester = &self.settings.method_tester;
        tester.test(&snapshot, &stage, certificate.as_ref(), &input).map_err(|errors| refused(&errors))
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
