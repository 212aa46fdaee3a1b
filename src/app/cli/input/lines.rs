//! A job a line: as a JSON object, or as nothing but a room ID.

use std::io::{self, BufRead};

use super::row::{Body, Rows};
use crate::model::decode::{FIELDS, decode};
use crate::model::ids::JobId;
use crate::model::members::Members;

/// Blank lines are skipped.
pub(super) fn json(source: impl BufRead, rows: &mut Rows<'_>) -> io::Result<()> {
    each(source, |line, bytes| {
        if bytes.is_empty() {
            return;
        }
        let members = match serde_json::from_slice::<Members>(bytes) {
            Ok(members) => members.0,
            Err(error) => return rows.refuse(line, why_no_object(bytes, &error)),
        };
        let mut body = Body::new();
        for (name, value) in members {
            // A null says the same as an absent field, so it may be filled.
            if !(value.is_null() && FIELDS.contains(&name.as_str())) {
                body.put(&name, &value);
            }
        }
        rows.add(line, body);
    })
}

/// Spaces around a room ID do not belong to it; blank lines and those with `#` in front are skipped.
pub(super) fn plain(source: impl BufRead, rows: &mut Rows<'_>) -> io::Result<()> {
    each(source, |line, bytes| match std::str::from_utf8(bytes) {
        Ok(text) if text.is_empty() || text.starts_with('#') => {}
        Ok(text) => rows.room(line, text.trim()),
        Err(error) => rows.refuse(line, format!("is not UTF-8 (byte {})", error.valid_up_to())),
    })
}

fn each(mut source: impl BufRead, mut take: impl FnMut(u64, &[u8])) -> io::Result<()> {
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        if source.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        take(line, bytes.trim_ascii());
    }
    Ok(())
}

/// In the decoder's own words.
fn why_no_object(bytes: &[u8], error: &serde_json::Error) -> String {
    let nobody = JobId::parse("-").expect("a dash is a job ID");
    decode(bytes, &nobody).err().map_or_else(|| error.to_string(), |invalid| invalid.message)
}
