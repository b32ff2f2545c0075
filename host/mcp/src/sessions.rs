use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use certosa_model::{LogLevel, Subject};
use tokio::sync::Notify;

/// The sessions of older clients: bounded in number, ended by the client or by idling, and each good only
/// for the caller and the route that opened it.
pub(crate) struct Sessions {
    open: Mutex<HashMap<Box<str>, Session>>,
    sessions_max: usize,
    idle_max: Duration,
}

struct Session {
    caller: Subject,
    route: Box<str>,
    version: &'static str,
    log: LogLevel,
    used: Instant,
    /// Requests that are being answered, by the text of their ids.
    running: HashMap<Box<str>, Arc<Notify>>,
}

/// A session that may be used.
pub(crate) struct Open<'a> {
    sessions: &'a Sessions,
    id: Box<str>,
    pub version: &'static str,
    pub log: LogLevel,
}

/// A request that can be cancelled. It is forgotten when this is dropped.
pub(crate) struct Cancellable<'a> {
    session: &'a Open<'a>,
    id: Box<str>,
    cancel: Arc<Notify>,
}

/// Requests that one session may have running.
const RUNNING_MAX: usize = 1024;

impl Sessions {
    pub(crate) fn new(sessions_max: usize, idle_max: Duration) -> Self {
        Self { open: Mutex::default(), sessions_max, idle_max }
    }

    /// Opens a session and returns its id: 128 random bits.
    pub(crate) fn start(&self, caller: &Subject, route: &str, version: &'static str) -> Option<String> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).ok()?;
        let id = hex::encode(bytes);
        let now = Instant::now();
        let mut open = self.lock();
        if open.len() >= self.sessions_max {
            open.retain(|_, session| now.duration_since(session.used) < self.idle_max);
        }
        if open.len() >= self.sessions_max {
            let oldest = open.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| id.clone());
            oldest.and_then(|id| open.remove(&id));
        }
        let session = Session {
            caller: caller.clone(),
            route: route.into(),
            version,
            log: LogLevel::Info,
            used: now,
            running: HashMap::new(),
        };
        open.insert(id.as_str().into(), session);
        Some(id)
    }

    /// The session `id`, if it is there and belongs to this caller and route.
    pub(crate) fn resume(&self, id: &str, caller: &Subject, route: &str) -> Option<Open<'_>> {
        let mut open = self.lock();
        let session = open.get_mut(id).filter(|session| session.caller == *caller && &*session.route == route)?;
        if session.used.elapsed() >= self.idle_max {
            open.remove(id);
            return None;
        }
        session.used = Instant::now();
        Some(Open { sessions: self, id: id.into(), version: session.version, log: session.log })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open<'_> {
    pub(crate) fn end(self) {
        self.sessions.lock().remove(&self.id);
    }

    pub(crate) fn set_log(&self, level: LogLevel) {
        self.with(|session| session.log = level);
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

impl Cancellable<'_> {
    /// Comes back when the client cancels.
    pub(crate) async fn cancelled(&self) {
        self.cancel.notified().await;
    }
}

impl Drop for Cancellable<'_> {
    fn drop(&mut self) {
        self.session.with(|session| session.running.remove(&self.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ana() -> Subject {
        Subject::new("user/ana").unwrap()
    }

    #[test]
    fn a_session_belongs_to_its_caller_and_route() {
        let sessions = Sessions::new(10, Duration::from_secs(60));
        let id = sessions.start(&ana(), "/mcp", "2025-11-25").unwrap();
        assert_eq!(id.len(), 32);
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
        let ids: Vec<_> = (0..3).map(|_| sessions.start(&ana(), "/mcp", "2025-11-25").unwrap()).collect();
        assert_eq!(sessions.lock().len(), 2);
        assert!(sessions.resume(&ids[0], &ana(), "/mcp").is_none(), "the one idle for longest made room");
        assert!(sessions.resume(&ids[2], &ana(), "/mcp").is_some());
        std::thread::sleep(Duration::from_millis(60));
        assert!(sessions.resume(&ids[2], &ana(), "/mcp").is_none());
    }

    #[tokio::test]
    async fn a_running_request_can_be_cancelled_once() {
        let sessions = Sessions::new(2, Duration::from_secs(60));
        let id = sessions.start(&ana(), "/mcp", "2025-11-25").unwrap();
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
