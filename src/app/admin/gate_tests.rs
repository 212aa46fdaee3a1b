use super::*;
use http::HeaderValue;

fn gate(token: &str, exposure: Exposure) -> Gate {
    let token = (!token.is_empty()).then(|| Secret::new(token));
    Gate::new(Arc::new(ArcSwapOption::from_pointee(token)), exposure, Clock::system())
}

fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[track_caller]
fn check(host: &str, shown: &str, token: &str, exposure: Exposure, expected: Result<(), Refusal>) {
    let headers = headers(&[(HOST, host), (AUTHORIZATION, shown)]);
    assert_eq!(gate(token, exposure).change(&headers), expected, "{host} {shown}");
}

const STRANGERS: [&str; 7] =
    ["", "example.com", "127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "a b", "0.0.0.0:9464"];

#[test]
fn on_loopback_the_name_of_the_host_decides() {
    for host in ["localhost", "localhost:9464", "127.0.0.1:9464", "127.9.9.9", "[::1]:9464", "LocalHost"] {
        check(host, "", "", Exposure::Loopback, Ok(()));
        check(host, "", "t", Exposure::Loopback, Ok(()));
    }
    for host in STRANGERS {
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

#[test]
fn a_name_bent_to_loopback_sees_nothing() {
    let look = |host: &str, shown: &str, token: &str, exposure: Exposure| {
        gate(token, exposure).look(&headers(&[(HOST, host), (AUTHORIZATION, shown)]))
    };
    for host in STRANGERS {
        assert_eq!(look(host, "", "t", Exposure::Loopback), Err(Refusal::ForeignHost), "{host}");
        assert_eq!(look(host, "Bearer x", "t", Exposure::Loopback), Err(Refusal::NoToken), "{host}");
        assert_eq!(look(host, "Bearer t", "t", Exposure::Loopback), Ok(()), "{host}");
        assert_eq!(look(host, "", "t", Exposure::Network), Ok(()), "{host}");
    }
    assert_eq!(look("localhost:1", "", "", Exposure::Loopback), Ok(()));
    let twice = headers(&[(HOST, "localhost"), (HOST, "example.com")]);
    assert_eq!(gate("", Exposure::Loopback).look(&twice), Err(Refusal::ForeignHost));
}

#[test]
fn a_page_of_another_origin_changes_nothing_even_with_the_token() {
    let change = |lines: &[(HeaderName, &str)]| {
        let own = [(HOST, "localhost:9464"), (AUTHORIZATION, "Bearer t")];
        gate("t", Exposure::Loopback).change(&headers(&[&own, lines].concat()))
    };
    for site in ["same-origin", "none"] {
        assert_eq!(change(&[(FETCH_SITE, site), (ORIGIN, "http://LOCALHOST:9464")]), Ok(()), "{site}");
    }
    for site in ["cross-site", "same-site", "same-origin, cross-site"] {
        assert_eq!(change(&[(FETCH_SITE, site)]), Err(Refusal::CrossSite), "{site}");
    }
    for origin in ["null", "http://localhost:3000", "https://example.com", "localhost:9464"] {
        assert_eq!(change(&[(ORIGIN, origin)]), Err(Refusal::CrossSite), "{origin}");
    }
    let twice = [(ORIGIN, "http://localhost:9464"), (ORIGIN, "http://example.com")];
    assert_eq!(change(&twice), Err(Refusal::CrossSite));
}

#[test]
fn wrong_tokens_are_told_of_at_once_and_then_once_a_minute() {
    let mut guesses = Guesses::default();
    assert_eq!(guesses.note(Duration::ZERO), Some(1));
    for second in 1..60 {
        assert_eq!(guesses.note(Duration::from_secs(second)), None);
    }
    assert_eq!(guesses.note(Duration::from_secs(60)), Some(60));
    assert_eq!(guesses.note(Duration::from_secs(61)), None);
}
