//! One flat JSON object a line.

use std::fmt;

use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The members that every line has, first and in this order; a field of the same name gets a `_` behind it.
const FIXED: [&str; 4] = ["timestamp", "level", "target", "message"];

/// Fields of the event stand beside those of its spans; inner ones hide outer ones. Needs spans formatted as JSON.
pub(super) struct Flat;

impl<S, N> FormatEvent<S, N> for Flat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        for span in ctx.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(formatted) = span.extensions().get::<FormattedFields<N>>() {
                let members: Map<String, Value> = serde_json::from_str(formatted).unwrap_or_default();
                members.into_iter().for_each(|(name, value)| fields.put(&name, value));
            }
        }
        let mut own = Own { fields, message: String::new() };
        event.record(&mut own);
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let metadata = event.metadata();
        let fixed = [timestamp.as_str(), metadata.level().as_str(), metadata.target(), &own.message];
        let line = object(&fixed, &own.fields.0).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

fn object(fixed: &[&str; 4], fields: &Map<String, Value>) -> serde_json::Result<String> {
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut line);
    let mut map = serializer.serialize_map(None)?;
    for (name, value) in FIXED.iter().zip(fixed) {
        map.serialize_entry(name, value)?;
    }
    for (name, value) in fields {
        map.serialize_entry(name, value)?;
    }
    map.end()?;
    Ok(String::from_utf8(line).expect("JSON is UTF-8"))
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, name: &str, value: Value) {
        let name = if FIXED.contains(&name) { format!("{name}_") } else { name.to_owned() };
        self.0.insert(name, value);
    }
}

/// What an event itself says.
struct Own {
    fields: Fields,
    message: String,
}

impl Visit for Own {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.fields.put(field.name(), value.into());
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.put(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.put(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.put(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.put(field.name(), value.into());
    }
}
