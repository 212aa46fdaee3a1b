//! What keeps a sender that was cut off or frozen from sending beside its successor.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Whether the queue takes messages at present; clones share one state.
#[derive(Debug, Clone)]
pub struct Flow(watch::Receiver<Option<String>>);

/// The queue's half of a [`Flow`]: Some reason while it takes nothing.
pub type FlowSwitch = watch::Sender<Option<String>>;

impl Flow {
    /// Of a queue that says when it takes nothing.
    pub fn of(switch: &FlowSwitch) -> Self {
        Self(switch.subscribe())
    }

    /// Of a queue that always takes messages, or refuses them one by one.
    pub fn free() -> Self {
        Self(watch::channel(None).1)
    }

    /// Why nothing is taken, if nothing is.
    pub fn blocked(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Resolves once messages are taken. Cancel-safe.
    pub async fn until_free(&mut self) {
        self.until(Option::is_none).await;
    }

    /// Resolves once none are taken. Cancel-safe.
    pub async fn until_blocked(&mut self) {
        self.until(Option::is_some).await;
    }

    async fn until(&mut self, is: fn(&Option<String>) -> bool) {
        if self.0.wait_for(is).await.is_err() {
            // Whoever could change it is gone.
            std::future::pending::<()>().await;
        }
    }
}

/// Lets requests out only while the lead is known to be ours. Clones share one state.
#[derive(Debug, Clone)]
pub struct Fence {
    flow: Flow,
    /// When the last question was asked that the queue has answered; absent where nobody can take the lead away.
    answered: Option<(watch::Receiver<Instant>, Duration)>,
}

impl Fence {
    /// Of a lead that nobody can take away as long as this process lives.
    pub fn none() -> Self {
        Self { flow: Flow::free(), answered: None }
    }

    /// Of a lead that the queue may give to another one once it has heard nothing for longer than `limit`. The sender
    /// is told when the last answered question was asked.
    pub fn new(limit: Duration, flow: Flow) -> (watch::Sender<Instant>, Self) {
        let asked = watch::Sender::new(Instant::now());
        let answered = Some((asked.subscribe(), limit));
        (asked, Self { flow, answered })
    }

    /// Whether a request may be written at this very moment.
    pub fn stands(&self) -> bool {
        let fresh = |(asked, limit): &(watch::Receiver<Instant>, Duration)| asked.borrow().elapsed() < *limit;
        self.flow.blocked().is_none() && self.answered.as_ref().is_none_or(fresh)
    }

    /// Resolves once requests may go out, or once the lead is gone for good. Cancel-safe.
    pub async fn standing(&self) {
        let (mut flow, mut answered) = (self.flow.clone(), self.answered.clone());
        while !self.stands() {
            let answer = async {
                match &mut answered {
                    Some((asked, _)) => asked.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Ok(()) = flow.0.changed() => {}
                changed = answer => if changed.is_err() { return },
            }
        }
    }

    /// Resolves when it is polled while nothing may go out. It wakes nobody by itself: it is meant to be polled before
    /// whatever could write a request, whenever that is.
    pub async fn fallen(&self) {
        poll_fn(|_| if self.stands() { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_good_for_the_limit_from_its_question() {
        let (asked, fence) = Fence::new(LIMIT, Flow::free());
        let question = Instant::now();
        tokio::time::advance(Duration::from_secs(3)).await;
        asked.send_replace(question);
        tokio::time::advance(Duration::from_millis(1_999)).await;
        assert!(fence.stands() && fence.fallen().now_or_never().is_none());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!fence.stands() && fence.fallen().now_or_never().is_some());
        let waiting = tokio::spawn({
            let fence = fence.clone();
            async move { fence.standing().await }
        });
        tokio::time::advance(Duration::from_secs(60)).await;
        asked.send_replace(question);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "an old question proves nothing");
        asked.send_replace(Instant::now());
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lead_that_is_gone_is_not_waited_for() {
        let (asked, fence) = Fence::new(LIMIT, Flow::free());
        tokio::time::advance(LIMIT).await;
        drop(asked);
        fence.standing().await;
        assert!(!fence.stands());
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_takes_nothing_lets_nothing_out() {
        let switch = FlowSwitch::new(None);
        let (asked, fence) = Fence::new(LIMIT, Flow::of(&switch));
        switch.send_replace(Some("low on memory".into()));
        assert!(!fence.stands());
        let waiting = tokio::spawn({
            let fence = fence.clone();
            async move { fence.standing().await }
        });
        tokio::time::advance(LIMIT).await;
        switch.send_replace(None);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "meanwhile the lead may have gone");
        asked.send_replace(Instant::now());
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lead_that_nobody_can_take_is_never_in_doubt() {
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(Fence::none().stands());
        Fence::none().standing().await;
    }
}
