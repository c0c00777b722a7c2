//! Opening a store's file: made if it is missing, and left byte for byte as it is if it cannot be used.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition, TableError};
use stagedoor_control_plane::store::StoreError;

use crate::peek::Peek;

/// What the file holds beside the definitions: the format version, the newest revision, where the feed begins.
pub(crate) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
/// Key in [`META`]: which layout of tables and values the file has.
pub(crate) const FORMAT: &str = "format";
/// Key in [`META`]: the newest revision.
pub(crate) const REVISION: &str = "revision";

/// The layout that this version reads and writes.
pub(crate) const FORMAT_VERSION: u64 = 1;

/// The definitions of a large account fit; the operating system caches the rest.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// The largest file that is read as a whole when it is opened: reading takes about 2 ms per MiB.
const CHECKED_BYTES_MAX: u64 = 4 * 1024 * 1024;

const FILE_NAME: &str = "stagedoor.redb";

/// What every redb file begins with.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";

/// An opened file, and what keeps other processes away from it.
pub(crate) struct Opened {
    pub(crate) database: Database,
    pub(crate) path: PathBuf,
    /// A lock on the directory, because the file itself must not be opened for writing to find out that it is taken.
    pub(crate) _claim: Option<File>,
}

/// Opens the store in a directory, and makes both if they are not there.
pub(crate) fn open(dir: &Path) -> Result<Opened, StoreError> {
    fs::create_dir_all(dir).map_err(|error| failed("cannot make the data directory", dir, error))?;
    let claim = claim(dir)?;
    let path = dir.join(FILE_NAME);
    match fs::metadata(&path) {
        Ok(metadata) => {
            check(&path)?;
            keep_from_others(&path, &metadata);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(dir, &path)?,
        Err(error) => return Err(failed("cannot read the store", &path, error)),
    }
    Ok(Opened { database: open_file(&path)?, path, _claim: claim })
}

/// Takes from others what earlier versions gave them. Whoever may not change that is not the owner, and does not answer
/// for it.
fn keep_from_others(path: &Path, metadata: &fs::Metadata) {
    let mode = metadata.permissions().mode();
    if mode & 0o007 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(mode & !0o007)).ok();
    }
}

/// Opens a file that is known to be a store.
pub(crate) fn open_file(path: &Path) -> Result<Database, StoreError> {
    builder().open(path).map_err(|error| refused(path, error))
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Locks the directory for this process. File systems without such locks leave it to the engine's lock on the file.
fn claim(dir: &Path) -> Result<Option<File>, StoreError> {
    let Ok(handle) = File::open(dir) else { return Ok(None) };
    match handle.try_lock() {
        Ok(()) => Ok(Some(handle)),
        Err(TryLockError::WouldBlock) => Err(in_use(dir)),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Refuses a file that is no store, is damaged, is newer than this program, or cannot be written.
fn check(path: &Path) -> Result<(), StoreError> {
    let mut file = File::open(path).map_err(|error| failed("cannot read the store", path, error))?;
    let mut start = [0; MAGIC.len()];
    match file.read_exact(&mut start) {
        Ok(()) if start == MAGIC => {}
        Ok(()) => return Err(unusable(path, "is not a Stagedoor store")),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(unusable(path, "is not a Stagedoor store"));
        }
        Err(error) => return Err(failed("cannot read the store", path, error)),
    }
    // Opened for writing and not written: a read-only file is better found now than at the first commit.
    OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(|error| failed("cannot write the store", path, error))?;
    // Every page of a store of usual size is held against its checksum. A larger one would take too long to start.
    let whole = file.metadata().is_ok_and(|found| found.len() <= CHECKED_BYTES_MAX);
    let peek = Peek::new(file).map_err(|error| failed("cannot read the store", path, error))?;
    match peek_format(path, peek, whole)? {
        Ok(Some(FORMAT_VERSION)) => Ok(()),
        Ok(Some(found)) => Err(unusable(
            path,
            &format!(
                "has format {found}, and this version of Stagedoor reads format {FORMAT_VERSION}: \
                 use the version that wrote it, or another --data directory"
            ),
        )),
        Ok(None) => Err(unusable(path, "is a database, but not a Stagedoor store")),
        Err(error) => Err(unusable(path, &format!("is damaged ({error})"))),
    }
}

/// The format of a store that is looked at and not changed.
fn peek_format(path: &Path, peek: Peek, whole: bool) -> Result<Result<Option<u64>, redb::Error>, StoreError> {
    // The engine trusts what it reads: some damage, which only reading every page would find first, makes it panic.
    // It worked on a copy in memory, so nothing outlives the panic.
    let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let database = builder().set_check_integrity_on_open(whole).create_with_backend(peek)?;
        Ok(format_of(&database))
    }));
    match looked {
        Ok(found) => found.map_err(|error| refused(path, error)),
        Err(_) => Err(unusable(path, "is damaged")),
    }
}

