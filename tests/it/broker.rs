//! The contract of the broker seam: the same rules for every queue that stands behind it.

mod rules;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lapin::BasicProperties;
use roomsweep::adapters::amqp::topology::{LedgerQueue, Outcomes, ResultsQueue, Wanted};
use roomsweep::adapters::amqp::{AmqpBroker, Doubts, OnAlarm, Settings};
use roomsweep::adapters::memory::MemoryQueue;
use roomsweep::adapters::sqlite::{Part, SqliteQueue};
use roomsweep::model::decode::decode;
use roomsweep::model::ids::{JobId, ProviderName};
use roomsweep::model::secret::Secret;
use roomsweep::ports::broker::{Broker, LaneKey};
use roomsweep::ports::clock::{Clock, WallOffset};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use crate::edges_rig::{SOON, job};
use crate::support::rabbit::{Namespace, Published, URL};

/// Providers whose lanes are there.
const PROVIDERS: [&str; 2] = ["volcengine", "huawei"];

/// A queue of one test's own, with the ways in and out that are not the worker's.
#[async_trait]
trait House: Sync {
    /// A connection of its own each time, as another replica has.
    async fn open(&self) -> Arc<dyn Broker>;

    /// Puts a job into a lane, behind those that are there.
    async fn put(&self, broker: &Arc<dyn Broker>, lane: &LaneKey, room: &str);

    /// Takes the next results out: how each is filed, and its body. Panics if they do not come.
    async fn results(&self, many: usize) -> Vec<(String, Vec<u8>)>;

    /// Likewise the dead letters.
    async fn dead(&self, many: usize) -> Vec<(String, Vec<u8>)>;

    /// The wall clock of whoever opened the queue.
    fn wall(&self) -> &WallClock;
}

/// A wall clock that shows the right time until somebody sets it.
struct WallClock {
    clock: Clock,
    offset: WallOffset,
}

impl WallClock {
    fn right() -> Self {
        let offset = WallOffset::default();
        Self { clock: Clock::set_by(Clock::system().now(), offset.clone()), offset }
    }
}

struct RabbitMq(Namespace, WallClock);

impl RabbitMq {
    async fn new() -> Self {
        Self(Namespace::new(&PROVIDERS).await, WallClock::right())
    }

    /// Puts a job into the intake, as a producer does.
    async fn submit(&self, body: &[u8], message_id: &str) {
        let properties = BasicProperties::default().with_message_id(message_id.into());
        let published = self.0.publish("", &self.0.of("jobs"), body, properties).await;
        assert_eq!(published, Published::Confirmed);
    }

    async fn take(&self, queue: &str, many: usize) -> Vec<(String, Vec<u8>)> {
        let queue = self.0.of(queue);
        let taken = self.0.drain(&queue, many, SOON).await;
        assert_eq!((taken.len(), self.0.depth(&queue).await), (many, Some(0)), "{queue}");
        taken.into_iter().map(|message| (message.routing_key, message.body)).collect()
    }
}

#[async_trait]
impl House for RabbitMq {
    async fn open(&self) -> Arc<dyn Broker> {
        let settings = Settings {
            url: Secret::new(URL),
            ca: None,
            namespace: self.0.name().to_owned(),
            client_name: "contract".to_owned(),
            on_alarm: OnAlarm::Wait,
            doubts: Doubts::default(),
        };
        let providers = PROVIDERS.iter().map(|name| ProviderName::parse(*name).unwrap()).collect();
        let outcomes = Outcomes { results: ResultsQueue::Kept { max_bytes: None }, ledger: LedgerQueue::Absent };
        let broker = AmqpBroker::open(&settings, &Wanted { providers, outcomes: Some(outcomes) }).await;
        Arc::new(broker.expect("a broker"))
    }

