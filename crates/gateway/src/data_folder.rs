//! The data folder. It holds keys, so no other user may look into it.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

/// Makes the folder and those above it where they are missing.
///
/// # Errors
/// A sentence that names it.
pub(crate) fn make(data: &Path) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(|error| format!("cannot make the data directory {}: {error}", data.display()))
}

/// Makes the folder so that a group can reach what is below it and that is its own to read: the code of functions that
/// run as another user. The group sees no names, and others nothing. A folder that somebody has opened to others stays
/// as it is.
///
/// # Errors
/// A sentence that names it.
pub(crate) fn make_for_group(data: &Path, group: u32) -> Result<(), String> {
    let failed = |error| format!("cannot give the data directory {} a group: {error}", data.display());
    if let Some(above) = data.parent() {
        // Folders that are made on the way hold nothing else.
        let made = DirBuilder::new().recursive(true).mode(0o711).create(above);
        made.map_err(|error| format!("cannot make the directory {}: {error}", above.display()))?;
    }
    make(data)?;
    let mode = std::fs::metadata(data).map_err(failed)?.permissions().mode();
    if mode & 0o066 == 0 {
        std::os::unix::fs::chown(data, None, Some(group)).map_err(failed)?;
        std::fs::set_permissions(data, Permissions::from_mode(0o710)).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mode of a folder afterwards that had this one before.
    fn check(before: Option<u32>, for_group: bool, expected: u32) {
        let private = tempfile::tempdir().unwrap();
        let data = private.path().join("above/data");
        if let Some(mode) = before {
            std::fs::create_dir_all(&data).unwrap();
            std::fs::set_permissions(&data, Permissions::from_mode(mode)).unwrap();
        }
        let own = rustix::process::getegid().as_raw();
        if for_group {
            make_for_group(&data, own).unwrap()
        } else {
            make(&data).unwrap()
        }
        let found = std::fs::metadata(&data).unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, expected, "{before:?}");
    }

    #[test]
    fn nobody_else_looks_into_the_data_folder() {
        check(None, false, 0o700);
        check(None, true, 0o710);
        check(Some(0o700), true, 0o710);
        check(Some(0o711), true, 0o710);
        check(Some(0o755), true, 0o755);
        check(Some(0o755), false, 0o755);
    }
}
