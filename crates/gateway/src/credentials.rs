//! `stagedoor credentials`: makes, lists and deletes the keys that requests to `AWS_IAM` methods are signed with.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use stagedoor_policy::{Kind, Policy};

use crate::principals::{Principal, PrincipalsFile, StoredKey};
use crate::secrets::random;

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum CredentialsCommand {
    /// Make a key for a user, or for a session of a role, and print it. Its secret is shown this once.
    Create(CreateOptions),
    /// List users, sessions and the ids of their keys.
    List {
        /// The data folder of the gateway.
        #[arg(long, value_name = "DIR", default_value = ".stagedoor", env = "STAGEDOOR_DATA")]
        data: PathBuf,
    },
    /// Delete a key; a running gateway refuses it within a second.
    Delete {
        /// The key's id.
        access_key_id: String,
        /// The data folder of the gateway.
        #[arg(long, value_name = "DIR", default_value = ".stagedoor", env = "STAGEDOOR_DATA")]
        data: PathBuf,
    },
}

/// A new key.
#[derive(Debug, Args)]
pub(crate) struct CreateOptions {
    /// The user's name, or the role's with --session.
    name: String,
    /// Make temporary keys of a session with this name.
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// How long a session lasts, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, requires = "session")]
    duration: u64,
    /// A file with a policy document to give to the user or session; may be repeated.
    #[arg(long = "policy", value_name = "FILE")]
    policies: Vec<PathBuf>,
    /// A tag, as `aws:PrincipalTag/NAME` shows it; may be repeated.
    #[arg(long = "tag", value_name = "NAME=VALUE")]
    tags: Vec<String>,
    /// The account of the user or role.
    #[arg(long, value_name = "DIGITS", default_value = "000000000000")]
    account_id: String,
    /// The data folder of the gateway.
    #[arg(long, value_name = "DIR", default_value = ".stagedoor", env = "STAGEDOOR_DATA")]
    data: PathBuf,
}

/// Does it and gives what is to be printed.
///
/// # Errors
/// A sentence.
pub(crate) fn run(command: &CredentialsCommand) -> Result<Value, String> {
    match command {
        CredentialsCommand::Create(options) => create(options),
        CredentialsCommand::List { data } => list(&PrincipalsFile::in_folder(data)),
        CredentialsCommand::Delete { access_key_id, data } => {
            delete(&PrincipalsFile::in_folder(data), access_key_id)
        }
    }
}

fn create(options: &CreateOptions) -> Result<Value, String> {
    let CreateOptions { name, account_id, .. } = options;
    if account_id.len() != 12 || !account_id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("--account-id must be twelve digits, not {account_id:?}"));
    }
    let fits = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
        (1..=64).contains(&text.len()) && text.bytes().all(allowed)
    };
    if !fits(name) || options.session.as_deref().is_some_and(|session| !fits(session)) {
        return Err("a name has 1 to 64 letters, digits and any of +=,.@_-".to_owned());
    }
    if options.session.is_some() && !(900..=43_200).contains(&options.duration) {
        return Err("a session lasts from 900 to 43200 seconds".to_owned());
    }
    let policies: Result<Vec<Value>, String> = options.policies.iter().map(policy).collect();
    let policies = policies?;
    let tags = options.tags.iter().map(|tag| {
        let (name, value) =
            tag.split_once('=').ok_or_else(|| format!("write --tag {tag:?} as NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    });
    let tags = tags.collect::<Result<_, String>>()?;

    let file = PrincipalsFile::in_folder(&options.data);
    let secrets = file.key.open_or_make()?;
    let secret = STANDARD.encode(random::<30>()?);
    let (prefix, arn) = match &options.session {
        Some(session) => ("ASIA", format!("arn:aws:sts::{account_id}:assumed-role/{name}/{session}")),
        None => ("AKIA", format!("arn:aws:iam::{account_id}:user/{name}")),
    };
    let access_key_id = id(prefix)?;
    let session_token = match options.session {
        Some(_) => Some(STANDARD.encode(random::<96>()?)),
        None => None,
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let expires_at =
        options.session.is_some().then(|| (now + Duration::from_secs(options.duration)).as_secs());
    let issued_at = options.session.is_some().then_some(now.as_secs());
    let key = StoredKey {
        access_key_id: access_key_id.clone(),
        encrypted_secret: secrets.seal(&access_key_id, &secret)?,
        encrypted_session_token: session_token
            .as_deref()
            .map(|token| secrets.seal(&access_key_id, token))
            .transpose()?,
        expires_at,
        issued_at,
    };
    file.update(|document| match document.principals.iter_mut().find(|principal| principal.arn == arn) {
        Some(principal) => {
            principal.access_keys.push(key);
            principal.policies.extend(policies);
            principal.tags.extend::<std::collections::BTreeMap<_, _>>(tags);
            Ok(())
        }
        None => {
            let user_id = match &options.session {
                Some(session) => format!("{}:{session}", id("AROA")?),
                None => id("AIDA")?,
            };
            document.principals.push(Principal {
                arn: arn.clone(),
                user_id,
                policies,
                tags,
                access_keys: vec![key],
            });
            Ok(())
        }
    })?;
    let mut shown = json!({ "Arn": arn, "AccessKeyId": access_key_id, "SecretAccessKey": secret });
    if let (Some(token), Some(expires_at), Some(members)) = (session_token, expires_at, shown.as_object_mut())
    {
        members.insert("SessionToken".to_owned(), token.into());
        members.insert("ExpiresAt".to_owned(), expires_at.into());
    }
    Ok(shown)
}

fn policy(path: &PathBuf) -> Result<Value, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    let document: Value = serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    Policy::from_value(&document, Kind::Identity).map_err(|error| format!("{name}: {error}"))?;
    Ok(document)
}

fn list(file: &PrincipalsFile) -> Result<Value, String> {
    let document = file.read()?;
    let principals = document.principals.iter().map(|principal| {
        let keys = principal.access_keys.iter().map(|key| match key.expires_at {
            Some(expires_at) => json!({ "AccessKeyId": key.access_key_id, "ExpiresAt": expires_at }),
            None => json!({ "AccessKeyId": key.access_key_id }),
        });
        json!({
            "Arn": principal.arn,
            "UserId": principal.user_id,
            "Policies": principal.policies.len(),
            "AccessKeys": keys.collect::<Vec<_>>(),
        })
    });
    Ok(principals.collect())
}

fn delete(file: &PrincipalsFile, access_key_id: &str) -> Result<Value, String> {
    file.update(|document| {
        let count = |document: &crate::principals::Document| -> usize {
            document.principals.iter().map(|principal| principal.access_keys.len()).sum()
        };
        let before = count(document);
        for principal in &mut document.principals {
            principal.access_keys.retain(|key| key.access_key_id != access_key_id);
        }
        if count(document) == before {
            return Err(format!("there is no key {access_key_id}"));
        }
        // A session is nothing without its keys; a user keeps its policies for the next one.
        document.principals.retain(|principal| {
            !principal.access_keys.is_empty() || !principal.arn.contains(":assumed-role/")
        });
        Ok(json!({ "Deleted": access_key_id }))
    })
}

/// An id as AWS makes them: a prefix of four and 16 of its 32 letters and digits.
fn id(prefix: &str) -> Result<String, String> {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let random = random::<16>()?;
    let digits =
        random.iter().filter_map(|byte| DIGITS.get(usize::from(byte % 32))).map(|digit| char::from(*digit));
    Ok(prefix.chars().chain(digits).collect())
}
