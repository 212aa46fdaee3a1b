//! Clocks that are set while jobs wait.

use tokio::time::Instant;

use super::*;
use crate::ports::clock::WallOffset;

const WAIT: Duration = Duration::from_millis(300);

/// A clock that shows the right time, but for what it is set by.
fn clock(offset: &WallOffset) -> Clock {
    Clock::set_by(Clock::system().now(), offset.clone())
}

fn set(hours: i64) -> WallOffset {
    let offset = WallOffset::default();
    offset.set(SignedDuration::from_hours(hours));
    offset
}

async fn open_by(folder: &Folder, clock: &Clock) -> SqliteQueue {
    SqliteQueue::open(&folder.path(), Part::Sender, clock.clone()).await.expect("the file")
}

/// Takes the next job and defers it.
async fn defer(queue: &SqliteQueue, clock: &Clock, wait: Duration) {
    let delivery = take(&mut *lanes(queue).await).await;
    let progress = Progress::received(clock.now()).waiting(wait);
    let time = JobTime { not_before: None, now: clock.now() };
    delivery.defer(&LaneKey { provider: volcengine(), lane: Lane::Bulk }, progress, time).await.unwrap();
}

#[tokio::test]
async fn a_job_that_a_former_sender_deferred_waits_no_longer_than_was_decided() {
    for (then, now) in [(0, -1), (0, 1), (1, 0), (-1, 0), (1, -1)] {
        let folder = Folder::new();
        let then = clock(&set(then));
        let queue = open_by(&folder, &then).await;
        queue.enqueue(&jobs(1), None).await.unwrap();
        defer(&queue, &then, WAIT).await;
        queue.close().await;

        let queue = open_by(&folder, &clock(&set(now))).await;
        let delivery = take(&mut *lanes(&queue).await).await;
        assert_eq!(delivery.message.progress.unwrap().wait_ms, 0);
    }
}

#[tokio::test]
async fn a_restart_does_not_make_a_wait_longer_nor_shorter() {
    let folder = Folder::new();
    let right = clock(&WallOffset::default());
    let queue = open_by(&folder, &right).await;
    queue.enqueue(&jobs(1), None).await.unwrap();
    let deferred = Instant::now();
    defer(&queue, &right, 4 * WAIT).await;
    queue.close().await;
    let due = available_at(&folder).await;

    let queue = open_by(&folder, &clock(&WallOffset::default())).await;
    assert_eq!(available_at(&folder).await, due);
    let _late = take(&mut *lanes(&queue).await).await;
    assert!(deferred.elapsed() >= 4 * WAIT, "{:?}", deferred.elapsed());
}

async fn available_at(folder: &Folder) -> i64 {
    let mut file = connect(&folder.path()).await;
    sqlx::query_scalar("SELECT available_at FROM job").fetch_one(&mut file).await.unwrap()
}

#[tokio::test]
async fn a_jobs_own_time_is_told_by_the_wall_clock() {
    let folder = Folder::new();
    let offset = WallOffset::default();
    let clock = clock(&offset);
    let queue = open_by(&folder, &clock).await;
    let mut late = job("late");
    late.not_before = Some(clock.now() + SignedDuration::from_mins(10));
    queue.enqueue(&[late], None).await.unwrap();
    let mut source = lanes(&queue).await;
    assert_eq!(queue.deferred().await.unwrap(), 1);
    offset.set(SignedDuration::from_mins(10));
    assert_eq!(id(&take(&mut *source).await), "id-late");
}

#[tokio::test]
async fn a_jobs_own_time_may_lie_as_far_back_as_a_moment_can() {
    let folder = Folder::new();
    let queue = open_by(&folder, &clock(&WallOffset::default())).await;
    let mut early = job("early");
    early.not_before = Some(Timestamp::MIN);
    queue.enqueue(&[early], None).await.unwrap();
    assert_eq!(id(&take(&mut *lanes(&queue).await).await), "id-early");
}

#[tokio::test]
async fn what_is_deferred_is_counted_by_the_clock_that_it_waits_by() {
    let folder = Folder::new();
    let offset = WallOffset::default();
    let clock = clock(&offset);
    let queue = open_by(&folder, &clock).await;
    queue.enqueue(&jobs(1), None).await.unwrap();
    defer(&queue, &clock, SOON * 10).await;
    for hours in [0, 1, -1] {
        offset.set(SignedDuration::from_hours(hours));
        assert_eq!((queue.deferred().await.unwrap(), waiting(&queue, Lane::Bulk).await), (1, 0), "{hours} hours");
    }
}

#[tokio::test]
async fn no_clock_shows_a_time_that_ends_the_queue() {
    for shows in ["1970-01-01T00:00:00Z", "2262-04-11T23:47:16Z", "9999-12-01T00:00:00Z"] {
        let shows: Timestamp = shows.parse().unwrap();
        let folder = Folder::new();
        let clock = Clock::set_by(shows, WallOffset::default());
        let queue = open_by(&folder, &clock).await;
        queue.enqueue(&jobs(1), None).await.unwrap();
        defer(&queue, &clock, WAIT).await;
        settle(take(&mut *lanes(&queue).await).await, Outcome::Dismissed).await.unwrap();
    }
}