fn format_of(database: &Database) -> Result<Option<u64>, redb::Error> {
    let snapshot = database.begin_read()?;
    match snapshot.open_table(META) {
        Ok(meta) => Ok(meta.get(FORMAT)?.map(|version| version.value())),
        Err(TableError::Storage(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Makes a store under another name and gives it its name when it is whole, so that a crash or a full disk on the
/// way leaves no half-made store.
fn create(dir: &Path, path: &Path) -> Result<(), StoreError> {
    let unfinished = dir.join(format!("{FILE_NAME}.new"));
    let made = fill(&unfinished).and_then(|()| {
        fs::rename(&unfinished, path).map_err(|error| failed("cannot make the store", path, error))
    });
    if made.is_err() {
        // The reason for the failure is what the user needs; whether the remains could be removed is not.
        fs::remove_file(&unfinished).ok();
    }
    made?;
    // The name of the file is durable only when its directory is.
    if let Ok(handle) = File::open(dir) {
        handle.sync_all().map_err(|error| failed("cannot make the store", dir, error))?;
    }
    Ok(())
}

fn fill(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("cannot remove what an interrupted start left", path, error));
        }
        _ => {}
    }
    // It holds what access keys and API keys are: nobody else is to read it, wherever the folder is.
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    drop(file.map_err(|error| failed("cannot make the store", path, error))?);
    let database = builder().create(path).map_err(|error| match error {
        DatabaseError::Storage(StorageError::Io(error)) => failed("cannot make the store", path, error),
        other => refused(path, other),
    })?;
    let written = (|| -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert(FORMAT, FORMAT_VERSION)?;
            meta.insert(REVISION, 0)?;
        }
        transaction.commit()?;
        Ok(())
    })();
    written.map_err(|error| engine(path, error))?;
    database.close().map_err(|error| engine(path, error.into()))
}

/// An error of the engine in our words. A failure of the system keeps its kind, so that a full disk can be told apart.
pub(crate) fn engine(path: &Path, error: redb::Error) -> StoreError {
    match error {
        redb::Error::Io(error) => failed("cannot use the store", path, error),
        other => StoreError::Engine(other.to_string()),
    }
}

fn refused(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => in_use(path),
        DatabaseError::UpgradeRequired(version) => {
            unusable(path, &format!("has redb's file format {version}, which this version cannot read"))
        }
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            failed("cannot open the store", path, error)
        }
        other => unusable(path, &format!("is damaged, or not a Stagedoor store ({other})")),
    }
}

fn failed(what: &str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { what: format!("{what} {}", path.display()), source }
}

fn in_use(path: &Path) -> StoreError {
    StoreError::Unusable(format!(
        "{} is used by another process: stop it, or give this one another --data directory",
        path.display()
    ))
}

fn unusable(path: &Path, why: &str) -> StoreError {
    StoreError::Unusable(format!("{} {why}; the file has been left as it was", path.display()))
}
