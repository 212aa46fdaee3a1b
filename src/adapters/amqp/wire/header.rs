//! The property list of a content header: whether the client can read it, and what it can read in its place.
//!
//! The client takes every short string for UTF-8 and every frame for one of the size that was agreed on; a broker
//! promises neither. What it cannot read ends its connection, again at each delivery.

use std::collections::HashSet;
use std::ops::Range;

use super::methods::clean;
use super::table::{self, HeaderEntry, Malformed};

/// Class, weight and size of the body, before the property list.
pub const BEFORE_LIST: usize = 12;
const FLAGS: usize = 2;
const HEADERS: usize = 2;
const DELIVERY_MODE: usize = 3;
const REPLY_TO: usize = 6;
const EXPIRATION: usize = 7;
const USER_ID: usize = 11;
const PERSISTENT: u8 = 2;
/// The one entry of a property list that encloses another.
pub const ENCLOSED: &str = "x-roomsweep-raw";
/// An enclosing list up to the bytes that it encloses.
const ENCLOSING: usize = FLAGS + 4 + 1 + ENCLOSED.len() + 1 + 4;
/// In an error message so many faults are shown.
const SHOWN: usize = 4;

#[derive(Clone, Copy)]
enum Kind {
    Short,
    Table,
    Octet,
    Time,
}

/// In the order of their flags, the first at the highest bit.
const PROPERTIES: [(&str, Kind); 14] = [
    ("content_type", Kind::Short),
    ("content_encoding", Kind::Short),
    ("headers", Kind::Table),
    ("delivery_mode", Kind::Octet),
    ("priority", Kind::Octet),
    ("correlation_id", Kind::Short),
    ("reply_to", Kind::Short),
    ("expiration", Kind::Short),
    ("message_id", Kind::Short),
    ("timestamp", Kind::Time),
    ("type", Kind::Short),
    ("user_id", Kind::Short),
    ("app_id", Kind::Short),
    ("cluster_id", Kind::Short),
];

/// A property list taken apart.
struct Parts<'a> {
    list: &'a [u8],
    /// Where each property lies, with its size before it.
    places: [Option<Range<usize>>; PROPERTIES.len()],
    entries: Vec<HeaderEntry>,
    /// Texts that are not UTF-8: of which property, and where.
    garbled: Vec<(usize, Range<usize>)>,
}

