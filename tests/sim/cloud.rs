//! The providers' side: what a cloud does with a request, and when.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, StatusCode};
use roomsweep::ports::clock::Clock;
use roomsweep::ports::transport::{Transport, TransportError};
use roomsweep::provider::{Call, Reply};
use serde_json::json;
use tokio::sync::oneshot;

use super::plan::{Answer, CloudPlan, Dialect, MS, Phase, SECOND};
use super::world::{Seen, WorkerId, World};

/// A worker's way to one cloud.
pub struct Cloud {
    pub world: Arc<World>,
    pub worker: WorkerId,
    /// The worker's own.
    pub clock: Clock,
    pub index: usize,
}

/// What befalls a request on the way.
#[derive(PartialEq, Eq)]
enum Way {
    Open,
    NoConnection,
    Lost,
    Silent,
}

#[async_trait]
impl Transport for Cloud {
    async fn send(&self, call: Call, timeout: Duration, written: oneshot::Sender<()>) -> Result<Reply, TransportError> {
        let room = String::from_utf8_lossy(&call.body).into_owned();
        self.may_send(&room);
        let sent = tokio::time::timeout(timeout, self.exchange(&room, written)).await;
        let (answer, reply) = match sent {
            Ok(Ok((answer, reply))) => (Some(answer), Ok(reply)),
            Ok(Err(error)) => (None, Err(error)),
            Err(_) => (None, Err(TransportError::Timeout(timeout))),
        };
        self.world.note(format_args!("w{} {room} came back: {answer:?}", self.worker));
        reply
    }
}

impl Cloud {
    fn plan(&self) -> &CloudPlan {
        &self.world.plan.clouds[self.index]
    }

    fn phase(&self, now: Duration) -> Option<Phase> {
        self.plan().phases.iter().find(|(from, to, _)| (*from..*to).contains(&now)).map(|(.., phase)| *phase)
    }

    /// What must hold whenever a request goes out.
    fn may_send(&self, room: &str) {
        let (world, now) = (&self.world, self.world.now());
        let job = world.job(room);
        world.note(format_args!("w{} {room} sent to {}", self.worker, self.plan().name));
        if job.cloud != self.index {
            world.fault(format!("{room} was sent to {}", self.plan().name));
        }
        let wall = self.clock.now();
        if job.not_before.is_some_and(|start| wall < World::wall(start)) {
            world.fault(format!("{room} was sent before {:?}", job.not_before));
        }
        if job.expires_at.is_some_and(|end| wall >= World::wall(end)) {
            world.fault(format!("{room} was sent although it expired at {:?}", job.expires_at));
        }
        let picked = world.state().picked.get(&job.id).copied();
        if picked.is_none_or(|(_, at)| at != now) {
            world.fault(format!("{room} was picked at {picked:?} but sent later: an urgent job may have come"));
        }
    }

    /// Operators are obeyed within two seconds, however long a connection is in opening.
    fn may_write(&self, room: &str) {
        const SOON: Duration = Duration::from_secs(2);
        let (world, now) = (&self.world, self.world.now());
        let cancelled = world.cancelled(world.job(room));
        if cancelled.is_some_and(|at| at + SOON < now) {
            world.fault(format!("{room} was sent although its batch was cancelled at {cancelled:?}"));
        }
        let is_paused =
            |(from, to, index): &(Duration, Duration, usize)| *index == self.index && *from + SOON < now && now < *to;
        if let Some((from, ..)) = world.plan.pauses.iter().find(|pause| is_paused(pause)) {
            world.fault(format!("{room} was sent to {} although it was paused at {from:?}", self.plan().name));
        }
    }

    async fn exchange(&self, room: &str, written: oneshot::Sender<()>) -> Result<(Answer, Reply), TransportError> {
        let (world, plan) = (&self.world, self.plan());
        let way = self.way();
        let calm = if world.faults_go_on() { Duration::MAX } else { plan.timeout / 4 };
        tokio::time::sleep(world.up_to(plan.connect).min(calm)).await;
        if way == Way::NoConnection {
            return Err(TransportError::Connect("refused".into()));
        }
        self.may_write(room);
        if written.send(()).is_err() {
            world.fault(format!("nobody waits for {room} to be written"));
        }
        let arrival = world.now() + world.up_to(plan.max_transit);
        let (index, answer) = self.arrive(room, arrival);
        let processing = match world.one_of(8) {
            0 => world.up_to(plan.slowest),
            _ => world.up_to(plan.usual),
        };
        let processing = processing.min(calm);
        match way {
            Way::Lost => {
                tokio::time::sleep(world.up_to(SECOND)).await;
                return Err(TransportError::Lost("reset".into()));
            }
            Way::Silent => std::future::pending().await,
            Way::Open | Way::NoConnection => {}
        }
        world.clock.sleep_until(arrival + processing + MS).await;
        let id = format!("q{index}");
        let reply = reply(plan.dialect, answer, &id);
        let mut state = world.state();
        let seen = &mut state.arrivals[index];
        seen.told = Some(world.clock.elapsed());
        seen.id = (!matches!(answer, Answer::Unreadable | Answer::Forbidden)).then_some(id);
        Ok((answer, reply))
    }

