//! The time and the token that a request is signed with; one token fetch at a time.

use std::time::Duration;

use tokio::sync::{Mutex, oneshot};

use super::account::{Account, Terms};
use crate::model::verdict::{Fault, Verdict};
use crate::ports::transport::TransportError;
use crate::provider::{Call, Stamp, Token, withheld};

/// Why there is no stamp.
#[derive(Debug, Clone, PartialEq)]
pub enum NoStamp {
    /// What the fetch of a token showed.
    Verdict(Verdict),
    /// None was fetched, for this machine is short of something.
    Shortage(String),
}

/// The token in use, if the provider asks for one.
#[derive(Default)]
pub struct Stamps {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    token: Option<Token>,
    /// Until when it is used, by the clock's `elapsed`.
    token_until: Duration,
    /// The last fetch that failed, and when: whoever waited for it meanwhile takes its answer, for a cloud locks a
    /// user whose wrong password is tried again and again.
    failed: Option<(Duration, NoStamp)>,
}

impl Stamps {
    /// A stamp for a request that is signed now.
    pub async fn fresh(&self, account: &Account, terms: &Terms) -> Result<Stamp, NoStamp> {
        let Some(call) = terms.provider.token_call() else {
            return Ok(Stamp { now: account.common.clock.now(), token: None });
        };
        let asked = account.common.clock.elapsed();
        let mut kept = self.kept.lock().await;
        if let Some((_, why)) = kept.failed.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(why.clone());
        }
        if kept.token.is_none() || kept.token_until <= account.common.clock.elapsed() {
            match fetch(account, terms, call).await {
                Ok(token) => {
                    kept.token_until = account.common.clock.elapsed().saturating_add(token.lifetime);
                    kept.token = Some(token);
                }
                Err(why) => {
                    kept.failed = Some((account.common.clock.elapsed(), why.clone()));
                    return Err(why);
                }
            }
        }
        Ok(Stamp { now: account.common.clock.now(), token: kept.token.clone() })
    }

    /// The provider found the token of `used` stale. One fetched since then is kept.
    pub async fn refused(&self, used: &Stamp) {
        let mut kept = self.kept.lock().await;
        let same = |(kept, used): (&Token, &Token)| kept.value == used.value;
        if kept.token.as_ref().zip(used.token.as_ref()).is_some_and(same) {
            kept.token = None;
        }
    }
}

async fn fetch(account: &Account, terms: &Terms, call: Call) -> Result<Token, NoStamp> {
    tracing::debug!(provider = %account.name, "fetching a token");
    let (written, _unwatched) = oneshot::channel();
    let reply = terms.transport.send(call, terms.timeout, written).await.map_err(|error| match error {
        TransportError::Shortage(what) => NoStamp::Shortage(what),
        error => NoStamp::Verdict(Verdict::Transient(Fault::new(error.code(), format!("token: {error}")))),
    })?;
    let read = terms.provider.read_token(&reply, account.common.clock.now());
    read.map_err(|verdict| NoStamp::Verdict(withheld(verdict, &*terms.provider, None)))
}
