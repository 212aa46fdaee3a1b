//! What the file keeps to beside the contract of every queue.

mod clocks;
mod displaced;
mod faults;
mod first;
mod locks;
mod waiting;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, SqliteConnection};
use tempfile::TempDir;
use tokio::time::timeout;

use super::{OpenError, Part, SqliteQueue};
use crate::model::decode::decode;
use crate::model::ids::{JobId, ProviderName};
use crate::model::job::{DismissJob, Lane};
use crate::model::progress::Progress;
use crate::model::result::{DismissResult, Ending, Outcome};
use crate::ports::broker::{
    Broker, BrokerError, Delivery, JobSource, JobTime, LaneKey, ProviderKnown, Settlement, Unended,
};
use crate::ports::clock::Clock;

const SOON: Duration = Duration::from_secs(20);

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("queue.db")
    }

    async fn open(&self, part: Part) -> SqliteQueue {
        open(&self.path(), part).await.expect("the file")
    }

    /// For whoever died a moment ago is not always gone yet.
    async fn open_next(&self) -> SqliteQueue {
        let next = async {
            loop {
                match open(&self.path(), Part::Sender).await {
                    Err(OpenError::Busy { .. } | OpenError::NotClosed { .. }) => tokio::task::yield_now().await,
                    other => return other.expect("the file"),
                }
            }
        };
        timeout(SOON, next).await.expect("the right to send")
    }
}

/// As another program would connect.
pub async fn connect(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).journal_mode(SqliteJournalMode::Wal);
    options.connect().await.expect("a database")
}

async fn open(path: &Path, part: Part) -> Result<SqliteQueue, OpenError> {
    SqliteQueue::open(path, part, Clock::system()).await
}

fn volcengine() -> ProviderName {
    ProviderName::parse("volcengine").unwrap()
}

