use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

const CAPACITY: usize = 10_000;
/// Nothing here takes so long.
const LIMIT: Duration = Duration::from_secs(60);

/// A reader that reads a line when it is told to, or refuses it.
struct Reader {
    answers: Receiver<io::Result<usize>>,
    read: Sender<Vec<u8>>,
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.answers.recv().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
        self.read.send(bytes[..count].to_vec()).ok();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn silent(_: u64, _: Option<&io::Error>) {}

fn stalled() -> (OutputStream, Sender<io::Result<usize>>, Receiver<Vec<u8>>) {
    let ((answer, answers), (read, lines)) = (channel(), channel());
    (OutputStream::start("test", Reader { answers, read }, CAPACITY, silent).unwrap(), answer, lines)
}

fn text(lines: &Receiver<Vec<u8>>) -> String {
    String::from_utf8(lines.try_iter().flatten().collect()).unwrap()
}

#[test]
fn a_reader_that_stops_holds_nobody_up_and_what_it_misses_is_counted() {
    let (stream, answer, lines) = stalled();
    for number in 0..100_000 {
        stream.offer(format!("line {number}\n").into_bytes());
    }
    let dropped = stream.dropped();
    assert!(dropped > 99_000, "{dropped}");
    drop(answer);
    assert!(stream.finish(LIMIT));
    let text = text(&lines);
    assert_eq!(text.lines().count() as u64 + dropped, 100_000);
    assert!(text.lines().enumerate().all(|(number, line)| line == format!("line {number}")), "in order: {text}");
}

#[test]
fn what_was_queued_is_written_before_the_end() {
    let (mut reading, writing) = UnixStream::pair().unwrap();
    let stream = OutputStream::start("test", writing, CAPACITY, silent).unwrap();
    stream.offer(b"first\n".to_vec());
    stream.offer(b"stopped\n".to_vec());
    assert!(stream.finish(LIMIT));
    let mut read = [0; 14];
    reading.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"first\nstopped\n");
}

#[test]
fn an_end_does_not_wait_for_ever() {
    let (stream, _answer, _lines) = stalled();
    stream.offer(b"unread\n".to_vec());
    assert!(!stream.finish(Duration::from_millis(1)));
    stream.settle(Duration::from_millis(1));
    // It was waited for in vain: not again.
    stream.settle(Duration::MAX);
}

#[test]
fn a_line_that_was_torn_does_not_run_into_the_next() {
    let (stream, answer, lines) = stalled();
    stream.offer(b"a torn line\n".to_vec());
    stream.offer(b"the next\n".to_vec());
    answer.send(Ok(6)).unwrap();
    answer.send(Err(io::Error::from_raw_os_error(28))).unwrap();
    drop(answer);
    assert!(stream.finish(LIMIT));
    assert_eq!(text(&lines), "a torn\nthe next\n");
    assert_eq!((stream.dropped(), stream.is_closed()), (1, false));
    assert!(stream.failure().unwrap().contains("No space left"));
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let (stream, answer, _lines) = stalled();
    stream.offer(b"unread\n".to_vec());
    answer.send(Err(ErrorKind::BrokenPipe.into())).unwrap();
    assert!(stream.finish(LIMIT));
    assert_eq!((stream.dropped(), stream.is_closed(), stream.failure()), (1, true, None));
}

#[test]
fn a_descriptor_that_does_not_block_loses_no_line() {
    let (stream, answer, lines) = stalled();
    stream.offer(b"line\n".to_vec());
    answer.send(Err(ErrorKind::WouldBlock.into())).unwrap();
    answer.send(Err(ErrorKind::Interrupted.into())).unwrap();
    drop(answer);
    assert!(stream.finish(LIMIT));
    assert_eq!((text(&lines).as_str(), stream.dropped()), ("line\n", 0));
}

#[test]
fn a_frame_is_skipped_where_something_waits() {
    let (stream, answer, lines) = stalled();
    stream.offer_if_idle(b"first frame\n".to_vec());
    stream.offer_if_idle(b"second frame\n".to_vec());
    drop(answer);
    assert!(stream.finish(LIMIT));
    assert_eq!((text(&lines).as_str(), stream.dropped()), ("first frame\n", 0));
}
