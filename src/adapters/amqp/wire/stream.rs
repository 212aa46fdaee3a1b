//! The stream between the client and the broker, with what either could not read rewritten on its way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use super::frames::{CONTENT_HEADER, Cutter, FRAME_OVERHEAD, METHOD, PROTOCOL_HEADER};
use super::header::{self, BEFORE_LIST};
use super::methods;

/// So many bytes are asked for at a time.
const READ_SIZE: usize = 64 * 1024;
/// More than this is not taken in before the broker has taken some of it.
const UNSENT_MAX: usize = 256 * 1024;

/// Bytes that are through, and not fetched yet.
#[derive(Default)]
struct Queued {
    bytes: Vec<u8>,
    fetched: usize,
}

impl Queued {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.fetched..]
    }

    fn fetch(&mut self, count: usize) {
        self.fetched += count;
        if self.fetched == self.bytes.len() {
            self.bytes.clear();
            self.fetched = 0;
        }
    }
}

/// A stream under the client; `S` leads to the broker.
pub struct Rewritten<S> {
    stream: S,
    buffer: Box<[u8]>,
    from_broker: Cutter,
    arrived: Queued,
    to_broker: Cutter,
    unsent: Queued,
    /// The largest frame that was agreed on.
    frame_max: Option<usize>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Rewritten<S> {
    /// Of a stream on which nothing was said yet.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: vec![0; READ_SIZE].into(),
            from_broker: Cutter::default(),
            arrived: Queued::default(),
            to_broker: Cutter::after(PROTOCOL_HEADER),
            unsent: Queued::default(),
            frame_max: None,
        }
    }

    fn take_in(&mut self, count: usize) {
        let room = room(self.frame_max);
        self.from_broker.feed(&self.buffer[..count], &mut self.arrived.bytes, |kind, payload| match kind {
            METHOD => methods::readable(payload),
            CONTENT_HEADER => relisted(payload, |list| header::shown(list, room)),
            _ => None,
        });
    }

    fn send(&mut self, bytes: &[u8]) {
        let frame_max = &mut self.frame_max;
        self.to_broker.feed(bytes, &mut self.unsent.bytes, |kind, payload| {
            if kind == METHOD {
                *frame_max = methods::agreed_frame_max(payload).unwrap_or(*frame_max);
            }
            match kind {
                CONTENT_HEADER => relisted(payload, |list| header::told(list, room(*frame_max))),
                _ => None,
            }
        });
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.rest().is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, self.unsent.rest()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.fetch(count);
        }
        Poll::Ready(Ok(()))
    }
}

/// How large the property list of a content header may be.
fn room(frame_max: Option<usize>) -> usize {
    frame_max.map_or(usize::MAX, |frame_max| frame_max.saturating_sub(FRAME_OVERHEAD + BEFORE_LIST))
}