    fn way(&self) -> Way {
        let world = &self.world;
        match self.phase(world.now()) {
            Some(Phase::Unreachable) => return Way::NoConnection,
            Some(Phase::Silent) => return Way::Silent,
            Some(Phase::Failing | Phase::Throttling | Phase::Refusing | Phase::Misconfigured) | None => {}
        }
        if !world.mishap(self.plan().trouble) {
            return Way::Open;
        }
        match world.one_of(3) {
            0 => Way::NoConnection,
            1 => Way::Lost,
            _ => Way::Silent,
        }
    }

    /// The request is there: what the cloud makes of it.
    fn arrive(&self, room: &str, at: Duration) -> (usize, Answer) {
        let phase = self.phase(at).map(|phase| match phase {
            Phase::Failing | Phase::Unreachable | Phase::Silent => Answer::Failed,
            Phase::Throttling => Answer::Throttled { retry_after: None },
            Phase::Refusing => Answer::Refused,
            Phase::Misconfigured => Answer::Misconfigured,
        });
        let job = self.world.job(room);
        let mut state = self.world.state();
        let answer = phase.unwrap_or_else(|| {
            let said = state.said.entry(room.to_owned()).or_default();
            *said += 1;
            match job.first.get(*said - 1) {
                Some(first) => *first,
                None if job.last == Answer::Dismissed && *said > job.first.len() + 1 => Answer::Gone,
                None => job.last,
            }
        });
        let conn = state.picked.get(&job.id).map_or(0, |(conn, _)| *conn);
        let seen = Seen {
            cloud: self.index,
            room: room.to_owned(),
            worker: self.worker,
            conn,
            at,
            answer: Some(answer),
            told: None,
            id: None,
        };
        state.arrivals.push(seen);
        (state.arrivals.len() - 1, answer)
    }
}

pub fn reply(dialect: Dialect, answer: Answer, id: &str) -> Reply {
    let (status, code) = match dialect {
        Dialect::Volcengine => match answer {
            Answer::Dismissed => (200, None),
            Answer::Gone => (404, Some("RoomNotExist")),
            Answer::Failed => (500, Some("InternalError")),
            Answer::Unreadable => (502, None),
            Answer::Throttled { .. } => (429, Some("FlowLimitExceeded")),
            Answer::ThrottledInside200 => (200, Some("AccountFlowLimitExceeded")),
            Answer::Rejected => (400, Some("InvalidParameter.IllegalRoomID")),
            Answer::Refused => (401, Some("InvalidAccessKey")),
            Answer::Misconfigured => (404, Some("InvalidActionOrVersion")),
            Answer::Forbidden => (403, None),
        },
        Dialect::Huawei => match answer {
            Answer::Dismissed => (202, None),
            Answer::Gone => (404, Some("RTC.00001100")),
            Answer::Failed => (500, Some("RTC.00002000")),
            Answer::Unreadable => (502, None),
            Answer::Throttled { .. } | Answer::ThrottledInside200 => (429, Some("APIGW.0308")),
            Answer::Rejected => (400, Some("APIGW.0602")),
            Answer::Refused => (401, Some("APIGW.0303")),
            Answer::Misconfigured => (404, Some("APIGW.0101")),
            Answer::Forbidden => (403, None),
        },
    };
    let mut headers = HeaderMap::new();
    if let Answer::Throttled { retry_after: Some(seconds) } = answer {
        headers.insert("retry-after", seconds.into());
    }
    let body = match (dialect, answer, code) {
        (_, Answer::Unreadable | Answer::Forbidden, _) => "<html>".to_owned(),
        (Dialect::Volcengine, _, None) => json!({ "ResponseMetadata": { "RequestId": id } }).to_string(),
        (Dialect::Volcengine, _, Some(code)) => {
            json!({ "ResponseMetadata": { "RequestId": id, "Error": { "Code": code, "Message": "m" } } }).to_string()
        }
        (Dialect::Huawei, _, code) => {
            headers.insert("x-request-id", id.parse().unwrap());
            code.map_or(String::new(), |code| json!({ "error_code": code, "error_msg": "m" }).to_string())
        }
    };
    Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() }
}
