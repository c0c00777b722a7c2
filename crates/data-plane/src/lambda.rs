//! How Lambda functions are called. The functions themselves run elsewhere; the gateway connects the two.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use stagedoor_sigv4::Credential;
use tokio::sync::mpsc;

/// One call of a function.
#[derive(Clone, Debug)]
pub struct LambdaCall {
    /// The function's ARN, with a version or alias where the integration names one.
    pub function_arn: Arc<str>,
    /// The id that the invocation goes by in the function and in logs.
    pub request_id: String,
    /// The event.
    pub payload: Bytes,
    /// Whether the caller does not wait for the function's answer (`X-Amz-Invocation-Type: Event`).
    pub asynchronous: bool,
    /// The `X-Amzn-Trace-Id` of the request, for the function's environment.
    pub trace_id: Option<String>,
    /// Who calls, as `execute-api` ARN: the function's resource policy has to allow it
    /// (`arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH`, for an authorizer `…:API/authorizers/ID`). None where
    /// a role calls (`credentials`), which needs no policy of the function's.
    pub source_arn: Option<String>,
    /// The keys of the role or caller that calls, for functions that run elsewhere; none for the gateway's own.
    pub credential: Option<Arc<Credential>>,
}

/// What a function gave back.
#[derive(Clone, Debug)]
pub struct LambdaAnswer {
    /// The function's result, or the description of its error.
    pub payload: Bytes,
    /// `Handled` or `Unhandled` if the function failed.
    pub function_error: Option<String>,
    /// The version that ran, such as `$LATEST`.
    pub executed_version: String,
}

/// Why a function could not be called at all.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LambdaError {
    /// No function has this ARN.
    #[error("no function is known as {0}")]
    NotFound(Arc<str>),
    /// The function's resource policy does not allow the call.
    #[error(
        "Invalid permissions on Lambda function: the policy of {0} does not allow this method to invoke it"
    )]
    NotPermitted(Arc<str>),
    /// All of its instances are busy and no more may be started.
    #[error("the function's concurrency is used up")]
    TooManyRequests,
    /// The event is larger than functions take (6 MB, or 1 MB for asynchronous calls).
    #[error("the event is too large: {0} bytes")]
    PayloadTooLarge(usize),
    /// The event is not one that Lambda takes: it is no JSON. The text says what is wrong with it.
    #[error("{0}")]
    InvalidRequest(String),
    /// Anything else on the way to the function.
    #[error("{0}")]
    Failed(String),
}

impl LambdaError {
    /// The status that Lambda gives such a call.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::NotFound(_) => Some(404),
            Self::NotPermitted(_) => Some(403),
            Self::TooManyRequests => Some(429),
            Self::PayloadTooLarge(_) => Some(413),
            Self::InvalidRequest(_) => Some(400),
            Self::Failed(_) => Some(500),
        }
    }
}

/// The answer to come.
pub type LambdaFuture = Pin<Box<dyn Future<Output = Result<LambdaAnswer, LambdaError>> + Send>>;

/// A function's answer while it is still being made (`InvokeWithResponseStream`).
///
/// Pieces come in order. The channel closes when the function has ended well; an error ends the answer before its time
/// and is the last thing to come. Dropping the receiver means that nobody reads on: whoever sends may then stop.
pub type LambdaChunks = mpsc::Receiver<Result<Bytes, LambdaStreamError>>;

/// Why a streamed answer broke off (`InvokeComplete` with an `ErrorCode`).
#[derive(Clone, Debug, thiserror::Error)]
#[error("the function's answer broke off ({code}): {details}")]
pub struct LambdaStreamError {
    /// Such as `Unhandled`.
    pub code: String,
    /// What is known of the cause.
    pub details: String,
}

/// The streamed answer to come: ready once the function has been called, which may be before its first byte.
pub type LambdaStreamFuture = Pin<Box<dyn Future<Output = Result<LambdaChunks, LambdaError>> + Send>>;

/// Calls functions.
pub trait LambdaInvoker: Send + Sync {
    /// Calls one. Dropping the future gives up waiting.
    fn invoke(&self, call: LambdaCall) -> LambdaFuture;

    /// Calls one and hands its answer on as it is made. A function that does not stream answers in one piece, as on
    /// Lambda; that is also what an invoker does which has nothing better than this.
    fn invoke_streaming(&self, call: LambdaCall) -> LambdaStreamFuture {
        let answer = self.invoke(call);
        Box::pin(async move {
            let answer = answer.await?;
            let (sender, chunks) = mpsc::channel(1);
            let piece = match answer.function_error {
                Some(code) => {
                    let details = String::from_utf8_lossy(&answer.payload).into_owned();
                    Err(LambdaStreamError { code, details })
                }
                None => Ok(answer.payload),
            };
            // The receiver is at hand and the channel is empty.
            let _ = sender.try_send(piece);
            Ok(chunks)
        })
    }
}
