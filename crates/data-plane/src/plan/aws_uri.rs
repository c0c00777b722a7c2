//! Integrations with AWS's services, compiled: which service a URI asks for what.
//!
//! `arn:aws:apigateway:{region}:{service}:action/{Action}` asks for an action: its name goes into the query
//! (`?Action=`), and a service that speaks JSON is told it in `X-Amz-Target` too. `…:path/{path}` asks for a path as it
//! is. `{service}` may be `{subdomain}.{service}`.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;

use super::aws_services::{AwsService, AwsServices};
use super::integration::{RequestTransformation, ResponseTransformation};
use super::mapping::Source;
use super::uri::UriTemplate;

/// The name that a service's requests are signed with, where that is not the service's own (`signingName` of AWS's models).
fn signing_name(service: &str) -> &str {
    match service {
        "appconfigdata" => "appconfig",
        "appstream2" => "appstream",
        "contact-lens" => "connect",
        "forecastquery" => "forecast",
        "ivsrealtime" => "ivs",
        "mail-manager" => "ses",
        "memory-db" => "memorydb",
        "models-v2-lex" | "runtime-v2-lex" => "lex",
        "personalize-events" | "personalize-runtime" => "personalize",
        "pinpoint" => "mobiletargeting",
        "s3-control" => "s3",
        "servicecatalog-appregistry" => "servicecatalog",
        chime if chime.ends_with("-chime") => "chime",
        bedrock if bedrock.starts_with("bedrock-") && !bedrock.starts_with("bedrock-agentcore") => "bedrock",
        marketplace if marketplace.ends_with("-marketplace") => "aws-marketplace",
        service => service,
    }
}

/// The signing name of the one service whose paths are names of objects.
pub const S3: &str = "s3";

/// `AWS` with a service other than Lambda.
#[derive(Debug)]
pub struct AwsIntegration {
    /// The service.
    pub service: AwsService,
    /// The path and query it is asked for.
    pub uri: UriTemplate,
    /// What is told beside what the method maps: the target of an action and the protocol's media type.
    pub target: Option<(Box<str>, Box<str>)>,
    /// The method it is asked with; the client's if there is none.
    pub method: Option<Method>,
    /// How long its answer may take.
    pub timeout: Duration,
    /// What it is sent.
    pub request: RequestTransformation,
    /// What becomes of its answer.
    pub responses: ResponseTransformation,
}

/// A service as its name stands in URIs, where that says less than what has to be known.
struct Known {
    /// The name in URIs and host names.
    name: &'static str,
    /// The name in signatures.
    signing_name: &'static str,
    /// The name in `AWS_ENDPOINT_URL_{…}`.
    variable: &'static str,
    /// What stands before the action in `X-Amz-Target`, and the version of the JSON protocol; empty if the action is
    /// told in the query alone.
    target: (&'static str, &'static str),
}

const fn known(
    name: &'static str,
    signing_name: &'static str,
    variable: &'static str,
    target: &'static str,
    version: &'static str,
) -> Known {
    Known { name, signing_name, variable, target: (target, version) }
}

