//! `--dry-run`: everything up to the sending.

use std::process::ExitCode;
use std::time::Duration;

use super::plan::Plan;
use crate::app::cli::out::say;
use crate::app::config::{Config, ProviderConfig};
use crate::app::wire;
use crate::model::job::DismissJob;
use crate::model::secret::Secret;
use crate::pipeline::account::Account;
use crate::policy::quota::{HOLD, Pacing};
use crate::provider::{Stamp, Token};

/// So many requests, and so many refusals, are shown of each provider.
const SHOWN: usize = 3;

/// Admits and signs every job, shows what would be sent and how long it would take; sends and stores nothing.
pub fn run(plan: &Plan, config: &Config) -> anyhow::Result<ExitCode> {
    let common = wire::common(config);
    let mut refused = 0;
    let mut longest = Duration::ZERO;
    for (provider, account) in config.providers.iter().zip(wire::accounts(config, &common)?) {
        let jobs: Vec<&DismissJob> = plan.jobs.iter().filter(|job| job.provider == provider.name).collect();
        if jobs.is_empty() {
            continue;
        }
        let tried = try_all(&jobs, &account);
        longest = longest.max(at_least(tried.good, provider));
        refused += tried.refusals.len();
        say!("{}: {} rooms at {}", provider.name, jobs.len(), provider.settings.endpoint());
        tried.shown.iter().for_each(|shown| say!("  {shown}"));
        say!("  all {} would be signed and sent, at most {} a second", tried.good, provider.qps);
        for refusal in tried.refusals.iter().take(SHOWN) {
            say!("  would be rejected unsent: {refusal}");
        }
        if tried.refusals.len() > SHOWN {
            say!("  … and {} more", tried.refusals.len() - SHOWN);
        }
    }
    if plan.repeated > 0 {
        say!("{} rows name a room that was named before: each room is sent once", plan.repeated);
    }
    let longest = humantime::format_duration(Duration::from_secs(longest.as_secs_f64().ceil() as u64));
    say!("it would take at least {longest}; nothing was sent, nothing was stored");
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Tried {
    good: usize,
    /// The first requests: method, URL and body, never a header.
    shown: Vec<String>,
    refusals: Vec<String>,
}

fn try_all(jobs: &[&DismissJob], account: &Account) -> Tried {
    let mut tried = Tried { good: 0, shown: Vec::new(), refusals: Vec::new() };
    let now = account.common.clock.now();
    // A token is fetched only to send.
    let terms = account.terms();
    let token = terms.provider.token_call().map(|_| Token { value: Secret::new("dry-run"), lifetime: Duration::ZERO });
    let stamp = Stamp { now, token };
    for job in jobs {
        let call = terms.provider.admit(job).map_err(|fault| format!("{}: {}", fault.code, fault.message));
        let call = call.and_then(|()| terms.provider.build(job, &stamp).map_err(|error| error.to_string()));
        match call {
            Ok(call) => {
                tried.good += 1;
                if tried.shown.len() < SHOWN {
                    tried.shown.push(format!("{} {} {}", call.method, call.url, String::from_utf8_lossy(&call.body)));
                }
            }
            Err(refusal) => tried.refusals.push(format!("{}: {refusal}", job.room_id)),
        }
    }
    tried
}

/// Without retries, and as if replies took no time.
fn at_least(requests: usize, provider: &ProviderConfig) -> Duration {
    let window = match provider.pacing {
        Pacing::Strict => HOLD,
        Pacing::Send => Duration::from_secs(1),
    };
    window.mul_f64(requests as f64 / f64::from(provider.qps))
}
