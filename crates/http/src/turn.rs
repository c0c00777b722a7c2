//! Turns of an event loop.
//!
//! In each turn many connections have something to do. If each of them reads, thinks and writes before the next one may,
//! the processor goes back and forth between the gateway's code and the kernel's, and every write wakes a peer of its own.
//! If all read, then all think, then all write, code stays in the caches and a peer that is woken finds more than one
//! thing to do: a proxied request takes a tenth less time. Who is alone in a turn loses next to nothing.

use std::future::poll_fn;
use std::task::Poll;

/// Lets everybody go first who can go on without waiting. Runtimes with one thread poll tasks in the order in which they
/// were woken.
pub async fn others_first() {
    let mut has_waited = false;
    poll_fn(|context| {
        if has_waited {
            return Poll::Ready(());
        }
        has_waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
