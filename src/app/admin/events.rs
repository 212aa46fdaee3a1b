//! `/api/events`: how all stands, told whenever it changes. The ledger is asked once for all who listen.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::answers::unavailable;
use super::desk::Desk;
use super::server::Closing;
use super::snapshot::{self, Known};
use crate::ports::clock::Clock;

/// How many may listen: other requests are to find free connections.
pub(super) const SEATS: usize = 16;
/// Between two looks at what there is.
const BETWEEN: Duration = Duration::from_secs(1);
/// A ledger that is slow to answer is left alone for so many times as long.
const REST: u32 = 4;
/// After so long without news there is a sign of life: a page cannot see comments.
pub(super) const BEAT: Duration = Duration::from_secs(2);

type News = watch::Receiver<Option<Arc<str>>>;

/// Who listens, and the one task that looks while anybody does.
pub(super) struct Hub {
    feed: Mutex<Weak<Feed>>,
    seats: Arc<Semaphore>,
}

struct Feed {
    news: News,
    looking: JoinHandle<()>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self { feed: Mutex::default(), seats: Arc::new(Semaphore::new(SEATS)) }
    }
}

/// One who listens; whoever leaves last ends the looking.
struct Listener {
    clock: Clock,
    news: News,
    closing: Closing,
    said: Said,
    _feed: Arc<Feed>,
    _seat: OwnedSemaphorePermit,
}

#[derive(Clone, Copy)]
enum Said {
    Nothing,
    Something,
}

impl Hub {
    /// None while too many listen.
    fn listen(&self, desk: &Arc<Desk>, closing: Closing) -> Option<Listener> {
        let seat = self.seats.clone().try_acquire_owned().ok()?;
        let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = feed.upgrade().unwrap_or_else(|| {
            let (tell, news) = watch::channel(None);
            Arc::new(Feed { news, looking: tokio::spawn(look(desk.clone(), tell)) })
        });
        *feed = Arc::downgrade(&shared);
        let mut news = shared.news.clone();
        // What was told before is news to this one.
        news.mark_changed();
        Some(Listener {
            clock: desk.state.clock.clone(),
            news,
            closing,
            said: Said::Nothing,
            _feed: shared,
            _seat: seat,
        })
    }
}

/// Tells what changed each second. A ledger that is slow to answer holds up only what it knows itself.
async fn look(desk: Arc<Desk>, tell: watch::Sender<Option<Arc<str>>>) {
    let clock = &desk.state.clock;
    let known = Mutex::new(Known::first(&desk).await);
    let asking = async {
        let mut took = Duration::ZERO;
        loop {
            sleep(BETWEEN.max(took * REST)).await;
            let began = clock.elapsed();
            let seen = snapshot::look(&desk).await;
            took = clock.elapsed().saturating_sub(began);
            known.lock().unwrap_or_else(PoisonError::into_inner).take(&desk, seen);
        }
    };
    let telling = async {
        let mut last = None;
        loop {
            let snapshot = known.lock().unwrap_or_else(PoisonError::into_inner).snapshot(&desk);
            if last.as_ref() != Some(&snapshot) {
                let json = serde_json::to_string(&snapshot).expect("texts and numbers can be written as JSON");
                tell.send_replace(Some(json.into()));
                last = Some(snapshot);
            }
            sleep(BETWEEN).await;
        }
    };
    tokio::join!(asking, telling);
}

pub(super) async fn listen(State(desk): State<Arc<Desk>>, Extension(closing): Extension<Closing>) -> Response {
    let Some(listener) = desk.hub.listen(&desk, closing) else {
        return unavailable("too many listen already: close a page, or ask /api/status and its neighbours");
    };
    let events = unfold(listener, async |mut listener| {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(Box::pin(events))).into_response()
}

impl Listener {
    /// None when it is over: the page comes back by itself.
    async fn next(&mut self) -> Option<Bytes> {
        if let Said::Nothing = std::mem::replace(&mut self.said, Said::Something) {
            return Some(Bytes::from_static(b"retry: 1000\n\n"));
        }
        loop {
            tokio::select! {
                biased;
                () = self.closing.closed() => return None,
                changed = self.news.changed() => {
                    changed.ok()?;
                    if let Some(json) = self.news.borrow_and_update().as_deref() {
                        return Some(event("snapshot", self.clock.now(), &json[1..]));
                    }
                }
                () = sleep(BEAT) => return Some(event("beat", self.clock.now(), "}")),
            }
        }
    }
}

/// `at` is when it is told: a change that came before is how all stands still. `rest` is what follows it in the object.
fn event(name: &str, at: Timestamp, rest: &str) -> Bytes {
    let comma = if rest == "}" { "" } else { "," };
    format!("event: {name}\ndata: {{\"at\":\"{at}\"{comma}{rest}\n\n").into()
}
