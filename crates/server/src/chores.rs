//! Work beside a node's threads that ends by itself: a checkpoint, a new segment of the log.
//!
//! A node may open its files anew in the same process. What a former life still wrote and renamed there would meet what the new
//! one finds and writes, so the next begins only when they have ended. (A process that ends does not wait for them.)

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// The chores of one life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chores(Arc<Mutex<Vec<JoinHandle<()>>>>);

impl Chores {
    /// Does it on a thread of its own.
    pub(crate) fn start(&self, name: &str, chore: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(chore)?;
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    /// Returns when all have ended. Nobody may start another meanwhile.
    pub(crate) fn end(&self) {
        let threads = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic was told where it happened.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;

    #[test]
    fn a_life_ends_when_its_chores_have() {
        let (chores, done) = (Chores::default(), Arc::new(AtomicU32::new(0)));
        let (go, gone) = channel::<()>();
        for _ in 0..2 {
            chores.start("quick", || ()).expect("a thread");
        }
        let counted = Arc::clone(&done);
        let slow = move || {
            let _ = gone.recv();
            counted.fetch_add(1, Ordering::SeqCst);
        };
        chores.start("slow", slow).expect("a thread");
        let ended = {
            let (chores, done) = (chores.clone(), Arc::clone(&done));
            thread::spawn(move || {
                chores.end();
                done.load(Ordering::SeqCst)
            })
        };
        drop(go);
        assert_eq!(ended.join().expect("it ends"), 1, "the slow one was waited for");
    }
}
