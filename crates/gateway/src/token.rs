//! The built-in issuer: `stagedoor token` makes tokens as a user pool does, and the control listener serves the key set
//! that they are verified with, so that user pools and JWT authorizers can be tried without any other server.
//!
//! Nobody trusts it by itself: a pool has to be mapped to it in the configuration, or an authorizer name it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use stagedoor_data_plane::phases::authorization::token::public_components;

use crate::secrets::write_private;

/// Where the control listener serves pools.
pub(crate) const PATH: &str = "/_stagedoor/issuer/";

/// Which kind of token a pool gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Use {
    /// Says who the user is.
    Id,
    /// Says what a client may do in the user's name.
    Access,
}

/// What the token is to say.
#[derive(Debug, Args)]
pub(crate) struct TokenOptions {
    /// The user.
    #[arg(default_value = "user")]
    user: String,
    /// The pool's id.
    #[arg(long, default_value = "us-east-1_Local")]
    pool: String,
    /// The kind of token.
    #[arg(long = "use", value_enum, default_value_t = Use::Id)]
    kind: Use,
    /// The client it is for: aud of an id token, client_id of an access token.
    #[arg(long, default_value = "local")]
    client_id: String,
    /// A scope of an access token; may be repeated.
    #[arg(long = "scope")]
    scopes: Vec<String>,
    /// A group of the user; may be repeated.
    #[arg(long = "group")]
    groups: Vec<String>,
    /// Another claim; may be repeated. The value is JSON, or else text.
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// For how many seconds it is good.
    #[arg(long, default_value_t = 3600)]
    expires: u64,
    /// Where the control listener is.
    #[arg(long, default_value = "http://127.0.0.1:4566")]
    control: String,
    /// The data folder of the gateway.
    #[arg(long, value_name = "DIR", default_value = ".stagedoor", env = "STAGEDOOR_DATA")]
    data: PathBuf,
}

/// Makes a token.
///
/// # Errors
/// A sentence.
pub(crate) fn run(options: &TokenOptions) -> Result<String, String> {
    let issuer = Issuer::open(&options.data)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut claims: BTreeMap<String, Value> = BTreeMap::new();
    let mut set = |name: &str, value: Value| _ = claims.insert(name.to_owned(), value);
    set("iss", format!("{}{PATH}{}", options.control.trim_end_matches('/'), options.pool).into());
    set("sub", options.user.as_str().into());
    set("iat", now.into());
    set("auth_time", now.into());
    set("exp", (now + options.expires).into());
    if !options.groups.is_empty() {
        set("cognito:groups", options.groups.clone().into());
    }
    match options.kind {
        Use::Id => {
            set("token_use", "id".into());
            set("aud", options.client_id.as_str().into());
            set("cognito:username", options.user.as_str().into());
        }
        Use::Access => {
            set("token_use", "access".into());
            set("client_id", options.client_id.as_str().into());
            set("username", options.user.as_str().into());
            set("scope", options.scopes.join(" ").into());
        }
    }
    for claim in &options.claims {
        let (name, value) =
            claim.split_once('=').ok_or_else(|| format!("write --claim {claim:?} as NAME=VALUE"))?;
        set(name, serde_json::from_str(value).unwrap_or_else(|_| value.into()));
    }
    issuer.sign(&json!(claims))
}

/// The built-in issuer's key.
pub(crate) struct Issuer(RsaKeyPair);

impl Issuer {
    /// Reads the key, and makes one if there is none.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(crate) fn open(data: &Path) -> Result<Self, String> {
        let path = data.join("issuer.key");
        let name = path.display();
        if !path.exists() {
            crate::data_folder::make(data)?;
            let failed = |_| "no key could be made".to_owned();
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
            let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(failed)?;
            write_private(&path, der.as_ref())?;
        }
        let der = std::fs::read(&path).map_err(|error| format!("cannot read {name}: {error}"))?;
        RsaKeyPair::from_pkcs8(&der).map(Self).map_err(|error| format!("{name} holds no RSA key: {error}"))
    }

    /// Its key set (RFC 7517).
    pub(crate) fn key_set(&self) -> Value {
        let (modulus, exponent) = public_components(self.0.public_key().as_ref()).unwrap_or_default();
        json!({ "keys": [{
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.key_id(),
            "n": URL_SAFE_NO_PAD.encode(modulus),
            "e": URL_SAFE_NO_PAD.encode(exponent),
        }] })
    }

    /// What it serves below [`PATH`], for a request that asked this host.
    pub(crate) fn document(&self, path: &str, host: &str) -> Option<Value> {
        let (pool, document) = path.strip_prefix(PATH)?.split_once('/')?;
        match document {
            ".well-known/jwks.json" => Some(self.key_set()),
            ".well-known/openid-configuration" => {
                let issuer = format!("http://{host}{PATH}{pool}");
                Some(json!({
                    "issuer": issuer,
                    "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
                    "id_token_signing_alg_values_supported": ["RS256"],
                }))
            }
            _ => None,
        }
    }

    fn key_id(&self) -> String {
        let (modulus, _) = public_components(self.0.public_key().as_ref()).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(modulus.get(..16).unwrap_or_default())
    }

    fn sign(&self, claims: &Value) -> Result<String, String> {
        let header = json!({ "alg": "RS256", "kid": self.key_id() }).to_string();
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| "the token could not be signed".to_owned())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
