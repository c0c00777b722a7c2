//! The code of a function: an uploaded archive, unpacked once, or a directory that is used where it is.

use std::io::{Cursor, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::respond::ApiError;

/// The most an archive may hold, in bytes.
const UNZIPPED_BYTES_MAX: u64 = 262_144_000;
/// The most an uploaded archive may have itself, in bytes.
const ZIPPED_BYTES_MAX: usize = 52_428_800;

/// Where the code is and what AWS says of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Code {
    pub(super) dir: PathBuf,
    pub(super) sha256: String,
    pub(super) size: u64,
    /// Edits take effect by themselves: the directory is the author's own.
    pub(super) hot_reload: bool,
}

impl Code {
    /// The archive as it was uploaded; none for a directory that is its author's own.
    pub(super) fn archive(&self) -> Option<PathBuf> {
        let archive = self.dir.with_extension("zip");
        // A directory that is used where it is has no size.
        (self.size > 0 && archive.is_file()).then_some(archive)
    }

    /// Takes the code away, if it is nobody else's.
    pub(super) fn remove(&self) -> std::io::Result<()> {
        if self.size == 0 {
            return Ok(());
        }
        match std::fs::remove_file(self.dir.with_extension("zip")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => std::fs::remove_dir_all(&self.dir),
        }
    }
}

/// Takes the `Code` of CreateFunction, or UpdateFunctionCode's body, which has the same members.
pub(super) fn take(given: &Value, dir: &Path) -> Result<Code, ApiError> {
    let text = |name: &str| given.get(name).and_then(Value::as_str);
    if let Some(zip) = text("ZipFile") {
        let bytes = STANDARD.decode(zip).map_err(|_| {
            ApiError::parameter(
                "Could not unzip uploaded file. Please check your file, then try to upload again.",
            )
        })?;
        return unpack(&bytes, dir);
    }
    match (text("S3Bucket"), text("S3Key")) {
        (Some("hot-reload"), Some(path)) => {
            let path = PathBuf::from(path);
            if !path.is_absolute() || !path.is_dir() {
                let message = format!(
                    "S3Key of the bucket hot-reload must be the absolute path of a directory; {} is none",
                    path.display()
                );
                return Err(ApiError::parameter(&message));
            }
            let sha256 = STANDARD.encode(Sha256::digest(path.as_os_str().as_encoded_bytes()));
            Ok(Code { dir: path, sha256, size: 0, hot_reload: true })
        }
        (Some(_), _) => Err(ApiError::not_built(
            "code in S3 (send it as ZipFile, or name a directory as S3Key of the bucket hot-reload)",
        )),
        _ if text("ImageUri").is_some() => Err(ApiError::not_built("code in container images")),
        _ => Err(ApiError::parameter("Please provide a source for function code.")),
    }
}

fn unpack(bytes: &[u8], dir: &Path) -> Result<Code, ApiError> {
    let empty = || ApiError::parameter("Uploaded file must be a non-empty zip");
    if bytes.is_empty() {
        return Err(empty());
    }
    if bytes.len() > ZIPPED_BYTES_MAX {
        return Err(ApiError::new(
            413,
            "RequestEntityTooLargeException",
            "Zipped size must be smaller than 52428800 bytes",
        ));
    }
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let target = dir.join(hex);
    let code = Code {
        dir: target.clone(),
        sha256: STANDARD.encode(digest),
        size: bytes.len() as u64,
        hot_reload: false,
    };
    if target.is_dir() {
        return Ok(code);
    }
    std::fs::create_dir_all(dir)?;
    // Beside its place first, so that a directory of that name is always whole.
    let partial = tempfile::Builder::new().prefix(".unpacking-").tempdir_in(dir)?;
    if extract(bytes, partial.path())? == 0 {
        return Err(empty());
    }
    write_archive(bytes, &target.with_extension("zip"))?;
    std::fs::set_permissions(partial.path(), std::fs::Permissions::from_mode(0o755))?;
    std::fs::rename(partial.keep(), &target)?;
    Ok(code)
}

/// Keeps the archive, for those who ask for it.
fn write_archive(bytes: &[u8], target: &Path) -> std::io::Result<()> {
    let folder = target.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(target)?;
    Ok(())
}

/// Unpacks an archive, and tells how many entries it has.
fn extract(bytes: &[u8], target: &Path) -> Result<usize, ApiError> {
    let unreadable = || {
        ApiError::parameter(
            "Could not unzip uploaded file. Please check your file, then try to upload again.",
        )
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|_| unreadable())?;
    let mut left = UNZIPPED_BYTES_MAX;
    let mut links = Vec::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(|_| unreadable())?;
        // None for a path that would leave the directory.
        let inner = file.enclosed_name().ok_or_else(unreadable)?;
        let path = target.join(&inner);
        if file.is_dir() {
            std::fs::create_dir_all(&path)?;
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mode = file.unix_mode().unwrap_or(0o644);
        if file.is_symlink() {
            let mut to = String::new();
            (&mut file).take(4096).read_to_string(&mut to).map_err(|_| unreadable())?;
            if !stays_inside(&inner, Path::new(&to)) {
                return Err(ApiError::parameter(&format!(
                    "The link {} leads out of the archive.",
                    inner.display()
                )));
            }
            links.push((path, to));
            continue;
        }
        let mut out = std::fs::File::create(&path)?;
        // What the system says is about the disk, and anything else about the archive.
        let written = std::io::copy(&mut (&mut file).take(left + 1), &mut out)
            .map_err(|error| if error.raw_os_error().is_some() { error.into() } else { unreadable() })?;
        left = left.checked_sub(written).ok_or_else(|| {
            ApiError::parameter(&format!("Unzipped size must be smaller than {UNZIPPED_BYTES_MAX} bytes"))
        })?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode((mode & 0o777) | 0o600))?;
    }
    // Last, so that no file is written through one.
    for (path, to) in links {
        std::os::unix::fs::symlink(to, path)?;
    }
    Ok(archive.len())
}

fn stays_inside(link: &Path, to: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    for part in to.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(link: &str, to: &str, expected: bool) {
        assert_eq!(stays_inside(Path::new(link), Path::new(to)), expected, "{link} -> {to}");
    }

    #[test]
    fn links_stay_inside_of_the_archive() {
        check("a", "b", true);
        check("bin/a", "../lib/b", true);
        check("a", "../b", false);
        check("bin/a", "../../b", false);
        check("a", "/etc/passwd", false);
    }
}