    /// By the way of the intake.
    async fn put(&self, broker: &Arc<dyn Broker>, lane: &LaneKey, room: &str) {
        let mut intake = broker.intake().await.unwrap();
        self.submit(&job("volcengine", room), room).await;
        rules::take(&mut *intake).await.forward(lane).await.unwrap();
        intake.stop().await.unwrap();
    }

    async fn results(&self, many: usize) -> Vec<(String, Vec<u8>)> {
        self.take("results", many).await
    }

    async fn dead(&self, many: usize) -> Vec<(String, Vec<u8>)> {
        self.take("dead", many).await
    }

    fn wall(&self) -> &WallClock {
        &self.1
    }
}

/// Runs every rule over one implementation.
macro_rules! keeps {
    ($house:ty: $($rule:ident)*) => {
        $(
            #[tokio::test]
            async fn $rule() {
                rules::$rule(&<$house>::new().await).await;
            }
        )*
    };
}

/// A file, and a process beside the sender that puts jobs in and looks.
struct Sqlite {
    path: PathBuf,
    beside: SqliteQueue,
    /// How many results and dead letters were looked at before.
    seen: Mutex<HashMap<&'static str, usize>>,
    wall: WallClock,
    _directory: TempDir,
}

impl Sqlite {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue.db");
        let beside = SqliteQueue::open(&path, Part::Beside, Clock::system()).await.expect("a file");
        Self { path, beside, seen: Mutex::default(), wall: WallClock::right(), _directory: directory }
    }

    async fn take(&self, table: &'static str, column: &str, many: usize) -> Vec<(String, Vec<u8>)> {
        let mut file = SqliteConnectOptions::new().filename(&self.path).connect().await.unwrap();
        let all = format!("SELECT provider || '.' || outcome, CAST({column} AS BLOB) FROM {table} ORDER BY seq");
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(&all).fetch_all(&mut file).await.unwrap();
        let mut seen = self.seen.lock().unwrap();
        let seen = seen.entry(table).or_default();
        let new = rows[*seen..].to_vec();
        *seen = rows.len();
        assert_eq!(new.len(), many, "{table}");
        new
    }
}

#[async_trait]
impl House for Sqlite {
    async fn open(&self) -> Arc<dyn Broker> {
        let clock = self.wall.clock.clone();
        Arc::new(SqliteQueue::open(&self.path, Part::Sender, clock).await.expect("the file"))
    }

    async fn put(&self, _broker: &Arc<dyn Broker>, lane: &LaneKey, room: &str) {
        let mut job = decode(&job("volcengine", room), &JobId::parse(room).unwrap()).unwrap();
        job.lane = lane.lane;
        self.beside.enqueue(&[job], None).await.unwrap();
    }

    async fn results(&self, many: usize) -> Vec<(String, Vec<u8>)> {
        self.take("result", "json", many).await
    }

    async fn dead(&self, many: usize) -> Vec<(String, Vec<u8>)> {
        self.take("dead", "body", many).await
    }

    fn wall(&self) -> &WallClock {
        &self.wall
    }
}

mod rabbitmq {
    use super::{RabbitMq, job, rules};

    keeps! { RabbitMq:
        a_forwarded_job_reaches_its_lane_as_it_was_sent
        retries_go_before_new_jobs_and_urgent_before_bulk
        a_job_that_goes_last_comes_back_behind_those_that_wait
        a_deferred_job_comes_back_when_it_is_due_with_its_progress
        a_deferred_job_waits_what_was_decided_however_clocks_are_set
        what_is_at_hand_goes_on_waiting
        a_settled_job_has_its_result_and_is_gone
        a_released_job_comes_back_untouched
        a_stopped_source_gives_back_what_it_holds_and_no_more
        a_dropped_delivery_comes_back_when_the_connection_ends
        what_is_held_too_long_goes_back
        a_probe_takes_the_job_that_is_missed_least_and_no_other
        one_leads_at_a_time_and_the_next_one_when_it_leaves
        what_waits_is_counted_and_what_is_in_hand_is_not
        only_lanes_that_are_there_are_known
        a_closed_connection_gives_nothing_more
    }

