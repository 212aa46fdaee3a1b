//! The wish that the worker ends, as everyone sees it.

use tokio::sync::watch;

/// Held by the supervisor.
pub struct Stopper(watch::Sender<bool>);

/// Held by all that can stop.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

/// A pair that starts in the state of running.
pub fn channel() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves once the stop is asked for, or nobody is left to ask. Cancel-safe.
    pub async fn asked(&mut self) {
        let _gone = self.0.wait_for(|stop| *stop).await;
    }
}
