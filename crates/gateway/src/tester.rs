//! `TestInvokeMethod` and `TestInvokeAuthorizer`: the control plane asks, the data plane's pipeline answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use stagedoor_control_plane::MethodTester;
use stagedoor_control_plane::client_certificates::ClientIdentity;
use stagedoor_data_plane::plan::{self, CompileSettings, Plan};
use stagedoor_data_plane::server_tls::Identity;
use stagedoor_data_plane::test_invoke::{MethodTest, Tester};
use stagedoor_data_plane::tls::ClientTls;
use stagedoor_shapes::apigateway::{
    Stage, TestInvokeAuthorizerRequest, TestInvokeAuthorizerResponse, TestInvokeMethodRequest,
    TestInvokeMethodResponse,
};
use stagedoor_shapes::snapshot::RestApiSnapshot;

/// Compiles what is to be tested, and runs it.
pub(crate) struct PipelineTester {
    pub(crate) tester: Tester,
    pub(crate) settings: CompileSettings,
}

impl MethodTester for PipelineTester {
    fn test(
        &self,
        snapshot: &RestApiSnapshot,
        stage: &Stage,
        certificate: Option<&ClientIdentity>,
        input: &TestInvokeMethodRequest,
    ) -> Result<TestInvokeMethodResponse, Vec<String>> {
        let test = test_of(snapshot, input).map_err(|message| vec![message])?;
        let mut plan = self.compile(snapshot, stage)?;
        plan.present(certificate.map(|found| client_tls(found, input)).transpose()?);
        let answer = self.tester.run(plan, test).ok_or_else(broken_off)?;
        let mut headers = BTreeMap::new();
        let mut multi_value_headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in answer.headers {
            headers.insert(name.clone(), value.clone());
            multi_value_headers.entry(name).or_default().push(value);
        }
        Ok(TestInvokeMethodResponse {
            status: Some(answer.status.into()),
            body: Some(String::from_utf8_lossy(&answer.body).into_owned()),
            headers: Some(headers),
            multi_value_headers: Some(multi_value_headers),
            log: Some(answer.log),
            latency: i64::try_from(answer.latency.as_millis()).ok(),
        })
    }

    fn test_authorizer(
        &self,
        snapshot: &RestApiSnapshot,
        stage: &Stage,
        input: &TestInvokeAuthorizerRequest,
    ) -> Result<TestInvokeAuthorizerResponse, Vec<String>> {
        let test = MethodTest {
            method: Method::GET,
            target: target_of(input.path_with_query_string.as_deref()),
            headers: headers_of(input.headers.as_ref(), input.multi_value_headers.as_ref()),
            body: body_of(input.body.as_ref()),
            context: input.additional_context.clone().unwrap_or_default(),
        };
        let plan = self.compile(snapshot, stage)?;
        let answer = self.tester.run_authorizer(plan, test).ok_or_else(broken_off)?;
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let claims =
            answer.claims.map(|claims| claims.into_iter().map(|(name, value)| (name, text(value))).collect());
        Ok(TestInvokeAuthorizerResponse {
            client_status: Some(answer.status.into()),
            log: Some(answer.log),
            latency: i64::try_from(answer.latency.as_millis()).ok(),
            principal_id: answer.principal_id,
            policy: answer.policy,
            authorization: (answer.status == 200).then(BTreeMap::new),
            claims,
        })
    }
}

impl PipelineTester {
    fn compile(&self, snapshot: &RestApiSnapshot, stage: &Stage) -> Result<Plan, Vec<String>> {
        let compiled = plan::compile(snapshot, stage, &self.settings);
        self.settings.metrics.forget_unused();
        compiled.map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }
}

/// The certificate that the backend is shown.
fn client_tls(
    found: &ClientIdentity,
    input: &TestInvokeMethodRequest,
) -> Result<Arc<ClientTls>, Vec<String>> {
    let id = input.client_certificate_id.clone().unwrap_or_default();
    let identity = Identity::from_pem(found.certificate.as_bytes(), found.private_key.as_bytes());
    identity.map(|identity| Arc::new(ClientTls::new(id, identity))).map_err(|error| vec![error])
}

fn broken_off() -> Vec<String> {
    vec!["the test broke off".to_owned()]
}

/// The request that is tested.
fn test_of(snapshot: &RestApiSnapshot, input: &TestInvokeMethodRequest) -> Result<MethodTest, String> {
    let name = input.http_method.as_deref().unwrap_or_default();
    let method = match Method::from_bytes(name.as_bytes()) {
        Ok(method) if name != "ANY" => method,
        _ => return Err("Invalid HTTP method specified".to_owned()),
    };
    let given = input.path_with_query_string.as_deref().filter(|path| !path.is_empty());
    let own = snapshot.resources.first().and_then(|resource| resource.path.as_deref());
    let headers = headers_of(input.headers.as_ref(), input.multi_value_headers.as_ref());
    Ok(MethodTest {
        method,
        target: target_of(given.or(own)),
        headers,
        body: body_of(input.body.as_ref()),
        context: BTreeMap::new(),
    })
}

fn target_of(path: Option<&str>) -> String {
    let path = path.unwrap_or_default();
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn body_of(body: Option<&String>) -> Bytes {
    Bytes::from(body.cloned().unwrap_or_default())
}

/// Headers with one value and with several: of a name that is in both, the several count.
fn headers_of(
    single: Option<&BTreeMap<String, String>>,
    multiple: Option<&BTreeMap<String, Vec<String>>>,
) -> Vec<(String, String)> {
    let is_repeated =
        |name: &str| multiple.into_iter().flatten().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let repeated = multiple.into_iter().flatten();
    let repeated = repeated.flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    let single = single.into_iter().flatten().filter(|(name, _)| !is_repeated(name));
    single.chain(repeated).map(|(name, value)| (name.clone(), value.clone())).collect()
}
