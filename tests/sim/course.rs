//! The course of one run: jobs come, things happen, and in the end everything is settled.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use roomsweep::model::ids::{BatchId, ProviderName};
use roomsweep::model::job::Lane;
use roomsweep::model::ledger::Act;
use roomsweep::ports::broker::{LaneKey, Message, QueueEnding};
use roomsweep::ports::ledger::Ledger;
use serde_json::json;
use tokio::task::LocalSet;

use super::fleet::{self, Worker};
use super::judge;
use super::plan::{Event, Into, JobPlan, Kind, SECOND};
use super::world::{Notes, WorkerId, World};

/// What came of a seed.
pub struct Outcome {
    pub faults: Vec<String>,
    pub trace: Vec<String>,
    pub jobs: usize,
    pub requests: usize,
    pub lasted: Duration,
}

pub fn run(seed: u64, notes: Notes) -> Outcome {
    fleet::seed_jitter(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (world, results, dead) = LocalSet::new().block_on(&runtime, async {
        let world = World::new(seed, notes);
        let put = tokio::task::spawn_local(put_jobs(world.clone()));
        let operated = tokio::task::spawn_local(operate(world.clone()));
        let workers = happen(&world).await;
        put.await.unwrap();
        operated.await.unwrap();
        settle(&world, &workers).await;
        for worker in workers {
            worker.stop().await;
        }
        // What still sleeps here are the simulation's own tasks.
        tokio::time::sleep(20 * SECOND).await;
        let alive = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        if alive > 0 {
            world.fault(format!("{alive} tasks are left"));
        }
        let (results, dead) = (world.queue.results(), world.queue.dead());
        (world, results, dead)
    });
    let lasted = {
        let _inside = runtime.enter();
        world.now()
    };
    let verdict = judge::judge(&world, &results, &dead);
    let mut state = world.state();
    let mut faults = std::mem::take(&mut state.faults);
    faults.extend(verdict);
    let trace = std::mem::take(&mut state.trace);
    Outcome { faults, trace, jobs: world.plan.jobs.len(), requests: state.arrivals.len(), lasted }
}

async fn put_jobs(world: Arc<World>) {
    let mut jobs: Vec<&JobPlan> = world.plan.jobs.iter().collect();
    jobs.sort_by_key(|job| job.put);
    for job in jobs {
        world.clock.sleep_until(job.put).await;
        let (lane, message) = (lane(&world, job), message(&world, job));
        world.queue.put_message(lane, message);
    }
}

/// What operators do, in the order of time.
async fn operate(world: Arc<World>) {
    enum Does {
        Cancel(BatchId),
        Pause(ProviderName),
        Resume(ProviderName),
    }
    let cloud = |index: usize| ProviderName::parse(world.plan.clouds[index].name).unwrap();
    let cancels = world.plan.cancels.iter().map(|(at, batch)| (*at, Does::Cancel(BatchId::parse(batch).unwrap())));
    let pauses = world
        .plan
        .pauses
        .iter()
        .flat_map(|(from, to, index)| [(*from, Does::Pause(cloud(*index))), (*to, Does::Resume(cloud(*index)))]);
    let mut acts: Vec<(Duration, Does)> = cancels.chain(pauses).collect();
    acts.sort_by_key(|(at, _)| *at);
    for (at, does) in acts {
        world.clock.sleep_until(at).await;
        let act = Act { by: "operator".into(), why: None, at: world.clock.now() };
        match does {
            Does::Cancel(batch) => {
                world.note(format_args!("{batch} is cancelled"));
                world.ledger.cancel(&batch, &act).await.unwrap();
            }
            Does::Pause(provider) => {
                world.note(format_args!("{provider} is paused"));
                world.ledger.pause(&provider, &act).await.unwrap();
            }
            Does::Resume(provider) => {
                world.note(format_args!("{provider} is resumed"));
                world.ledger.resume(&provider).await.unwrap();
            }
        }
    }
}

fn lane(world: &World, job: &JobPlan) -> Option<LaneKey> {
    let provider = |index: usize| ProviderName::parse(world.plan.clouds[index].name).unwrap();
    let lane = if job.urgent { Lane::Urgent } else { Lane::Bulk };
    let other = if job.urgent { Lane::Bulk } else { Lane::Urgent };
    match job.into {
        Into::Intake => None,
        Into::Lane => Some(LaneKey { provider: provider(job.cloud), lane }),
        Into::OtherLane => Some(LaneKey { provider: provider((job.cloud + 1) % world.plan.clouds.len()), lane: other }),
    }
}

fn message(world: &World, job: &JobPlan) -> Message {
    let provider = if job.kind == Kind::UnknownProvider { "nobody" } else { world.plan.clouds[job.cloud].name };
    let mut body = json!({
        "provider": provider,
        "app_id": if job.kind == Kind::ForeignApp { "other" } else { "app" },
        "room_id": job.room,
        "job_id": job.id,
        "batch_id": job.batch(),
        "lane": if job.urgent { "urgent" } else { "bulk" },
    });
    if let Some(start) = job.not_before {
        body["not_before"] = World::wall(start).to_string().into();
    }
    if let Some(end) = job.expires_at {
        body["expires_at"] = World::wall(end).to_string().into();
    }
    let body = if job.kind == Kind::Garbage { format!("garbage {}", job.id) } else { body.to_string() };
    Message {
        body: body.into_bytes().into(),
        message_id: Some(job.id.clone()),
        correlation_id: None,
        reply_to: None,
        traceparent: None,
        progress: None,
        ended: (job.kind == Kind::Poison).then_some(QueueEnding::DeliveryLimit),
        unreadable: None,
    }
}

/// Starts the workers and does to them what the plan says.
async fn happen(world: &Arc<World>) -> Vec<Worker> {
    let mut last: WorkerId = world.plan.workers as WorkerId;
    let mut workers: Vec<Worker> = (1..=last).zip(0..).map(|(id, place)| Worker::start(world, id, place)).collect();
    for (at, event) in &world.plan.events {
        world.clock.sleep_until(*at).await;
        world.note(format_args!("{event:?}"));
        match *event {
            Event::Cut(place) => cut(world, |worker| worker == workers[place].id),
            Event::BrokerAway(pause) => {
                world.state().away_until = world.now() + pause;
                cut(world, |_| true);
            }
            Event::ResultsFull(pause) => world.state().full_until = world.now() + pause,
            Event::LeadLost(index) => {
                world.state().leads.remove(world.plan.clouds[index].name);
                world.leads_changed.notify_waiters();
            }
            Event::ClockSet(place, ahead) => world.offsets[place].set(SignedDuration::from_secs(ahead)),
            Event::Kill(place, pause) | Event::Stop(place, pause) => {
                let worker = workers.remove(place);
                match event {
                    Event::Kill(..) => worker.kill().await,
                    _ => worker.stop().await,
                }
                tokio::time::sleep(pause).await;
                last += 1;
                workers.insert(place, Worker::start(world, last, place));
            }
        }
    }
    workers
}

fn cut(world: &Arc<World>, of: impl Fn(WorkerId) -> bool) {
    let conns = world.state().conns.clone();
    for conn in conns.iter().filter(|conn| conn.is_whole() && of(conn.worker)) {
        conn.cut(world, world.up_to(world.plan.notice));
    }
}

/// Waits until nothing is left to do; that must not take longer than it has to.
async fn settle(world: &Arc<World>, workers: &[Worker]) {
    let mut looks = 0;
    while world.queue.open_jobs() > 0 {
        // The bound is not cheap to tell.
        looks += 1;
        if looks % 40 == 0 && world.now() > judge::latest(world) {
            let left = world.queue.open_jobs();
            world.fault(format!("{left} jobs are still not settled"));
            return;
        }
        tokio::time::sleep(SECOND / 4).await;
    }
    tokio::time::sleep(3 * SECOND).await;
    for worker in workers {
        if worker.is_over() {
            world.fault(format!("w{} has ended by itself", worker.id));
        }
        let in_flight = worker.in_flight();
        if in_flight != 0 {
            world.fault(format!("w{} shows {in_flight} requests on the wire", worker.id));
        }
    }
}
