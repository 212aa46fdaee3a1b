//! The queue in memory, with everything that can happen between it and a worker.

use std::sync::Arc;
use std::time::Duration;

use super::conn::{Conn, Out, attempts, call, job_id};
use super::plan::{MS, SECOND};
use super::receipt::SimReceipt;
use super::world::{WorkerId, World};
use async_trait::async_trait;
use bytes::Bytes;
use roomsweep::adapters::amqp;
use roomsweep::app::wire::{Access, OpenError};
use roomsweep::model::ids::ProviderName;
use roomsweep::model::job::Lane;
use roomsweep::ports::broker::{Broker, BrokerError, Delivery, JobSource, LaneKey, Lead, See};
use roomsweep::ports::fence::{Fence, Flow};
use roomsweep::ports::outcomes::{OutcomeSource, Unkept};

/// How a worker opens its connections.
pub struct SimAccess {
    pub world: Arc<World>,
    pub worker: WorkerId,
}

impl Access for SimAccess {
    fn kind(&self) -> &'static str {
        "simulated queue"
    }

    async fn open(&self) -> Result<Arc<dyn Broker>, OpenError> {
        let world = &self.world;
        tokio::time::sleep(world.up_to(50 * MS)).await;
        if world.now() < world.state().away_until || world.mishap(world.plan.cuts * 10.0) {
            world.note(format_args!("w{} finds no queue", self.worker));
            return Err(amqp::OpenError::Unreachable("away".into()).into());
        }
        let inner = world.queue.connect();
        let mut state = world.state();
        let id = state.conns.len() as u64 + 1;
        let conn = Conn::new(id, self.worker, inner);
        state.conns.push(conn.clone());
        drop(state);
        world.note(format_args!("w{} connected: c{id}", self.worker));
        Ok(Arc::new(SimBroker { world: world.clone(), conn }))
    }

    fn left(&self) {}
}

pub struct SimBroker {
    world: Arc<World>,
    conn: Arc<Conn>,
}

impl SimBroker {
    /// A call to the queue, which may be the last one.
    async fn call(&self) -> Result<(), BrokerError> {
        call(&self.world, &self.conn).await
    }
}

/// Hands a job to the worker, and keeps it for the case that the connection goes.
fn hand_out(world: &Arc<World>, conn: &Arc<Conn>, delivery: Delivery) -> Delivery {
    let (original, origin) = (delivery.message.clone(), delivery.origin.clone());
    let (id, tried) = (job_id(&original), attempts(&original));
    world.note(format_args!("w{} c{} has {id} from {origin:?}, attempts {tried}", conn.worker, conn.id));
    let now = world.now();
    let mut state = world.state();
    state.picked.insert(id.clone(), (conn.id, now));
    if let Some(place) = state.tried.iter().position(|(_, job, tries, _)| *job == id && *tries == tried) {
        state.tried.remove(place);
    }
    drop(state);
    let key = conn.keep(Out { delivery, original: original.clone() });
    let receipt = SimReceipt { world: world.clone(), conn: conn.clone(), key, job: id };
    Delivery::new(original, origin, Box::new(receipt))
}

/// A lane's best job must not leave a tried one behind that comes first. Copies of a job cannot be told apart.
fn best_first(world: &Arc<World>, best: &Delivery) {
    let Some(origin) = &best.origin else { return };
    let is_tried = attempts(&best.message) > 0;
    let (now, state) = (world.now(), world.state());
    let settled = state.last_cut + SECOND < now;
    let better = state.tried.iter().filter(|(_, job, ..)| !state.doubled.contains(job)).find(|(lane, _, _, since)| {
        let goes_first = lane.lane < origin.lane || (lane.lane == origin.lane && !is_tried);
        lane.provider == origin.provider && goes_first && *since + SECOND < now
    });
    let better = better.cloned();
    drop(state);
    if let Some(better) = better.filter(|_| settled) {
        world.fault(format!("{} of {origin} was picked before {better:?}", job_id(&best.message)));
    }
}

#[async_trait]
impl Broker for SimBroker {
    async fn intake(&self) -> Result<Box<dyn JobSource>, BrokerError> {
        self.call().await?;
        let inner = self.conn.inner.intake().await?;
        Ok(Box::new(SimSource { world: self.world.clone(), conn: self.conn.clone(), inner }))
    }

    async fn lanes(&self, provider: &ProviderName, prefetch: u16) -> Result<Box<dyn JobSource>, BrokerError> {
        self.call().await?;
        let inner = self.conn.inner.lanes(provider, prefetch).await?;
        Ok(Box::new(SimSource { world: self.world.clone(), conn: self.conn.clone(), inner }))
    }

    async fn pull(&self, provider: &ProviderName) -> Result<Option<Delivery>, BrokerError> {
        self.call().await?;
        let best = self.conn.inner.pull(provider).await?;
        Ok(best.map(|best| hand_out(&self.world, &self.conn, best)))
    }

