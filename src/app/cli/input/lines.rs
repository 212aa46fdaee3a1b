//! A job a line: as a JSON object, or as nothing but a room ID.

use std::fmt;
use std::io::{self, BufRead};

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use super::row::{Body, Rows};
use crate::model::decode::{FIELDS, decode};
use crate::model::ids::JobId;

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

/// Members in order, doubled ones too, for the decoder to refuse.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
