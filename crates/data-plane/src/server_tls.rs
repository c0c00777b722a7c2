//! TLS towards clients: certificates, and what a security policy allows.
//!
//! rustls speaks TLS 1.2 and 1.3 with forward secrecy alone. A policy that AWS defines for older clients is served
//! with the part of it that rustls speaks, which is stricter than AWS and never weaker.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::{
    CipherSuite, DigitallySignedStruct, DistinguishedName, NamedGroup, SignatureScheme,
    SupportedProtocolVersion, version,
};
use stagedoor_shapes::apigateway::SecurityPolicy;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A certificate with its chain and its private key.
#[derive(Debug)]
pub struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads PEM: the certificate with its chain, and the key.
    ///
    /// # Errors
    /// A sentence that says what is wrong with which of them.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.map_err(|error| format!("the certificate cannot be read: {error}"))?;
        if chain.is_empty() {
            return Err("there is no certificate".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| format!("the private key cannot be read: {error}"))?;
        Ok(Self { chain, key })
    }

    /// From when and until when the certificate is good.
    ///
    /// # Errors
    /// A sentence if it cannot be read.
    pub fn validity(&self) -> Result<(SystemTime, SystemTime), String> {
        let own = self.chain.first().ok_or("there is no certificate")?;
        let (_, parsed) = X509Certificate::from_der(own).map_err(|error| error.to_string())?;
        let time = |seconds: i64| {
            SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
        };
        let validity = parsed.validity();
        Ok((time(validity.not_before.timestamp()), time(validity.not_after.timestamp())))
    }

    /// A new certificate for these names that nobody but its user trusts, for development.
    ///
    /// # Errors
    /// A sentence if there are no random numbers or a name is none.
    pub fn self_signed(names: Vec<String>) -> Result<Self, String> {
        let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(str::to_owned)?;
        Ok(Self { chain: vec![made.cert.der().clone()], key })
    }
}

/// The settings of connections for one name. Each name has its own, so that no session of one is resumed for another.
///
/// # Errors
/// A sentence if the key does not fit the certificate or is of a kind that cannot be used.
pub fn server_config(
    identity: Identity,
    policy: SecurityPolicy,
    mutual: bool,
) -> Result<Arc<ServerConfig>, String> {
    let (provider, versions) = allowed(policy);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?;
    let builder = if mutual {
        builder.with_client_cert_verifier(Arc::new(AnyClient(provider)))
    } else {
        builder.with_no_client_auth()
    };
    let mut config =
        builder.with_single_cert(identity.chain, identity.key).map_err(|error| error.to_string())?;
    config.ignore_client_order = true;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if mutual {
        // A resumed session would bring a certificate along that was looked at long ago.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else {
        // One is what a client takes that comes back; each further one would cost every handshake.
        config.send_tls13_tickets = 1;
        if let Ok(ticketer) = aws_lc_rs::Ticketer::new() {
            config.ticketer = ticketer;
        }
    }
    Ok(Arc::new(config))
}

/// The order in which AWS lists cipher suites (developer guide, "Security policies for REST APIs"). The server's order
/// counts: most clients put the longer keys first, which cost more.
const PREFERRED: &[CipherSuite] = &[
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];

static NEWEST: &[&SupportedProtocolVersion] = &[&version::TLS13];
static BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// What a security policy allows, of what rustls can.
fn allowed(policy: SecurityPolicy) -> (Arc<CryptoProvider>, &'static [&'static SupportedProtocolVersion]) {
    let name = policy.as_str();
    let (fips, post_quantum) = (name.contains("FIPS"), name.contains("_PQ_"));
    let only_newest = name.contains("TLS13_1_3") || name == "SecurityPolicy_TLS13_2025_EDGE";
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        PREFERRED.iter().position(|preferred| *preferred == suite.suite()).unwrap_or(PREFERRED.len())
    });
    if fips {
        provider.cipher_suites.retain(|suite| {
            !matches!(
                suite.suite(),
                CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
                    | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
                    | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            )
        });
        provider.kx_groups.retain(|group| group.name() != NamedGroup::X25519);
    }
    let hybrid = aws_lc_rs::kx_group::X25519MLKEM768;
    provider.kx_groups.retain(|group| group.name() != hybrid.name());
    if post_quantum {
        provider.kx_groups.insert(0, hybrid);
    }
    (Arc::new(provider), if only_newest { NEWEST } else { BOTH })
}

/// Asks for a certificate and takes any, as long as the client has its key: whether it is trusted is decided by
/// [`crate::client_certificate::Truststore`].
#[derive(Debug)]
struct AnyClient(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_has_settings() {
        for policy in SecurityPolicy::VALUES {
            let identity = Identity::self_signed(vec!["a.example.com".into()]).unwrap();
            let config = server_config(identity, *policy, false).unwrap();
            assert_eq!(config.alpn_protocols.len(), 2);
            let (provider, versions) = allowed(*policy);
            assert!(!provider.kx_groups.is_empty());
            let first = provider.cipher_suites.first().map(|suite| suite.suite());
            assert_eq!(first, Some(CipherSuite::TLS13_AES_128_GCM_SHA256));
            assert!(config.ignore_client_order);
            let only_newest = policy.as_str().contains("_1_3_") || policy.as_str().contains("TLS13_2025");
            assert_eq!(versions.len() == 1, only_newest, "{policy}");
        }
    }

    #[test]
    fn mutual_tls_resumes_nothing() {
        let identity = Identity::self_signed(vec!["a.example.com".into()]).unwrap();
        let config = server_config(identity, SecurityPolicy::Tls1_2, true).unwrap();
        assert_eq!(config.send_tls13_tickets, 0);
        assert!(!config.session_storage.can_cache());
    }
}
