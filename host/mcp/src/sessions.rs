use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use certosa_model::{LogLevel, Subject};
use certosa_syscall::guest::Askable;
use tokio::sync::{Notify, oneshot, watch};

use crate::hub::Subscriptions;
use crate::rpc::{Response, quoted};
use crate::versions::Version;

/// The sessions of older clients: bounded in number, ended by the client or by idling, and each good only
/// for the caller and the route that opened it.
pub(crate) struct Sessions {
    open: Mutex<HashMap<Box<str>, Session>>,
    sessions_max: usize,
    idle_max: Duration,
    /// The name of this host, in front of every id: who balances load finds the way back by it.
    host: String,
    /// When sessions that idled for too long were last cleared away.
    swept: Mutex<Instant>,
}

struct Session {
    about: About,
    log: LogLevel,
    used: Instant,
    /// Requests that are being answered, by the text of their ids.
    running: HashMap<Box<str>, Arc<Notify>>,
    /// Questions that the client has not answered, by the text of their ids.
    asked: HashMap<Box<str>, oneshot::Sender<Result<String, String>>>,
    questions: u64,
    subscriptions: Subscriptions,
    /// Whoever holds a receiver learns when the session ends.
    alive: watch::Sender<()>,
}

/// What a session is for.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub caller: Subject,
    pub route: Box<str>,
    pub version: Version,
    pub askable: Askable,
}

/// A session that may be used.
pub(crate) struct Open<'a> {
    sessions: &'a Sessions,
    pub id: Box<str>,
    pub version: Version,
    pub askable: Askable,
    pub log: LogLevel,
}

/// A question that waits for the client's answer. It is forgotten when this is dropped.
pub(crate) struct Question<'a> {
    session: &'a Open<'a>,
    /// The text of its id.
    pub id: Box<str>,
    answer: oneshot::Receiver<Result<String, String>>,
}

/// A request that can be cancelled. It is forgotten when this is dropped.
pub(crate) struct Cancellable<'a> {
    session: &'a Open<'a>,
    id: Box<str>,
    cancel: Arc<Notify>,
}

/// Requests that one session may have running.
const RUNNING_MAX: usize = 1024;
/// Resources that one session, or one listening request, may subscribe to.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 1024;
/// What their addresses may come to, in one session.
const SUBSCRIPTIONS_BYTES_MAX: usize = 64 << 10;
const HOST_BYTES_MAX: usize = 32;
const SWEEP: Duration = Duration::from_secs(60);

impl Sessions {
    pub(crate) fn new(sessions_max: usize, idle_max: Duration) -> Self {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        let host: String = name.trim().chars().filter(plain).take(HOST_BYTES_MAX).collect();
        Self { open: Mutex::default(), sessions_max, idle_max, host, swept: Mutex::new(Instant::now()) }
    }

    /// How many there are that have not idled for too long.
    pub(crate) fn count(&self) -> usize {
        self.lock().values().filter(|session| !session.is_over(self.idle_max)).count()
    }

    /// Opens a session and returns its id: the name of the host and 128 random bits.
    pub(crate) fn start(&self, about: About) -> Option<String> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).ok()?;
        let id = format!("{}.{}", self.host, hex::encode(bytes));
        let now = Instant::now();
        let mut open = self.lock();
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= self.sessions_max || swept.elapsed() >= SWEEP {
            *swept = now;
            open.retain(|_, session| !session.is_over(self.idle_max));
        }
        if open.len() >= self.sessions_max {
            let idle = open.iter().filter(|(_, session)| session.running.is_empty());
            let oldest = idle.min_by_key(|(_, session)| session.used).map(|(id, _)| id.clone())?;
            open.remove(&oldest);
        }
        let session = Session {
            about,
            log: LogLevel::Info,
            used: now,
            running: HashMap::new(),
            asked: HashMap::new(),
            questions: 0,
            subscriptions: Subscriptions::default(),
            alive: watch::Sender::new(()),
        };
        open.insert(id.as_str().into(), session);
        Some(id)
    }

    /// The session `id`, if it is there and belongs to this caller and route.
    pub(crate) fn resume(&self, id: &str, caller: &Subject, route: &str) -> Option<Open<'_>> {
        let mut open = self.lock();
        let fits = |session: &&mut Session| session.about.caller == *caller && &*session.about.route == route;
        let session = open.get_mut(id).filter(fits)?;
        if session.is_over(self.idle_max) {
            open.remove(id);
            return None;
        }
        session.used = Instant::now();
        let About { version, askable, .. } = session.about;
        Some(Open { sessions: self, id: id.into(), version, askable, log: session.log })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Whether it idled for too long. What is being answered is no idling.
    fn is_over(&self, idle_max: Duration) -> bool {
        self.used.elapsed() >= idle_max && self.running.is_empty()
    }
}

