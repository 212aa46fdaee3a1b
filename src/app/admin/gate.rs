//! Who may change state: whoever holds the token, and on loopback everybody but the pages in this machine's browsers.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST};
use subtle::ConstantTimeEq;

use crate::model::secret::Secret;

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
}

/// A token that is wrong is refused even where none is needed.
pub(super) fn admit(headers: &HeaderMap, token: Option<&Secret>, exposure: Exposure) -> Result<(), Refusal> {
    match (headers.get(AUTHORIZATION), token, exposure) {
        (Some(shown), Some(token), _) if is_bearer(shown.as_bytes(), token) => Ok(()),
        (Some(_), Some(_), _) | (None, Some(_), Exposure::Network) => Err(Refusal::NoToken),
        (_, None, Exposure::Network) => Err(Refusal::NoneConfigured),
        (_, _, Exposure::Loopback) if names_loopback(headers) => Ok(()),
        (_, _, Exposure::Loopback) => Err(Refusal::ForeignHost),
    }
}

fn is_bearer(shown: &[u8], token: &Secret) -> bool {
    let Some((scheme, rest)) = shown.split_at_checked(7) else { return false };
    scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(rest.trim_ascii().ct_eq(token.expose().as_bytes()))
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let Ok(authority) = host.parse::<http::uri::Authority>() else { return false };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[track_caller]
    fn check(host: &str, shown: &str, token: &str, exposure: Exposure, expected: Result<(), Refusal>) {
        let mut headers = HeaderMap::new();
        for (name, value) in [(HOST, host), (AUTHORIZATION, shown)].into_iter().filter(|(_, value)| !value.is_empty()) {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let token = (!token.is_empty()).then(|| Secret::new(token));
        assert_eq!(admit(&headers, token.as_ref(), exposure), expected, "{host} {shown}");
    }

    #[test]
    fn on_loopback_the_name_of_the_host_decides() {
        for host in ["localhost", "localhost:9464", "127.0.0.1:9464", "127.9.9.9", "[::1]:9464", "LocalHost"] {
            check(host, "", "", Exposure::Loopback, Ok(()));
            check(host, "", "t", Exposure::Loopback, Ok(()));
        }
        for host in ["", "example.com", "127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "a b"] {
            check(host, "", "", Exposure::Loopback, Err(Refusal::ForeignHost));
            check(host, "", "t", Exposure::Loopback, Err(Refusal::ForeignHost));
        }
    }

    #[test]
    fn the_token_opens_from_anywhere_and_a_wrong_one_nowhere() {
        for exposure in [Exposure::Loopback, Exposure::Network] {
            check("example.com", "Bearer t0ken", "t0ken", exposure, Ok(()));
            check("localhost", "bearer  t0ken ", "t0ken", exposure, Ok(()));
            for shown in ["Bearer t0ke", "Bearer t0kens", "Basic t0ken", "Bearer", "Bearer ", "t0ken"] {
                check("localhost", shown, "t0ken", exposure, Err(Refusal::NoToken));
            }
        }
        check("localhost", "", "t0ken", Exposure::Network, Err(Refusal::NoToken));
    }

    #[test]
    fn without_a_token_nobody_comes_in_from_the_network() {
        check("localhost", "", "", Exposure::Network, Err(Refusal::NoneConfigured));
        check("localhost", "Bearer ", "", Exposure::Network, Err(Refusal::NoneConfigured));
    }
}