/// What the client cannot read, and what of it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faulty {
    /// Names the property.
    pub fault: String,
    /// With a question mark for each byte that is not UTF-8, and without an address for replies that has one; empty
    /// where nothing can be told apart.
    pub repaired: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn of(list: &'a [u8]) -> Result<Self, Malformed> {
        let mut parts = Self { list, places: Default::default(), entries: Vec::new(), garbled: Vec::new() };
        let (mut at, end) = (0, list.len());
        let flags = &list[table::take(&mut at, FLAGS, end)?];
        let flags = u16::from_be_bytes([flags[0], flags[1]]);
        for (index, (_, kind)) in PROPERTIES.iter().enumerate() {
            if flags & (1 << (15 - index)) == 0 {
                continue;
            }
            let start = at;
            match kind {
                Kind::Short => {
                    let text = table::short(list, &mut at, end)?;
                    parts.note(index, text);
                }
                Kind::Octet => table::skip(&mut at, 1, end)?,
                Kind::Time => table::skip(&mut at, 8, end)?,
                Kind::Table => {
                    let size = table::size(list, &mut at, end)?;
                    let inside = table::take(&mut at, size, end)?;
                    let mut garbled = Vec::new();
                    parts.entries = table::entries(list, inside, &mut |name| {
                        if std::str::from_utf8(&list[name.clone()]).is_err() {
                            garbled.push((index, name));
                        }
                    })?;
                    parts.garbled.extend(garbled);
                }
            }
            parts.places[index] = Some(start..at);
        }
        if at == end { Ok(parts) } else { Err(Malformed::Trailing) }
    }

    fn note(&mut self, property: usize, text: Range<usize>) {
        if std::str::from_utf8(&self.list[text.clone()]).is_err() {
            self.garbled.push((property, text));
        }
    }

    fn name(&self, entry: &HeaderEntry) -> &'a [u8] {
        &self.list[entry.name.clone()]
    }

    /// The same list with those of its header entries, and then `more`.
    fn with_entries(&self, kept: impl Fn(&HeaderEntry) -> bool, more: &[u8]) -> Vec<u8> {
        let kept = self.entries.iter().filter(|entry| kept(entry));
        let mut table: Vec<u8> = kept.flat_map(|entry| &self.list[entry.whole.clone()]).copied().collect();
        table.extend_from_slice(more);
        self.rebuilt(|index, bytes| match index {
            HEADERS if table.is_empty() => None,
            HEADERS => Some(sized(&table)),
            _ => bytes.map(<[u8]>::to_vec),
        })
    }

    /// The same places in another list, which differs in texts only.
    fn over<'b>(&self, list: &'b [u8]) -> Parts<'b> {
        Parts { list, places: self.places.clone(), entries: self.entries.clone(), garbled: Vec::new() }
    }

    fn rebuilt(&self, property: impl Fn(usize, Option<&[u8]>) -> Option<Vec<u8>>) -> Vec<u8> {
        let (mut flags, mut rest) = (0_u16, Vec::new());
        for (index, place) in self.places.iter().enumerate() {
            if let Some(bytes) = property(index, place.clone().map(|place| &self.list[place])) {
                flags |= 1 << (15 - index);
                rest.extend(bytes);
            }
        }
        [&flags.to_be_bytes()[..], &rest].concat()
    }
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes(), bytes].concat()
}

/// None where the client can read the list.
pub fn examine(list: &[u8]) -> Option<Faulty> {
    let parts = match Parts::of(list) {
        Ok(parts) => parts,
        Err(malformed) => {
            let fault = format!("properties: the list {malformed}");
            return Some(Faulty { fault, repaired: Vec::new() });
        }
    };
    let reserved = parts.entries.iter().filter(|entry| parts.name(entry) == ENCLOSED.as_bytes());
    let reserved = reserved.map(|_| format!("headers: {ENCLOSED:?} is a name of our own"));
    let garbled = parts.garbled.iter().map(|(property, text)| said(list, *property, text));
    let fault = sentence(garbled.chain(reserved))?;
    let mut repaired = list.to_vec();
    for (_, text) in &parts.garbled {
        repaired[text.clone()].copy_from_slice(&clean(&list[text.clone()]));
    }
    if parts.garbled.iter().any(|(property, _)| *property == REPLY_TO) {
        // An address with a question mark in it is another one.
        repaired =
            parts.over(&repaired).rebuilt(|index, bytes| bytes.filter(|_| index != REPLY_TO).map(<[u8]>::to_vec));
    }
    Some(Faulty { fault, repaired })
}

/// The first faults, and a count of the rest; None where there are none.
fn sentence(mut faults: impl Iterator<Item = String>) -> Option<String> {
    let shown: Vec<String> = faults.by_ref().take(SHOWN).collect();
    let sentence = shown.join("; ");
    match (shown.is_empty(), faults.count()) {
        (true, _) => None,
        (false, 0) => Some(sentence),
        (false, more) => Some(format!("{sentence}; and {more} more")),
    }
}

fn said(list: &[u8], property: usize, text: &Range<usize>) -> String {
    let bytes = &list[text.clone()];
    let good = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    match PROPERTIES[property] {
        (name, Kind::Table) => {
            format!("{name}: the name {:?} is not UTF-8 (byte {good})", String::from_utf8_lossy(bytes))
        }
        (name, Kind::Short | Kind::Octet | Kind::Time) => format!("{name}: is not UTF-8 (byte {good})"),
    }
}

