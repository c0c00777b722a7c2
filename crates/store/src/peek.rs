//! A file that can be opened as a database without being changed.
//!
//! The storage engine repairs a file as it opens it, and may do so to a file that we then find we must not touch,
//! such as one written by a newer version. So a store is opened through [`Peek`] first: what the engine writes
//! stays in memory and is forgotten.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

const BLOCK: u64 = 4096;

/// A view of a file that remembers writes and never passes them on.
#[derive(Debug)]
pub(crate) struct Peek {
    file: File,
    /// How much of the file itself is still to be seen; it shrinks when the engine shortens the storage.
    file_len: Mutex<u64>,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    blocks: BTreeMap<u64, Box<[u8]>>,
}

impl Peek {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self {
            file,
            file_len: Mutex::new(len),
            written: Mutex::new(Written { len, blocks: BTreeMap::new() }),
        })
    }

    /// Fills `out` from the file; what lies behind its end is zero.
    fn read_file(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let visible = lock(&self.file_len).saturating_sub(offset).min(out.len() as u64);
        let (from_file, behind) = out.split_at_mut(usize::try_from(visible).unwrap_or(usize::MAX));
        behind.fill(0);
        read_exact_at(&self.file, from_file, offset)
    }
}

impl StorageBackend for Peek {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.written).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = lock(&self.written);
        if offset.saturating_add(out.len() as u64) > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_file(offset, out)?;
        for (place, part) in parts(offset, out.len()) {
            if let Some(block) = written.blocks.get(&place.block)
                && let (Some(target), Some(source)) = (out.get_mut(part), block.get(place.within))
            {
                target.copy_from_slice(source);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = lock(&self.written);
        if len < written.len {
            let mut visible = lock(&self.file_len);
            *visible = (*visible).min(len);
            drop(written.blocks.split_off(&len.div_ceil(BLOCK)));
            let rest = usize::try_from(len % BLOCK).unwrap_or(0);
            if let Some(tail) = written.blocks.get_mut(&(len / BLOCK)).and_then(|block| block.get_mut(rest..))
            {
                tail.fill(0);
            }
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = lock(&self.written);
        written.len = written.len.max(offset.saturating_add(data.len() as u64));
        for (place, part) in parts(offset, data.len()) {
            if let Entry::Vacant(missing) = written.blocks.entry(place.block) {
                let mut block = vec![0; BLOCK as usize].into_boxed_slice();
                self.read_file(place.block * BLOCK, &mut block)?;
                missing.insert(block);
            }
            if let Some(block) = written.blocks.get_mut(&place.block)
                && let (Some(target), Some(source)) = (block.get_mut(place.within), data.get(part))
            {
                target.copy_from_slice(source);
            }
        }
        Ok(())
    }
}

/// A piece of one block.
struct Place {
    block: u64,
    within: std::ops::Range<usize>,
}

/// Cuts a range of the storage at block boundaries; with each piece, the part of the caller's buffer it belongs to.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (Place, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let start = usize::try_from(at % BLOCK).unwrap_or(0);
        let count = (BLOCK as usize - start).min(len - done);
        let part = done..done + count;
        done += count;
        (count > 0).then(|| (Place { block: at / BLOCK, within: start..start + count }, part))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
fn read_exact_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut out: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                out = out.get_mut(count..).unwrap_or_default();
                offset += count as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u64..20_000, prop::collection::vec(any::<u8>(), 0..6000))
                .prop_map(|(at, data)| Step::Write(at, data)),
            (0u64..30_000).prop_map(Step::SetLen),
        ]
    }

    proptest! {
        #[test]
        fn a_peek_reads_like_the_changed_file_and_leaves_the_file_alone(
            original in prop::collection::vec(any::<u8>(), 0..10_000),
            steps in prop::collection::vec(step(), 0..12),
        ) {
            let mut file = tempfile::tempfile().unwrap();
            io::Write::write_all(&mut file, &original).unwrap();
            let peek = Peek::new(file.try_clone().unwrap()).unwrap();
            let mut model = original.clone();
            for step in steps {
                match step {
                    Step::Write(at, data) => {
                        peek.write(at, &data).unwrap();
                        let at = at as usize;
                        model.resize(model.len().max(at + data.len()), 0);
                        model[at..at + data.len()].copy_from_slice(&data);
                    }
                    Step::SetLen(len) => {
                        peek.set_len(len).unwrap();
                        model.resize(len as usize, 0);
                    }
                }
                let mut seen = vec![1; model.len()];
                peek.read(0, &mut seen).unwrap();
                prop_assert!(seen == model);
                prop_assert!(peek.read(1, &mut seen).is_err() || model.is_empty());
            }
            let mut after = vec![0; original.len()];
            read_exact_at(&file, &mut after, 0).unwrap();
            prop_assert_eq!(file.metadata().unwrap().len(), original.len() as u64);
            prop_assert!(after == original);
        }
    }
}
