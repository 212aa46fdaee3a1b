//! What the sandbox saw: every request once, in the order of arrival, whatever became of it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::clock;
use super::quota::{Admission, Quota};
use super::record::{self, Action, Cloud, Kind, Record, RoomCount};
use super::settings::Settings;
use super::stats::{self, Stats, Tally};

pub(super) struct Ledger {
    origin: Instant,
    book: Mutex<Book>,
    log: Mutex<Option<File>>,
}

struct Book {
    since: Timestamp,
    /// Number of the next request.
    next: u64,
    /// Requests before this number arrived before the last reset.
    reset: u64,
    records: VecDeque<Record>,
    remember: usize,
    rooms: HashMap<(Cloud, String, String), RoomCount>,
    rooms_forgotten: u64,
    quotas: BTreeMap<Action, Quota>,
    clouds: BTreeMap<Cloud, Tally>,
    actions: BTreeMap<Action, Tally>,
    connections: u64,
}

/// One request in hand. It was counted when this was made; dropping it, for whatever reason, closes its record.
pub(super) struct Ticket {
    ledger: Arc<Ledger>,
    record: Record,
    room: Option<(Cloud, String, String)>,
    /// By the wall clock, for judging the dates of signatures.
    pub now: Timestamp,
    /// Since the sandbox started.
    pub arrived: Duration,
    pub admission: Admission,
}

impl Ledger {
    pub(super) fn open(settings: &Settings) -> io::Result<Self> {
        let append = |path| File::options().create(true).append(true).open(path);
        let log = settings.log.as_ref().map(append).transpose()?;
        let limits = settings.quotas;
        let quotas = [
            (Action::DismissRoom, limits.dismiss_room),
            (Action::BanRoomUser, limits.ban_room_user),
            (Action::RemoveRoom, limits.huawei),
        ];
        let book = Book {
            since: clock::wall(),
            next: 1,
            reset: 1,
            records: VecDeque::new(),
            remember: settings.remember.max(1),
            rooms: HashMap::new(),
            rooms_forgotten: 0,
            quotas: quotas.map(|(action, limit)| (action, Quota::new(limit))).into(),
            clouds: BTreeMap::new(),
            actions: BTreeMap::new(),
            connections: 0,
        };
        Ok(Self { origin: Instant::now(), book: Mutex::new(book), log: Mutex::new(log) })
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    pub(super) fn connect(&self) -> u64 {
        let mut book = self.book();
        book.connections += 1;
        book.connections
    }

    /// Counts a request the moment its head was read. `action` is None where the cloud knows no such action.
    pub(super) fn arrive(self: &Arc<Self>, cloud: Cloud, action: Option<Action>, connection: u64) -> Ticket {
        let mut book = self.book();
        // Read under the lock, so that times and numbers are in the same order.
        let arrived = self.origin.elapsed();
        let now = clock::wall();
        let nanos = u64::try_from(arrived.as_nanos()).unwrap_or(u64::MAX);
        let quota = action.and_then(|action| book.quotas.get_mut(&action));
        let admission = quota.map_or(Admission::Admitted, |quota| quota.admit(nanos));
        book.clouds.entry(cloud).or_default().arrive(nanos, admission);
        if let Some(action) = action {
            book.actions.entry(action).or_default().arrive(nanos, admission);
        }
        let number = book.next;
        book.next += 1;
        let record = Record {
            number,
            at: Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now),
            t_us: nanos / 1000,
            cloud,
            action,
            app_id: None,
            room_id: None,
            kind: Kind::Incomplete,
            status: None,
            fault: None,
            request_id: record::request_id(cloud, number, now, book.since),
            connection,
            answered: false,
        };
        book.records.push_back(record.clone());
        if book.records.len() > book.remember {
            book.records.pop_front();
        }
        Ticket { ledger: Arc::clone(self), record, room: None, now, arrived, admission }
    }

    pub(super) fn stats(&self) -> Stats {
        let book = self.book();
        let remembered = book.records.len() as u64;
        Stats {
            since: book.since,
            connections: book.connections,
            requests: book.next - book.reset,
            requests_forgotten: (book.next - book.reset).saturating_sub(remembered),
            rooms: book.rooms.len() as u64,
            rooms_forgotten: book.rooms_forgotten,
            clouds: stats::by_cloud(&book.clouds, &book.actions),
        }
    }

