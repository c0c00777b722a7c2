//! Functions that run elsewhere: calls whose ARN fits a configured pattern go to another Lambda-compatible endpoint (AWS
//! itself, or an emulator), signed by SigV4. A function that is known here wins over any pattern.
//!
//! Results come whole, also for a method that streams: the endpoint is asked with `Invoke`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use stagedoor_data_plane::lambda::{LambdaAnswer, LambdaCall, LambdaError};
use stagedoor_data_plane::tls;
use stagedoor_functions::RESULT_BYTES_MAX;
use stagedoor_sigv4::{Credential, SigningScope, sign};
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// The longest that a function may run, and a connection may take to open.
const CALL_TIME_MAX: Duration = Duration::from_secs(900);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// The most connections that are kept for later calls of one endpoint.
const IDLE_MAX: usize = 64;
/// Everything but what stands in a path for itself.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

type Sender = http1::SendRequest<Full<Bytes>>;

/// Where the functions of a pattern run.
pub(crate) struct Endpoint {
    /// A whole ARN, with `*` and `?`.
    pattern: String,
    /// Where to, as configured; AWS's own endpoint of the ARN's region if there is none.
    url: Option<Uri>,
    /// Signs the calls that no role or caller signs; without one they go unsigned.
    credential: Option<Credential>,
    idle: Mutex<Vec<(String, Sender)>>,
    tls: Mutex<Option<TlsConnector>>,
}

/// A Lambda-compatible endpoint for some functions, as the configuration file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LambdaEndpoint {
    /// A pattern for whole ARNs.
    pattern: String,
    /// Its address; AWS itself if there is none.
    url: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    session_token: Option<String>,
}

impl Endpoint {
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(crate) fn configured(given: &LambdaEndpoint) -> Result<Self, String> {
        let credential = match (&given.access_key_id, &given.secret_access_key) {
            (Some(id), Some(secret)) if !id.is_empty() && !secret.is_empty() => Some(Credential {
                access_key_id: id.clone(),
                secret_access_key: secret.clone(),
                session_token: given.session_token.clone(),
            }),
            (None, None) => None,
            _ => {
                return Err(
                    "lambda_endpoints need both access_key_id and secret_access_key, or neither".to_owned()
                );
            }
        };
        Self::new(&given.pattern, given.url.as_deref(), credential)
            .map_err(|error| format!("lambda_endpoints: {error}"))
    }

    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(crate) fn new(
        pattern: &str,
        url: Option<&str>,
        credential: Option<Credential>,
    ) -> Result<Self, String> {
        if !pattern.starts_with("arn:") || pattern.split(':').count() < 7 {
            return Err(format!(
                "pattern must be one for whole ARNs of functions, such as arn:aws:lambda:*:111122223333:function:*, \
                 not {pattern:?}"
            ));
        }
        let url = url.map(str::parse::<Uri>).transpose().map_err(|error| format!("url: {error}"))?;
        if let Some(url) = &url
            && (!matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none())
        {
            return Err(format!("url must begin with http:// or https:// and name a host, not {url:?}"));
        }
        if url.is_none() && credential.is_none() {
            return Err("an endpoint without url is AWS itself, which needs access_key_id and \
                        secret_access_key"
                .to_owned());
        }
        let pattern = pattern.to_owned();
        Ok(Self { pattern, url, credential, idle: Mutex::default(), tls: Mutex::default() })
    }

    /// Whether a function's ARN fits; a version or alias behind it does not matter.
    pub(crate) fn serves(&self, arn: &str) -> bool {
        let unqualified = match arn.match_indices(':').nth(6) {
            Some((at, _)) => arn.get(..at).unwrap_or(arn),
            None => arn,
        };
        glob(&self.pattern, arn) || glob(&self.pattern, unqualified)
    }

    /// Whether a function of this name, in whatever account and region, could be meant.
    pub(crate) fn may_know(&self, name: &str) -> bool {
        let last = self.pattern.split(':').nth(6).unwrap_or_default();
        glob(last, name)
    }

