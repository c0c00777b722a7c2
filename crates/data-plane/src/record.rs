//! The record of one request: what each phase decided, and on what.
//!
//! Phases write it, always; `$context`, the access log, the execution log, metrics and `TestInvokeMethod` read it. A
//! request that uses no phase but its integration writes a few numbers and allocates nothing: what takes memory is
//! boxed, and made by the phase that has it to tell.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use smallvec::SmallVec;
use stagedoor_http::clock;

use crate::logs::execution::ExecutionLog;
use crate::phase::Phase;

/// What the phases of one request wrote down.
#[derive(Debug, Default)]
pub struct Record {
    /// The phases the request went through, in order.
    pub steps: SmallVec<[Step; 4]>,
    /// What became of the integration's call.
    pub integration: IntegrationRecord,
    /// What the authorizer said.
    pub authorizer: Option<Box<AuthorizerRecord>>,
    /// How a signature was checked: `$context.authenticate.*`.
    pub authenticate: Option<Box<StepRecord>>,
    /// How a policy was evaluated: `$context.authorize.*`.
    pub authorize: Option<Box<StepRecord>>,
    /// How web ACL rules were applied: `$context.waf.*`, `$context.wafResponseCode`, `$context.webaclArn`.
    pub waf: Option<Box<WafRecord>>,
    /// Who called: `$context.identity.*`.
    pub identity: Option<Box<IdentityRecord>>,
    /// Whether the answer came from the stage's cache.
    pub cache: CacheUse,
    /// `$context.customDomain.basePathMatched`.
    pub base_path: Option<Box<str>>,
    /// `$context.customDomain.routingRuleIdMatched`.
    pub routing_rule: Option<Box<str>>,
    /// Bytes of the request's body, counted as they are read, where the stage's access log asks for them.
    pub received: Option<Rc<Cell<u64>>>,
    /// The ARN of the private custom domain name that the request came by: `execute-api:viaDomainArn`.
    pub domain_arn: Option<Box<str>>,
    /// What the client was sent.
    pub response: ResponseRecord,
    /// The execution log, if the method has one.
    pub log: Option<Box<ExecutionLog>>,
    /// What each policy decided and why, if the request is traced.
    pub policies: Vec<(&'static str, String)>,
}

/// One phase's part in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The phase.
    pub phase: Phase,
    /// How it ended.
    pub decision: Decision,
}

/// How a phase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request goes on.
    Continued,
    /// The response is there, and later phases are passed over.
    Answered,
    /// The request failed here. Why is in `Exchange::fault`.
    Refused,
}

/// What became of the integration's call.
#[derive(Debug, Default)]
pub struct IntegrationRecord {
    /// `$context.integration.status`: the backend's status, or the one that a function behind `AWS_PROXY` gave.
    pub status: Option<u16>,
    /// `$context.integration.integrationStatus`: the status of the AWS service that was called, not of the function.
    pub service_status: Option<u16>,
    /// When it was called.
    pub began: Option<Instant>,
    /// `$context.integration.latency`: from sending the request to the answer's header section.
    pub latency: Option<Duration>,
    /// `$context.integration.requestId`, `$context.awsEndpointRequestId`.
    pub request_id: Option<Box<str>>,
    /// `$context.awsEndpointRequestId2`: what Amazon S3 and its like call `x-amz-id-2`.
    pub request_id_2: Option<Box<str>>,
    /// `$context.integration.error`.
    pub error: Option<Box<str>>,
}

impl IntegrationRecord {
    /// Notes that the integration answered, or failed to, at this moment.
    pub fn ended(&mut self, began: Instant) {
        self.began = Some(began);
        self.latency = Some(clock::now().saturating_duration_since(began));
    }
}

/// What an authorizer said.
#[derive(Debug, Default)]
pub struct AuthorizerRecord {
    /// `$context.authorizer.principalId`.
    pub principal_id: Option<Box<str>>,
    /// `$context.authorizer.{property}`: what a Lambda authorizer's answer holds as `context`.
    pub context: Map<String, Value>,
    /// The API key that the request counts for, where the API takes it from the authorizer (`usageIdentifierKey`).
    pub usage_identifier_key: Option<Box<str>>,
    /// `$context.authorizer.claims.{property}`: a user pool's claims.
    pub claims: Option<Map<String, Value>>,
    /// `$context.authorizer.claims.{property}`, each of them JSON: the token that a REST API's JWT authorizer has
    /// verified.
    pub verified: Option<Arc<Map<String, Value>>>,
    /// The token that an HTTP API's JWT authorizer has verified.
    pub jwt: Option<JwtRecord>,
    /// `$context.authorizer.error`.
    pub error: Option<Box<str>>,
    /// `$context.authorizer.status`: what the request would be, or was, answered with on the authorizer's account.
    pub status: Option<u16>,
    /// `$context.authorizer.latency`.
    pub latency: Option<Duration>,
    /// `$context.authorizer.requestId`.
    pub request_id: Option<Box<str>>,
    /// `$context.authorizer.integrationStatus`: the status that calling the function gave.
    pub integration_status: Option<u16>,
    /// `$context.authorizer.integrationLatency`: how long the function took. None if its answer was cached.
    pub integration_latency: Option<Duration>,
}