fn job(room: &str) -> DismissJob {
    let body = format!(r#"{{"provider": "volcengine", "app_id": "app", "room_id": "{room}"}}"#);
    decode(body.as_bytes(), &JobId::parse(format!("id-{room}")).unwrap()).unwrap()
}

fn jobs(many: usize) -> Vec<DismissJob> {
    (0..many).map(|n| job(&n.to_string())).collect()
}

async fn take(source: &mut dyn JobSource) -> Delivery {
    let next = async {
        loop {
            source.ready().await.expect("a source at work");
            if let Some(delivery) = source.best() {
                return delivery;
            }
        }
    };
    timeout(SOON, next).await.expect("a job")
}

async fn lanes(queue: &SqliteQueue) -> Box<dyn JobSource> {
    queue.lanes(&volcengine(), 16).await.unwrap()
}

fn settlement(delivery: &Delivery, outcome: Outcome) -> Settlement {
    let id = JobId::parse(delivery.message.message_id.clone().unwrap()).unwrap();
    let job = decode(&delivery.message.body, &id).unwrap();
    let mut progress = Progress::received(Timestamp::UNIX_EPOCH);
    progress.attempts = 3;
    let ending = Ending { outcome, error: None };
    let result = DismissResult::of(&job, progress, ending, Timestamp::UNIX_EPOCH, "test");
    Settlement { result, provider_known: ProviderKnown::Yes }
}

async fn settle(delivery: Delivery, outcome: Outcome) -> Result<(), Unended> {
    let settlement = settlement(&delivery, outcome);
    delivery.settle(&settlement).await
}

async fn waiting(queue: &SqliteQueue, lane: Lane) -> u64 {
    queue.ready(&LaneKey { provider: volcengine(), lane }).await.unwrap()
}

fn id(delivery: &Delivery) -> String {
    delivery.message.message_id.clone().unwrap()
}

#[tokio::test]
async fn what_was_in_hand_at_a_crash_is_sent_again_and_what_was_settled_is_not() {
    let folder = Folder::new();
    let queue = folder.open(Part::Sender).await;
    queue.enqueue(&jobs(3), None).await.unwrap();
    let mut source = lanes(&queue).await;
    let (first, second) = (take(&mut *source).await, take(&mut *source).await);
    settle(first, Outcome::Dismissed).await.unwrap();
    drop((source, second, queue));

    let queue = folder.open_next().await;
    let mut source = lanes(&queue).await;
    assert_eq!([id(&take(&mut *source).await), id(&take(&mut *source).await)], ["id-1", "id-2"]);
    assert!(source.best().is_none());
}

#[tokio::test]
async fn one_sends_at_a_time_and_others_put_jobs_in_beside() {
    let folder = Folder::new();
    let sender = folder.open(Part::Sender).await;
    let refused = open(&folder.path(), Part::Sender).await.err().expect("refused");
    assert!(matches!(&refused, OpenError::NotClosed { .. }), "{refused}");
    assert!(refused.to_string().contains(folder.path().to_str().unwrap()), "{refused}");

    let beside = folder.open(Part::Beside).await;
    assert!(beside.lead(&volcengine()).await.is_err() && beside.lanes(&volcengine(), 1).await.is_err());
    let mut source = lanes(&sender).await;
    beside.enqueue(&jobs(1), None).await.unwrap();
    assert_eq!(id(&take(&mut *source).await), "id-0", "noticed without being told");
    sender.close().await;
    open(&folder.path(), Part::Sender).await.expect("the next one, once the first has left");
}

#[tokio::test]
async fn an_urgent_job_overtakes_what_is_at_hand() {
    let folder = Folder::new();
    let queue = folder.open(Part::Sender).await;
    queue.enqueue(&jobs(100), None).await.unwrap();
    let mut source = queue.lanes(&volcengine(), 16).await.unwrap();
    source.ready().await.unwrap();
    let mut urgent = job("urgent");
    urgent.lane = Lane::Urgent;
    queue.enqueue(&[urgent], None).await.unwrap();
    while source.held(Lane::Urgent) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(id(&source.best().unwrap()), "id-urgent");
    assert_eq!((id(&take(&mut *source).await), source.held(Lane::Bulk)), ("id-0".to_owned(), 15));
}

#[tokio::test]
async fn a_job_waits_for_its_not_before() {
    let folder = Folder::new();
    let queue = folder.open(Part::Sender).await;
    let start = Clock::system().now() + SignedDuration::from_millis(300);
    let mut late = job("late");
    late.not_before = Some(start);
    queue.enqueue(&[late, job("now")], None).await.unwrap();
    assert_eq!((waiting(&queue, Lane::Bulk).await, queue.deferred().await.unwrap()), (1, 1));
    let mut source = lanes(&queue).await;
    let at_once = take(&mut *source).await;
    assert_eq!(id(&at_once), "id-now");
    let late = take(&mut *source).await;
    let overdue = Clock::system().now().duration_since(start);
    assert_eq!(id(&late), "id-late");
    assert!((SignedDuration::ZERO..SignedDuration::from_millis(500)).contains(&overdue), "{overdue:#}");
}

#[tokio::test]
async fn jobs_go_out_once_and_in_order_however_many() {
    let folder = Folder::new();
    let queue = folder.open(Part::Sender).await;
    queue.enqueue(&jobs(1000), None).await.unwrap();
    let mut source = lanes(&queue).await;
    let mut flights = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let delivery = take(&mut *source).await;
        assert_eq!(id(&delivery), format!("id-{n}"));
        flights.spawn(settle(delivery, Outcome::Dismissed));
    }
    while let Some(done) = flights.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(waiting(&queue, Lane::Bulk).await, 0);
    assert!(timeout(Duration::from_millis(250), source.ready()).await.is_err(), "no job comes twice");
}

#[tokio::test]
async fn what_waits_is_written_in_one_transaction() {
    let folder = Folder::new();
    let queue = folder.open(Part::Sender).await;
    queue.enqueue(&jobs(32), None).await.unwrap();
    let mut source = queue.lanes(&volcengine(), 32).await.unwrap();
    let mut flights = tokio::task::JoinSet::new();
    let before = commits(&folder).await;
    let held = queue.store.write().await;
    for _ in 0..32 {
        flights.spawn(settle(take(&mut *source).await, Outcome::Dismissed));
    }
    tokio::task::yield_now().await;
    drop(held);
    while let Some(done) = flights.join_next().await {
        done.unwrap().unwrap();
    }
    let transactions = commits(&folder).await - before;
    assert!(transactions <= 2, "{transactions} transactions for 32 jobs");
}

