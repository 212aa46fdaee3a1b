//! `roomsweep sandbox`: the stand-in clouds as a command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;

use super::signals;
use crate::app::cli::out::{say, tell};
use crate::model::secret::Secret;
use crate::sandbox::Sandbox;
use crate::sandbox::faults::FAULTS_HELP;
use crate::sandbox::rules::Rules;
use crate::sandbox::settings::{IamUser, Keys, Lockout, Quotas, Reuse, Settings, Throttling, VolcengineThrottle};
use crate::sandbox::stats::Stats;

/// Play both clouds on loopback: verify signatures, keep quotas, inject faults.
#[derive(Debug, Clone, clap::Args)]
#[command(after_long_help = after_help())]
pub struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9480")]
    listen: SocketAddr,
    /// Allows an address that other machines can reach.
    #[arg(long)]
    expose: bool,
    /// Quota of DismissRoom in requests a second, or "unlimited".
    #[arg(long, value_name = "N", default_value = "60", value_parser = quota)]
    qps_volcengine: Quota,
    /// Quota of BanRoomUser.
    #[arg(long, value_name = "N", default_value = "40", value_parser = quota)]
    qps_volcengine_ban: Quota,
    /// Quota of Huawei.
    #[arg(long, value_name = "N", default_value = "20", value_parser = quota)]
    qps_huawei: Quota,
    /// What Volcengine says over its quota.
    #[arg(long, value_name = "FORM", default_value = "429", value_parser = throttle)]
    throttle_volcengine: VolcengineThrottle,
    /// Retry-After of throttled answers; none by default.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    retry_after: Option<Duration>,
    /// How long every cloud waits before it answers.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    latency: Duration,
    /// Closes each connection after its answer.
    #[arg(long)]
    close: bool,
    /// Faults to begin with, in TOML or JSON.
    #[arg(long, value_name = "FILE", value_parser = rules)]
    rules: Option<Rules>,
    /// Appends one JSON line for every request.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Volcengine's access key.
    #[arg(long, value_name = "AK:SK[:TOKEN]", value_parser = keys)]
    keys_volcengine: Option<Keys>,
    /// Huawei's access key.
    #[arg(long, value_name = "AK:SK[:TOKEN]", value_parser = keys)]
    keys_huawei: Option<Keys>,
    /// Huawei's project ID.
    #[arg(long, value_name = "ID", default_value = "sandbox-project")]
    project_id: String,
    /// The IAM user who may fetch tokens.
    #[arg(long, value_name = "DOMAIN:USER:PASSWORD", value_parser = iam_user)]
    iam_user: Option<IamUser>,
    /// How long an IAM token lasts.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    token_ttl: Duration,
    /// Locks Huawei's key for a minute after so many bad signatures in a row; 0 never does.
    #[arg(long, value_name = "N", default_value_t = Lockout::default().after)]
    lock_after: u32,
}

/// A quota as it is written on the command line.
#[derive(Debug, Clone, Copy)]
struct Quota(Option<u32>);

/// Serves until Ctrl-C or SIGTERM, then says what was seen.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if !args.listen.ip().is_loopback() && !args.expose {
        tell!("--listen: {} can be reached from other machines; add --expose if that is meant", args.listen);
        return Ok(ExitCode::from(2));
    }
    let listen = args.listen;
    let settings = settings(args);
    let greeting = greeting(&settings);
    let log = settings.log.as_ref().map_or_else(String::new, |path| path.display().to_string());
    let sandbox = Sandbox::new(settings).with_context(|| format!("cannot open the log {log}"))?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let asked = signals::asked()?;
    say!("sandbox on http://{} {greeting}", listener.local_addr()?);
    Arc::clone(&sandbox).serve(listener, asked).await?;
    say!("{}", summary(&sandbox.stats()).trim_end());
    Ok(ExitCode::SUCCESS)
}

fn settings(args: Args) -> Settings {
    Settings {
        volcengine: args.keys_volcengine.unwrap_or_default(),
        huawei: args.keys_huawei.unwrap_or_default(),
        project_id: args.project_id,
        iam: IamUser { token_ttl: args.token_ttl, ..args.iam_user.unwrap_or_default() },
        quotas: Quotas {
            dismiss_room: args.qps_volcengine.0,
            ban_room_user: args.qps_volcengine_ban.0,
            huawei: args.qps_huawei.0,
        },
        throttling: Throttling { volcengine: args.throttle_volcengine, retry_after: args.retry_after },
        lockout: (args.lock_after > 0).then(|| Lockout { after: args.lock_after, ..Lockout::default() }),
        latency: args.latency,
        reuse: if args.close { Reuse::Closed } else { Reuse::Kept },
        rules: args.rules.unwrap_or_default(),
        log: args.log,
        ..Settings::default()
    }
}

