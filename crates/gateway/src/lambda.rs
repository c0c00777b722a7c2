//! Lambda functions: the data plane calls them, a project defines them, and their own crate runs them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use stagedoor_data_plane::lambda::{
    LambdaAnswer, LambdaCall, LambdaError, LambdaFuture, LambdaInvoker, LambdaStreamError, LambdaStreamFuture,
};
use stagedoor_functions::{
    FunctionConfig, Functions, Invocation, InvocationOutput, InvocationType, InvokeError, Runtime, Settings,
    StreamedOutput,
};
use stagedoor_templates::{FunctionSpec, Runtime as Language};
use tokio::sync::{mpsc, oneshot};

use crate::cli::ServeOptions;
use crate::config::Config;
use crate::remote_lambda::Endpoint;
use crate::serve::Failure;

/// Starts with no function. `control` is where functions find the services that the gateway itself offers; other
/// services they find where their own environment says.
///
/// With `keep_one`, a process of each function stays however long it is idle, so that there always is a last good one to
/// go on with when an edit breaks its code.
///
/// # Errors
/// The user that functions run as is none, or a file cannot be made.
pub(crate) fn start(options: &ServeOptions, config: &Config, keep_one: bool) -> Result<Functions, Failure> {
    let (control, data) = (options.control, &options.data);
    let user = config.functions.user().map_err(Failure::Config)?;
    let mut environment: BTreeMap<_, _> = ["API_GATEWAY", "APIGATEWAYV2", "LAMBDA"]
        .map(|service| (format!("AWS_ENDPOINT_URL_{service}"), format!("http://{control}")))
        .into();
    // Where the bootstraps send what a function sends to the host that its event names.
    environment.insert("_STAGEDOOR_GATEWAY".to_owned(), reachable(control).to_string());
    if config.credentials.is_empty() {
        // Any key will do then. Configured ones are secrets, which a function gets from nobody but its author.
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            environment.insert(name.to_owned(), "test".to_owned());
        }
    }
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".aws"));
    let mut hidden = config.secret_files();
    hidden.extend([Some(data.clone()), options.config.clone(), home].into_iter().flatten());
    let functions = Functions::new(Settings {
        environment,
        launcher: cfg!(target_os = "linux").then(|| PathBuf::from("/proc/self/exe")),
        hidden,
        user,
        processes_min: usize::from(keep_one),
        dead_letters: Some(data.join("dead-letters.jsonl")),
        events: Some(data.join("events.jsonl")),
        ..Settings::default()
    });
    functions.map_err(|error| Failure::Other(error.to_string()))
}

/// A listener's address as this machine reaches it.
fn reachable(mut listen: std::net::SocketAddr) -> std::net::SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}

/// Hands the data plane's calls to the functions: those here, and those that run elsewhere.
pub(crate) struct Invoker {
    pub(crate) functions: Functions,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
}

impl Invoker {
    /// The answer of another endpoint, for a function that is not known here and fits its pattern.
    fn elsewhere(
        &self,
        call: &LambdaCall,
    ) -> Option<impl Future<Output = Result<LambdaAnswer, LambdaError>> + Send + use<>> {
        if self.endpoints.is_empty() || self.functions.knows(&call.function_arn) {
            return None;
        }
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.serves(&call.function_arn))?;
        let (endpoint, call) = (Arc::clone(endpoint), call.clone());
        let (told, answer) = oneshot::channel();
        // Kept connections must not belong to one worker's event loop.
        self.functions.spawn(async move {
            let _ = told.send(endpoint.invoke(call).await);
        });
        Some(async move {
            answer.await.unwrap_or_else(|_| Err(LambdaError::Failed("the gateway is ending".to_owned())))
        })
    }
}

impl LambdaInvoker for Invoker {
    fn invoke(&self, call: LambdaCall) -> LambdaFuture {
        if let Some(answer) = self.elsewhere(&call) {
            return Box::pin(answer);
        }
        let (arn, size) = (Arc::clone(&call.function_arn), call.payload.len());
        let answer = self.functions.call(invocation(call));
        Box::pin(async move { answer.await.map(whole).map_err(|error| failure(error, arn, size)) })
    }

