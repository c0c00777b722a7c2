//! `stagedoor sign`: signs a request to a method with `AWS_IAM` and prints the headers to send with it, or a URL that is
//! signed itself.

use clap::Args;
use stagedoor_sigv4::{Credential, Request, SigningScope, presign, sign};
use time::OffsetDateTime;

/// What is to be signed.
#[derive(Debug, Args)]
pub(crate) struct SignOptions {
    /// The address of the request.
    url: String,
    /// Its method.
    #[arg(short = 'X', long, default_value = "GET")]
    method: String,
    /// A header to be signed along, as `Name: value`; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// The body.
    #[arg(short = 'd', long, default_value = "")]
    data: String,
    /// Print a URL that anybody may use for so many seconds, instead of headers.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    presign: Option<u64>,
    /// The region of the API.
    #[arg(long, default_value = "us-east-1", env = "AWS_DEFAULT_REGION")]
    region: String,
    /// The service.
    #[arg(long, default_value = "execute-api")]
    service: String,
    /// The key's id.
    #[arg(long, env = "AWS_ACCESS_KEY_ID")]
    access_key_id: String,
    /// Its secret half. Better taken from the environment than from the command line, which others can see.
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    secret_access_key: String,
    /// The token that comes with a session's key.
    #[arg(long, env = "AWS_SESSION_TOKEN", hide_env_values = true)]
    session_token: Option<String>,
}

/// Signs and gives the headers, one a line, as `curl -H @-` reads them, or the presigned URL.
///
/// # Errors
/// A sentence that names the argument that cannot be used.
pub(crate) fn run(options: &SignOptions) -> Result<String, String> {
    let rest = options.url.split_once("://").ok_or("the address has to begin with http:// or https://")?.1;
    let (host, target) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Vec::new();
    for header in &options.headers {
        let (name, value) =
            header.split_once(':').ok_or_else(|| format!("write {header:?} as Name: value"))?;
        headers.push((name.trim(), value.trim()));
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        headers.push(("Host", host));
    }
    let given: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let request = Request {
        method: &options.method.to_ascii_uppercase(),
        path,
        query,
        headers: headers.into(),
        body: options.data.as_bytes(),
    };
    let credential = Credential {
        access_key_id: options.access_key_id.clone(),
        secret_access_key: options.secret_access_key.clone(),
        session_token: options.session_token.clone().filter(|token| !token.is_empty()),
    };
    let scope = SigningScope { region: &options.region, service: &options.service };
    if let Some(expires_seconds) = options.presign {
        let query = presign(&request, &credential, scope, OffsetDateTime::now_utc(), expires_seconds);
        let base = options.url.split_once('?').map_or(options.url.as_str(), |(base, _)| base);
        // Without a path the query would be a part of the host.
        let slash = if rest.contains('/') { "" } else { "/" };
        return Ok(format!("{base}{slash}?{query}"));
    }
    let added = sign(&request, &credential, scope, OffsetDateTime::now_utc());
    let added = added.iter().map(|(name, value)| format!("{name}: {value}"));
    Ok(given.into_iter().chain(added).collect::<Vec<_>>().join("\n"))
}
