//! First-class service integrations of HTTP APIs, compiled: which service is asked for what, and where each parameter
//! comes from.

use std::collections::BTreeMap;
use std::time::Duration;

use stagedoor_shapes::apigatewayv2::Integration as Shape;

use super::parameters::Expression;
use crate::plan::CompileSettings;
use crate::plan::aws_services::AwsService;

/// `AWS_PROXY` with a subtype.
#[derive(Debug)]
pub struct ServiceIntegration {
    /// The service.
    pub service: AwsService,
    /// How it is asked.
    pub action: Action,
    /// The parameters by name.
    pub parameters: Vec<(Box<str>, Expression)>,
    /// How long its answer may take.
    pub timeout: Duration,
    /// Whether a parameter reads the body.
    pub needs_body: bool,
}

/// How a service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// AWS's query protocol: a form with `Action`.
    Sqs(&'static str),
    /// JSON with `X-Amz-Target`: the target, and the version of the protocol.
    Json(&'static str, &'static str),
    /// JSON as well, with what is put around the parameters of one event.
    PutEvents,
    /// `GET /applications/…`.
    GetConfiguration,
}

/// A subtype: its name, the action, and the service in variables, host names and signatures.
const SUBTYPES: &[(&str, Action, [&str; 3])] = &[
    ("EventBridge-PutEvents", Action::PutEvents, ["EVENTBRIDGE", "events", "events"]),
    ("SQS-SendMessage", Action::Sqs("SendMessage"), SQS),
    ("SQS-ReceiveMessage", Action::Sqs("ReceiveMessage"), SQS),
    ("SQS-DeleteMessage", Action::Sqs("DeleteMessage"), SQS),
    ("SQS-PurgeQueue", Action::Sqs("PurgeQueue"), SQS),
    ("AppConfig-GetConfiguration", Action::GetConfiguration, ["APPCONFIG", "appconfig", "appconfig"]),
    (
        "Kinesis-PutRecord",
        Action::Json("Kinesis_20131202.PutRecord", "1.1"),
        ["KINESIS", "kinesis", "kinesis"],
    ),
    ("StepFunctions-StartExecution", Action::Json("AWSStepFunctions.StartExecution", "1.0"), SFN),
    (
        "StepFunctions-StartSyncExecution",
        Action::Json("AWSStepFunctions.StartSyncExecution", "1.0"),
        ["SFN", "sync-states", "states"],
    ),
    ("StepFunctions-StopExecution", Action::Json("AWSStepFunctions.StopExecution", "1.0"), SFN),
];
const SQS: [&str; 3] = ["SQS", "sqs", "sqs"];
const SFN: [&str; 3] = ["SFN", "states", "states"];

impl ServiceIntegration {
    /// Compiles an integration with a subtype.
    ///
    /// # Errors
    /// A sentence for what cannot be.
    pub fn compile(
        subtype: &str,
        shape: &Shape,
        variables: &BTreeMap<String, String>,
        settings: &CompileSettings,
        timeout: Duration,
    ) -> Result<Self, String> {
        let found = SUBTYPES.iter().find(|(name, ..)| *name == subtype);
        let (_, action, [name, host, signing_name]) = found
            .ok_or_else(|| format!("the integration subtype {subtype:?} is none that HTTP APIs have"))?;
        let mut region = settings.region.clone();
        let mut parameters = Vec::new();
        let mut needs_body = false;
        for (name, value) in shape.request_parameters.iter().flatten() {
            if name == "Region" {
                region.clone_from(value);
                continue;
            }
            let expression = Expression::parse(value, variables)?;
            needs_body |= expression.needs_request_body();
            parameters.push((name.as_str().into(), expression));
        }
        let service = settings.aws.find(name, host, signing_name, &region)?;
        Ok(Self { service, action: *action, parameters, timeout, needs_body })
    }
}
