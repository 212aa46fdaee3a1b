//! `[retry]`, `[results]`, `[ledger]`, `[admin]`, `[shutdown]`

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::fault::shown;
use super::reader::{Section, from_variable};
use super::secret::Fallback;
use super::urls::LedgerUrl;
use super::{Admin, KEEP, Ledger, Queue, Results, Shutdown};
use crate::model::progress::MAX_WAIT_MS;
use crate::policy::decide::RetryPolicy;

const HOUR: Duration = Duration::from_secs(3600);
/// As durations are shown: 365.25 days.
const YEAR: Duration = Duration::from_secs(31_557_600);

pub(super) fn retry(root: &mut Section<'_>) -> RetryPolicy {
    let default = RetryPolicy::default();
    let Some(mut section) = root.table("retry") else { return default };
    let span = Duration::from_millis(1)..=Duration::from_millis(MAX_WAIT_MS);
    let initial = section.duration("initial", span.clone()).unwrap_or(default.initial);
    let multiplier = section.number("multiplier", 1.0..=100.0).unwrap_or(default.multiplier);
    let max_given = section.has("max");
    let max = section.duration("max", span);
    if max.unwrap_or(default.max) < initial && (max.is_some() || !max_given) {
        let initial = humantime::format_duration(initial);
        section.fault("max", format!("must not be shorter than retry.initial, which is {initial}"));
    }
    let attempts = section.whole("max_attempts", 1..=1000).and_then(|number| u32::try_from(number).ok());
    section.close();
    RetryPolicy {
        initial,
        multiplier,
        max: max.unwrap_or(default.max),
        max_attempts: attempts.unwrap_or(default.max_attempts),
    }
}

pub(super) fn results(root: &mut Section<'_>) -> Results {
    let Some(mut section) = root.table("results") else { return Results { queue: true, max_bytes: None } };
    let results = Results {
        queue: section.flag("queue").unwrap_or(true),
        max_bytes: section.whole("max_bytes", 1..=i64::MAX.unsigned_abs()),
    };
    section.close();
    results
}

/// The embedded queue keeps a ledger in its own file; AMQP has one only where it is asked for.
pub(super) fn ledger(root: &mut Section<'_>, queue: Option<&Queue>) -> Option<Ledger> {
    let asked = root.has("ledger");
    let mut section = root.table("ledger")?;
    let url_given = section.has("url");
    let url = match (section.secret_or_absent("url"), queue) {
        (Some(found), queue) => {
            let url = LedgerUrl::parse(found.secret.expose()).and_then(|url| fitting(url, queue));
            let fault = |message: String| section.fault("url", from_variable(message, found.variable.as_deref()));
            url.map_err(fault).ok()
        }
        (None, Some(Queue::Sqlite { path })) => Some(LedgerUrl::Sqlite(path.clone())),
        (None, Some(Queue::Amqp { .. })) if asked && !url_given => {
            section.fault("url", "is missing: with AMQP a ledger needs one, like \"sqlite://roomsweep.db\"");
            None
        }
        (None, _) => None,
    };
    let keep = section.duration("keep", HOUR..=YEAR * 100).unwrap_or(KEEP);
    let dedupe = section.flag("dedupe").unwrap_or(false);
    section.close();
    Some(Ledger { url: url?, keep, dedupe })
}

/// What the embedded queue settles and what its ledger tells are one transaction, so they are one file.
fn fitting(url: LedgerUrl, queue: Option<&Queue>) -> Result<LedgerUrl, String> {
    match (url, queue) {
        (url, None | Some(Queue::Amqp { .. })) => Ok(url),
        (LedgerUrl::Sqlite(file), Some(Queue::Sqlite { path })) if same(&file, path) => {
            Ok(LedgerUrl::Sqlite(path.clone()))
        }
        (LedgerUrl::Sqlite(_) | LedgerUrl::Postgres(_), Some(Queue::Sqlite { path })) => Err(format!(
            "must be left out, or be sqlite://{}: the embedded queue keeps its ledger in its own file; another one goes \
             with queue.backend = \"amqp\"",
            path.display()
        )),
    }
}

/// However the two are written.
fn same(one: &Path, other: &Path) -> bool {
    let parts = |path: &Path| -> PathBuf { path.components().filter(|part| *part != Component::CurDir).collect() };
    parts(one) == parts(other)
}

pub(super) fn admin(root: &mut Section<'_>) -> Option<Admin> {
    let mut section = root.table("admin")?;
    let listen = section.text("listen", |text| {
        text.parse().map_err(|_| format!("must be an address and a port, like 127.0.0.1:9464, not {}", shown(text)))
    });
    let token = section.secret("token", Fallback::Perhaps("ROOMSWEEP_ADMIN_TOKEN"));
    section.close();
    let listen = listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9464)));
    Some(Admin { listen, token: token.map(|found| found.secret) })
}

pub(super) fn shutdown(root: &mut Section<'_>) -> Shutdown {
    let default = Shutdown { grace: Duration::from_secs(25) };
    let Some(mut section) = root.table("shutdown") else { return default };
    let grace = section.duration("grace", Duration::ZERO..=HOUR).unwrap_or(default.grace);
    section.close();
    Shutdown { grace }
}
