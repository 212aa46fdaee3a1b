//! Who may look and who may change state: whoever holds the token; on loopback everybody but the pages in this
//! machine's browsers; from the network everybody may look and nobody else change.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, HeaderName};
use subtle::ConstantTimeEq;

use crate::model::secret::Secret;
use crate::ports::clock::Clock;

/// What a browser says of where a request comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Wrong tokens are logged at most so often.
const BETWEEN_LINES: Duration = Duration::from_secs(60);

/// From where the port can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    Loopback,
    Network,
}

/// Why a caller is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Missing, or not the right one.
    NoToken,
    /// There is none that would be right.
    NoneConfigured,
    /// A name that was bent to loopback: the caller may be a page from anywhere.
    ForeignHost,
    /// A page of another origin sends it.
    CrossSite,
}

/// Judges each request by its headers.
pub(super) struct Gate {
    token: Arc<ArcSwapOption<Secret>>,
    exposure: Exposure,
    clock: Clock,
    guesses: Mutex<Guesses>,
}

impl Gate {
    pub(super) fn new(token: Arc<ArcSwapOption<Secret>>, exposure: Exposure, clock: Clock) -> Self {
        Self { token, exposure, clock, guesses: Mutex::default() }
    }

    /// Whether a caller may see what is here.
    pub(super) fn look(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        match (self.exposure, self.shown(headers)) {
            (Exposure::Network, _) | (Exposure::Loopback, Shown::Right) => Ok(()),
            (Exposure::Loopback, Shown::Nothing | Shown::Wrong) if names_loopback(headers) => Ok(()),
            (Exposure::Loopback, Shown::Nothing) => Err(Refusal::ForeignHost),
            (Exposure::Loopback, Shown::Wrong) => Err(self.guessed()),
        }
    }

    /// Whether a caller may change something. A token that is wrong is refused even where none is needed.
    pub(super) fn change(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if !is_same_site(headers) {
            return Err(Refusal::CrossSite);
        }
        match (self.shown(headers), &*self.token.load(), self.exposure) {
            (Shown::Right, _, _) => Ok(()),
            (Shown::Wrong, Some(_), _) => Err(self.guessed()),
            (Shown::Nothing, Some(_), Exposure::Network) => Err(Refusal::NoToken),
            (_, None, Exposure::Network) => Err(Refusal::NoneConfigured),
            (_, _, Exposure::Loopback) if names_loopback(headers) => Ok(()),
            (_, _, Exposure::Loopback) => Err(Refusal::ForeignHost),
        }
    }

    fn shown(&self, headers: &HeaderMap) -> Shown {
        match (headers.get(AUTHORIZATION), &*self.token.load()) {
            (None, _) => Shown::Nothing,
            (Some(shown), Some(token)) if is_bearer(shown.as_bytes(), token) => Shown::Right,
            (Some(_), _) => Shown::Wrong,
        }
    }

    fn guessed(&self) -> Refusal {
        let due = self.guesses.lock().unwrap_or_else(PoisonError::into_inner).note(self.clock.elapsed());
        if let Some(refused) = due {
            tracing::warn!(refused, "requests with a wrong admin.token were refused");
        }
        Refusal::NoToken
    }
}

/// What a caller shows for itself.
enum Shown {
    Nothing,
    Right,
    Wrong,
}

/// Wrong tokens since the last line about them.
#[derive(Default)]
struct Guesses {
    unsaid: u64,
    said: Option<Duration>,
}

impl Guesses {
    /// Counts one more; how many there are to tell of, if it is time to.
    fn note(&mut self, now: Duration) -> Option<u64> {
        self.unsaid += 1;
        if self.said.is_some_and(|said| now.saturating_sub(said) < BETWEEN_LINES) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

fn is_bearer(shown: &[u8], token: &Secret) -> bool {
    let Some((scheme, rest)) = shown.split_at_checked(7) else { return false };
    scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(rest.trim_ascii().ct_eq(token.expose().as_bytes()))
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(authority) = only(headers, &HOST).and_then(|host| host.parse::<http::uri::Authority>().ok()) else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// What is no browser says neither where it comes from nor what site it is on.
fn is_same_site(headers: &HeaderMap) -> bool {
    let is_told = match headers.contains_key(&FETCH_SITE) {
        // Another port of this machine is the same site to a browser, and another origin.
        true => matches!(only(headers, &FETCH_SITE), Some("same-origin" | "none")),
        false => true,
    };
    let is_own = match (headers.contains_key(&ORIGIN), only(headers, &ORIGIN), only(headers, &HOST)) {
        (false, _, _) => true,
        (true, Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
        }
        (true, _, _) => false,
    };
    is_told && is_own
}

/// The value of a header that stands there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
