//! Client certificates: what a stage presents to its backends, so that they know the gateway.
//!
//! AWS makes the key pair and never shows the private key; it lives in the store, encrypted, and leaves it only for
//! whoever serves the stage ([`ControlPlane::client_identity`]).

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde::{Deserialize, Serialize};
use stagedoor_shapes::apigateway::{
    ClientCertificate, ClientCertificates, DeleteClientCertificateRequest, GenerateClientCertificateRequest,
    GetClientCertificateRequest, GetClientCertificatesRequest, UpdateClientCertificateRequest,
};
use time::{Duration, OffsetDateTime};

use crate::control_plane::{ControlPlane, bad_request, not_found, required, whole_seconds};
use crate::page::page;
use crate::patch::{REPLACE, Style, Table};
use crate::quotas::check_one_more;
use crate::tx::Tx;
use crate::{ApiError, ids, tags};

/// Where client certificates stand in the store.
const ALL: &str = "clientcertificates/";

/// How a private key begins that is not encrypted.
const PLAIN: &str = "-----BEGIN";

/// AWS's certificates hold for a year.
const LIFETIME: Duration = Duration::days(365);

#[derive(Clone, Copy, Debug)]
enum Field {
    Description,
}

const PATCHES: Table<Field> =
    Table { style: Style::Listing, rows: &[("/description", REPLACE, Field::Description)] };

/// A client certificate as it is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) certificate: ClientCertificate,
    /// PKCS #8 in PEM, encrypted.
    private_key: String,
}

/// A certificate and its private key, to be presented to backends.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate in PEM.
    pub certificate: String,
    /// The private key, PKCS #8 in PEM.
    pub private_key: String,
}

impl std::fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientIdentity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

pub(crate) fn key(id: &str) -> String {
    format!("{ALL}{id}")
}

pub(crate) fn find(tx: &Tx, id: &str) -> Result<Kept, ApiError> {
    match tx.get(&key(id))? {
        Some(kept) => Ok(kept),
        None => not_found("Invalid Client Certificate ID specified"),
    }
}

/// Refuses a stage's certificate that is not there.
pub(crate) fn check_exists(tx: &Tx, id: &str) -> Result<(), ApiError> {
    if tx.exists(&key(id))? {
        return Ok(());
    }
    bad_request("Invalid Client Certificate ID specified")
}

impl ControlPlane {
    /// `GenerateClientCertificate`: a new RSA key of 2048 bits and a certificate signed with it.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for tags that AWS refuses.
    pub fn generate_client_certificate(
        &self,
        input: GenerateClientCertificateRequest,
    ) -> Result<ClientCertificate, ApiError> {
        tags::check(input.tags.as_ref())?;
        let id = ids::short()?;
        let now = self.now();
        let (certificate, private_key) = generate(now)?;
        let sealed = self.settings.secrets.seal(&key(&id), &private_key);
        let private_key = sealed.map_err(ApiError::Internal)?;
        let kept = Kept {
            certificate: ClientCertificate {
                client_certificate_id: Some(id.clone()),
                description: input.description.filter(|description| !description.is_empty()),
                pem_encoded_certificate: Some(certificate),
                created_date: Some(now),
                expiration_date: Some(now + LIFETIME.as_seconds_f64()),
                tags: input.tags.filter(|tags| !tags.is_empty()),
            },
            private_key,
        };
        self.transact(|tx| {
            let there = tx.keys(ALL)?.len();
            check_one_more(
                there,
                self.settings.quotas.client_certificates,
                "Client certificates",
                "account",
            )?;
            tx.put(&key(&id), &kept)
        })?;
        Ok(answer(kept.certificate))
    }

    /// `GetClientCertificate`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such certificate.
    pub fn get_client_certificate(
        &self,
        input: GetClientCertificateRequest,
    ) -> Result<ClientCertificate, ApiError> {
        self.read(|tx| Ok(with_tags(find(tx, required(&input.client_certificate_id))?.certificate)))
    }

    /// `GetClientCertificates`.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a position that no page has answered.
    pub fn get_client_certificates(
        &self,
        input: GetClientCertificatesRequest,
    ) -> Result<ClientCertificates, ApiError> {
        let all = self.read(|tx| tx.scan::<Kept>(ALL))?;
        let all = all.into_iter().map(|(key, kept)| (key, answer(kept.certificate)));
        let (items, position) = page(all, input.position.as_deref(), input.limit)?;
        Ok(ClientCertificates { items, position })
    }