    async fn lead(&self, provider: &ProviderName) -> Result<Option<Box<dyn Lead>>, BrokerError> {
        self.call().await?;
        let holder = *self.world.state().leads.entry(provider.as_str().to_owned()).or_insert(self.conn.id);
        if holder != self.conn.id {
            return Ok(None);
        }
        self.world.note(format_args!("w{} leads {provider}", self.conn.worker));
        let lead = SimLead { world: self.world.clone(), conn: self.conn.clone(), provider: provider.as_str().into() };
        Ok(Some(Box::new(lead)))
    }

    async fn has_lane(&self, lane: &LaneKey) -> Result<bool, BrokerError> {
        self.call().await?;
        self.conn.inner.has_lane(lane).await
    }

    async fn outcomes(&self) -> Result<Option<Box<dyn OutcomeSource>>, BrokerError> {
        self.call().await?;
        let inner = self.conn.inner.outcomes().await?;
        Ok(inner.map(|inner| Box::new(SimOutcomes { conn: self.conn.clone(), inner }) as Box<dyn OutcomeSource>))
    }

    async fn ready(&self, lane: &LaneKey) -> Result<u64, BrokerError> {
        self.call().await?;
        self.conn.inner.ready(lane).await
    }

    async fn deferred(&self) -> Result<u64, BrokerError> {
        self.call().await?;
        self.conn.inner.deferred().await
    }

    fn flow(&self) -> Flow {
        self.conn.inner.flow()
    }

    async fn prove(&self) -> Result<(), BrokerError> {
        self.call().await
    }

    async fn lost(&self) -> BrokerError {
        self.conn.gone().await
    }

    async fn close(&self) {
        self.conn.cut(&self.world, Duration::ZERO);
    }
}

struct SimLead {
    world: Arc<World>,
    conn: Arc<Conn>,
    provider: String,
}

#[async_trait]
impl Lead for SimLead {
    fn fence(&self) -> Fence {
        Fence::none()
    }

    async fn lost(&mut self) -> BrokerError {
        let changed = self.world.leads_changed.clone();
        loop {
            let holder = self.world.state().leads.get(&self.provider).copied();
            if self.conn.is_whole() && holder != Some(self.conn.id) {
                return BrokerError::Lost("lead lost".into());
            }
            tokio::select! {
                biased;
                error = self.conn.gone() => return error,
                () = changed.notified() => {}
            }
        }
    }
}

struct SimSource {
    world: Arc<World>,
    conn: Arc<Conn>,
    inner: Box<dyn JobSource>,
}

#[async_trait]
impl JobSource for SimSource {
    async fn ready(&mut self) -> Result<(), BrokerError> {
        call(&self.world, &self.conn).await?;
        tokio::select! {
            biased;
            error = self.conn.gone() => Err(error),
            ready = self.inner.ready() => match ready {
                Ok(()) => Ok(()),
                Err(_) => Err(self.conn.gone().await),
            }
        }
    }

    fn best(&mut self) -> Option<Delivery> {
        if !self.conn.is_whole() {
            return None;
        }
        let best = self.inner.best()?;
        let is_bulk = best.origin.as_ref().is_some_and(|origin| origin.lane == Lane::Bulk);
        if is_bulk && self.inner.held(Lane::Urgent) > 0 {
            self.world.fault(format!("{} was picked before an urgent one", job_id(&best.message)));
        }
        best_first(&self.world, &best);
        Some(hand_out(&self.world, &self.conn, best))
    }

    fn spare(&mut self) -> Option<Delivery> {
        let spare = self.conn.is_whole().then(|| self.inner.spare()).flatten()?;
        Some(hand_out(&self.world, &self.conn, spare))
    }

    fn look(&mut self, see: &mut See<'_>) {
        if self.conn.is_whole() {
            self.inner.look(see);
        }
    }

    fn held(&self, lane: Lane) -> usize {
        self.inner.held(lane)
    }

    async fn release_older_than(&mut self, age: Duration) -> Result<(), BrokerError> {
        self.inner.release_older_than(age).await
    }

    async fn stop(&mut self) -> Result<(), BrokerError> {
        self.inner.stop().await?;
        call(&self.world, &self.conn).await
    }
}

struct SimOutcomes {
    conn: Arc<Conn>,
    inner: Box<dyn OutcomeSource>,
}

#[async_trait]
impl OutcomeSource for SimOutcomes {
    async fn next(&mut self) -> Result<Vec<Bytes>, BrokerError> {
        match self.inner.next().await {
            Ok(group) => Ok(group),
            Err(_) => Err(self.conn.gone().await),
        }
    }

    async fn kept(&mut self, unkept: &[Unkept]) -> Result<(), BrokerError> {
        if !self.conn.is_whole() {
            return Err(self.conn.gone().await);
        }
        self.inner.kept(unkept).await
    }

    async fn stop(&mut self) -> Result<(), BrokerError> {
        self.inner.stop().await
    }
}