impl Open<'_> {
    pub(crate) fn end(self) {
        self.sessions.lock().remove(&self.id);
    }

    pub(crate) fn set_log(&self, level: LogLevel) {
        self.with(|session| session.log = level);
    }

    pub(crate) fn subscriptions(&self) -> Subscriptions {
        self.with(|session| Arc::clone(&session.subscriptions)).unwrap_or_default()
    }

    /// Subscribes to a resource. Whether there was room for it.
    pub(crate) fn subscribe(&self, uri: &str) -> bool {
        let subscriptions = self.subscriptions();
        let mut subscribed: MutexGuard<'_, HashSet<String>> =
            subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = subscribed.iter().map(String::len).sum::<usize>() + uri.len();
        let fits =
            (subscribed.len() < SUBSCRIPTIONS_MAX && bytes <= SUBSCRIPTIONS_BYTES_MAX) || subscribed.contains(uri);
        if fits {
            subscribed.insert(uri.to_owned());
        }
        fits
    }

    pub(crate) fn unsubscribe(&self, uri: &str) {
        self.subscriptions().lock().unwrap_or_else(PoisonError::into_inner).remove(uri);
    }

    /// Something that ends when the session does; `None` if it has.
    pub(crate) fn alive(&self) -> Option<watch::Receiver<()>> {
        self.with(|session| session.alive.subscribe())
    }

    /// Says that the session is in use.
    pub(crate) fn touch(&self) {
        self.with(|session| session.used = Instant::now());
    }

    /// Prepares to ask the client something.
    pub(crate) fn question(&self) -> Option<Question<'_>> {
        let (sender, answer) = oneshot::channel();
        let id: Box<str> = self.with(|session| {
            session.questions += 1;
            let id: Box<str> = quoted(&format!("certosa-{}", session.questions)).into();
            session.asked.insert(id.clone(), sender);
            id
        })?;
        Some(Question { session: self, id, answer })
    }

    /// Takes the client's answer to a question. Whether there was such a question.
    pub(crate) fn answered(&self, response: Response) -> bool {
        let asked = self.with(|session| session.asked.remove(response.id.as_str())).flatten();
        asked.is_some_and(|asked| asked.send(response.result).is_ok())
    }

    /// Notes that the request `id` is being answered. `None` when one with this id already is.
    pub(crate) fn begin(&self, id: &str) -> Option<Cancellable<'_>> {
        let cancel = Arc::new(Notify::new());
        let begun = self.with(|session| {
            let fits = session.running.len() < RUNNING_MAX && !session.running.contains_key(id);
            fits.then(|| session.running.insert(id.into(), Arc::clone(&cancel)))
        });
        begun.flatten()?;
        Some(Cancellable { session: self, id: id.into(), cancel })
    }

    /// Cancels the request `id`, if it is being answered.
    pub(crate) fn cancel(&self, id: &str) {
        let running = self.with(|session| session.running.get(id).cloned());
        if let Some(cancel) = running.flatten() {
            cancel.notify_one();
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Session) -> T) -> Option<T> {
        self.sessions.lock().get_mut(&self.id).map(act)
    }
}

impl Question<'_> {
    /// The text of the client's result, or the message of its error. `None` when the session has ended.
    pub(crate) async fn answer(&mut self) -> Option<Result<String, String>> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.session.with(|session| session.asked.remove(&self.id));
    }
}

