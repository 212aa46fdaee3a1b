//! Floor 3: a stand-in for the clouds, for testing producers and workers without an account.
//!
//! One port, plain HTTP, plays them all and tells them apart by the request:
//!
//! | cloud | request | signed by |
//! |---|---|---|
//! | Volcengine | `POST /?Action=DismissRoom&Version=2020-12-01` | access key |
//! | | `POST /?Action=BanRoomUser&Version=2020-12-01`, or `2023-11-01` | access key |
//! | Huawei | `POST /v2/apps/{app}/rooms/{room}/dismiss` | access key, or token |
//! | IAM | `POST /v3/auth/tokens` | password |
//!
//! A request is judged in the vendors' way: does the action exist, who asks, is the quota kept, are the parameters
//! there; then the [rules] in force and the [prefixes of its room's name](faults) say whether something goes wrong.
//! The quota counts every request for a known action when its head was read, whatever becomes of it after.
//! A slow request is acted upon at once and answered late.
//!
//! What it saw and how it behaves are open to everybody who reaches the port:
//!
//! | call | |
//! |---|---|
//! | `GET /stats` (`?rooms=1`) | figures of each cloud ([`stats::Stats`]) |
//! | `GET /rooms` | what each room saw ([`record::RoomCount`]) |
//! | `GET /requests` (`?from=N`) | all requests in the order of arrival ([`record::Record`]), one JSON line each |
//! | `DELETE /stats` | forgets all of these; counted faults begin anew |
//! | `GET`, `PUT`, `DELETE /faults` | shows, replaces, removes the rules in force |
//! | `DELETE /tokens` | makes all issued tokens stale |
//! | `GET /healthz` | 200 |

mod admin;
mod clock;
mod dialect;
mod exchange;
pub mod faults;
mod huawei;
mod iam;
mod ledger;
pub mod quota;
pub mod record;
pub mod rules;
mod server;
pub mod settings;
pub mod stats;
mod volcengine;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;

use self::faults::{Happening, Plan};
use self::rules::{Active, Candidate, Rules};

pub use self::settings::Settings;

/// The clouds and all that they remember.
pub struct Sandbox {
    settings: Settings,
    ledger: Arc<ledger::Ledger>,
    rules: Mutex<Active>,
    tokens: iam::Tokens,
    lock: huawei::lockout::Lock,
}

/// Opens a sandbox and serves it until `stop` resolves; requests in hand are cut off then.
pub async fn serve(listener: TcpListener, settings: Settings, stop: impl Future) -> io::Result<()> {
    Sandbox::new(settings)?.serve(listener, stop).await
}

impl Sandbox {
    /// Fails only if the log cannot be opened.
    pub fn new(settings: Settings) -> io::Result<Arc<Self>> {
        let ledger = Arc::new(ledger::Ledger::open(&settings)?);
        Ok(Arc::new(Self {
            rules: Mutex::new(Active::new(settings.rules.clone(), ledger.elapsed())),
            tokens: iam::Tokens::default(),
            lock: huawei::lockout::Lock::new(settings.lockout),
            ledger,
            settings,
        }))
    }

    /// Serves until `stop` resolves; requests in hand are cut off then. What was seen stays.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future) -> io::Result<()> {
        server::serve(self, listener, stop).await
    }

    pub fn stats(&self) -> stats::Stats {
        self.ledger.stats()
    }

    /// Sorted by cloud, application and room.
    pub fn rooms(&self) -> Vec<record::RoomCount> {
        self.ledger.rooms()
    }

    /// The remembered requests numbered `from` or higher, in the order of arrival.
    pub fn requests(&self, from: u64) -> Vec<record::Record> {
        self.ledger.records(from)
    }

    /// Forgets all requests and rooms, so that counted faults begin anew; quotas, rules and tokens stay.
    pub fn reset(&self) {
        self.ledger.reset();
    }

    /// Replaces the rules in force; their times and counts begin now.
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Active::new(rules, self.ledger.elapsed());
    }

    /// Makes all issued tokens stale, as a change of the password does.
    pub fn revoke_tokens(&self) {
        self.tokens.revoke();
    }

    fn shown_rules(&self) -> String {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).to_json()
    }

    /// What happens to a request that is fine in itself.
    fn happening(&self, candidate: &Candidate) -> Happening {
        let chosen = self.rules.lock().unwrap_or_else(PoisonError::into_inner).choose(candidate);
        chosen.unwrap_or_else(|| Plan::of_room(candidate.room).at(candidate.nth_of_room))
    }
}
