//! What plans of HTTP APIs and of WebSocket APIs have in common: both are APIs of `apigatewayv2`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use stagedoor_shapes::apigateway::{ApiKeySourceType as ApiKeySource, EndpointType};
use stagedoor_shapes::apigatewayv2::{Api, ProtocolType, Stage};

use super::media_types::MediaTypes;
use super::{CompileSettings, Plan, Router, compile_access_log};
use crate::gateway_response::GatewayResponses;
use crate::logs::access::AccessLog;
use crate::metrics::{Labels, Series};

/// What a stage counts under.
pub(super) fn labels(api: &Api, stage: &Stage) -> Labels {
    Labels {
        api_name: api.name.clone().unwrap_or_default(),
        api_id: api.api_id.clone().unwrap_or_default(),
        stage: stage.stage_name.clone().unwrap_or_default(),
        is_http_api: api.protocol_type == Some(ProtocolType::Http),
        method: None,
    }
}

/// A plan that serves nothing yet. What such APIs do not have on AWS is off: tracing, caches, canaries, gateway
/// responses and resource policies.
pub(super) fn plan(labels: &Labels, stage: &Stage, settings: &CompileSettings, metrics: Arc<Series>) -> Plan {
    let log = stage.access_log_settings.as_ref();
    let access_log = compile_access_log(
        log.and_then(|log| log.format.as_deref()),
        log.and_then(|log| log.destination_arn.as_deref()),
        settings,
    );
    Plan {
        api_id: labels.api_id.as_str().into(),
        api_name: labels.api_name.as_str().into(),
        is_traced: false,
        api_id_header: Bytes::from(labels.api_id.clone()),
        user_agent: Bytes::from(format!("AmazonAPIGateway_{}", labels.api_id)),
        stage: labels.stage.as_str().into(),
        deployment_id: stage.deployment_id.as_deref().unwrap_or_default().into(),
        account_id: settings.account_id.as_str().into(),
        region: settings.region.as_str().into(),
        web_acl_arn: None,
        resource_policy: None,
        client_tls: None,
        api_key_source: ApiKeySource::Header,
        cache: None,
        compression_bytes_min: None,
        keeps_request_headers: access_log.as_ref().is_some_and(AccessLog::uses_request_headers),
        access_log,
        metrics,
        canary_metrics: None,
        endpoint_type: EndpointType::Regional,
        binary_media_types: MediaTypes::new(&[]),
        is_canary: None,
        canary: None,
        variables: stage.stage_variables.clone().unwrap_or_default(),
        gateway_responses: GatewayResponses::compile(&[], &BTreeMap::new(), &mut Vec::new()),
        router: Router::default(),
        resources: Vec::new(),
        http_api: None,
        websocket: None,
    }
}