    fn invoke_streaming(&self, call: LambdaCall) -> LambdaStreamFuture {
        if let Some(answer) = self.elsewhere(&call) {
            return Box::pin(async move {
                let answer = answer.await?;
                let (pieces, chunks) = mpsc::channel(1);
                let piece = match answer.function_error {
                    Some(code) => Err(broken(code, &answer.payload)),
                    None => Ok(answer.payload),
                };
                // The receiver is at hand and the channel is empty.
                let _ = pieces.try_send(piece);
                Ok(chunks)
            });
        }
        let (arn, size) = (Arc::clone(&call.function_arn), call.payload.len());
        let answer = self.functions.invoke_streaming(invocation(call));
        let functions = self.functions.clone();
        Box::pin(async move {
            let output = answer.await.map_err(|error| failure(error, arn, size))?;
            let (pieces, chunks) = mpsc::channel(1);
            match output {
                StreamedOutput::Whole(output) => {
                    let piece = match output.function_error {
                        Some(code) => Err(broken(code, &output.payload)),
                        None => Ok(output.payload),
                    };
                    // The receiver is at hand and the channel is empty.
                    let _ = pieces.try_send(piece);
                }
                StreamedOutput::Stream(mut stream) => functions.spawn(async move {
                    while let Some(piece) = stream.next().await {
                        if pieces.send(Ok(piece)).await.is_err() {
                            return;
                        }
                    }
                    let end = stream.end().await;
                    if let Some(code) = end.function_error {
                        let _ = pieces.send(Err(broken(code, &end.error))).await;
                    }
                }),
            }
            Ok(chunks)
        })
    }
}

fn broken(code: String, error: &[u8]) -> LambdaStreamError {
    LambdaStreamError { code, details: String::from_utf8_lossy(error).into_owned() }
}

fn invocation(call: LambdaCall) -> Invocation {
    Invocation {
        function: call.function_arn.to_string(),
        request_id: Some(call.request_id),
        payload: call.payload,
        trace_id: call.trace_id,
        source_arn: call.source_arn,
        invocation_type: if call.asynchronous {
            InvocationType::Event
        } else {
            InvocationType::RequestResponse
        },
        ..Invocation::default()
    }
}

fn whole(output: InvocationOutput) -> LambdaAnswer {
    LambdaAnswer {
        payload: output.payload,
        function_error: output.function_error,
        executed_version: output.executed_version,
    }
}

fn failure(error: InvokeError, arn: Arc<str>, size: usize) -> LambdaError {
    match error {
        InvokeError::NotFound(_) => LambdaError::NotFound(arn),
        InvokeError::NotPermitted(_) => LambdaError::NotPermitted(arn),
        InvokeError::TooManyRequests => LambdaError::TooManyRequests,
        InvokeError::PayloadTooLarge { .. } | InvokeError::EventTooLarge { .. } => {
            LambdaError::PayloadTooLarge(size)
        }
        error @ (InvokeError::Start { .. } | InvokeError::NotQueued(_) | InvokeError::ShuttingDown) => {
            LambdaError::Failed(error.to_string())
        }
    }
}

/// Puts a project's function in place, and starts a process of it so that its first call finds one ready.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(crate) fn put(functions: &Functions, spec: &FunctionSpec, config: &Config) -> Result<(), String> {
    functions.put(function_of(spec, config)).map_err(|error| error.to_string())?;
    functions.warm(&spec.name);
    Ok(())
}

/// Whether [`put`] would replace a function that serves by one that does not start.
///
/// # Errors
/// A sentence that says why it does not.
pub(crate) async fn try_out(
    functions: &Functions,
    spec: &FunctionSpec,
    config: &Config,
) -> Result<(), String> {
    functions.try_out(function_of(spec, config)).await
}

fn function_of(spec: &FunctionSpec, config: &Config) -> FunctionConfig {
    let language = match spec.runtime {
        Language::Node => Runtime::Node(22),
        Language::Python => Runtime::Python(12),
        Language::Provided => Runtime::Provided("provided.al2023"),
    };
    FunctionConfig {
        // A runtime may be named by language alone; what runs is what is installed here either way.
        runtime: spec.runtime_name.parse().unwrap_or(language),
        environment: spec.environment.clone(),
        timeout: spec.timeout,
        memory_mb: spec.memory_mb,
        arn: format!("arn:aws:lambda:{}:{}:function:{}", config.region, config.account_id, spec.name),
        ..FunctionConfig::new(&spec.name, language, &spec.handler, &spec.code)
    }
}