/// A verified token.
#[derive(Debug)]
pub struct JwtRecord {
    /// Its claims, as they stand in it.
    pub claims: Arc<Map<String, Value>>,
    /// The scopes that the route asks for one of.
    pub scopes: Arc<[String]>,
}

/// A check that has a status, a time and perhaps an error to tell.
#[derive(Debug, Default)]
pub struct StepRecord {
    /// The status that it gave.
    pub status: Option<u16>,
    /// How long it took.
    pub latency: Option<Duration>,
    /// What was wrong.
    pub error: Option<Box<str>>,
}

/// What the rules of a web ACL did.
#[derive(Debug, Default)]
pub struct WafRecord {
    /// Status, time and error.
    pub step: StepRecord,
    /// `$context.wafResponseCode`: `WAF_ALLOW` or `WAF_BLOCK`.
    pub response_code: Option<&'static str>,
}

/// Who called, in the terms of `$context.identity`.
#[derive(Debug, Default)]
pub struct IdentityRecord {
    /// `accessKey`, which functions see and `$context` does not have.
    pub access_key: Option<Box<str>>,
    /// `accountId`.
    pub account_id: Option<Box<str>>,
    /// `apiKey`: the key's value.
    pub api_key: Option<Box<str>>,
    /// `apiKeyId`.
    pub api_key_id: Option<Box<str>>,
    /// `caller`.
    pub caller: Option<Box<str>>,
    /// `cognitoAuthenticationProvider`.
    pub cognito_authentication_provider: Option<Box<str>>,
    /// `cognitoAuthenticationType`.
    pub cognito_authentication_type: Option<Box<str>>,
    /// `cognitoIdentityId`.
    pub cognito_identity_id: Option<Box<str>>,
    /// `cognitoIdentityPoolId`.
    pub cognito_identity_pool_id: Option<Box<str>>,
    /// `principalOrgId`.
    pub principal_org_id: Option<Box<str>>,
    /// `user`.
    pub user: Option<Box<str>>,
    /// `userArn`.
    pub user_arn: Option<Box<str>>,
    /// `vpcId`.
    pub vpc_id: Option<Box<str>>,
    /// `vpceId`.
    pub vpce_id: Option<Box<str>>,
    /// `clientCert`: the certificate of a client of a domain with mutual TLS.
    pub client_cert: Option<Box<ClientCertRecord>>,
}

/// A client's certificate, in the terms of `$context.identity.clientCert`.
#[derive(Debug, Default)]
pub struct ClientCertRecord {
    /// `clientCertPem`.
    pub pem: Box<str>,
    /// `subjectDN`.
    pub subject_dn: Box<str>,
    /// `issuerDN`.
    pub issuer_dn: Box<str>,
    /// `serialNumber`.
    pub serial_number: Box<str>,
    /// `validity.notBefore`.
    pub not_before: Box<str>,
    /// `validity.notAfter`.
    pub not_after: Box<str>,
}

/// Whether the stage's cache was asked, and had the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheUse {
    /// The method has no cache.
    #[default]
    Unused,
    /// The answer came from it.
    Hit,
    /// It was asked and had none.
    Miss,
    /// It was not asked, because the client wanted a fresh answer (`Cache-Control: max-age=0`).
    Bypassed,
}

/// What the client was sent.
#[derive(Debug, Default)]
pub struct ResponseRecord {
    /// `$context.status`. 0 until there is a response.
    pub status: u16,
    /// `$context.responseLatency`: from the request's arrival to its answer.
    pub latency: Option<Duration>,
    /// `$context.responseLength`, in bytes: of the body. None as long as a body of unknown length is being sent.
    pub length: Option<u64>,
}

impl Record {
    /// Notes how a phase ended.
    pub fn step(&mut self, phase: Phase, decision: Decision) {
        self.steps.push(Step { phase, decision });
    }

    /// The identity, made if there is none.
    pub fn identity_mut(&mut self) -> &mut IdentityRecord {
        self.identity.get_or_insert_default()
    }

    /// The authorizer's part, made if there is none.
    pub fn authorizer_mut(&mut self) -> &mut AuthorizerRecord {
        self.authorizer.get_or_insert_default()
    }
}
