//! Clients' certificates on domains with mutual TLS: what they say, and whether they are trusted.
//!
//! The handshake takes any certificate whose key the client has; whether it is trusted is decided with the first
//! request, because AWS answers an untrusted client with 403 instead of closing its connection. It is decided again
//! when the truststore has changed, so that a client that is trusted no longer is shut out of open connections too.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use time::OffsetDateTime;
use time::macros::format_description;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

/// The longest chain that AWS takes, from the client's certificate to the root.
const CHAIN_MAX: usize = 4;

/// What a client's certificate says, in the forms of `$context.identity.clientCert`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate.
    pub pem: String,
    /// Whom it names.
    pub subject_dn: String,
    /// Who signed it.
    pub issuer_dn: String,
    /// Decimal if it is short, else pairs of hexadecimal digits with colons between them.
    pub serial_number: String,
    /// `May 28 12:30:02 2019 GMT`.
    pub not_before: String,
    /// The same for the end of its validity.
    pub not_after: String,
    /// The end of its validity, in seconds since 1970.
    pub ends_at: i64,
}

impl ClientCertificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// A sentence if it is none.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let parsed = parse(certificate)?;
        Ok(Self {
            pem: pem(certificate),
            subject_dn: name(parsed.subject()),
            issuer_dn: name(parsed.issuer()),
            serial_number: serial(parsed.raw_serial()),
            not_before: date(parsed.validity().not_before.to_datetime()),
            not_after: date(parsed.validity().not_after.to_datetime()),
            ends_at: parsed.validity().not_after.timestamp(),
        })
    }
}

/// Who is trusted by a domain.
pub struct Truststore {
    /// None trusts nobody.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    authorities: Vec<CertificateDer<'static>>,
}

impl std::fmt::Debug for Truststore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Truststore").field("authorities", &self.authorities.len()).finish_non_exhaustive()
    }
}

impl Truststore {
    /// Reads a truststore: certificates in PEM. What is wrong with single ones comes back beside it, as AWS shows it in
    /// `truststoreWarnings`.
    ///
    /// # Errors
    /// A sentence if there is no certificate in it that can be used.
    pub fn read(pem: &[u8]) -> Result<(Self, Vec<String>), String> {
        let mut roots = RootCertStore::empty();
        let (mut authorities, mut warnings) = (Vec::new(), Vec::new());
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate
                .map_err(|error| format!("the truststore is no list of certificates in PEM: {error}"))?;
            let parsed = match parse(&certificate) {
                Ok(parsed) => parsed,
                Err(reason) => {
                    warnings.push(reason);
                    continue;
                }
            };
            if !parsed.validity().is_valid() {
                warnings
                    .push(format!("{}: the certificate is expired or not yet valid", name(parsed.subject())));
            }
            if let Err(error) = roots.add(certificate.clone()) {
                warnings.push(format!("{}: {error}", name(parsed.subject())));
                continue;
            }
            authorities.push(certificate);
        }
        if authorities.is_empty() {
            return Err(format!(
                "the truststore holds no certificate that can be used {}",
                warnings.join("; ")
            ));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        Ok((Self { verifier: Some(verifier), authorities }, warnings))
    }

    /// A truststore that trusts nobody, for a domain whose own cannot be read.
    #[must_use]
    pub fn nobody() -> Self {
        Self { verifier: None, authorities: Vec::new() }
    }

    /// Checks a client's chain, its own certificate first.
    ///
    /// # Errors
    /// AWS's words for why access is denied, as far as it has some.
    pub fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        let Some((own, intermediates)) = chain.split_first() else {
            return Err("no client certificate".to_owned());
        };
        let length = self.length(own, intermediates).unwrap_or(CHAIN_MAX + 1);
        if length > CHAIN_MAX {
            return Err("Certificate chain is too long".to_owned());
        }
        // A certificate that stands in the truststore itself is trusted as it is: AWS takes self-signed ones there.
        if self.authorities.iter().any(|known| known.as_ref() == own.as_ref()) {
            return match parse(own)?.validity().is_valid() {
                true => Ok(()),
                false => Err("Certificate has expired".to_owned()),
            };
        }
        let Some(verifier) = &self.verifier else {
            return Err("the domain's truststore cannot be read".to_owned());
        };
        let verified = verifier.verify_client_cert(own, intermediates, UnixTime::now());
        verified.map(|_| ()).map_err(|error| reason(own, &error))
    }

    /// How many certificates there are from a client's to one that signed itself, or to one of ours whose issuer is
    /// not at hand.
    fn length(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<usize, String> {
        let known: Vec<X509Certificate<'_>> =
            intermediates.iter().chain(&self.authorities).filter_map(|der| parse(der).ok()).collect();
        let mut at = parse(own)?;
        for length in 1..=CHAIN_MAX {
            if at.subject() == at.issuer() {
                return Ok(length);
            }
            let Some(issuer) = known.iter().find(|issuer| issuer.subject() == at.issuer()) else {
                return Ok(length);
            };
            at = issuer.clone();
        }
        Ok(CHAIN_MAX + 1)
    }
}

