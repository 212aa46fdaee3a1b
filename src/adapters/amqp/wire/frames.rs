//! The frames in a stream of bytes: a kind, a channel, a size, a payload, an end.

pub const METHOD: u8 = 1;
pub const CONTENT_HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
/// Kind, channel and size.
const HEAD: usize = 7;
/// What a frame takes beside its payload.
pub const FRAME_OVERHEAD: usize = HEAD + 1;
const FRAME_END: u8 = 0xce;
/// What a client says before its first frame.
pub const PROTOCOL_HEADER: usize = 8;
/// A method or a content header larger than this is none: it passes untouched, to be judged by whom it is meant for.
const LARGEST: usize = 16 << 20;

/// Follows a stream in one direction, whatever the pieces in which it comes.
#[derive(Default)]
pub struct Cutter {
    /// The beginning of a frame that is not whole yet.
    held: Vec<u8>,
    /// So many bytes go on as they are.
    passing: usize,
}

impl Cutter {
    /// Of a stream that begins with so many bytes that are no frame.
    pub fn after(preamble: usize) -> Self {
        Self { held: Vec::new(), passing: preamble }
    }

    /// Passes `bytes` on to `out`. Each method and each content header is shown to `rewrite` when it is whole, by its kind
    /// and its payload; another payload in return goes on in its place.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>, mut rewrite: impl FnMut(u8, &[u8]) -> Option<Vec<u8>>) {
        while !bytes.is_empty() {
            if self.passing > 0 {
                let (now, later) = bytes.split_at(self.passing.min(bytes.len()));
                out.extend_from_slice(now);
                self.passing -= now.len();
                bytes = later;
                continue;
            }
            let wanted = self.wanted() - self.held.len();
            let (now, later) = bytes.split_at(wanted.min(bytes.len()));
            self.held.extend_from_slice(now);
            bytes = later;
            self.pass_on(out, &mut rewrite);
        }
    }

    /// How many bytes are to be held before anything can be said.
    fn wanted(&self) -> usize {
        match self.payload() {
            Some(size) => size + FRAME_OVERHEAD,
            None => HEAD,
        }
    }

    /// The size of the payload, where the head is there.
    fn payload(&self) -> Option<usize> {
        let head = self.held.get(..HEAD)?;
        Some(u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize)
    }

    fn pass_on(&mut self, out: &mut Vec<u8>, rewrite: &mut impl FnMut(u8, &[u8]) -> Option<Vec<u8>>) {
        let Some(size) = self.payload() else { return };
        match self.held[0] {
            METHOD | CONTENT_HEADER if size <= LARGEST => {
                if self.held.len() < size + FRAME_OVERHEAD {
                    return;
                }
                match rewrite(self.held[0], &self.held[HEAD..HEAD + size]) {
                    None => out.extend_from_slice(&self.held),
                    Some(payload) => {
                        out.extend_from_slice(&self.held[..3]);
                        out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
                        out.extend_from_slice(&payload);
                        out.push(FRAME_END);
                    }
                }
            }
            METHOD | CONTENT_HEADER | BODY | HEARTBEAT => {
                out.extend_from_slice(&self.held);
                self.passing = size + 1;
            }
            // No frame: a server that speaks another protocol.
            _ => {
                out.extend_from_slice(&self.held);
                self.passing = usize::MAX;
            }
        }
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 0, 1][..], &size, payload, &[FRAME_END]].concat()
    }

    fn fed(stream: &[u8], piece: usize, preamble: usize) -> (Vec<u8>, Vec<(u8, Vec<u8>)>) {
        let (mut cutter, mut out, mut seen) = (Cutter::after(preamble), Vec::new(), Vec::new());
        for bytes in stream.chunks(piece) {
            cutter.feed(bytes, &mut out, |kind, payload| {
                seen.push((kind, payload.to_vec()));
                (payload == b"old").then(|| b"another".to_vec())
            });
        }
        (out, seen)
    }

    proptest! {
        #[test]
        fn a_stream_passes_whole_and_each_small_frame_is_shown_once(
            frames in prop::collection::vec(
                (prop::sample::select(vec![METHOD, CONTENT_HEADER, BODY, HEARTBEAT]), prop::collection::vec(any::<u8>(), 0..40)),
                0..8,
            ),
            piece in 1_usize..50,
        ) {
            let stream: Vec<u8> = frames.iter().flat_map(|(kind, payload)| frame(*kind, payload)).collect();
            let shown: Vec<_> = frames.into_iter().filter(|(kind, _)| matches!(*kind, METHOD | CONTENT_HEADER)).collect();
            prop_assert_eq!(fed(&stream, piece, 0), (stream, shown));
        }
    }

    #[test]
    fn what_is_rewritten_goes_on_in_its_place() {
        let stream = [frame(BODY, b"old"), frame(CONTENT_HEADER, b"old"), frame(METHOD, b"x")].concat();
        let expected = [frame(BODY, b"old"), frame(CONTENT_HEADER, b"another"), frame(METHOD, b"x")].concat();
        for piece in 1..=stream.len() {
            assert_eq!(fed(&stream, piece, 0).0, expected);
        }
    }

    #[test]
    fn what_is_no_frame_passes_untouched() {
        let greeting = [b"AMQP\0\0\x09\x01".to_vec(), frame(METHOD, b"old")].concat();
        assert_eq!(fed(&greeting, 3, PROTOCOL_HEADER).0, [&greeting[..8], &frame(METHOD, b"another")].concat());
        let foreign = [b"HTTP/1.1 400 Bad Request\r\n".to_vec(), frame(METHOD, b"old")].concat();
        assert_eq!(fed(&foreign, 3, 0), (foreign, vec![]));
    }
}
