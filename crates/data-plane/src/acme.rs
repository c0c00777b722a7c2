//! Proof to a certificate authority that a name is served here: the challenge `tls-alpn-01` (RFC 8737).
//!
//! The authority connects to the name and asks for the protocol `acme-tls/1` alone. It is shown a certificate that holds what
//! it has asked for, and nothing is served over that connection.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::ClientHello;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// The protocol that authorities ask for.
const PROTOCOL: &[u8] = b"acme-tls/1";

/// The names that an authority is about to ask for, with what it will be shown.
#[derive(Clone, Debug, Default)]
pub struct Challenges(Arc<ArcSwap<HashMap<Box<str>, Arc<ServerConfig>>>>);

impl Challenges {
    /// Shows an authority that asks for this name the digest of its challenge's key authorization.
    ///
    /// # Errors
    /// A sentence if no certificate can be made for the name.
    pub fn set(&self, name: &str, digest: &[u8]) -> Result<(), String> {
        let config = Arc::new(answer(name, digest)?);
        self.0.rcu(|known| {
            let mut challenges = HashMap::clone(known);
            challenges.insert(name.into(), Arc::clone(&config));
            challenges
        });
        Ok(())
    }

    /// Answers no more for this name.
    pub fn remove(&self, name: &str) {
        self.0.rcu(|known| {
            let mut challenges = HashMap::clone(known);
            challenges.remove(name);
            challenges
        });
    }

    /// What an authority is to be shown: none for any other client, and for a name that nobody is asked about.
    pub(crate) fn find(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut protocols = hello.alpn()?;
        if protocols.next() != Some(PROTOCOL) || protocols.next().is_some() {
            return None;
        }
        self.0.load().get(&*hello.server_name()?.to_ascii_lowercase()).map(Arc::clone)
    }
}

fn answer(name: &str, digest: &[u8]) -> Result<ServerConfig, String> {
    if digest.len() != 32 {
        return Err("the digest of a key authorization has 32 bytes".to_owned());
    }
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).map_err(|error| error.to_string())?;
    parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = parameters.self_signed(&key).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = provider.key_provider.load_private_key(key).map_err(|error| error.to_string())?;
    // Not checked for whether the two fit, as usual: the library refuses to read the critical extension that this is about.
    let shown = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_come_and_go() {
        let challenges = Challenges::default();
        challenges.set("a.example.com", &[7; 32]).unwrap();
        challenges.set("b.example.com", &[8; 32]).unwrap();
        challenges.remove("a.example.com");
        let names: Vec<Box<str>> = challenges.0.load().keys().cloned().collect();
        assert_eq!(names, [Box::from("b.example.com")]);
        assert!(challenges.set("c.example.com", &[1]).is_err());
        assert_eq!(answer("a.example.com", &[7; 32]).unwrap().alpn_protocols, [PROTOCOL]);
    }
}
