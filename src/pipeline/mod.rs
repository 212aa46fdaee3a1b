//! Floor 3: the sentence. A job comes in by the [`router`], waits in its [`lane`], is [`carry`]ed to its provider, and
//! is settled or deferred.

pub mod account;
pub mod backlog;
pub mod books;
pub mod carry;
pub mod controls;
pub mod dedupe;
mod evictions;
pub mod gate;
pub mod hand;
pub mod health;
pub mod lane;
pub mod lately;
pub mod limbo;
pub mod outlet;
pub mod pick;
pub mod reception;
pub mod recorder;
pub mod reports;
pub mod retention;
pub mod router;
pub mod shortage;
pub mod sightings;
pub mod stamp;
pub mod stop;