/// What a client must know. Secrets are shown only where they are the ones that everybody has.
fn greeting(settings: &Settings) -> String {
    let shown = |secret: &Secret, known: &Secret| {
        if secret == known { known.expose().to_owned() } else { "(as given)".to_owned() }
    };
    let keys = |keys: &Keys| {
        let known = Keys::default();
        let access = if keys.access_key_id == known.access_key_id { &known.access_key_id } else { "(as given)" };
        let secret = shown(&keys.secret_access_key, &known.secret_access_key);
        format!("{access}:{secret}{}", if keys.session_token.is_some() { ":(as given)" } else { "" })
    };
    let iam = &settings.iam;
    format!(
        "plays volcengine ({}), huawei ({}, project {}) and iam ({}:{}:{}); figures at /stats, help at /",
        keys(&settings.volcengine),
        keys(&settings.huawei),
        settings.project_id,
        iam.domain,
        iam.user,
        shown(&iam.password, &IamUser::default().password),
    )
}

fn summary(stats: &Stats) -> String {
    let mut text = format!("{} requests on {} connections, {} rooms\n", stats.requests, stats.connections, stats.rooms);
    text.push_str(&format!(
        "{:<26} {:>9} {:>9} {:>9} {:>9} {:>11}  {}\n",
        "", "requests", "accepted", "throttled", "refused", "no answer", "most in a second (admitted)"
    ));
    for (cloud, figures) in &stats.clouds {
        for (action, figures) in &figures.actions {
            text.push_str(&format!(
                "{:<26} {:>9} {:>9} {:>9} {:>9} {:>11}  {} ({})\n",
                format!("{} {}", format!("{cloud:?}").to_lowercase(), action.as_str()),
                figures.arrived,
                figures.accepted,
                figures.throttled,
                figures.refused_signatures,
                figures.unanswered,
                figures.busiest_second.arrived,
                figures.busiest_second.admitted,
            ));
        }
    }
    text
}

fn rules(path: &str) -> Result<Rules, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    Rules::parse(&text).map_err(|error| error.to_string())
}

fn quota(text: &str) -> Result<Quota, String> {
    if text == "unlimited" {
        return Ok(Quota(None));
    }
    text.parse().map(|limit| Quota(Some(limit))).map_err(|_| "must be a number, or unlimited".to_owned())
}

fn throttle(text: &str) -> Result<VolcengineThrottle, String> {
    match text {
        "429" => Ok(VolcengineThrottle::Status429),
        "400" => Ok(VolcengineThrottle::Status400),
        "inside-200" => Ok(VolcengineThrottle::Inside200),
        _ => Err("must be 429, 400 or inside-200".to_owned()),
    }
}

fn keys(text: &str) -> Result<Keys, String> {
    let mut parts = text.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(access), Some(secret), token) if !access.is_empty() && !secret.is_empty() => Ok(Keys {
            access_key_id: access.to_owned(),
            secret_access_key: Secret::new(secret),
            session_token: token.map(Secret::new),
        }),
        _ => Err("must be AK:SK or AK:SK:TOKEN".to_owned()),
    }
}

fn iam_user(text: &str) -> Result<IamUser, String> {
    match text.splitn(3, ':').collect::<Vec<_>>()[..] {
        [domain, user, password] if ![domain, user, password].contains(&"") => Ok(IamUser {
            domain: domain.to_owned(),
            user: user.to_owned(),
            password: Secret::new(password),
            ..IamUser::default()
        }),
        _ => Err("must be DOMAIN:USER:PASSWORD".to_owned()),
    }
}

fn after_help() -> String {
    format!(
        "\
Unless told otherwise the keys are sandbox-ak:sandbox-sk for both clouds, the project is
sandbox-project, and the IAM user sandbox-domain:sandbox-user:sandbox-password. Everybody who
reaches the port is trusted.

Example: 30 requests a second, 50 ms away, everything logged:

  roomsweep sandbox --qps-volcengine 30 --latency 50ms --log requests.jsonl

then, with endpoint = \"http://127.0.0.1:9480\" for the providers:

  curl http://127.0.0.1:9480/stats
  curl -T rules.toml http://127.0.0.1:9480/faults
  curl -X PUT http://127.0.0.1:9480/faults -d '{{\"rule\":[{{\"do\":\"fail503\"}}]}}'
  curl -X DELETE http://127.0.0.1:9480/faults

Faults by the beginning of the room ID. x<n> behind a prefix: only the first n requests of the
room. Several in a row happen one after another: throttled1-fail500x2-my-room.

{FAULTS_HELP}
Rules ([[rule]] tables) have name, cloud, app, room (with *), after, until, nth, every, chance
with seed, and either do (a fault as above, without the room) or qps."
    )
}

#[cfg(test)]
mod tests;