/// What the client is shown in place of `list`, within so many bytes; None where it can be shown as it is.
pub fn shown(list: &[u8], room: usize) -> Option<Vec<u8>> {
    if examine(list).is_some() {
        let kept = shrunk(list, room.saturating_sub(ENCLOSING));
        return Some(enclose(kept.as_deref().unwrap_or(list)));
    }
    shrunk(list, room)
}

/// The list without its largest header entries, so that it has room; None where it has room already.
fn shrunk(list: &[u8], room: usize) -> Option<Vec<u8>> {
    let mut over = list.len().checked_sub(room).filter(|over| *over > 0)?;
    let Ok(parts) = Parts::of(list) else { return Some(list[..room].to_vec()) };
    let mut by_size: Vec<&HeaderEntry> = parts.entries.iter().collect();
    by_size.sort_by_key(|entry| std::cmp::Reverse(entry.whole.len()));
    let mut left_out = HashSet::new();
    for entry in by_size {
        if over == 0 {
            break;
        }
        over = over.saturating_sub(entry.whole.len());
        left_out.insert(entry.whole.start);
    }
    tracing::warn!(entries = left_out.len(), "headers larger than a frame; the largest of them are left behind");
    Some(parts.with_entries(|entry| !left_out.contains(&entry.whole.start), &[]))
}

/// A list that the client can read, around one that it cannot.
pub fn enclose(list: &[u8]) -> Vec<u8> {
    [&before_enclosed(list.len())[..], list].concat()
}

/// The list in one that encloses it.
pub fn enclosed(list: &[u8]) -> Option<&[u8]> {
    list.strip_prefix(&before_enclosed(list.len().checked_sub(ENCLOSING)?)[..])
}

/// An enclosing list up to so many bytes that it encloses: headers with one entry.
fn before_enclosed(inside: usize) -> Vec<u8> {
    let flags = 1_u16 << (15 - HEADERS);
    let size = |size: usize| u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes();
    let name = short(ENCLOSED);
    [&flags.to_be_bytes()[..], &size(name.len() + 1 + 4 + inside), &name, b"x", &size(inside)].concat()
}

fn short(name: &str) -> Vec<u8> {
    [&[u8::try_from(name.len()).unwrap_or(u8::MAX)], name.as_bytes()].concat()
}

/// What the broker is told in place of `list`, within so many bytes; None where it can be told as it is.
pub fn told(list: &[u8], room: usize) -> Option<Vec<u8>> {
    match enclosed(list) {
        Some(inside) => Some(shrunk(inside, room).unwrap_or_else(|| inside.to_vec())),
        None => shrunk(list, room),
    }
}

/// The list as a dead letter keeps it: as it came, but for what would drop or break the letter, and for the header
/// entries whose names are `ours`; behind the others stand the `notes`.
pub fn kept(list: &[u8], ours: impl Fn(&str) -> bool, notes: &[(&str, String)]) -> Vec<u8> {
    let parts = Parts::of(list).or_else(|_| Parts::of(&[0; FLAGS])).expect("an empty list is well formed");
    let is_ours = |entry: &HeaderEntry| std::str::from_utf8(parts.name(entry)).is_ok_and(&ours);
    let notes: Vec<u8> = notes.iter().flat_map(|(name, text)| note(name, text)).collect();
    let list = parts.with_entries(|entry| !is_ours(entry), &notes);
    let parts = Parts::of(&list).expect("made of well-formed parts");
    parts.rebuilt(|index, bytes| match index {
        DELIVERY_MODE => Some(vec![PERSISTENT]),
        EXPIRATION | USER_ID => None,
        _ => bytes.map(<[u8]>::to_vec),
    })
}

fn note(name: &str, text: &str) -> Vec<u8> {
    [&short(name)[..], b"S", &sized(text.as_bytes())].concat()
}

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;
