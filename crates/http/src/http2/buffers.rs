//! Memory that a thread lends its connections for the time of a poll.

use std::cell::Cell;

/// How much is read at once.
pub(super) const READ_BYTES: usize = 64 * 1024;
/// Longer buffers for writing are not kept.
const WRITE_BYTES_KEPT: usize = 256 * 1024;

thread_local! {
    static READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static WRITE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Memory to read into, all of it initialised.
pub(super) fn lend_read() -> Vec<u8> {
    let mut buffer = READ.take();
    buffer.resize(READ_BYTES, 0);
    buffer
}

pub(super) fn give_back_read(buffer: Vec<u8>) {
    READ.set(buffer);
}

/// An empty buffer to write into.
pub(super) fn lend_write() -> Vec<u8> {
    WRITE.take()
}

pub(super) fn give_back_write(mut buffer: Vec<u8>) {
    if buffer.capacity() <= WRITE_BYTES_KEPT {
        buffer.clear();
        WRITE.set(buffer);
    }
}
