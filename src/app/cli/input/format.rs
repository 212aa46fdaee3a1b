//! Tells what a file holds.

use std::io::{self, BufRead};
use std::path::Path;

use super::Fill;
use crate::model::decode::FIELDS;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    JsonLines,
    Csv,
    /// A room ID a line.
    Plain,
}

/// The beginning of a file, up to its first line that is not blank; without a byte order mark.
pub(super) struct Head {
    pub bytes: Vec<u8>,
}

impl Head {
    pub fn is_blank(&self) -> bool {
        self.first_line().is_empty()
    }

    fn first_line(&self) -> &[u8] {
        self.bytes.trim_ascii()
    }
}

pub(super) fn head(source: &mut impl BufRead) -> io::Result<Head> {
    let mut bytes = Vec::new();
    loop {
        let read = source.read_until(b'\n', &mut bytes)?;
        if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        if read == 0 || !bytes.trim_ascii().is_empty() {
            return Ok(Head { bytes });
        }
    }
}

/// The extension decides, else the first line.
pub(super) fn detect(name: &str, head: &Head, fill: &Fill) -> Result<Format, String> {
    let first = head.first_line();
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    let by_extension = match extension.as_deref() {
        Some("csv") => Some(Format::Csv),
        Some("json" | "jsonl" | "ndjson") => Some(Format::JsonLines),
        _ => None,
    };
    if by_extension != Some(Format::Csv) && first.starts_with(b"[{") || first == b"[" {
        return Err("begins with '[': a JSON array is not read, only one object a line (jq -c '.[]' makes that)".into());
    }
    if let Some(format) = by_extension {
        return Ok(format);
    }
    if first.starts_with(b"{") {
        return Ok(Format::JsonLines);
    }
    // Before plain lines: a header must not be taken for a room.
    let columns = columns(first);
    let is_field = |column: &String| FIELDS.contains(&column.as_str()) || column.starts_with("labels.");
    let names_room = columns.iter().any(|column| column == "room_id");
    if names_room && columns.iter().all(is_field) {
        return Ok(Format::Csv);
    }
    if fill.provider.is_some() && fill.app_id.is_some() {
        return Ok(Format::Plain);
    }
    if columns.len() > 1 && columns.iter().any(is_field) {
        return Ok(Format::Csv);
    }
    let shown: String = String::from_utf8_lossy(first).chars().take(48).collect();
    Err(format!(
        "cannot tell what it holds: the name does not end in .csv, .jsonl, .ndjson or .json; the first line, {shown:?}, \
         begins no JSON object and is no CSV header with the names of job fields ({}); and for plain lines of room IDs \
         --provider and --app must be given",
        FIELDS.join(", ")
    ))
}

fn columns(line: &[u8]) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(line);
    let record = reader.records().next().and_then(Result::ok).unwrap_or_default();
    record.iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{AppId, ProviderName};

    fn told(name: &str, text: &str, fill: &Fill) -> Result<Format, String> {
        detect(name, &head(&mut text.as_bytes()).unwrap(), fill)
    }

    #[test]
    fn the_extension_decides_else_the_first_line() {
        let check = |name: &str, text: &str, expected: Format| {
            assert_eq!(told(name, text, &Fill::default()), Ok(expected), "{name} {text}");
        };
        check("a.csv", "{", Format::Csv);
        check("a.CSV", "x", Format::Csv);
        check("a.jsonl", "x", Format::JsonLines);
        check("a.ndjson", "x", Format::JsonLines);
        check("a.json", "x", Format::JsonLines);
        check("-", "\n \n{\"room_id\":1}", Format::JsonLines);
        check("-", "\u{feff}{}", Format::JsonLines);
        check("a.txt", "room_id,app_id", Format::Csv);
        check("-", "\u{feff}\"room_id\", labels.team\r\n", Format::Csv);
        check("-", "rom_id,app_id", Format::Csv);
    }

    #[test]
    fn with_provider_and_app_lines_are_rooms_unless_they_are_a_header() {
        let fill = Fill {
            provider: Some(ProviderName::parse("v").unwrap()),
            app_id: Some(AppId::parse("A").unwrap()),
            ..Fill::default()
        };
        let check = |text: &str, expected: Format| assert_eq!(told("-", text, &fill), Ok(expected), "{text}");
        check("room-1", Format::Plain);
        check("# rooms\nroom-1", Format::Plain);
        check("a,b", Format::Plain);
        check("room_id", Format::Csv);
        check("room_id,reason", Format::Csv);
        check("{}", Format::JsonLines);
    }

    #[test]
    fn what_cannot_be_told_is_said_with_all_that_was_tried() {
        let message = told("rooms.txt", "room-1\nroom-2", &Fill::default()).unwrap_err();
        for part in [".jsonl", "\"room-1\"", "room_id", "--provider and --app"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(told("a.json", "[\n{}]", &Fill::default()).unwrap_err().contains("JSON array"));
        assert!(told("-", "[{}]", &Fill::default()).unwrap_err().contains("JSON array"));
    }
}
