//! TLS settings towards backends.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::server_tls::Identity;
use crate::upstream::CertificateCheck;

/// Checks certificates against the system's trust store (`SSL_CERT_FILE` and `SSL_CERT_DIR` replace it).
///
/// # Errors
/// A sentence that says why the system has none.
pub fn verified_connector(client: Option<&ClientTls>) -> Result<TlsConnector, String> {
    connector(builder()?.with_root_certificates(roots()?), client)
}

/// The connector that checks certificates so.
pub(crate) fn connector_for(
    check: CertificateCheck,
    client: Option<&ClientTls>,
) -> Result<TlsConnector, String> {
    match check {
        CertificateCheck::Full => verified_connector(client),
        CertificateCheck::Issuer => nameless_connector(client),
        CertificateCheck::None => unverified_connector(client),
    }
}

/// Checks certificates as [`verified_connector`] does, but for their names, and asks for no name.
fn nameless_connector(client: Option<&ClientTls>) -> Result<TlsConnector, String> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots()?), provider())
        .build()
        .map_err(|error| error.to_string())?;
    let verifier = Arc::new(AnyName(verifier));
    let mut config = config(builder()?.dangerous().with_custom_certificate_verifier(verifier), client)?;
    config.enable_sni = false;
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let loaded = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(loaded.certs);
    if added == 0 {
        let reasons: Vec<_> = loaded.errors.iter().map(ToString::to_string).collect();
        return Err(format!("the system has no trusted certificates: {}", reasons.join("; ")));
    }
    Ok(roots)
}

/// Accepts any certificate, for integrations with `tlsConfig.insecureSkipVerification`.
pub(crate) fn unverified_connector(client: Option<&ClientTls>) -> Result<TlsConnector, String> {
    let verifier = Arc::new(AnyCertificate(provider()));
    connector(builder()?.dangerous().with_custom_certificate_verifier(verifier), client)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

fn connector(
    builder: rustls::ConfigBuilder<ClientConfig, WantsClientCert>,
    client: Option<&ClientTls>,
) -> Result<TlsConnector, String> {
    Ok(TlsConnector::from(Arc::new(config(builder, client)?)))
}

fn config(
    builder: rustls::ConfigBuilder<ClientConfig, WantsClientCert>,
    client: Option<&ClientTls>,
) -> Result<ClientConfig, String> {
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(client) => builder
            .with_client_auth_cert(client.identity.chain.clone(), client.identity.key.clone_key())
            .map_err(|error| error.to_string())?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A client certificate that backends are shown, with the connections' settings that go with it. Connections with
/// different certificates are never the same.
pub struct ClientTls {
    id: String,
    identity: Identity,
    connectors: OnceLock<[Result<TlsConnector, String>; 3]>,
}

impl ClientTls {
    /// A certificate under its id.
    #[must_use]
    pub fn new(id: String, identity: Identity) -> Self {
        Self { id, identity, connectors: OnceLock::new() }
    }

    pub(crate) fn connector(&self, check: CertificateCheck) -> Result<TlsConnector, String> {
        let checks = [CertificateCheck::Full, CertificateCheck::Issuer, CertificateCheck::None];
        let make = || checks.map(|check| connector_for(check, Some(self)));
        let [full, issuer, none] = self.connectors.get_or_init(make);
        match check {
            CertificateCheck::Full => full.clone(),
            CertificateCheck::Issuer => issuer.clone(),
            CertificateCheck::None => none.clone(),
        }
    }
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.identity.chain == other.identity.chain
    }
}

impl Eq for ClientTls {}

impl std::hash::Hash for ClientTls {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// Skips the check of the certificate's issuer and name; the handshake's signatures are checked all the same.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Checks a certificate's issuer and dates, and lets it have any name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is looked at last, when everything else is right.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
