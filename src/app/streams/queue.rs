//! The lines that wait for a stream: bounded in bytes, and what finds no room is counted.

use std::collections::VecDeque;

/// What a line takes beside its own bytes.
const LINE_OVERHEAD: usize = size_of::<Vec<u8>>();

/// Lines in the order in which they came.
///
/// Once a line found no room, none is taken until half of the queue is free: so a gap in the lines is one gap, which is
/// told once, and not one for each line that a slow reader reads.
#[derive(Debug)]
pub(super) struct LineQueue {
    lines: VecDeque<Vec<u8>>,
    /// With the overhead.
    bytes: usize,
    capacity: usize,
    intake: Intake,
    /// Lines that were dropped, or could not be written, since a gap was told last.
    missing: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intake {
    Open,
    Shut,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    Queued,
    Dropped,
}

impl LineQueue {
    /// Holds at most so many bytes.
    pub(super) fn new(capacity: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, capacity, intake: Intake::Open, missing: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn push(&mut self, line: Vec<u8>) -> Pushed {
        self.reopen();
        let bytes = size(&line);
        if self.intake == Intake::Shut || bytes > self.capacity - self.bytes {
            self.intake = Intake::Shut;
            self.missing += 1;
            return Pushed::Dropped;
        }
        self.bytes += bytes;
        self.lines.push_back(line);
        Pushed::Queued
    }

    /// The next line to be written.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let line = self.lines.pop_front()?;
        self.bytes -= size(&line);
        Some(line)
    }

    /// A line that was popped could not be written.
    pub(super) fn lost(&mut self) {
        self.missing += 1;
    }

    /// How many lines are missing, once there is room for more: to be asked after a line was written, and told once.
    pub(super) fn gap(&mut self) -> Option<u64> {
        self.reopen();
        if self.intake == Intake::Shut || self.missing == 0 {
            return None;
        }
        Some(std::mem::take(&mut self.missing))
    }

    fn reopen(&mut self) {
        if self.bytes <= self.capacity / 2 {
            self.intake = Intake::Open;
        }
    }
}

fn size(line: &Vec<u8>) -> usize {
    line.capacity() + LINE_OVERHEAD
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAPACITY: usize = 1000;

    fn line(bytes: usize) -> Vec<u8> {
        vec![b'x'; bytes - LINE_OVERHEAD]
    }

    #[test]
    fn a_gap_is_told_once_and_only_when_half_is_free() {
        let mut queue = LineQueue::new(CAPACITY);
        for _ in 0..10 {
            assert_eq!(queue.push(line(100)), Pushed::Queued);
        }
        assert_eq!(queue.push(line(100)), Pushed::Dropped);
        for _ in 0..4 {
            queue.pop();
            assert_eq!((queue.push(line(100)), queue.gap()), (Pushed::Dropped, None));
        }
        queue.pop();
        assert_eq!((queue.gap(), queue.gap()), (Some(5), None));
        assert_eq!(queue.push(line(100)), Pushed::Queued);
    }

    #[test]
    fn a_line_that_could_not_be_written_is_missing_too() {
        let mut queue = LineQueue::new(CAPACITY);
        queue.push(line(100));
        queue.pop();
        queue.lost();
        assert_eq!(queue.gap(), Some(1));
    }

    #[test]
    fn a_line_larger_than_the_queue_does_not_shut_it_for_good() {
        let mut queue = LineQueue::new(CAPACITY);
        assert_eq!(queue.push(line(CAPACITY + 1)), Pushed::Dropped);
        assert_eq!(queue.push(line(100)), Pushed::Queued);
    }

    proptest! {
        #[test]
        fn no_line_is_lost_uncounted_and_the_bytes_are_bounded(steps in prop::collection::vec(0_usize..600, 1..200)) {
            let (mut queue, mut pushed, mut popped, mut told) = (LineQueue::new(CAPACITY), 0_u64, 0_u64, 0_u64);
            for step in steps {
                match step {
                    0..200 => popped += u64::from(queue.pop().is_some()),
                    bytes => {
                        pushed += 1;
                        queue.push(line(bytes));
                    }
                }
                told += queue.gap().unwrap_or_default();
                let held: usize = queue.lines.iter().map(size).sum();
                prop_assert!(held == queue.bytes && held <= CAPACITY);
                prop_assert_eq!(pushed, popped + told + queue.missing + queue.lines.len() as u64);
            }
        }
    }
}
