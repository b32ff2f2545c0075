use std::collections::HashMap;
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use certosa_house::{House, Way};
use certosa_mcp::{Answer, Code, Exchange, Face, Message, SESSION_HEADER, rpc_error};
use certosa_policy::Caller;
use http::{HeaderMap, HeaderValue, Uri};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use crate::args::HouseArgs;
use crate::bridge;
use crate::cmd::tools::Who;
use crate::exit::Exit;
use crate::lines::{self, Line, Peek};
use crate::opening;

/// Answers one MCP client on standard input and output
///
/// For clients that start their servers as processes. The house is opened in this
/// process, with the same policy, limits and records as `certosa serve`; or, with --url,
/// every message goes on to a house that is running.
///
///   certosa stdio manifest.capnp
///   certosa stdio --url http://127.0.0.1:8787/mcp
///
/// Standard output carries messages only; what is for people goes to standard error.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Stdio {
    #[command(flatten)]
    house: HouseArgs,

    #[command(flatten)]
    who: Who,

    /// The address of a running house to pass messages on to.
    #[arg(long, value_name = "URL", conflicts_with_all = ["manifest", "state", "route", "caller"])]
    #[arg(value_parser = bridge::address)]
    url: Option<Uri>,

    /// A certificate authority to trust for an https address, in PEM.
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
}

pub fn run(args: &Stdio) -> anyhow::Result<Exit> {
    opening::runtime()?.block_on(async {
        if let Some(url) = &args.url {
            return bridge::run(url.clone(), args.ca.as_deref()).await;
        }
        let house = Arc::new(opening::open(opening::check(&args.house)?).await?);
        house.warnings().iter().chain(house.notes()).for_each(crate::output::warn);
        let traces = crate::telemetry::start(&house)?;
        let client = Client::new(Arc::clone(&house), &args.who)?;
        let following = tokio::spawn(Arc::clone(&client.face).follow());
        let finished = tokio::select! {
            finished = client.serve() => finished,
            never = house.follow_vault() => match never {},
        };
        following.abort();
        house.note_uses().await;
        house.close()?;
        traces.close().await;
        Ok(if finished { Exit::Done } else { Exit::Ended })
    })
}

/// The one client of this process.
struct Client {
    house: Arc<House>,
    face: Arc<Face>,
    caller: Arc<Caller>,
    route: Box<str>,
    /// The session that names itself in every message, once there is one.
    headers: HeaderMap,
    output: mpsc::Sender<Bytes>,
    writer: JoinHandle<()>,
    tasks: JoinSet<()>,
    /// Requests that are being answered, by the text of their ids.
    running: HashMap<String, AbortHandle>,
}

impl Client {
    fn new(house: Arc<House>, who: &Who) -> anyhow::Result<Self> {
        let face = Arc::new(Face::new(Arc::clone(&house)).context("no random numbers")?);
        let (output, writer) = lines::write();
        Ok(Self {
            face,
            caller: Arc::new(who.caller()?),
            route: who.route(&house)?.plan().path.as_str().into(),
            headers: HeaderMap::new(),
            output,
            writer,
            tasks: JoinSet::new(),
            running: HashMap::new(),
            house,
        })
    }

    /// Answers until standard input ends. Returns whether everything that was begun was also finished.
    async fn serve(mut self) -> bool {
        let limits = *self.house.limits();
        let mut input = lines::read(limits.request_bytes_max);
        let mut told = std::pin::pin!(told_to_stop());
        loop {
            let line = tokio::select! { line = input.recv() => line, () = told.as_mut() => None };
            let Some(line) = line else { break };
            match line {
                Line::Text(text) => self.take(text).await,
                Line::TooLong => {
                    let why = format!("a message has at most {} KiB (requestKibMax)", limits.request_bytes_max >> 10);
                    let _gone = self.output.send(rpc_error(None, Code::InvalidRequest, &why, None)).await;
                }
            }
        }
        self.face.close();
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        let finished = tokio::time::timeout(Duration::from_millis(limits.drain_ms_max.into()), rest).await.is_ok();
        self.tasks.shutdown().await;
        // What was answered is also written before the process ends.
        drop(self.output);
        lines::written(self.writer).await;
        finished
    }

    async fn take(&mut self, text: Bytes) {
        while self.tasks.try_join_next().is_some() {}
        let peek = Peek::at(&text);
        // In the stateless era there is no connection to close, so this is how requests are taken back.
        if self.headers.is_empty()
            && let Some(id) = peek.cancels()
        {
            if let Some(running) = self.running.remove(id) {
                running.abort();
            }
            return;
        }
        let begins = peek.is("initialize");
        let is_asked = peek.is_answered();
        let id = peek.id.map(|id| id.get().to_owned());
        let exchange = Arc::clone(&self.face).exchange(self.message(text));
        if begins {
            // Everything after it belongs to the session that it opens.
            if let Some(session) = answer(exchange, &self.output, is_asked).await {
                self.join(&session);
            }
            return;
        }
        let output = self.output.clone();
        let (begun, is_begun) = oneshot::channel::<()>();
        let task = self.tasks.spawn(async move {
            let mut answering = std::pin::pin!(answer(exchange, &output, is_asked));
            let first = poll_fn(|context| Poll::Ready(answering.as_mut().poll(context))).await;
            drop(begun);
            if first.is_pending() {
                answering.await;
            }
        });
        // In the order of the lines, so that what follows a call at once, as its cancellation may, finds it.
        let _begun_or_broken_off = is_begun.await;
        self.running.retain(|_, running| !running.is_finished());
        self.running.extend(id.map(|id| (id, task)));
    }

    /// Takes up a session, and passes on what it is told without having asked.
    fn join(&mut self, session: &str) {
        let Ok(value) = HeaderValue::from_str(session) else { return };
        self.headers.insert(SESSION_HEADER.clone(), value);
        if let Ok(stream) = Arc::clone(&self.face).stream(self.message(Bytes::new())) {
            let output = self.output.clone();
            self.tasks.spawn(async move {
                answer(stream, &output, true).await;
            });
        }
    }

    fn message(&self, body: Bytes) -> Message {
        let (caller, route, headers) = (Arc::clone(&self.caller), self.route.clone(), self.headers.clone());
        Message { caller, way: Way::Stdio, route, headers, body }
    }
}

/// Comes back at SIGTERM or SIGINT. A system that has no such signals never sends one.
async fn told_to_stop() {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        }
        _ => std::future::pending().await,
    }
}

/// Works on an exchange and writes what comes of it. Returns the session that it opened. Nothing that was not asked
/// for is answered: an error about a notification or a response is for people.
async fn answer(mut exchange: Exchange, output: &mpsc::Sender<Bytes>, is_asked: bool) -> Option<String> {
    loop {
        let (notes, answer) = exchange.step().await;
        for note in notes {
            match note.needed {
                true => output.send(note.text).await.ok()?,
                // A client that reads slowly cannot hold up a cell.
                false => drop(output.try_send(note.text)),
            }
        }
        match answer {
            None => {}
            Some(Answer::Reply { body, session, .. }) if is_asked => {
                output.send(body).await.ok()?;
                return session;
            }
            Some(Answer::Reply { body, .. }) => {
                crate::output::complain(&String::from_utf8_lossy(&body));
                return None;
            }
            Some(Answer::Accepted | Answer::Silence) => return None,
        }
    }
}