impl Cancellable<'_> {
    /// Comes back when the client cancels.
    pub(crate) async fn cancelled(&self) {
        self.cancel.notified().await;
    }
}

impl Drop for Cancellable<'_> {
    fn drop(&mut self) {
        self.session.with(|session| {
            session.running.remove(&self.id);
            // It was in use until now, however long that took.
            session.used = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ana() -> Subject {
        Subject::new("user/ana").unwrap()
    }

    fn start(sessions: &Sessions) -> String {
        let version = Version::V2025_11_25;
        sessions.start(About { caller: ana(), route: "/mcp".into(), version, askable: Askable::all() }).unwrap()
    }

    #[test]
    fn a_session_belongs_to_its_caller_and_route() {
        let sessions = Sessions::new(10, Duration::from_secs(60));
        let id = start(&sessions);
        let (host, random) = id.split_once('.').unwrap();
        assert_eq!((host, random.len()), (sessions.host.as_str(), 32));
        assert!(sessions.resume(&id, &ana(), "/mcp").is_some());
        assert!(sessions.resume(&id, &Subject::new("user/bob").unwrap(), "/mcp").is_none());
        assert!(sessions.resume(&id, &ana(), "/other").is_none());
        assert!(sessions.resume("guess", &ana(), "/mcp").is_none());
        sessions.resume(&id, &ana(), "/mcp").unwrap().end();
        assert!(sessions.resume(&id, &ana(), "/mcp").is_none());
    }

    #[test]
    fn sessions_are_bounded_and_expire() {
        let sessions = Sessions::new(2, Duration::from_millis(50));
        let ids: Vec<_> = (0..3).map(|_| start(&sessions)).collect();
        assert_eq!(sessions.lock().len(), 2);
        assert!(sessions.resume(&ids[0], &ana(), "/mcp").is_none(), "the one idle for longest made room");
        assert!(sessions.resume(&ids[2], &ana(), "/mcp").is_some());
        std::thread::sleep(Duration::from_millis(60));
        assert!(sessions.resume(&ids[2], &ana(), "/mcp").is_none());
    }

    #[tokio::test]
    async fn a_question_is_answered_once_and_ends_with_its_session() {
        let sessions = Sessions::new(2, Duration::from_secs(60));
        let id = start(&sessions);
        let session = sessions.resume(&id, &ana(), "/mcp").unwrap();
        let mut question = session.question().unwrap();
        let answer = || Response { id: question.id.to_string(), result: Ok("{}".to_owned()) };
        assert!(!session.answered(Response { id: "7".to_owned(), result: Ok(String::new()) }));
        let (first, second) = (answer(), answer());
        assert!(session.answered(first));
        assert!(!session.answered(second), "there is nothing more to answer");
        assert_eq!(question.answer().await, Some(Ok("{}".to_owned())));

        let mut question = session.question().unwrap();
        let mut alive = session.alive().unwrap();
        sessions.resume(&id, &ana(), "/mcp").unwrap().end();
        assert_eq!(question.answer().await, None);
        assert!(alive.changed().await.is_err());
    }

    #[test]
    fn a_session_with_a_running_request_is_not_the_one_that_makes_room() {
        let sessions = Sessions::new(1, Duration::from_secs(60));
        let id = start(&sessions);
        let session = sessions.resume(&id, &ana(), "/mcp").unwrap();
        let request = session.begin("1").unwrap();
        let about =
            About { caller: ana(), route: "/mcp".into(), version: Version::V2025_11_25, askable: Askable::all() };
        assert!(sessions.start(about.clone()).is_none());
        drop(request);
        assert!(sessions.start(about).is_some());
    }

    #[tokio::test]
    async fn a_running_request_can_be_cancelled_once() {
        let sessions = Sessions::new(2, Duration::from_secs(60));
        let id = start(&sessions);
        let session = sessions.resume(&id, &ana(), "/mcp").unwrap();
        let request = session.begin("7").unwrap();
        assert!(session.begin("7").is_none(), "ids are not reused while they run");
        session.cancel("8");
        session.cancel("7");
        request.cancelled().await;
        drop(request);
        assert!(session.begin("7").is_some());
    }
}