/// From the models of AWS's own clients. EventBridge speaks JSON too, but AWS leaves its target to a mapping; SQS and
/// Systems Manager are asked by the query protocol that they spoke first.
const KNOWN: &[Known] = &[
    known("acm", "acm", "ACM", "CertificateManager", "1.1"),
    known("api.ecr", "ecr", "ECR", "AmazonEC2ContainerRegistry_V20150921", "1.1"),
    known("api.sagemaker", "sagemaker", "SAGEMAKER", "SageMaker", "1.1"),
    known("runtime.sagemaker", "sagemaker", "SAGEMAKER_RUNTIME", "", ""),
    known("athena", "athena", "ATHENA", "AmazonAthena", "1.1"),
    known("cognito-identity", "cognito-identity", "COGNITO_IDENTITY", "AWSCognitoIdentityService", "1.1"),
    known(
        "cognito-idp",
        "cognito-idp",
        "COGNITO_IDENTITY_PROVIDER",
        "AWSCognitoIdentityProviderService",
        "1.1",
    ),
    known("data.iot", "iotdata", "IOT_DATA_PLANE", "", ""),
    known("iotdata", "iotdata", "IOT_DATA_PLANE", "", ""),
    known("dynamodb", "dynamodb", "DYNAMODB", "DynamoDB_20120810", "1.0"),
    known("streams.dynamodb", "dynamodb", "DYNAMODB_STREAMS", "DynamoDBStreams_20120810", "1.0"),
    known("ecs", "ecs", "ECS", "AmazonEC2ContainerServiceV20141113", "1.1"),
    known("email", "ses", "SES", "", ""),
    known("ses", "ses", "SES", "", ""),
    known("events", "events", "EVENTBRIDGE", "", ""),
    known("firehose", "firehose", "FIREHOSE", "Firehose_20150804", "1.1"),
    known("glue", "glue", "GLUE", "AWSGlue", "1.1"),
    known("kinesis", "kinesis", "KINESIS", "Kinesis_20131202", "1.1"),
    known("kms", "kms", "KMS", "TrentService", "1.1"),
    known("logs", "logs", "CLOUDWATCH_LOGS", "Logs_20140328", "1.1"),
    known("monitoring", "monitoring", "CLOUDWATCH", "", ""),
    known("rekognition", "rekognition", "REKOGNITION", "RekognitionService", "1.1"),
    known("secretsmanager", "secretsmanager", "SECRETS_MANAGER", "secretsmanager", "1.1"),
    known("states", "states", "SFN", "AWSStepFunctions", "1.0"),
    known("swf", "swf", "SWF", "SimpleWorkflowService", "1.0"),
];

/// An integration's ARN in its parts.
#[derive(Debug, PartialEq, Eq)]
struct ServiceArn<'a> {
    region: &'a str,
    service: &'a str,
    is_action: bool,
    what: &'a str,
}

impl<'a> ServiceArn<'a> {
    fn parse(uri: &'a str) -> Result<Self, &'static str> {
        const NO_ARN: &str = "Invalid ARN specified in the request";
        let mut parts = uri.splitn(6, ':');
        let (Some("arn"), Some(_), Some("apigateway"), Some(region), Some(service), Some(target)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NO_ARN);
        };
        let is_label = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !is_label(region) || !service.split('.').all(is_label) {
            return Err(NO_ARN);
        }
        match target.split_once('/') {
            Some((how @ ("path" | "action"), what)) => {
                Ok(Self { region, service, is_action: how == "action", what })
            }
            _ => Err("AWS ARN for integration must contain path or action"),
        }
    }
}

/// The service that an ARN names, if it is one for an integration.
#[must_use]
pub fn service_name(uri: &str) -> Option<&str> {
    ServiceArn::parse(uri).ok().map(|arn| arn.service)
}

/// A service, what it is asked for, and what is told beside.
#[derive(Debug)]
pub struct Asked {
    /// The service.
    pub service: AwsService,
    /// The path and query.
    pub uri: UriTemplate,
    /// `X-Amz-Target` and the media type of its protocol.
    pub target: Option<(Box<str>, Box<str>)>,
}

/// Compiles a URI whose stage variables are already replaced.
///
/// # Errors
/// A sentence for what cannot be.
pub fn compile(
    uri: &str,
    path_mappings: &BTreeMap<&str, Source>,
    services: &AwsServices,
) -> Result<Asked, String> {
    let arn = ServiceArn::parse(uri)?;
    let known = KNOWN.iter().find(|known| known.name == arn.service);
    // A subdomain that is no part of a service's own name: the last label is the service.
    let base = arn.service.rsplit('.').next().unwrap_or(arn.service);
    let own_variable = base.to_ascii_uppercase().replace('-', "_");
    let by_base = known.or_else(|| KNOWN.iter().find(|known| known.name == base));
    let (variable, signing) = by_base
        .map_or((own_variable.as_str(), signing_name(base)), |known| (known.variable, known.signing_name));
    let mut host = match arn.service {
        "ses" => "email",
        "iotdata" => "data.iot",
        service => service,
    };
    let (name, parameters) = arn.what.split_once('&').unwrap_or((arn.what, ""));
    if arn.is_action && host == "states" && name == "StartSyncExecution" {
        host = "sync-states";
    }
    let service = services.find(variable, host, signing, arn.region)?;
    let mut target = None;
    let path_and_query = if arn.is_action && signing == S3 {
        s3_action(name, parameters)?
    } else if arn.is_action {
        if name.is_empty()
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric())
            || parameters.contains('{')
        {
            return Err(format!(
                "{:?} is no action: its name is letters and digits, and parameters that are not constants have to be \
                 mapped onto integration.request.querystring",
                arn.what
            ));
        }
        target = known.filter(|known| !known.target.0.is_empty()).map(|known| {
            let (prefix, version) = known.target;
            (format!("{prefix}.{name}").into(), format!("application/x-amz-json-{version}").into())
        });
        let separator = if parameters.is_empty() { "" } else { "&" };
        format!("/?Action={name}{separator}{parameters}")
    } else {
        // What stands in for S3 at another address need not have a name for each bucket.
        let bucket = arn.service.strip_suffix(".s3").filter(|_| services.is_elsewhere(variable));
        let path = arn.what.trim_start_matches('/');
        bucket.map_or_else(|| format!("/{path}"), |bucket| format!("/{bucket}/{path}"))
    };
    // The address is the service's, whatever stands here.
    let uri = UriTemplate::parse(&format!("http://aws{path_and_query}"), path_mappings)?;
    Ok(Asked { service, uri, target })
}

