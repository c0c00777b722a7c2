//! Secrets at rest: encrypted with AES-256-GCM under a key in a file of its own, which only its owner may read.
//!
//! Each secret is bound to the name of what it belongs to, such as an access key's id: one that was copied to another name
//! does not open.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const KEY_BYTES: usize = 32;

/// Where the key is.
#[derive(Clone, Debug)]
pub(crate) struct KeyFile(PathBuf);

impl KeyFile {
    /// In this data folder.
    pub(crate) fn in_folder(data: &Path) -> Self {
        Self(data.join("principals.key"))
    }

    /// The box that the key opens; the key is made if there is none.
    ///
    /// # Errors
    /// As [`KeyFile::open`].
    pub(crate) fn open_or_make(&self) -> Result<SecretBox, String> {
        if !self.0.exists() {
            if let Some(folder) = self.0.parent() {
                crate::data_folder::make(folder)?;
            }
            let fresh = self.0.with_extension(format!("{}.new", std::process::id()));
            write_private(&fresh, STANDARD.encode(random::<KEY_BYTES>()?).as_bytes())?;
            // Whoever made one at the same moment was first: theirs is kept, for a second one would shut out its secrets.
            let linked = fs::hard_link(&fresh, &self.0);
            let _ = fs::remove_file(&fresh);
            linked
                .or_else(|error| if self.0.exists() { Ok(()) } else { Err(error) })
                .map_err(|error| format!("cannot write {}: {error}", self.0.display()))?;
        }
        self.open()
    }

    /// The box that the key opens.
    ///
    /// # Errors
    /// A sentence that names the file, also if others than its owner may read it.
    pub(crate) fn open(&self) -> Result<SecretBox, String> {
        let name = self.0.display();
        let metadata = fs::metadata(&self.0).map_err(|error| format!("cannot read {name}: {error}"))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(format!("{name} may be read by others than its owner; run: chmod 600 {name}"));
        }
        let text = fs::read_to_string(&self.0).map_err(|error| format!("cannot read {name}: {error}"))?;
        let key = STANDARD.decode(text.trim()).ok().and_then(|key| UnboundKey::new(&AES_256_GCM, &key).ok());
        key.map(|key| SecretBox(LessSafeKey::new(key)))
            .ok_or_else(|| format!("{name} holds no key of {KEY_BYTES} bytes"))
    }
}

/// What the control plane keeps secret.
impl stagedoor_control_plane::Secrets for KeyFile {
    fn seal(&self, name: &str, secret: &str) -> Result<String, String> {
        self.open_or_make()?.seal(name, secret)
    }

    fn open(&self, name: &str, sealed: &str) -> Result<String, String> {
        Self::open(self)?.open(name, sealed)
    }
}

/// Encrypts and decrypts secrets.
pub(crate) struct SecretBox(LessSafeKey);

impl SecretBox {
    /// Encrypts a secret that belongs to what has this name.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub(crate) fn seal(&self, name: &str, secret: &str) -> Result<String, String> {
        let nonce = random::<NONCE_LEN>()?;
        let mut sealed = secret.as_bytes().to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| "the secret could not be encrypted".to_owned())?;
        Ok(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// Decrypts what [`SecretBox::seal`] encrypted under the same name.
    ///
    /// # Errors
    /// If it was encrypted under another key or name, or has been changed.
    pub(crate) fn open(&self, name: &str, sealed: &str) -> Result<String, String> {
        let wrong = || format!("the secret of {name} cannot be decrypted with the key file");
        let mut sealed = STANDARD.decode(sealed).map_err(|_| wrong())?;
        let (nonce, secret) = sealed.split_at_mut_checked(NONCE_LEN).ok_or_else(wrong)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| wrong())?;
        let opened = self.0.open_in_place(nonce, Aad::from(name.as_bytes()), secret).map_err(|_| wrong())?;
        String::from_utf8(opened.to_vec()).map_err(|_| wrong())
    }
}

/// Random bytes.
///
/// # Errors
/// If the system has none.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| format!("the system has no randomness: {error}"))?;
    Ok(bytes)
}

/// Writes a file that only its owner may read.
///
/// # Errors
/// A sentence that names the file.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)
}

/// Puts a file that only its owner may read in the place of one that may be there: whole, or not at all.
///
/// # Errors
/// A sentence that names the file.
pub(crate) fn replace_private(path: &Path, content: &[u8]) -> Result<(), String> {
    let fresh = path.with_added_extension(format!("{}.new", std::process::id()));
    write_private(&fresh, content)?;
    fs::rename(&fresh, path).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_open_for_their_own_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::in_folder(folder.path());
        let secrets = file.open_or_make().unwrap();
        let sealed = secrets.seal("AKIA1", "secret").unwrap();
        assert!(!sealed.contains("secret") && sealed != secrets.seal("AKIA1", "secret").unwrap());
        assert_eq!(file.open().unwrap().open("AKIA1", &sealed).unwrap(), "secret");
        assert!(secrets.open("AKIA2", &sealed).is_err());
        assert!(secrets.open("AKIA1", "AAAA").is_err());
        let other = KeyFile::in_folder(tempfile::tempdir().unwrap().path()).open_or_make().unwrap();
        assert!(other.open("AKIA1", &sealed).is_err());
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::in_folder(folder.path());
        file.open_or_make().unwrap();
        assert_eq!(fs::metadata(&file.0).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&file.0, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(file.open().is_err_and(|error| error.contains("chmod 600")));
    }
}
