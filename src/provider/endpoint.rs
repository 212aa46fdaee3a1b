//! Where a provider is reached.

use std::fmt;
use std::net::IpAddr;

/// Scheme and authority of a provider, without path: `https://rtc.volcengineapi.com`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    scheme: &'static str,
    authority: String,
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("must be a URL like https://rtc.example.com")]
    NotAUrl,
    #[error("must begin with https:// (or http://), not {0}://")]
    Scheme(String),
    #[error("must have no path, query or user name, only scheme, host and port")]
    Extra,
}

impl Endpoint {
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let uri: http::Uri = text.parse().map_err(|_| EndpointError::NotAUrl)?;
        let scheme = match uri.scheme_str() {
            Some("https") => "https",
            Some("http") => "http",
            Some(other) => return Err(EndpointError::Scheme(other.to_owned())),
            None => return Err(EndpointError::NotAUrl),
        };
        let authority = uri.authority().ok_or(EndpointError::NotAUrl)?;
        if authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(EndpointError::Extra);
        }
        let authority = authority.as_str().to_ascii_lowercase();
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.strip_suffix(default_port).unwrap_or(&authority).to_owned();
        if authority.is_empty() {
            return Err(EndpointError::NotAUrl);
        }
        Ok(Self { scheme, authority })
    }

    /// What stands in the `Host` header, and is signed: the scheme's default port is left out.
    pub fn host(&self) -> &str {
        &self.authority
    }

    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// Whether it names this machine.
    pub fn is_loopback(&self) -> bool {
        let uri: Option<http::uri::Authority> = self.authority.parse().ok();
        let Some(host) = uri.as_ref().map(|authority| authority.host().trim_matches(['[', ']'])) else {
            return false;
        };
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The endpoint with a path (and query) behind it; `path` begins with `/` and is already encoded.
    pub fn join(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_port_is_left_out_of_the_host() {
        let check = |text: &str, expected: &str| assert_eq!(Endpoint::parse(text).unwrap().to_string(), expected);
        check("https://rtc.volcengineapi.com", "https://rtc.volcengineapi.com");
        check("https://RTC.volcengineapi.com:443/", "https://rtc.volcengineapi.com");
        check("http://127.0.0.1:80", "http://127.0.0.1");
        check("http://127.0.0.1:4430", "http://127.0.0.1:4430");
    }

    #[test]
    fn anything_but_scheme_and_authority_is_refused() {
        let check = |text: &str, expected: EndpointError| assert_eq!(Endpoint::parse(text), Err(expected), "{text}");
        check("rtc.volcengineapi.com", EndpointError::NotAUrl);
        check("", EndpointError::NotAUrl);
        check("ftp://a", EndpointError::Scheme("ftp".into()));
        check("https://a/b", EndpointError::Extra);
        check("https://a?b", EndpointError::Extra);
        check("https://user@a", EndpointError::Extra);
    }

    #[test]
    fn loopback_is_known_by_name_and_by_address() {
        let check = |text: &str, expected: bool| {
            assert_eq!(Endpoint::parse(text).unwrap().is_loopback(), expected, "{text}");
        };
        check("http://localhost:1", true);
        check("http://127.8.9.1:1", true);
        check("http://[::1]:1", true);
        check("http://127.0.0.1.example.com", false);
        check("http://10.0.0.1", false);
    }
}
