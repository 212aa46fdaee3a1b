//! The entries of a field table on the wire: name, kind, value. Walked without recursion, for lists lie in lists.

use std::ops::Range;

/// What no reader could make sense of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("ends too early")]
    Short,
    #[error("holds a value of the unknown kind {0:?}")]
    UnknownKind(char),
    #[error("is followed by bytes that belong to nothing")]
    Trailing,
}

/// Where an entry of the outermost table lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderEntry {
    pub name: Range<usize>,
    pub whole: Range<usize>,
}

#[derive(Clone, Copy)]
enum Holds {
    Entries,
    Values,
}

/// The entries of the table that fills `place`; `see` is shown where each name lies, at any depth.
pub fn entries(
    bytes: &[u8],
    place: Range<usize>,
    see: &mut impl FnMut(Range<usize>),
) -> Result<Vec<HeaderEntry>, Malformed> {
    let mut entries = Vec::new();
    let (mut at, end) = (place.start, place.end);
    while at < end {
        let start = at;
        let name = short(bytes, &mut at, end)?;
        see(name.clone());
        value(bytes, &mut at, end, see)?;
        entries.push(HeaderEntry { name, whole: start..at });
    }
    Ok(entries)
}

/// Goes past a value, and all that it holds.
fn value(bytes: &[u8], at: &mut usize, end: usize, see: &mut impl FnMut(Range<usize>)) -> Result<(), Malformed> {
    let mut open = Vec::new();
    one_value(bytes, at, end, &mut open)?;
    while let Some(&(end, holds)) = open.last() {
        if *at == end {
            open.pop();
            continue;
        }
        match holds {
            Holds::Entries => see(short(bytes, at, end)?),
            Holds::Values => {}
        }
        one_value(bytes, at, end, &mut open)?;
    }
    Ok(())
}

/// Goes past a scalar, or into a table or an array.
fn one_value(bytes: &[u8], at: &mut usize, end: usize, open: &mut Vec<(usize, Holds)>) -> Result<(), Malformed> {
    let kind = bytes[take(at, 1, end)?][0];
    let fixed = match kind {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'U' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'L' | b'l' | b'd' | b'T' => 8,
        b'S' | b'x' => size(bytes, at, end)?,
        b'A' | b'F' => {
            let inside = size(bytes, at, end)?;
            let inside_end = at.checked_add(inside).filter(|inside_end| *inside_end <= end).ok_or(Malformed::Short)?;
            open.push((inside_end, if kind == b'F' { Holds::Entries } else { Holds::Values }));
            return Ok(());
        }
        other => return Err(Malformed::UnknownKind(char::from(other))),
    };
    skip(at, fixed, end)
}

/// Goes past a short string; where its text lies.
pub fn short(bytes: &[u8], at: &mut usize, end: usize) -> Result<Range<usize>, Malformed> {
    let size = bytes[take(at, 1, end)?][0];
    take(at, size.into(), end)
}

/// Goes past a size of four bytes.
pub fn size(bytes: &[u8], at: &mut usize, end: usize) -> Result<usize, Malformed> {
    let size = &bytes[take(at, 4, end)?];
    Ok(u32::from_be_bytes([size[0], size[1], size[2], size[3]]) as usize)
}

/// Goes past so many bytes.
pub fn skip(at: &mut usize, count: usize, end: usize) -> Result<(), Malformed> {
    take(at, count, end).map(|_| ())
}

/// Goes past so many bytes; where they lie.
pub fn take(at: &mut usize, count: usize, end: usize) -> Result<Range<usize>, Malformed> {
    let start = *at;
    *at = start.checked_add(count).filter(|next| *next <= end).ok_or(Malformed::Short)?;
    Ok(start..*at)
}
