//! Which code the processes of a function run, and when it changes hands.
//!
//! Every process belongs to a generation of the code. When the files change, a candidate is started beside the
//! processes that serve; once it is ready and the files have not changed again, the pool moves to its generation in one
//! step. Processes of the old one finish what they have. A candidate that fails changes nothing but the log.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::{Command, Pool, State};
use crate::fingerprint::{self, Fingerprint};
use crate::process::{self, Role};

/// Files are looked at once they have been quiet for this long, or have changed for [`NOISE_MAX`].
const QUIET: Duration = Duration::from_millis(15);
const NOISE_MAX: Duration = Duration::from_millis(150);

impl Pool {
    /// Makes sure that a process of the current generation would run the code of that generation: while files are being
    /// edited, no process is added to those that serve.
    pub(super) async fn settle_generation(self: &Arc<Self>, id: u64) -> bool {
        if !self.config.watch {
            return true;
        }
        let (root, runtime) = (self.config.code.clone(), self.config.runtime);
        let stat =
            tokio::task::spawn_blocking(move || fingerprint::stat(&root, runtime)).await.unwrap_or_default();
        {
            let mut state = self.lock();
            if state.fingerprint.as_ref().is_some_and(|known| known.stat == stat) {
                return true;
            }
            if state.live.values().any(|process| process.ready) {
                state.live.remove(&id);
                self.changed.notify_one();
                return false;
            }
        }
        let Some(found) = self.look().await else { return false };
        let mut state = self.lock();
        state.fingerprint = Some(found);
        state.generation += 1;
        let generation = state.generation;
        if let Some(process) = state.live.get_mut(&id) {
            process.generation = generation;
        }
        true
    }

    async fn look(&self) -> Option<Fingerprint> {
        let (root, runtime) = (self.config.code.clone(), self.config.runtime);
        let (found, dirs) =
            tokio::task::spawn_blocking(move || fingerprint::take(&root, runtime)).await.ok()?;
        self.shared.watcher.watch(&self.config.code, runtime, &dirs, &self.changed);
        Some(found)
    }

    /// Compares the files with the generation that serves, and moves to a new one if they differ and work.
    async fn reload(self: &Arc<Self>) {
        let Some(mut found) = self.look().await else { return };
        loop {
            let (id, orders, generation) = {
                let mut state = self.lock();
                if state.retired || state.fingerprint.as_ref() == Some(&found) {
                    state.broken = None;
                    return;
                }
                let unchanged =
                    state.fingerprint.as_ref().is_some_and(|known| known.content == found.content);
                if unchanged || state.live.is_empty() {
                    // Nothing serves, so there is nothing to protect: the next invocation starts from these files.
                    state.generation += u64::from(!unchanged);
                    state.fingerprint = Some(found);
                    state.broken = None;
                    return;
                }
                if state.broken == Some(found.content) {
                    return;
                }
                let generation = state.generation + 1;
                let (id, orders) = Self::enlist(&mut state, generation);
                (id, orders, generation)
            };
            let began = Instant::now();
            let (told, mut outcome) = oneshot::channel();
            let pool = Arc::clone(self);
            self.shared.handle.spawn(async move {
                let permit = Arc::clone(&pool.shared.starts).acquire_owned().await.ok();
                process::run(id, pool, Role::Candidate(told), orders, permit).await;
            });
            // Code may take all of its time to start, or hang: whoever mends it meanwhile does not wait for that.
            let outcome = tokio::select! {
                outcome = &mut outcome => Some(outcome),
                () = self.changed_from(&found) => None,
            };
            let Some(after) = self.look().await else { return };
            let mut state = self.lock();
            let Some(outcome) =
                outcome.filter(|_| after.content == found.content && state.generation + 1 == generation)
            else {
                // It read files that have changed since.
                if let Some(process) = state.live.get(&id) {
                    let _ = process.orders.send(Command::Die);
                }
                found = after;
                continue;
            };
            match outcome {
                Ok(Ok(())) => {
                    self.accept(&mut state, id, generation, after);
                    drop(state);
                    let took = began.elapsed().as_millis();
                    tracing::info!(target: "function", function = self.config.name, "reloaded in {took} ms");
                }
                Ok(Err(failure)) => {
                    state.broken = Some(after.content);
                    let serves = state.live.values().any(|process| process.ready);
                    if !serves {
                        state.fingerprint = Some(after);
                        state.generation = generation;
                    }
                    drop(state);
                    tracing::error!(
                        target: "function", function = self.config.name,
                        "the changed code does not start{}: {} [/var/task is {}]",
                        if serves { ", the last good one goes on serving" } else { "" },
                        failure.summary(),
                        self.config.code.display(),
                    );
                    self.revive();
                }
                Err(_) => {}
            }
            return;
        }
    }

    /// Returns once the files are not these any more.
    async fn changed_from(&self, known: &Fingerprint) {
        loop {
            quiet(&self.changed).await;
            match self.look().await {
                Some(found) if found.content == known.content => {}
                _ => return,
            }
        }
    }

    /// Whether this pool's function starts, tried with one process that serves nobody.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) async fn try_out(self: &Arc<Self>) -> Result<(), String> {
        let (id, orders) = {
            let mut state = self.lock();
            let generation = state.generation;
            Self::enlist(&mut state, generation)
        };
        let (told, outcome) = oneshot::channel();
        let permit = Arc::clone(&self.shared.starts).acquire_owned().await.ok();
        let pool = Arc::clone(self);
        self.shared.handle.spawn(async move {
            process::run(id, pool, Role::Candidate(told), orders, permit).await;
        });
        let outcome = outcome.await;
        self.close();
        match outcome {
            Ok(Err(failure)) => Err(failure.summary()),
            // Without an outcome everything is ending.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// Whether a process of it is ready, or about to be.
    pub(crate) fn serves(&self) -> bool {
        !self.lock().live.is_empty()
    }

    /// The step from one generation to the next.
    fn accept(&self, state: &mut State, id: u64, generation: u64, fingerprint: Fingerprint) {
        state.generation = generation;
        state.fingerprint = Some(fingerprint);
        state.broken = None;
        state.growth_paused = None;
        for seat in std::mem::take(&mut state.idle) {
            let _ = seat.desk.orders.send(Command::Leave);
        }
        if let Some(process) = state.live.get_mut(&id) {
            process.ready = true;
            let _ = process.orders.send(Command::Serve);
        }
    }
}

/// Reloads a pool whenever its files may have changed, as long as the pool is there.
pub(super) async fn follow(pool: Weak<Pool>, changed: Arc<Notify>) {
    loop {
        quiet(&changed).await;
        let Some(pool) = pool.upgrade() else { return };
        if pool.lock().retired {
            return;
        }
        pool.reload().await;
    }
}

/// Waits for a change, and for the end of those that follow at once.
async fn quiet(changed: &Notify) {
    changed.notified().await;
    let first = Instant::now();
    while first.elapsed() < NOISE_MAX && tokio::time::timeout(QUIET, changed.notified()).await.is_ok() {}
}