/// S3's actions that are about a bucket or an object, and what tells them from others of the same path and method. From
/// the model of AWS's own clients.
const S3_ACTIONS: &[(&str, &str)] = &[
    ("AbortMultipartUpload", ""),
    ("CompleteMultipartUpload", ""),
    ("CopyObject", ""),
    ("CreateBucket", ""),
    ("CreateMultipartUpload", "uploads"),
    ("DeleteBucket", ""),
    ("DeleteObject", ""),
    ("DeleteObjectTagging", "tagging"),
    ("DeleteObjects", "delete"),
    ("GetBucketAcl", "acl"),
    ("GetBucketLocation", "location"),
    ("GetBucketPolicy", "policy"),
    ("GetBucketVersioning", "versioning"),
    ("GetObject", ""),
    ("GetObjectAcl", "acl"),
    ("GetObjectAttributes", "attributes"),
    ("GetObjectTagging", "tagging"),
    ("HeadBucket", ""),
    ("HeadObject", ""),
    ("ListBuckets", ""),
    ("ListMultipartUploads", "uploads"),
    ("ListObjectVersions", "versions"),
    ("ListObjects", ""),
    ("ListObjectsV2", "list-type=2"),
    ("ListParts", ""),
    ("PutObject", ""),
    ("PutObjectAcl", "acl"),
    ("PutObjectTagging", "tagging"),
    ("UploadPart", ""),
];

