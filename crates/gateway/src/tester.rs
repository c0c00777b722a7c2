//! `TestInvokeMethod`: the control plane asks, the data plane's pipeline answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use stagedoor_control_plane::MethodTester;
use stagedoor_data_plane::plan::{self, CompileSettings};
use stagedoor_data_plane::test_invoke::{MethodTest, Tester};
use stagedoor_shapes::apigateway::{Stage, TestInvokeMethodRequest, TestInvokeMethodResponse};
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
        input: &TestInvokeMethodRequest,
    ) -> Result<TestInvokeMethodResponse, Vec<String>> {
        let test = test_of(snapshot, input).map_err(|message| vec![message])?;
        let compiled = plan::compile(snapshot, stage, &self.settings);
        self.settings.metrics.forget_unused();
        let plan = compiled.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let answer = self.tester.run(plan, test).ok_or_else(|| vec!["the test broke off".to_owned()])?;
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
    let path = given.or(own).unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let single = input.headers.iter().flatten();
    let multiple = input.multi_value_headers.iter().flatten();
    let multiple = multiple.flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    let is_repeated = |name: &str| {
        input.multi_value_headers.iter().flatten().any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    let headers = single
        .filter(|(name, _)| !is_repeated(name))
        .chain(multiple)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let body = input.body.clone().unwrap_or_default();
    Ok(MethodTest { method, target: format!("{slash}{path}"), headers, body: Bytes::from(body) })
}
