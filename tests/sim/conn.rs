//! One worker's connection, which the queue and the worker may give up at different moments.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use roomsweep::adapters::memory::MemoryBroker;
use roomsweep::ports::broker::{Broker, BrokerError, Delivery, Message};
use tokio::sync::watch;

use super::world::{WorkerId, World};

/// How much of a connection is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Link {
    Whole,
    /// The queue has given it up and its worker does not know.
    Severed,
    Gone,
}

pub struct Conn {
    pub id: u64,
    pub worker: WorkerId,
    pub inner: MemoryBroker,
    link: watch::Sender<Link>,
    /// What was handed out and is not ended.
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    out: BTreeMap<u64, Out>,
}

pub struct Out {
    pub delivery: Delivery,
    /// As it was before anybody looked at it.
    pub original: Message,
}

impl Conn {
    pub fn new(id: u64, worker: WorkerId, inner: MemoryBroker) -> Arc<Self> {
        Arc::new(Self { id, worker, inner, link: watch::channel(Link::Whole).0, table: Mutex::default() })
    }

    /// Notes what is handed out; it is kept under the number that is returned.
    pub fn keep(&self, out: Out) -> u64 {
        let mut table = self.table();
        table.next += 1;
        let key = table.next;
        table.out.insert(key, out);
        key
    }

    /// None once the queue has it again.
    pub fn take(&self, key: u64) -> Option<Out> {
        self.table().out.remove(&key)
    }

    pub fn original(&self, key: u64) -> Option<Message> {
        self.table().out.get(&key).map(|out| out.original.clone())
    }

    pub fn is_whole(&self) -> bool {
        *self.link.borrow() == Link::Whole
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap()
    }

    /// The connection is over: its jobs are free again at once, its worker sees it after `notice`.
    pub fn cut(self: &Arc<Self>, world: &Arc<World>, notice: Duration) {
        if self.is_whole() {
            world.note(format_args!("c{} of w{} is cut, seen in {notice:?}", self.id, self.worker));
            self.link.send_replace(Link::Severed);
            let out = std::mem::take(&mut self.table().out);
            for (_, out) in out {
                came_free(world, &out);
            }
            self.inner.close().now_or_never();
            let mut state = world.state();
            state.leads.retain(|_, conn| *conn != self.id);
            state.last_cut = world.clock.elapsed();
        }
        if notice.is_zero() {
            self.link.send_replace(Link::Gone);
        } else if *self.link.borrow() == Link::Severed {
            let conn = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(notice).await;
                conn.link.send_replace(Link::Gone);
            });
        }
    }

    /// Resolves when the worker sees that the connection is gone.
    pub async fn gone(&self) -> BrokerError {
        let _ = self.link.subscribe().wait_for(|link| *link == Link::Gone).await;
        BrokerError::Lost("cut".into())
    }
}

pub fn job_id(message: &Message) -> String {
    message.message_id.clone().unwrap_or_default()
}

/// The attempts of a job that comes before new ones; none where it goes behind them.
pub fn attempts(message: &Message) -> u32 {
    let first = message.progress.as_ref().filter(|progress| progress.goes_first());
    first.map_or(0, |progress| progress.attempts)
}

/// So often may a job go back as it was: a broker would give it up in the end.
const MOST_GIVEN_BACK: usize = 40;

/// A job goes back over a connection that is whole.
pub fn given_back(world: &World, conn: &Conn, job: &str) {
    if !conn.is_whole() {
        return;
    }
    let times = {
        let mut state = world.state();
        let times = state.given_back.entry(job.to_owned()).or_default();
        *times += 1;
        *times
    };
    if times == MOST_GIVEN_BACK {
        world.fault(format!("{job} went back to its queue {times} times"));
    }
}

/// A tried job is back in its queue as it was.
pub fn came_free(world: &World, out: &Out) {
    if let (Some(lane), 1..) = (&out.delivery.origin, attempts(&out.original)) {
        let now = world.now();
        world.state().tried.push((lane.clone(), job_id(&out.original), attempts(&out.original), now));
    }
}

/// A call to the queue, which may be the last one.
pub async fn call(world: &Arc<World>, conn: &Arc<Conn>) -> Result<(), BrokerError> {
    if world.mishap(world.plan.cuts) {
        conn.cut(world, world.up_to(world.plan.notice));
    }
    if conn.is_whole() { Ok(()) } else { Err(conn.gone().await) }
}