    /// `UpdateClientCertificate`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such certificate, [`ApiError::BadRequest`] for a patch that AWS refuses.
    pub fn update_client_certificate(
        &self,
        input: UpdateClientCertificateRequest,
    ) -> Result<ClientCertificate, ApiError> {
        let id = required(&input.client_certificate_id);
        self.transact(|tx| {
            let mut kept = find(tx, id)?;
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                match patch.field {
                    Field::Description => kept.certificate.description = patch.text(),
                }
            }
            tx.put(&key(id), &kept)?;
            Ok(with_tags(kept.certificate))
        })
    }

    /// `DeleteClientCertificate`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such certificate, [`ApiError::BadRequest`] while a stage presents it.
    pub fn delete_client_certificate(&self, input: DeleteClientCertificateRequest) -> Result<(), ApiError> {
        let id = required(&input.client_certificate_id);
        self.transact(|tx| {
            find(tx, id)?;
            for api in tx.top_level::<stagedoor_shapes::apigateway::RestApi>(crate::keys::APIS)? {
                let prefix = crate::keys::all(required(&api.id), crate::keys::Kind::Stage);
                for stage in tx.scan::<stagedoor_shapes::apigateway::Stage>(&prefix)?.into_values() {
                    if stage.client_certificate_id.as_deref() == Some(id) {
                        return bad_request(format!(
                            "Client certificate {id} cannot be deleted because it is used by the stage {} of the API {}",
                            required(&stage.stage_name),
                            required(&api.id),
                        ));
                    }
                }
            }
            tx.delete(&key(id));
            Ok(())
        })
    }

    /// Encrypts the private keys of a store that is older than their encryption. To be called when a store is opened.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the store cannot be read or written, or nothing can be encrypted.
    pub fn encrypt_private_keys(&self) -> Result<(), ApiError> {
        self.transact(|tx| {
            for (key, mut kept) in tx.scan::<Kept>(ALL)? {
                if kept.private_key.starts_with(PLAIN) {
                    let sealed = self.settings.secrets.seal(&key, &kept.private_key);
                    kept.private_key = sealed.map_err(ApiError::Internal)?;
                    tx.put(&key, &kept)?;
                }
            }
            Ok(())
        })
    }

    /// A client certificate with its private key, for whoever serves a stage; `None` if there is none with this id.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the store cannot be read.
    pub fn client_identity(&self, id: &str) -> Result<Option<ClientIdentity>, ApiError> {
        let kept = self.read(|tx| tx.get::<Kept>(&key(id)))?;
        let open = |kept: Kept| {
            // Where nothing is encrypted they are kept as they are.
            let private_key = match kept.private_key.starts_with(PLAIN) {
                true => kept.private_key,
                false => {
                    let opened = self.settings.secrets.open(&key(id), &kept.private_key);
                    opened.map_err(ApiError::Internal)?
                }
            };
            let certificate = kept.certificate.pem_encoded_certificate.unwrap_or_default();
            Ok(ClientIdentity { certificate, private_key })
        };
        kept.map(open).transpose()
    }
}

pub(crate) fn answer(mut certificate: ClientCertificate) -> ClientCertificate {
    certificate.created_date = whole_seconds(certificate.created_date);
    certificate.expiration_date = whole_seconds(certificate.expiration_date);
    certificate
}

fn with_tags(certificate: ClientCertificate) -> ClientCertificate {
    let mut certificate = answer(certificate);
    certificate.tags.get_or_insert_default();
    certificate
}

/// A self-signed certificate and its key, both in PEM, named as AWS names its own.
fn generate(now: f64) -> Result<(String, String), ApiError> {
    let failed = |error: rcgen::Error| ApiError::Internal(format!("no certificate could be made: {error}"));
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(failed)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "ApiGateway");
    name.push(DnType::OrganizationName, "Amazon");
    name.push(DnType::LocalityName, "Seattle");
    name.push(DnType::StateOrProvinceName, "WA");
    name.push(DnType::CountryName, "US");
    let from = OffsetDateTime::from_unix_timestamp(now as i64)
        .map_err(|error| ApiError::Internal(format!("the clock is off: {error}")))?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = name;
    parameters.not_before = from;
    parameters.not_after = from.saturating_add(LIFETIME);
    let certificate = parameters.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem().replace("\r\n", "\n"), key.serialize_pem().replace("\r\n", "\n")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::memory::MemoryStore;
    use crate::{Secrets, Settings};

    /// Turns texts round. That is enough to tell them from what they were.
    struct Backwards;

    impl Secrets for Backwards {
        fn seal(&self, name: &str, secret: &str) -> Result<String, String> {
            Ok(format!("{name}:{}", secret.chars().rev().collect::<String>()))
        }

        fn open(&self, name: &str, sealed: &str) -> Result<String, String> {
            let sealed = sealed.strip_prefix(name).and_then(|rest| rest.strip_prefix(':'));
            Ok(sealed.ok_or("of another")?.chars().rev().collect())
        }
    }

    #[test]
    fn keys_of_older_stores_are_encrypted() {
        let store = Arc::new(MemoryStore::default());
        let older = ControlPlane::new(Arc::<MemoryStore>::clone(&store), Settings::default());
        let made = older.generate_client_certificate(GenerateClientCertificateRequest::default()).unwrap();
        let id = made.client_certificate_id.unwrap();
        let kept = |plane: &ControlPlane| plane.read(|tx| find(tx, &id)).unwrap().private_key;
        let plain = kept(&older);
        assert!(plain.starts_with(PLAIN));
        let newer =
            ControlPlane::new(store, Settings { secrets: Arc::new(Backwards), ..Settings::default() });
        assert_eq!(newer.client_identity(&id).unwrap().unwrap().private_key, plain);
        for _ in 0..2 {
            newer.encrypt_private_keys().unwrap();
            assert!(!kept(&newer).contains(PLAIN));
            assert_eq!(newer.client_identity(&id).unwrap().unwrap().private_key, plain);
        }
    }

    #[test]
    fn certificates_are_made() {
        let (certificate, key) = generate(1_700_000_000.0).unwrap();
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----\n"), "{certificate}");
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    }
}