    /// Calls a function.
    ///
    /// # Errors
    /// What the endpoint answers, or why it does not.
    pub(crate) async fn invoke(&self, call: LambdaCall) -> Result<LambdaAnswer, LambdaError> {
        let arn = Arc::clone(&call.function_arn);
        let failed = |reason: String| LambdaError::Failed(format!("{arn} could not be called: {reason}"));
        let size = call.payload.len();
        let answer = tokio::time::timeout(CALL_TIME_MAX, self.ask(&call))
            .await
            .map_err(|_| failed("no answer in 15 minutes".to_owned()))?;
        let (status, headers, body) = answer.map_err(failed)?;
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        match status {
            StatusCode::OK | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(LambdaAnswer {
                payload: body,
                function_error: header("x-amz-function-error"),
                executed_version: header("x-amz-executed-version").unwrap_or_default(),
            }),
            StatusCode::NOT_FOUND => Err(LambdaError::NotFound(arn)),
            StatusCode::FORBIDDEN => Err(LambdaError::NotPermitted(arn)),
            StatusCode::PAYLOAD_TOO_LARGE => Err(LambdaError::PayloadTooLarge(size)),
            StatusCode::TOO_MANY_REQUESTS => Err(LambdaError::TooManyRequests),
            StatusCode::BAD_REQUEST => Err(LambdaError::InvalidRequest(refusal(&body))),
            other => {
                let start = body.get(..body.len().min(500)).unwrap_or_default();
                Err(failed(format!("the endpoint answered {other}: {}", String::from_utf8_lossy(start))))
            }
        }
    }

    async fn ask(&self, call: &LambdaCall) -> Result<(StatusCode, HeaderMap, Bytes), String> {
        let region = call.function_arn.split(':').nth(3).filter(|region| !region.is_empty());
        let region = region.unwrap_or("us-east-1");
        let url = match &self.url {
            Some(url) => url.clone(),
            None => format!("https://lambda.{region}.amazonaws.com").parse().map_err(|_| "no such region")?,
        };
        let request = || self.request(call, &url, region);
        let authority = url.authority().map(ToString::to_string).unwrap_or_default();
        let mut sender = self.connection(&url, &authority).await?;
        let response = match sender.send_request(request()?).await {
            // A kept connection closed before anything was sent on it.
            Err(error) if error.is_canceled() => {
                sender = self.connect(&url).await?;
                sender.send_request(request()?).await
            }
            other => other,
        };
        let (parts, body) = response.map_err(|error| error.to_string())?.into_parts();
        let body = Limited::new(body, RESULT_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && !sender.is_closed() {
            idle.push((authority, sender));
        }
        Ok((parts.status, parts.headers, body.to_bytes()))
    }

    fn request(&self, call: &LambdaCall, url: &Uri, region: &str) -> Result<Request<Full<Bytes>>, String> {
        let function = utf8_percent_encode(&call.function_arn, PATH).to_string();
        let base = url.path().trim_end_matches('/');
        let path = format!("{base}/2015-03-31/functions/{function}/invocations");
        let host = url.authority().map(ToString::to_string).unwrap_or_default();
        let kind = if call.asynchronous { "Event" } else { "RequestResponse" };
        let mut headers = vec![
            ("Host", host.as_str()),
            ("Content-Type", "application/json"),
            ("X-Amz-Invocation-Type", kind),
        ];
        if let Some(trace_id) = &call.trace_id {
            headers.push(("X-Amzn-Trace-Id", trace_id));
        }
        let added = match call.credential.as_deref().or(self.credential.as_ref()) {
            None => Vec::new(),
            Some(credential) => {
                let signed = stagedoor_sigv4::Request {
                    method: "POST",
                    path: &path,
                    query: "",
                    headers: (&headers[..]).into(),
                    body: &call.payload,
                };
                let scope = SigningScope { region, service: "lambda" };
                sign(&signed, credential, scope, OffsetDateTime::now_utc())
            }
        };
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in added {
            request = request.header(name, value);
        }
        request.body(Full::new(call.payload.clone())).map_err(|error| error.to_string())
    }

    async fn connection(&self, url: &Uri, authority: &str) -> Result<Sender, String> {
        loop {
            let kept = {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.iter().rposition(|(to, _)| to == authority).map(|at| idle.swap_remove(at).1)
            };
            match kept {
                None => return self.connect(url).await,
                Some(mut sender) => {
                    if sender.ready().await.is_ok() {
                        return Ok(sender);
                    }
                }
            }
        }
    }

    async fn connect(&self, url: &Uri) -> Result<Sender, String> {
        let host = url.host().unwrap_or_default();
        let is_tls = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let opening = async {
            let stream =
                TcpStream::connect((bare.as_str(), port)).await.map_err(|error| error.to_string())?;
            let _ = stream.set_nodelay(true);
            if !is_tls {
                return handshake(stream).await;
            }
            let name = ServerName::try_from(bare.clone()).map_err(|error| error.to_string())?;
            let stream = self.tls()?.connect(name, stream).await.map_err(|error| error.to_string())?;
            handshake(stream).await
        };
        let opened = tokio::time::timeout(CONNECT_TIME_MAX, opening).await;
        opened.unwrap_or_else(|_| Err("the connection took too long".to_owned())).map_err(|error| {
            format!("{}: {error}", url.authority().map(ToString::to_string).unwrap_or_default())
        })
    }

    fn tls(&self) -> Result<TlsConnector, String> {
        let mut kept = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connector) = &*kept {
            return Ok(connector.clone());
        }
        let connector = tls::verified_connector(None)?;
        *kept = Some(connector.clone());
        Ok(connector)
    }
}

