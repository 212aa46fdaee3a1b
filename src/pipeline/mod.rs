//! Floor 3: the sentence. A job comes in by the [`router`], waits in its [`lane`], is [`carry`]ed to its provider, and
//! is settled or deferred.

pub mod account;
pub mod backlog;
pub mod carry;
pub mod gate;
pub mod health;
pub mod lane;
pub mod limbo;
pub mod pick;
pub mod reception;
pub mod router;
pub mod stamp;
pub mod stop;
