//! Methods whose texts the broker passes on from others: a routing key is whatever a producer made of it.

use super::table::{self, Malformed};

#[derive(Clone, Copy)]
enum Part {
    Fixed(usize),
    Text,
}
use Part::{Fixed, Text};

/// Class, number, arguments.
const WITH_FOREIGN_TEXTS: [(u16, u16, &[Part]); 6] = [
    // connection.close, connection.blocked, channel.close
    (10, 50, &[Fixed(2), Text, Fixed(4)]),
    (10, 60, &[Text]),
    (20, 40, &[Fixed(2), Text, Fixed(4)]),
    // basic.return, basic.deliver, basic.get-ok
    (60, 50, &[Fixed(2), Text, Text, Text]),
    (60, 60, &[Text, Fixed(9), Text, Text]),
    (60, 71, &[Fixed(9), Text, Text, Fixed(4)]),
];
const TUNE_OK: (u16, u16) = (10, 31);

/// The method with a question mark for each byte of its texts that is not UTF-8; None where there is none. Nothing of
/// ours is named so, and no job goes by its routing key.
pub fn readable(method: &[u8]) -> Option<Vec<u8>> {
    let (class, number) = name(method)?;
    let (_, _, parts) = WITH_FOREIGN_TEXTS.iter().find(|(c, n, _)| (*c, *n) == (class, number))?;
    let mut repaired = method.to_vec();
    repair(method, parts, &mut repaired).ok()?;
    (repaired != method).then_some(repaired)
}

fn repair(method: &[u8], parts: &[Part], repaired: &mut [u8]) -> Result<(), Malformed> {
    let mut at = 4;
    for part in parts {
        match part {
            Fixed(size) => table::skip(&mut at, *size, method.len())?,
            Text => {
                let text = table::short(method, &mut at, method.len())?;
                repaired[text.clone()].copy_from_slice(&clean(&method[text]));
            }
        }
    }
    Ok(())
}

/// As long as the bytes, with a question mark for each that is not UTF-8.
pub fn clean(bytes: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        clean.extend_from_slice(chunk.valid().as_bytes());
        clean.extend(chunk.invalid().iter().map(|_| b'?'));
    }
    clean
}

/// The largest frame, where the method is the one that agrees on it; None within where there is no limit.
pub fn agreed_frame_max(method: &[u8]) -> Option<Option<usize>> {
    if name(method)? != TUNE_OK {
        return None;
    }
    let size = method.get(6..10)?;
    let size = u32::from_be_bytes([size[0], size[1], size[2], size[3]]) as usize;
    Some((size > 0).then_some(size))
}

fn name(method: &[u8]) -> Option<(u16, u16)> {
    let name = method.get(..4)?;
    Some((u16::from_be_bytes([name[0], name[1]]), u16::from_be_bytes([name[2], name[3]])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(text: &[u8]) -> Vec<u8> {
        [&[u8::try_from(text.len()).unwrap()], text].concat()
    }

    fn deliver(key: &[u8]) -> Vec<u8> {
        [&[0, 60, 0, 60][..], &short(b"tag"), &[0; 9], &short(b"dismiss.jobs"), &short(key)].concat()
    }

    #[test]
    fn a_routing_key_that_is_not_utf8_is_shown_with_question_marks() {
        assert_eq!(readable(&deliver(b"caf\xe9.bulk")), Some(deliver(b"caf?.bulk")));
        assert_eq!(readable(&deliver("café.bulk".as_bytes())), None);
        let got = |key: &[u8]| [&[0, 60, 0, 71][..], &[0; 9], &short(b"x"), &short(key), &[0; 4]].concat();
        assert_eq!(readable(&got(b"\xff\xfe")), Some(got(b"??")));
        let returned =
            |key: &[u8]| [&[0, 60, 0, 50, 1, 56][..], &short(b"NO_ROUTE"), &short(b""), &short(key)].concat();
        assert_eq!(readable(&returned(b"\xe9")), Some(returned(b"?")));
    }

    #[test]
    fn other_methods_and_broken_ones_stay_as_they_are() {
        assert_eq!(readable(&[0, 50, 0, 11, 1, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(readable(&[0, 60, 0, 60, 200, 0xff]), None);
        assert_eq!(readable(&[0, 60]), None);
    }

    #[test]
    fn the_largest_frame_is_the_one_agreed_on() {
        let tune_ok = |size: u32| [&[0, 10, 0, 31, 7, 255][..], &size.to_be_bytes(), &[0, 5]].concat();
        assert_eq!(agreed_frame_max(&tune_ok(131_072)), Some(Some(131_072)));
        assert_eq!(agreed_frame_max(&tune_ok(0)), Some(None));
        assert_eq!(agreed_frame_max(&deliver(b"x")), None);
    }
}
