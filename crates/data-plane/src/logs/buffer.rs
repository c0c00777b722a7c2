//! A worker's own collection of log lines.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{LogWriter, Target, Targets};
use crate::worker::Worker;

/// Lines of one destination are handed over when they take this much memory, or after a while.
const BATCH_BYTES: usize = 128 * 1024;
/// What the line that fills a batch may take beyond it.
const LINE_BYTES: usize = 1024;
/// How long a line may wait in the worker.
const DELAY_MAX: Duration = Duration::from_millis(50);

/// Lines that a worker has not handed over yet.
pub struct LogBuffer {
    writer: Option<Arc<LogWriter>>,
    batches: RefCell<Vec<Batch>>,
    /// Whether a flush is to come.
    scheduled: Cell<bool>,
}

struct Batch {
    target: Arc<Target>,
    text: Vec<u8>,
    count: u64,
    /// Whether the last one was full before its time, as the next one will be.
    is_busy: bool,
}

impl LogBuffer {
    /// Without a writer, nothing is logged.
    #[must_use]
    pub fn new(writer: Option<Arc<LogWriter>>) -> Self {
        Self { writer, batches: RefCell::default(), scheduled: Cell::new(false) }
    }

    /// Hands over what is there.
    pub fn flush(&self) {
        self.scheduled.set(false);
        let Some(writer) = &self.writer else { return };
        // What has been quiet since the last time is forgotten, so that the list does not grow with every destination
        // that ever was.
        self.batches.borrow_mut().retain_mut(|batch| {
            let quiet = batch.text.is_empty();
            batch.is_busy = false;
            batch.hand_over(writer);
            !quiet
        });
    }
}

impl Batch {
    fn hand_over(&mut self, writer: &LogWriter) {
        if !self.text.is_empty() {
            writer.send(
                Arc::clone(&self.target),
                std::mem::take(&mut self.text),
                std::mem::take(&mut self.count),
            );
        }
    }
}

impl Worker {
    /// Adds lines for a stage's destinations; `write` appends them, each with its newline.
    pub fn log(self: &Rc<Self>, targets: &Targets, count: u64, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(canary) = &targets.canary else { return self.log_to(&targets.stage, count, write) };
        let mut lines = Vec::new();
        write(&mut lines);
        for target in [&targets.stage, canary] {
            self.log_to(target, count, |text| text.extend_from_slice(&lines));
        }
    }

    fn log_to(self: &Rc<Self>, target: &Arc<Target>, count: u64, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(writer) = &self.logs.writer else { return };
        let mut batches = self.logs.batches.borrow_mut();
        let known = batches.iter().position(|batch| Arc::ptr_eq(&batch.target, target));
        let index = known.unwrap_or_else(|| {
            batches.push(Batch { target: Arc::clone(target), text: Vec::new(), count: 0, is_busy: false });
            batches.len() - 1
        });
        let Some(batch) = batches.get_mut(index) else { return };
        if batch.is_busy && batch.text.capacity() == 0 {
            batch.text.reserve(BATCH_BYTES + LINE_BYTES);
        }
        write(&mut batch.text);
        batch.count += count;
        if batch.text.len() >= BATCH_BYTES {
            batch.is_busy = true;
            batch.hand_over(writer);
        } else if !self.logs.scheduled.replace(true) {
            let worker = Rc::clone(self);
            tokio::task::spawn_local(async move {
                tokio::time::sleep(DELAY_MAX).await;
                worker.logs.flush();
            });
        }
    }
}