    /// The remembered requests from `number` on, in the order of arrival.
    pub(super) fn records(&self, from: u64) -> Vec<Record> {
        self.book().records.iter().filter(|record| record.number >= from).cloned().collect()
    }

    /// Sorted by cloud, application and room.
    pub(super) fn rooms(&self) -> Vec<RoomCount> {
        let mut rooms: Vec<_> = self.book().rooms.values().cloned().collect();
        rooms.sort_by(|a, b| (a.cloud, &a.app_id, &a.room_id).cmp(&(b.cloud, &b.app_id, &b.room_id)));
        rooms
    }

    /// Forgets all requests and rooms, so that counted faults begin anew; the quotas go on.
    pub(super) fn reset(&self) {
        let mut book = self.book();
        book.since = clock::wall();
        book.reset = book.next;
        book.records.clear();
        book.rooms.clear();
        book.rooms_forgotten = 0;
        book.clouds.clear();
        book.actions.clear();
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, record: &Record) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = log.as_mut()
            && let Err(error) = file.write_all(record.to_line().as_bytes())
        {
            tracing::error!(%error, "the sandbox's log cannot be written; nothing more goes into it");
            *log = None;
        }
    }
}

impl Book {
    fn tallies(&mut self, record: &Record) -> impl Iterator<Item = &mut Tally> {
        let cloud = self.clouds.get_mut(&record.cloud);
        let action = record.action.and_then(|action| self.actions.get_mut(&action));
        cloud.into_iter().chain(action)
    }

    fn is_current(&self, record: &Record) -> bool {
        record.number >= self.reset
    }

    fn amend(&mut self, record: &Record) {
        let first = self.records.front().map_or(u64::MAX, |first| first.number);
        let index = record.number.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        if let Some(kept) = index.and_then(|index| self.records.get_mut(index)) {
            kept.clone_from(record);
        }
    }
}

impl Ticket {
    pub(super) fn request_id(&self) -> &str {
        &self.record.request_id
    }

    /// Says what the request is about, as far as it can be read.
    pub(super) fn identify(&mut self, app: Option<String>, room: Option<String>) {
        if let (Some(app), Some(room)) = (&app, &room) {
            self.room = Some((self.record.cloud, app.clone(), room.clone()));
        }
        (self.record.app_id, self.record.room_id) = (app, room);
        self.count_room(|room| room.requests += 1);
    }

    /// Counts the request among those of its room that may meet a fault: 1 for the first.
    pub(super) fn nth_of_room(&mut self) -> u64 {
        let mut nth = 1;
        self.count_room(|room| {
            room.regular += 1;
            nth = room.regular;
        });
        nth
    }

    /// Notes what the cloud made of the request. It is not yet answered.
    pub(super) fn decide(&mut self, kind: Kind, status: Option<u16>, fault: Option<String>) {
        (self.record.kind, self.record.status, self.record.fault) = (kind, status, fault);
        match kind {
            Kind::Accepted => self.count_room(|room| room.accepted += 1),
            Kind::Throttled => self.count_room(|room| room.throttled += 1),
            _ => {}
        }
        self.ledger.book().amend(&self.record);
    }

    /// The answer was handed to the connection.
    pub(super) fn answered(mut self) {
        self.record.answered = true;
    }

    fn count_room(&mut self, count: impl FnOnce(&mut RoomCount)) {
        let Some(key) = &self.room else { return };
        let mut book = self.ledger.book();
        if !book.is_current(&self.record) {
            return;
        }
        if !book.rooms.contains_key(key) && book.rooms.len() >= book.remember {
            book.rooms_forgotten += 1;
            return;
        }
        let empty = || RoomCount::new(key.0, &key.1, &key.2);
        count(book.rooms.entry(key.clone()).or_insert_with(empty));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut book = self.ledger.book();
        if book.is_current(&self.record) {
            book.amend(&self.record);
            for tally in book.tallies(&self.record) {
                tally.close(self.record.kind, self.record.answered);
            }
        }
        drop(book);
        self.ledger.log(&self.record);
    }
}
