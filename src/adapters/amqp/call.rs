//! Waiting for the broker: no call is waited for without an end.

use std::time::Duration;

use lapin::Channel;
use lapin::protocol::constants::REPLY_SUCCESS;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};

use crate::ports::broker::BrokerError;
use crate::ports::fence::Flow;

/// A call that a connection with a heartbeat does not answer for so long is not answered any more.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// A broker that does not confirm for so long, although it takes messages, is frozen: both connections are built anew.
pub const CONFIRM_TIMEOUT: Duration = Duration::from_secs(20);

/// What a call ended with instead of its answer.
#[derive(Debug)]
pub enum CallError {
    /// Named as in the protocol.
    Unanswered(&'static str),
    Failed(lapin::Error),
}

impl CallError {
    /// Whether the broker refused just this, and closed the channel with it.
    pub fn is(&self, refusal: AMQPSoftError) -> bool {
        match self {
            Self::Unanswered(_) => false,
            Self::Failed(error) => match error.kind() {
                lapin::ErrorKind::ProtocolError(error) => *error.kind() == AMQPErrorKind::Soft(refusal),
                _ => false,
            },
        }
    }
}

impl From<CallError> for BrokerError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unanswered(call) => BrokerError::Unanswered { call, within: CALL_TIMEOUT },
            CallError::Failed(error) => BrokerError::Lost(error.to_string()),
        }
    }
}

/// The answer to a `call` on a channel, named as in the protocol. A channel that owes an answer is closed, or the client
/// would keep it for that answer: a consumer that starts late would swallow jobs.
pub async fn answered<T>(
    channel: &Channel,
    call: &'static str,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, CallError> {
    let answer = in_time(call, answer).await;
    if let Err(CallError::Unanswered(_)) = &answer {
        let channel = channel.clone();
        tokio::spawn(async move {
            let _at_last = tokio::time::timeout(CALL_TIMEOUT, channel.close(REPLY_SUCCESS, "unanswered".into())).await;
        });
    }
    answer
}

/// The answer to a `call`, named as in the protocol.
pub async fn in_time<T>(call: &'static str, answer: impl Future<Output = lapin::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_TIMEOUT, answer).await {
        Ok(answer) => answer.map_err(CallError::Failed),
        Err(_) => Err(CallError::Unanswered(call)),
    }
}

/// What becomes of something published; while the broker takes nothing, time stands still.
pub async fn confirmed<T>(mut flow: Flow, confirm: impl Future<Output = lapin::Result<T>>) -> Result<T, BrokerError> {
    let timeout = async {
        loop {
            flow.until_free().await;
            tokio::select! {
                () = flow.until_blocked() => {}
                () = tokio::time::sleep(CONFIRM_TIMEOUT) => return,
            }
        }
    };
    tokio::select! {
        biased;
        confirm = confirm => confirm.map_err(|error| BrokerError::Lost(error.to_string())),
        () = timeout => Err(BrokerError::Unconfirmed(CONFIRM_TIMEOUT)),
    }
}

/// Resolves, with the reason, once the broker has taken nothing for `limit`.
pub async fn blocked(mut flow: Flow, limit: Duration) -> BrokerError {
    loop {
        flow.until_blocked().await;
        let reason = flow.blocked();
        tokio::select! {
            () = flow.until_free() => {}
            () = tokio::time::sleep(limit) => return BrokerError::Blocked(reason.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt;

    use super::*;
    use crate::ports::fence::FlowSwitch;

    const ALARM: &str = "low on memory";

    #[tokio::test(start_paused = true)]
    async fn a_call_is_waited_for_so_long_and_named() {
        let answer = in_time("queue.declare", ready(Ok(7))).await;
        assert!(matches!(answer, Ok(7)));
        let error = in_time("queue.declare", pending::<lapin::Result<()>>()).await.unwrap_err();
        assert_eq!(BrokerError::from(error).to_string(), "the broker did not answer queue.declare within 20s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_confirm_may_take_as_long_as_an_alarm_and_its_own_time() {
        let switch = FlowSwitch::new(Some(ALARM.to_owned()));
        let mut waiting = Box::pin(confirmed(Flow::of(&switch), pending::<lapin::Result<()>>()));
        assert!(tokio::time::timeout(100 * CONFIRM_TIMEOUT, &mut waiting).await.is_err(), "during the alarm");
        switch.send_replace(None);
        assert!(tokio::time::timeout(CONFIRM_TIMEOUT / 2, &mut waiting).await.is_err(), "after it");
        switch.send_replace(Some(ALARM.to_owned()));
        assert!((&mut waiting).now_or_never().is_none());
        switch.send_replace(None);
        let begun = tokio::time::Instant::now();
        assert!(matches!(waiting.await, Err(BrokerError::Unconfirmed(_))));
        assert!(begun.elapsed() >= CONFIRM_TIMEOUT, "it begins anew: {:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_alarm_that_lasts_is_an_error() {
        let (switch, limit) = (FlowSwitch::new(None), Duration::from_secs(5));
        let mut waiting = Box::pin(blocked(Flow::of(&switch), limit));
        for flow in [Some(ALARM.to_owned()), None] {
            switch.send_replace(flow);
            assert!(tokio::time::timeout(limit / 2, &mut waiting).await.is_err());
        }
        assert!(tokio::time::timeout(10 * limit, &mut waiting).await.is_err());
        switch.send_replace(Some(ALARM.to_owned()));
        assert_eq!(waiting.await.to_string(), ALARM);
    }
}