async fn handshake(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Sender, String> {
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a Lambda endpoint ended");
        }
    });
    Ok(sender)
}

/// Why an endpoint refuses a request, out of its answer: `{"Type":"User","message":"…"}`.
fn refusal(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        #[serde(alias = "Message")]
        message: String,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.message,
        Err(_) => "Bad Request".to_owned(),
    }
}

/// `*` stands for any text, `?` for one character.
fn glob(pattern: &str, text: &str) -> bool {
    let (mut rest, mut parts) = (text, pattern.split('*').enumerate().peekable());
    while let Some((at, part)) = parts.next() {
        let last = parts.peek().is_none();
        let found = match (at, last) {
            (0, true) => return rest.len() == part.len() && fits(part, rest),
            (0, false) => rest.get(..part.len()).filter(|start| fits(part, start)).map(|_| 0),
            (_, true) => {
                return rest.len() >= part.len()
                    && rest.get(rest.len() - part.len()..).is_some_and(|end| fits(part, end));
            }
            _ => (0..=rest.len().saturating_sub(part.len()))
                .find(|&at| rest.get(at..at + part.len()).is_some_and(|piece| fits(part, piece))),
        };
        let Some(at) = found else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

fn fits(part: &str, text: &str) -> bool {
    part.bytes().zip(text.bytes()).all(|(wanted, byte)| wanted == b'?' || wanted == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, arn: &str, expected: bool) {
        let endpoint = Endpoint::new(pattern, Some("http://localhost:1"), None).unwrap();
        assert_eq!(endpoint.serves(arn), expected, "{pattern} {arn}");
    }

    #[test]
    fn patterns_fit_whole_arns() {
        let orders = "arn:aws:lambda:eu-west-1:111122223333:function:orders";
        check(orders, orders, true);
        check(orders, &format!("{orders}:live"), true);
        check(orders, "arn:aws:lambda:eu-west-1:111122223333:function:orders2", false);
        check("arn:aws:lambda:*:111122223333:function:*", orders, true);
        check("arn:aws:lambda:*:*:function:order?", orders, true);
        check("arn:aws:lambda:*:*:function:*ers", orders, true);
        check("arn:aws:lambda:*:*:function:o*d*s:live", &format!("{orders}:live"), true);
        check("arn:aws:lambda:us-*:*:function:*", orders, false);
        check("arn:aws:lambda:*:*:function:*x*", orders, false);
    }

    #[test]
    fn what_cannot_be_an_endpoint() {
        let refused = |pattern: &str, url: Option<&str>, part: &str| {
            let error = Endpoint::new(pattern, url, None).err().unwrap();
            assert!(error.contains(part), "{error}");
        };
        refused("orders", Some("http://localhost"), "whole ARNs");
        refused("arn:aws:lambda:*:*:function:*", Some("localhost:3001"), "url");
        refused("arn:aws:lambda:*:*:function:*", Some("ftp://localhost"), "http://");
        refused("arn:aws:lambda:*:*:function:*", None, "needs access_key_id");
    }
}
