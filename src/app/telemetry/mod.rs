//! Logs: on stderr, one line an event, as text or JSON.
//!
//! What the dependencies log is capped here, whatever `RUST_LOG` says: their lower levels print frames, headers and
//! bodies, and with them credentials. There is no bridge from the `log` crate, so what is logged by it goes nowhere.

mod json;
mod line;
mod panics;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{ParseError, filter_fn};
use tracing_subscriber::fmt::{self, MakeWriter, format};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, Registry};

use super::streams;

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line; the fields of an event and of its spans are members of it.
    Json,
}

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    Ansi,
    None,
}

/// Sets the process's logging up; `rust_log` and `no_color` are the values of the variables of these names. What is
/// wrong with `rust_log` is logged, and `info` stands in for it.
pub fn init(format: LogFormat, rust_log: Option<&str>, no_color: Option<&str>) -> anyhow::Result<()> {
    let wanted = no_color.unwrap_or_default().is_empty() && std::io::stderr().is_terminal();
    let colour = if wanted { Colour::Ansi } else { Colour::None };
    let (filter, complaint) = parse_filter(rust_log);
    tracing::subscriber::set_global_default(subscriber(|| LogLine, format, colour, filter))?;
    panics::log();
    if let Some(error) = complaint {
        tracing::warn!(%error, "RUST_LOG is not understood: logging at info");
    }
    Ok(())
}

/// What `RUST_LOG` asks for; `info` where it is absent, empty or, with the reason beside it, faulty.
pub fn parse_filter(rust_log: Option<&str>) -> (EnvFilter, Option<ParseError>) {
    let text = rust_log.map(str::trim).filter(|text| !text.is_empty()).unwrap_or("info");
    match EnvFilter::try_new(text) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    }
}

/// Writes to `writer` what both `filter` and the cap on dependencies let through.
pub fn subscriber<W>(
    writer: W,
    format: LogFormat,
    colour: Colour,
    filter: EnvFilter,
) -> impl Subscriber + Send + Sync + 'static
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // A closed stderr must not end the process, so a line that cannot be written is not complained of there.
    let layer = fmt::layer().with_writer(writer).log_internal_errors(false);
    let layer = match format {
        LogFormat::Text => {
            let ansi = colour == Colour::Ansi;
            let event = line::OneLine(format::Format::default().with_ansi(ansi));
            layer.with_ansi(ansi).event_format(event).boxed()
        }
        LogFormat::Json => {
            layer.with_ansi(false).fmt_fields(format::JsonFields::new()).event_format(json::Flat).boxed()
        }
    };
    let capped = filter_fn(|metadata: &Metadata<'_>| *metadata.level() <= cap(metadata.target()));
    Registry::default().with(filter).with(capped).with(layer)
}

/// Hands a line over: the formatter writes each with one call.
struct LogLine;

impl Write for LogLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        streams::stderr().offer(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The most that a target may say.
fn cap(target: &str) -> LevelFilter {
    let (root, _) = target.split_once("::").unwrap_or((target, ""));
    match root {
        "roomsweep" => LevelFilter::TRACE,
        // It warns of a returned message with the whole body, and reports as errors what the supervisor expects and
        // reports itself.
        "lapin" => LevelFilter::OFF,
        // It warns of a parameter of a URL that it does not know with its value, and of a line of the file of passwords.
        "sqlx_postgres" => LevelFilter::ERROR,
        _ => LevelFilter::WARN,
    }
}
