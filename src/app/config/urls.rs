//! URLs that carry passwords: parsed, and shown without them.

use std::fmt;
use std::path::PathBuf;

use lapin::uri::{AMQPScheme, AMQPUri};

/// The broker's address; `Debug` and `Display` leave out user name, password and query.
#[derive(Clone, PartialEq, Eq)]
pub struct AmqpUrl {
    text: String,
    shown: String,
    tls: bool,
}

impl AmqpUrl {
    /// Takes what the AMQP client takes, except what it would silently read as something else. The message shows nothing of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXAMPLE: &str = "a URL like amqp://user:password@host:5672/%2f";
        let parts = split(text, EXAMPLE)?;
        if !matches!(parts.scheme, "amqp" | "amqps") {
            return Err("must begin with amqp:// or amqps://".into());
        }
        if parts.host.starts_with('[') {
            return Err("must name the host: an IPv6 address is not understood here".into());
        }
        if parts.path == "/" {
            return Err("names an empty virtual host: write /%2f for the default one, or no slash at all".into());
        }
        // The client's own messages may quote the text.
        let uri: AMQPUri = text.parse().map_err(|_| format!("must be {EXAMPLE}"))?;
        let vhost = percent_encoding::utf8_percent_encode(&uri.vhost, percent_encoding::NON_ALPHANUMERIC);
        let shown = format!("{}://{}:{}/{vhost}", uri.scheme, uri.authority.host, uri.authority.port);
        Ok(Self { text: text.to_owned(), shown, tls: uri.scheme == AMQPScheme::AMQPS })
    }

    /// The URL with its password, for connecting, never for showing.
    pub fn expose(&self) -> &str {
        &self.text
    }

    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

impl fmt::Display for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AmqpUrl({self})")
    }
}

/// Where the ledger is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerUrl {
    Sqlite(PathBuf),
    Postgres(PostgresUrl),
}

/// What may stand behind the `?` of a database's URL, with the other ways to write it.
const PARAMETERS: [(&str, &[&str]); 13] = [
    ("application_name", &[]),
    ("dbname", &[]),
    ("host", &[]),
    ("hostaddr", &[]),
    ("options", &[]),
    ("password", &[]),
    ("port", &[]),
    ("sslcert", &["ssl-cert"]),
    ("sslkey", &["ssl-key"]),
    ("sslmode", &["ssl-mode"]),
    ("sslrootcert", &["ssl-root-cert", "ssl-ca"]),
    ("statement-cache-capacity", &[]),
    ("user", &[]),
];

const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// A database's address; `Debug` and `Display` leave out user name, password and query.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: String,
    shown: String,
}

impl LedgerUrl {
    /// `sqlite://path` (a third slash makes the path absolute) or `postgres://…`. The message shows nothing of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite://") {
            if path.contains('?') {
                return Err("must be sqlite:// and the path of a file, without parameters".into());
            }
            return match super::reader::name(path) {
                Ok(path) => Ok(LedgerUrl::Sqlite(PathBuf::from(path))),
                Err(_) => Err("must name a file, like sqlite://roomsweep.db".into()),
            };
        }
        let parts = split(text, "a URL like sqlite://roomsweep.db or postgres://user:password@host/database")?;
        if !matches!(parts.scheme, "postgres" | "postgresql") {
            return Err("must begin with sqlite:// or postgres://".into());
        }
        parts.query.split('&').filter(|part| !part.is_empty()).try_for_each(understood)?;
        let shown = format!("postgres://{}{}", parts.host, parts.path);
        Ok(LedgerUrl::Postgres(PostgresUrl { text: text.to_owned(), shown }))
    }
}

impl fmt::Display for LedgerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LedgerUrl::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            LedgerUrl::Postgres(url) => url.fmt(f),
        }
    }
}

impl PostgresUrl {
    /// The URL with its password, for connecting, never for showing.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

/// The driver takes a parameter that it does not know for a slip, and logs it with its value. So would it tell a mode that it
/// does not know.
fn understood(parameter: &str) -> Result<(), String> {
    let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let [key, value] =
        [key, value].map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned());
    let setting = key.strip_prefix("options[").is_some_and(|rest| rest.ends_with(']'));
    let known = |(name, others): &(&str, &[&str])| *name == key || others.contains(&key.as_str());
    if !setting && !PARAMETERS.iter().any(known) {
        // What looks like no name may be the rest of a password.
        let is_name = parameter.contains('=') && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let named = if is_name && !key.is_empty() { format!(", {key},") } else { String::new() };
        let known: Vec<&str> = PARAMETERS.iter().map(|(name, _)| *name).collect();
        return Err(format!("has a parameter{named} that is not known here; known are {}", known.join(", ")));
    }
    if matches!(key.as_str(), "sslmode" | "ssl-mode") && !SSL_MODES.contains(&value.to_ascii_lowercase().as_str()) {
        return Err(format!("has an sslmode that is not known here; known are {}", SSL_MODES.join(", ")));
    }
    Ok(())
}