    #[tokio::test]
    async fn the_intake_hands_out_what_was_sent_and_from_no_lane() {
        let house = RabbitMq::new().await;
        let broker = super::House::open(&house).await;
        let body = [b"\n ".as_slice(), &job("volcengine", "a")].concat();
        house.submit(&body, "the-id").await;
        let mut intake = broker.intake().await.unwrap();
        let delivery = rules::take(&mut *intake).await;
        assert_eq!((&delivery.origin, &delivery.message.progress), (&None, &None));
        assert_eq!((&delivery.message.body[..], delivery.message.message_id.as_deref()), (&body[..], Some("the-id")));
        assert!(intake.best().is_none(), "it is there once");
    }
}

/// A queue in memory.
struct Memory(MemoryQueue, WallClock);

impl Memory {
    async fn new() -> Self {
        let providers = PROVIDERS.map(|name| ProviderName::parse(name).unwrap()).to_vec();
        let wall = WallClock::right();
        Self(MemoryQueue::new(providers, wall.clock.clone()), wall)
    }
}

#[async_trait]
impl House for Memory {
    async fn open(&self) -> Arc<dyn Broker> {
        Arc::new(self.0.connect())
    }

    async fn put(&self, _broker: &Arc<dyn Broker>, lane: &LaneKey, room: &str) {
        self.0.put(Some(lane.clone()), job("volcengine", room), Some(room.to_owned()));
    }

    async fn results(&self, many: usize) -> Vec<(String, Vec<u8>)> {
        let results = self.0.results();
        assert_eq!(results.len(), many);
        results
    }

    async fn dead(&self, many: usize) -> Vec<(String, Vec<u8>)> {
        let dead = self.0.dead();
        assert_eq!(dead.len(), many);
        dead
    }

    fn wall(&self) -> &WallClock {
        &self.1
    }
}

mod memory {
    use super::{Memory, rules};

    keeps! { Memory:
        a_forwarded_job_reaches_its_lane_as_it_was_sent
        retries_go_before_new_jobs_and_urgent_before_bulk
        a_job_that_goes_last_comes_back_behind_those_that_wait
        a_deferred_job_comes_back_when_it_is_due_with_its_progress
        a_deferred_job_waits_what_was_decided_however_clocks_are_set
        what_is_at_hand_goes_on_waiting
        a_settled_job_has_its_result_and_is_gone
        a_released_job_comes_back_untouched
        a_stopped_source_gives_back_what_it_holds_and_no_more
        a_dropped_delivery_comes_back_when_the_connection_ends
        what_is_held_too_long_goes_back
        a_probe_takes_the_job_that_is_missed_least_and_no_other
        one_leads_at_a_time_and_the_next_one_when_it_leaves
        what_waits_is_counted_and_what_is_in_hand_is_not
        only_lanes_that_are_there_are_known
        a_closed_connection_gives_nothing_more
    }
}

mod sqlite {
    use super::{Sqlite, rules};

    // One sender has the whole file: there is no second one to lead, and no lane that only another one knows.
    keeps! { Sqlite:
        a_forwarded_job_reaches_its_lane_as_it_was_sent
        retries_go_before_new_jobs_and_urgent_before_bulk
        a_job_that_goes_last_comes_back_behind_those_that_wait
        a_deferred_job_comes_back_when_it_is_due_with_its_progress
        a_deferred_job_waits_what_was_decided_however_clocks_are_set
        what_is_at_hand_goes_on_waiting
        a_settled_job_has_its_result_and_is_gone
        a_released_job_comes_back_untouched
        a_stopped_source_gives_back_what_it_holds_and_no_more
        a_dropped_delivery_comes_back_when_the_connection_ends
        what_is_held_too_long_goes_back
        a_probe_takes_the_job_that_is_missed_least_and_no_other
        what_waits_is_counted_and_what_is_in_hand_is_not
        a_closed_connection_gives_nothing_more
    }
}