/// The path and query of an action of S3, which speaks in paths: AWS documents `action/GetObject&Bucket=b&Key=k` and
/// `path/b/k` as the same. Parameters of other names are sent as they are.
fn s3_action(name: &str, parameters: &str) -> Result<String, String> {
    let Some((_, sub_resource)) = S3_ACTIONS.iter().find(|(known, _)| *known == name) else {
        return Err(format!("the action {name:?} of S3 is not known here: write path/BUCKET/KEY instead"));
    };
    let (mut bucket, mut key, mut query) = ("", "", (*sub_resource).to_owned());
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("Bucket", value)) => bucket = value,
            Some(("Key", value)) => key = value,
            _ if parameter.contains('{') => {
                return Err(format!(
                    "{parameter:?} is not constant: map it onto integration.request.querystring"
                ));
            }
            _ => {
                query.push_str(if query.is_empty() { "" } else { "&" });
                query.push_str(parameter);
            }
        }
    }
    if bucket.is_empty() && name != "ListBuckets" {
        return Err(format!("the action {name:?} of S3 needs &Bucket=, and &Key= for an object"));
    }
    let path = if key.is_empty() { format!("/{bucket}") } else { format!("/{bucket}/{key}") };
    Ok(if query.is_empty() { path } else { format!("{path}?{query}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns() {
        let check = |rest: &str, expected: Result<(&str, bool, &str), &str>| {
            let uri = format!("arn:aws:apigateway:us-east-1:{rest}");
            let found = ServiceArn::parse(&uri).map(|arn| (arn.service, arn.is_action, arn.what));
            assert_eq!(found, expected, "{uri}");
        };
        let no_arn = Err("Invalid ARN specified in the request");
        let neither = Err("AWS ARN for integration must contain path or action");
        check("sqs:path/1/q", Ok(("sqs", false, "1/q")));
        check("b.s3:path/k", Ok(("b.s3", false, "k")));
        check("sns:action/Publish&A=b:c", Ok(("sns", true, "Publish&A=b:c")));
        check("sqs:path", neither);
        check("sqs:paths/x", neither);
        check("a/b:path/x", no_arn);
        check(":path/x", no_arn);
        check("sqs", no_arn);
    }

    #[test]
    fn services() {
        let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let at_aws = AwsServices::from_environment(keys.into_iter().map(own));
        let elsewhere =
            AwsServices::from_environment([("AWS_ENDPOINT_URL", "http://x")].into_iter().map(own));
        let check = |services: &AwsServices, rest: &str, expected: &str| {
            let found = compile(&format!("arn:aws:apigateway:eu-west-1:{rest}"), &BTreeMap::new(), services);
            let shown = found.map_or_else(
                |error| error,
                |asked| {
                    let target = asked.target.map(|(target, _)| target).unwrap_or_default();
                    let AwsService { upstream, signing_name, region, .. } = asked.service;
                    format!("{} {signing_name} {region} {} {target}", upstream.authority, asked.uri)
                },
            );
            assert!(shown.starts_with(expected), "{rest}: {shown}");
        };
        check(
            &at_aws,
            "dynamodb:action/PutItem",
            "dynamodb.eu-west-1.amazonaws.com dynamodb eu-west-1 /?Action=PutItem DynamoDB_20120810.PutItem",
        );
        check(
            &at_aws,
            "states:action/StartSyncExecution",
            "sync-states.eu-west-1.amazonaws.com states eu-west-1 /?Action=StartSyncExecution AWSStepFunctions.",
        );
        check(&at_aws, "sqs:path/1/q", "sqs.eu-west-1.amazonaws.com sqs eu-west-1 /1/q ");
        // Signed by another name than their own.
        let model = "bedrock-runtime.eu-west-1.amazonaws.com bedrock eu-west-1 /model/x/invoke ";
        check(&at_aws, "bedrock-runtime:path/model/x/invoke", model);
        check(
            &at_aws,
            "pinpoint:path/v1/apps",
            "pinpoint.eu-west-1.amazonaws.com mobiletargeting eu-west-1 /v1/apps ",
        );
        check(&at_aws, "iam:action/ListUsers", "iam.amazonaws.com iam us-east-1 /?Action=ListUsers ");
        check(&at_aws, "b.s3:path/k?acl", "b.s3.eu-west-1.amazonaws.com s3 eu-west-1 /k?acl ");
        check(&elsewhere, "b.s3:path/k", "x s3 eu-west-1 /b/k ");
        check(&elsewhere, "sns:path//", "x sns eu-west-1 / ");
        check(&elsewhere, "s3:action/GetObject&Bucket=b&Key=k", "x s3 eu-west-1 /b/k ");
        check(
            &elsewhere,
            "s3:action/ListObjectsV2&Bucket=b&prefix=p",
            "x s3 eu-west-1 /b?list-type=2&prefix=p ",
        );
        check(&elsewhere, "s3:action/ListBuckets", "x s3 eu-west-1 / ");
        check(&elsewhere, "s3:action/GetObject&Key=k", "the action \"GetObject\" of S3 needs &Bucket=");
        check(&elsewhere, "s3:action/ListObjects&Bucket=b&prefix={p}", "\"prefix={p}\" is not constant");
        check(
            &elsewhere,
            "s3:action/SelectObjectContent&Bucket=b",
            "the action \"SelectObjectContent\" of S3",
        );
        check(&elsewhere, "sns:action/Publish&A={b}", "\"Publish&A={b}\" is no action");
    }

    proptest::proptest! {
        #[test]
        fn any_arn_is_read_or_refused(uri in "(arn:aws:apigateway:r:(sqs|b.s3|s3):(path|action)/(GetObject)?)?\\PC{0,40}") {
            let services = AwsServices { endpoint: Some("http://x".to_owned()), ..AwsServices::default() };
            let _ = compile(&uri, &BTreeMap::new(), &services);
        }
    }
}