fn reason(own: &CertificateDer<'_>, error: &rustls::Error) -> String {
    use rustls::CertificateError;
    if parse(own).is_ok_and(|parsed| parsed.subject() == parsed.issuer()) {
        return "self signed certificate".to_owned();
    }
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "Could not find issuer for certificate".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => "Client cert using an insecure Signature Algorithm".to_owned(),
        error => error.to_string(),
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    let parsed = X509Certificate::from_der(certificate.as_ref());
    parsed.map(|(_, parsed)| parsed).map_err(|error| format!("a certificate cannot be read: {error}"))
}

/// `C=US,ST=Washington,O=Example,CN=client`, in the certificate's order.
fn name(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    for attribute in name.iter_attributes() {
        if !text.is_empty() {
            text.push(',');
        }
        match oid2abbrev(attribute.attr_type(), oid_registry()) {
            Ok(short) => text.push_str(short),
            Err(_) => text.push_str(&attribute.attr_type().to_id_string()),
        }
        text.push('=');
        for character in attribute.as_str().unwrap_or_default().chars() {
            // A comma in a value would pass for the next attribute.
            if matches!(character, ',' | '\\' | '+' | '"' | '<' | '>' | ';') {
                text.push('\\');
            }
            text.push(character);
        }
    }
    text
}

fn serial(bytes: &[u8]) -> String {
    let short = bytes.len() <= 8 && bytes.first().is_none_or(|first| first & 0x80 == 0);
    if short {
        return bytes.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte)).to_string();
    }
    let mut text = String::with_capacity(bytes.len() * 3);
    for byte in bytes {
        let separator = if text.is_empty() { "" } else { ":" };
        // Writing to memory does not fail.
        let _ = write!(text, "{separator}{byte:02x}");
    }
    text
}

fn date(date: OffsetDateTime) -> String {
    let format =
        format_description!("[month repr:short] [day padding:space] [hour]:[minute]:[second] [year] GMT");
    date.format(format).unwrap_or_default()
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let encoded = STANDARD.encode(certificate.as_ref());
    let mut text = String::with_capacity(encoded.len() + encoded.len() / 64 + 64);
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    fn authority(name: &str) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().unwrap())
    }

    /// A chain from the client's certificate to the root, with `between` authorities between them.
    fn chain(between: usize) -> Vec<CertificateDer<'static>> {
        let (root, root_key) = authority(&format!("root of {between}"));
        let mut chain = vec![root.self_signed(&root_key).unwrap().der().clone()];
        let mut issuer = Issuer::new(root, root_key);
        for number in 0..between {
            let (params, key) = authority(&format!("between {number}"));
            chain.push(params.signed_by(&key, &issuer).unwrap().der().clone());
            issuer = Issuer::new(params, key);
        }
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "a, client");
        let key = KeyPair::generate().unwrap();
        chain.push(params.signed_by(&key, &issuer).unwrap().der().clone());
        chain.reverse();
        chain
    }

    fn check(chain: &[CertificateDer<'_>], trusted: &CertificateDer<'_>, expected: Result<(), &str>) {
        let (store, _) = Truststore::read(pem(trusted).as_bytes()).unwrap();
        assert_eq!(store.check(chain), expected.map_err(str::to_owned));
    }

    #[test]
    fn chains_up_to_four_are_trusted() {
        let (short, three, long) = (chain(0), chain(2), chain(3));
        check(&short[..1], &short[1], Ok(()));
        check(&three[..3], &three[3], Ok(()));
        check(&long[..4], &long[4], Err("Certificate chain is too long"));
        check(&short[..1], &three[3], Err("Could not find issuer for certificate"));
        let lone = chain(0);
        check(&lone[1..], &short[1], Err("self signed certificate"));
        check(&lone[1..], &lone[1], Ok(()));
        check(&[], &lone[1], Err("no client certificate"));
    }

    #[test]
    fn certificates_are_told_in_aws_forms() {
        let read = ClientCertificate::read(&chain(0)[0]).unwrap();
        assert!(read.subject_dn.ends_with("CN=a\\, client"), "{}", read.subject_dn);
        assert!(read.issuer_dn.ends_with("CN=root of 0"));
        assert!(read.pem.starts_with("-----BEGIN CERTIFICATE-----\n"));
        assert!(read.not_before.ends_with(" GMT"));
        assert_eq!(serial(&[1]), "1");
        assert_eq!(serial(&[0xa1; 16]), ["a1"; 16].join(":"));
        let time = OffsetDateTime::from_unix_timestamp(1_564_997_764).unwrap();
        assert_eq!(date(time), "Aug  5 09:36:04 2019 GMT");
    }

    #[test]
    fn what_is_no_truststore_is_refused() {
        assert!(Truststore::read(b"").is_err());
        assert!(Truststore::read(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Truststore::read(&bytes);
            let _ = ClientCertificate::read(&CertificateDer::from(bytes));
        }
    }
}
