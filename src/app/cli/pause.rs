//! `pause` and `resume`: stop and restart sending for one provider.

use std::process::ExitCode;

use super::desk::{self, Desk};
use super::signature::{Signature, told};
use super::{Context, USAGE};
use crate::app::cli::out::{say, tell};
use crate::app::wire;
use crate::model::ids::ProviderName;

/// Stop sending for one provider, on all replicas, until it is resumed.
///
/// What is on the wire finishes; the provider's jobs stay queued and lose no attempt. It stays
/// paused over restarts. Paused already, it stays as it was.
///
/// Example:  roomsweep pause volcengine --reason "quota is needed elsewhere until noon"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Pause {
    #[arg(value_name = "PROVIDER", value_parser = |text: &str| ProviderName::parse(text))]
    provider: ProviderName,
    #[command(flatten)]
    signature: Signature,
}

/// Go on sending for a provider that was paused, on all replicas.
///
/// Example:  roomsweep resume volcengine
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Resume {
    #[arg(value_name = "PROVIDER", value_parser = |text: &str| ProviderName::parse(text))]
    provider: ProviderName,
}

pub async fn pause(args: Pause, context: Context) -> anyhow::Result<ExitCode> {
    let Pause { provider, signature } = args;
    let desk = match seat(&provider, &context).await {
        Ok(desk) => desk,
        Err(code) => return Ok(code),
    };
    let act = signature.act(&context.env, &wire::host_name(), desk.clock.now());
    match desk.ledger.controls().await?.paused.remove(&provider) {
        Some(before) => say!("{provider} is paused already, {}", told(&before)),
        None => {
            desk.ledger.pause(&provider, &act).await?;
            say!("{provider} is paused, {}: within 2 s no worker sends for it any more", told(&act));
        }
    }
    desk.ledger.close().await;
    Ok(ExitCode::SUCCESS)
}

pub async fn resume(args: Resume, context: Context) -> anyhow::Result<ExitCode> {
    let Resume { provider } = args;
    let desk = match seat(&provider, &context).await {
        Ok(desk) => desk,
        Err(code) => return Ok(code),
    };
    match desk.ledger.resume(&provider).await? {
        Some(before) => say!("{provider} is resumed; it was paused {}", told(&before)),
        None => say!("{provider} was not paused"),
    }
    desk.ledger.close().await;
    Ok(ExitCode::SUCCESS)
}

/// The ledger, if it knows of such a provider: a name with a typing error would be paused, and nothing would stop.
async fn seat(provider: &ProviderName, context: &Context) -> Result<Desk, ExitCode> {
    let config = desk::load(context)?;
    if let Some(why) = unknown(provider, &config.providers) {
        tell!("roomsweep: {why}");
        return Err(ExitCode::from(USAGE));
    }
    Desk::with(config).await
}

fn unknown(provider: &ProviderName, configured: &[ProviderName]) -> Option<String> {
    if configured.contains(provider) {
        return None;
    }
    let names: Vec<&str> = configured.iter().map(ProviderName::as_str).collect();
    let configured = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Some(format!("{provider} is not configured (configured: {configured})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_is_not_configured_is_refused_with_those_that_are() {
        let name = |text: &str| ProviderName::parse(text).unwrap();
        let configured = [name("huawei"), name("volcengine")];
        assert_eq!(unknown(&name("huawei"), &configured), None);
        let refused = unknown(&name("volc"), &configured);
        assert_eq!(refused.as_deref(), Some("volc is not configured (configured: huawei, volcengine)"));
        let refused = unknown(&name("volc"), &[]);
        assert_eq!(refused.as_deref(), Some("volc is not configured (configured: none)"));
    }
}