/// A URL, taken apart.
struct Parts<'t> {
    scheme: &'t str,
    /// With port, without user.
    host: &'t str,
    path: &'t str,
    /// Not to be shown.
    query: &'t str,
}

fn split<'t>(text: &'t str, example: &str) -> Result<Parts<'t>, String> {
    let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("must be {example}"))?;
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("must have no spaces or control characters".into());
    }
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // Behind the authority these are the rest of a password that was not encoded: the host would be wrong, the log would show it.
    if tail.contains(['@', '#']) {
        return Err(
            "must have special characters in user name and password percent-encoded (@ as %40, / as %2F)".into()
        );
    }
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.is_empty() || host.starts_with(':') {
        return Err("names no host".into());
    }
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    Ok(Parts { scheme, host, path, query })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_shown_without_user_and_query() {
        let check = |text: &str, expected: &str| {
            let url = AmqpUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.expose()), (expected, text));
            assert_eq!(format!("{url:?}"), format!("AmqpUrl({expected})"));
        };
        check("amqp://guest:hunter2@127.0.0.1:5672/%2f", "amqp://127.0.0.1:5672/%2F");
        check("amqps://me:hunter%402@rabbit/prod?heartbeat=5&auth_mechanism=plain", "amqps://rabbit:5671/prod");
        check("amqp://rabbit", "amqp://rabbit:5672/%2F");
        assert!(AmqpUrl::parse("amqps://rabbit").unwrap().is_tls());
    }

    #[test]
    fn a_broker_url_that_would_be_misread_is_refused_unshown() {
        let check = |text: &str, expected: &str| {
            let message = AmqpUrl::parse(text).expect_err(text);
            assert!(message.contains(expected), "{text}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        };
        check("hunter2", "must be a URL like amqp://");
        check("hunter2://host", "must begin with amqp:// or amqps://");
        check("amqp://u:hunter2@", "names no host");
        check("amqp://u:hunter2@:5672/%2f", "names no host");
        check("amqp://u:hunter2@[::1]/%2f", "IPv6");
        check("amqp://u:hunter2@host/", "empty virtual host");
        check("amqp://u:1/hunter2@host/%2f", "percent-encoded");
        check("amqp://u:1?hunter2@host/%2f", "percent-encoded");
        check("amqp://u:1#hunter2", "percent-encoded");
        check("amqp://u:hunter2@host:port/%2f", "must be a URL like");
        check("amqp://u:hunter2@host/%2f?heartbeat=hunter2", "must be a URL like");
        check("amqp://u:hun ter2@host/%2f", "no spaces");
    }

    #[test]
    fn a_ledger_is_a_file_or_a_database() {
        let sqlite = |path: &str| Ok(LedgerUrl::Sqlite(PathBuf::from(path)));
        assert_eq!(LedgerUrl::parse("sqlite://roomsweep.db"), sqlite("roomsweep.db"));
        assert_eq!(LedgerUrl::parse("sqlite:///var/lib/r.db"), sqlite("/var/lib/r.db"));
        let url = LedgerUrl::parse("postgres://u:hunter2@db:5432/rooms?password=hunter2").unwrap();
        assert_eq!(format!("{url:?}"), "Postgres(PostgresUrl(postgres://db:5432/rooms))");
        let check = |text: &str, expected: &str| {
            let message = LedgerUrl::parse(text).expect_err(text);
            assert!(message.contains(expected) && !message.contains("hunter2"), "{text}: {message}");
        };
        check("sqlite://", "must name a file");
        check("sqlite://rooms.db?mode=hunter2", "without parameters");
        check("mysql://u:hunter2@db", "must begin with sqlite:// or postgres://");
        check("postgres://u:1/hunter2@db", "percent-encoded");
        check("postgres:///rooms", "names no host");
        check("roomsweep.db", "must be a URL like");
    }

    #[test]
    fn what_the_driver_would_log_of_a_database_is_refused_by_name_and_without_its_value() {
        for query in ["", "sslmode=verify-full&ssl-ca=/ca.pem", "options=-c%20x=y&options[a.b]=c", "sslm%6Fde=REQUIRE&"]
        {
            LedgerUrl::parse(&format!("postgres://u@db/rooms?{query}")).expect(query);
        }
        let check = |query: &str, expected: &str| {
            let message = LedgerUrl::parse(&format!("postgres://u@db/rooms?{query}")).expect_err(query);
            assert!(message.starts_with(expected) && !message.contains("hunter"), "{query}: {message}");
        };
        check(
            "sslpassword=hunter2",
            "has a parameter, sslpassword, that is not known here; known are application_name",
        );
        check("sslmode=require&sslpassw%6Frd=hunter2", "has a parameter, sslpassword, that is");
        for rest_of_a_password in
            ["hunter2", "password=a&hunter", "password=a&hunter2=b", "options[hunter=2", "=hunter"]
        {
            check(rest_of_a_password, "has a parameter that is not known here");
        }
        check("sslmode=hunter2", "has an sslmode that is not known here; known are disable,");
    }
}
