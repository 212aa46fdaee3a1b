//! Jobs whose time is far off.

use super::*;

/// The longest that a job is left alone, as on the wait ladder of a broker.
const RUNG: SignedDuration = SignedDuration::from_secs(1024);

/// When the only job of the file is handed out next, and with which rank.
async fn next(folder: &Folder) -> (Timestamp, i64) {
    let mut file = connect(&folder.path()).await;
    let row = sqlx::query_as::<_, (i64, i64)>("SELECT available_at, rank FROM job").fetch_one(&mut file).await.unwrap();
    (Timestamp::from_millisecond(row.0).unwrap(), row.1)
}

/// As if all that time had passed.
async fn hand_out(folder: &Folder) {
    let mut file = connect(&folder.path()).await;
    sqlx::query("UPDATE job SET available_at = 1").execute(&mut file).await.unwrap();
}

fn now() -> Timestamp {
    Clock::system().now()
}

#[tokio::test]
async fn a_job_that_waits_long_is_handed_out_now_and_then_before_new_ones() {
    let folder = Folder::new();
    let queue = folder.open(Part::Sender).await;
    let mut late = job("late");
    let due = now() + SignedDuration::from_hours(240);
    late.not_before = Some(due);
    let check = async |before: Timestamp| {
        let (next, rank) = next(&folder).await;
        assert!((before + RUNG - SignedDuration::from_millis(1)..=now() + RUNG).contains(&next), "{next}");
        assert_eq!(rank, 0, "its turn must not come behind a long backlog");
    };
    let before = now();
    queue.enqueue(&[late], None).await.unwrap();
    check(before).await;
    let mut source = lanes(&queue).await;
    let lane = LaneKey { provider: volcengine(), lane: Lane::Bulk };
    for _ in 0..2 {
        hand_out(&folder).await;
        let delivery = take(&mut *source).await;
        let before = now();
        let time = JobTime { not_before: Some(due), now: before };
        delivery.defer(&lane, Progress::received(before), time).await.unwrap();
        check(before).await;
    }
}

#[tokio::test]
async fn a_job_is_handed_out_when_it_is_due_if_that_is_soon_and_joins_the_new_ones() {
    let folder = Folder::new();
    let queue = folder.open(Part::Sender).await;
    let due = Timestamp::from_millisecond(now().as_millisecond() + 900_000).unwrap();
    let mut late = job("late");
    late.not_before = Some(due);
    queue.enqueue(&[late], None).await.unwrap();
    assert_eq!(next(&folder).await, (due, 1));
    hand_out(&folder).await;
    let delivery = take(&mut *lanes(&queue).await).await;
    let time = JobTime { not_before: Some(due), now: now() };
    let lane = LaneKey { provider: volcengine(), lane: Lane::Bulk };
    delivery.defer(&lane, Progress::received(due), time).await.unwrap();
    assert_eq!(next(&folder).await, (due, 1));
}