/// How many transactions the write-ahead log holds: each ends in a frame that tells the size of the file.
async fn commits(folder: &Folder) -> usize {
    let log = tokio::fs::read(folder.path().with_extension("db-wal")).await.unwrap();
    let page = u32::from_be_bytes(log[8..12].try_into().unwrap()) as usize;
    log[32..].chunks(24 + page).filter(|frame| frame[4..8] != [0; 4]).count()
}

#[tokio::test]
async fn a_sweep_is_tallied_and_its_results_are_paged() {
    let folder = Folder::new();
    let queue = folder.open(Part::Sender).await;
    queue.enqueue(&[job("another")], None).await.unwrap();
    let sweep = queue.begin_sweep("digest", &jobs(4)).await.unwrap();
    assert_eq!(
        queue.sweep("digest").await.unwrap().map(|found| (found.tag, found.total)),
        Some((sweep.tag.clone(), 4))
    );
    let mut source = lanes(&queue).await;
    for outcome in [Outcome::Expired, Outcome::Rejected, Outcome::Dismissed, Outcome::Dismissed] {
        settle(take(&mut *source).await, outcome).await.unwrap();
    }
    let tally = queue.tally(&sweep.tag).await.unwrap();
    assert_eq!((tally.open, tally.over(), tally.attempts), (1, 3, 9), "one of the four is not of the sweep");
    assert_eq!(tally.settled, [(Outcome::Dismissed, 2), (Outcome::Rejected, 1)]);
    assert_eq!((tally.of(Outcome::Rejected), tally.of(Outcome::Expired)), (1, 0));

    let first = queue.results(&sweep.tag, 0, 2).await.unwrap();
    let rest = queue.results(&sweep.tag, first[1].0, 100).await.unwrap();
    let rooms: Vec<_> = first.iter().chain(&rest).map(|(_, result)| result.job_id.as_str().to_owned()).collect();
    assert_eq!(rooms, ["id-0", "id-1", "id-2"]);
    queue.finish_sweep(&sweep.tag).await.unwrap();
    assert_eq!(queue.sweep("digest").await.unwrap(), None);
}

#[tokio::test]
async fn a_new_sweep_takes_the_place_of_an_unfinished_one_of_the_same_content() {
    let folder = Folder::new();
    let queue = folder.open(Part::Sender).await;
    let other = queue.begin_sweep("other", &jobs(2)).await.unwrap();
    let first = queue.begin_sweep("digest", &jobs(3)).await.unwrap();
    let second = queue.begin_sweep("digest", &jobs(5)).await.unwrap();
    assert_ne!(first.tag, second.tag);
    for (sweep, open) in [(&other, 2), (&first, 0), (&second, 5)] {
        assert_eq!(queue.tally(&sweep.tag).await.unwrap().open, open, "{sweep:?}");
    }
    assert_eq!(queue.sweep("digest").await.unwrap().map(|found| found.tag), Some(second.tag));
}

#[tokio::test]
async fn an_enqueueing_that_is_given_up_leaves_nothing() {
    let folder = Folder::new();
    let queue = folder.open(Part::Sender).await;
    let given_up = timeout(Duration::from_millis(5), queue.enqueue(&jobs(50_000), Some("tag"))).await;
    assert!(given_up.is_err());
    let beside = folder.open(Part::Beside).await;
    beside.enqueue(&jobs(1), Some("tag")).await.expect("it keeps nobody from writing");
    queue.enqueue(&jobs(1), Some("tag")).await.unwrap();
    assert_eq!(queue.tally("tag").await.unwrap().open, 2);
}

#[tokio::test]
async fn a_hundred_thousand_jobs_fit() {
    let folder = Folder::new();
    let queue = folder.open(Part::Sender).await;
    queue.enqueue(&jobs(100_000), Some("tag")).await.unwrap();
    assert_eq!(queue.tally("tag").await.unwrap().open, 100_000);
    assert_eq!(id(&take(&mut *lanes(&queue).await).await), "id-0");
}
