//! Places on a job's way where a test build can be told to die. A release build knows none of them.

#[cfg(debug_assertions)]
use std::sync::OnceLock;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU32, Ordering};

/// Where a crash leaves something half done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The router has a job in hand.
    Received,
    /// A job is in its lane, and still in the queue that it came from.
    Forwarded,
    /// A worker has become the active sender.
    Led,
    /// A lane has chosen a job.
    Picked,
    /// A request is signed, not sent.
    Signed,
    /// A request is with the kernel.
    Written,
    /// A reply is read; only we know it.
    Answered,
    /// A message is with the broker, not confirmed.
    Unconfirmed,
    /// A result is stored; its dead letter is not, nor is the job acked.
    Told,
    /// Result and dead letter are stored, and the job is not acked.
    Buried,
    /// A job waits for its retry, and is still in the queue that it came from.
    Deferred,
    /// A job is acked.
    Acked,
    /// Changes of the embedded queue are made, not committed.
    Uncommitted,
    /// Changes of the embedded queue are durable; nobody was told.
    Committed,
}

/// Dies here if this passage was asked for.
#[cfg(debug_assertions)]
pub fn point(point: Point) {
    if let Some((armed, left)) = ARMED.get()
        && *armed == point
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::abort();
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_: Point) {}

#[cfg(debug_assertions)]
static ARMED: OnceLock<(Point, AtomicU32)> = OnceLock::new();

/// Asks for a crash at `<point>` or, at its nth passage, `<point>:<n>`. Holds for the life of the process.
#[cfg(debug_assertions)]
pub fn arm(text: &str) -> Result<(), String> {
    let armed = parse(text).ok_or_else(|| format!("{text:?} is no crash point"))?;
    ARMED.set((armed.0, AtomicU32::new(armed.1))).map_err(|_| "armed before".to_owned())
}

#[cfg(debug_assertions)]
fn parse(text: &str) -> Option<(Point, u32)> {
    let (name, passage) = text.split_once(':').unwrap_or((text, "1"));
    let point = Point::ALL.into_iter().find(|point| format!("{point:?}") == name)?;
    Some((point, passage.parse().ok().filter(|&passage| passage > 0)?))
}

#[cfg(debug_assertions)]
impl Point {
    pub const ALL: [Point; 14] = [
        Point::Received,
        Point::Forwarded,
        Point::Led,
        Point::Picked,
        Point::Signed,
        Point::Written,
        Point::Answered,
        Point::Unconfirmed,
        Point::Told,
        Point::Buried,
        Point::Deferred,
        Point::Acked,
        Point::Uncommitted,
        Point::Committed,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_with_its_passage() {
        assert_eq!(parse("Told"), Some((Point::Told, 1)));
        assert_eq!(parse("Acked:12"), Some((Point::Acked, 12)));
        for nonsense in ["", "told", "Told:0", "Told:-1", "Told:x"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
        for (index, point) in Point::ALL.into_iter().enumerate() {
            assert_eq!(point as usize, index, "each once, in order: none is left out");
        }
    }

    #[test]
    fn a_point_that_was_not_armed_is_passed() {
        point(Point::Led);
    }
}