fn relisted(payload: &[u8], relist: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let (before, list) = payload.split_at_checked(BEFORE_LIST)?;
    relist(list).map(|list| [before, &list].concat())
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Rewritten<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        while this.arrived.rest().is_empty() {
            let count = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut this.buffer))?;
            if count == 0 {
                return Poll::Ready(Ok(0));
            }
            this.take_in(count);
        }
        let count = buf.len().min(this.arrived.rest().len());
        buf[..count].copy_from_slice(&this.arrived.rest()[..count]);
        this.arrived.fetch(count);
        Poll::Ready(Ok(count))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Rewritten<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.unsent.rest().len() >= UNSENT_MAX {
            ready!(this.poll_send(cx))?;
        }
        this.send(buf);
        // What the broker does not take now is sent on by the next flush.
        match this.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use super::*;

    /// Takes a few bytes at every other try, and gives what it has in the same way.
    struct Slow {
        is_ready: bool,
        taken: Vec<u8>,
        given: VecDeque<u8>,
    }

    impl Slow {
        fn may_go_on(&mut self) -> bool {
            self.is_ready = !self.is_ready;
            self.is_ready
        }
    }

    impl AsyncRead for Slow {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
            if !self.may_go_on() {
                return Poll::Pending;
            }
            let some: Vec<u8> = (0..3).map_while(|_| self.given.pop_front()).collect();
            buf[..some.len()].copy_from_slice(&some);
            Poll::Ready(Ok(some.len()))
        }
    }

    impl AsyncWrite for Slow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            if !self.may_go_on() {
                return Poll::Pending;
            }
            let count = buf.len().min(3);
            self.taken.extend_from_slice(&buf[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn over(given: &[u8]) -> Rewritten<Slow> {
        Rewritten::new(Slow { is_ready: false, taken: Vec::new(), given: given.iter().copied().collect() })
    }

    /// A content header with a message ID.
    fn content_header(id: &[u8]) -> Vec<u8> {
        let payload = [&[0, 60, 0, 0][..], &[0; 8], &[0, 0x80, u8::try_from(id.len()).unwrap()], id].concat();
        frame(CONTENT_HEADER, &payload)
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 0, 1][..], &size, payload, &[0xce]].concat()
    }

    fn sent(stream: &mut Rewritten<Slow>, bytes: &[u8]) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Poll::Ready(count) = Pin::new(&mut *stream).poll_write(&mut cx, rest) {
                rest = &rest[count.unwrap()..];
            }
        }
        while Pin::new(&mut *stream).poll_flush(&mut cx).is_pending() {}
    }

    fn received(stream: &mut Rewritten<Slow>) -> Vec<u8> {
        let mut cx = Context::from_waker(Waker::noop());
        let (mut all, mut some) = (Vec::new(), [0; 5]);
        loop {
            match Pin::new(&mut *stream).poll_read(&mut cx, &mut some) {
                Poll::Ready(Ok(0)) => return all,
                Poll::Ready(count) => all.extend_from_slice(&some[..count.unwrap()]),
                Poll::Pending => {}
            }
        }
    }

    #[test]
    fn what_cannot_be_read_comes_enclosed_and_goes_back_as_it_came() {
        let (good, bad) = (content_header(b"id"), content_header(b"caf\xe9"));
        let mut stream = over(&[&good[..], &bad].concat());
        let shown = received(&mut stream);
        let enclosed = shown.strip_prefix(&good[..]).expect("the good one as it is");
        assert_ne!(enclosed, bad);
        sent(&mut stream, &[b"AMQP\0\0\x09\x01", enclosed].concat());
        assert_eq!(stream.stream.taken, [b"AMQP\0\0\x09\x01", &bad[..]].concat());
    }

    #[test]
    fn a_broker_that_takes_little_at_a_time_gets_everything_in_order() {
        let body = frame(3, &vec![7; 3 * UNSENT_MAX]);
        let all = [b"AMQP\0\0\x09\x01".to_vec(), content_header(b"id"), body].concat();
        let mut stream = over(&[]);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut stream).poll_write(&mut cx, &all).is_ready());
        assert!(Pin::new(&mut stream).poll_write(&mut cx, b"\x08").is_pending(), "enough is unsent");
        sent(&mut stream, b"\x08\0\0\0\0\0\0\xce");
        assert_eq!(stream.stream.taken, [&all[..], b"\x08\0\0\0\0\0\0\xce"].concat());
    }

    #[test]
    fn the_largest_frame_is_the_one_that_the_client_agreed_to() {
        let mut stream = over(&content_header(&[b'x'; 200]));
        let tune_ok = [&[0, 10, 0, 31, 0, 9][..], &100_u32.to_be_bytes(), &[0, 5]].concat();
        sent(&mut stream, &[b"AMQP\0\0\x09\x01".to_vec(), frame(METHOD, &tune_ok)].concat());
        assert_eq!(stream.frame_max, Some(100));
    }
}
