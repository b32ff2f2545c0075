//! What going out costs: the same requests, with the same credential, by a plain hyper client, by egress alone, and by a
//! bundle in a house. They go to a server on the second processor; whoever sends them has the first.

mod client;
mod house;
mod upstream;

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::args::Args;
use crate::chart::{Bar, Chart, Kind, Section, thousands};
use crate::load::median;
use crate::place::Place;
use crate::server::{Server, pinned, pinned_to};
use crate::{Done, tell};
use house::House;

const HOST: &str = "localhost";
const SECRET: &str = "ghp_0123456789abcdefABCDEF0123456789abcd";

/// A response, and how many requests for it are under way at the same time.
struct Body {
    name: &'static str,
    path: &'static str,
    bytes: usize,
    workers: usize,
}

const SMALL: Body = Body { name: "1 KiB", path: "/small", bytes: 1 << 10, workers: 16 };
const LARGE: Body = Body { name: "1 MiB", path: "/large", bytes: 1 << 20, workers: 4 };

/// How they are called, and as what they are drawn. The first is what the others are compared with.
const SENDERS: [(&str, Kind); 3] =
    [("plain hyper", Kind::Floor), ("egress alone", Kind::Ours), ("a bundle in a house", Kind::Ours)];

/// What a sender comes to.
#[derive(Serialize, Deserialize, Clone, Copy)]
struct Pace {
    per_second: f64,
    p50_us: f64,
}

/// One sender in one round: with all workers, and with one.
#[derive(Clone, Copy)]
struct Taken {
    loaded: Pace,
    alone: Pace,
}

#[derive(Serialize)]
struct Row {
    protocol: &'static str,
    body: &'static str,
    workers: usize,
    sender: &'static str,
    per_second: f64,
    /// To the plain client in the same round.
    ratio: f64,
    /// The same with one request at a time.
    alone_ratio: f64,
    p50_us: f64,
    added_us: f64,
}

pub(crate) fn run(args: &Args, place: &Place) -> Done<()> {
    match args.0.get(1).map(String::as_str) {
        Some("upstream") => {
            let root = args.text("--root").ok_or("no --root")?;
            upstream::serve(args.text("--protocol").ok_or("no --protocol")?, Path::new(root))
        }
        Some("client") => client::run(args),
        _ => compare(args, place),
    }
}

fn compare(args: &Args, place: &Place) -> Done<()> {
    let (rounds, ms) = (args.number("--rounds", 11)?, args.number("--round-ms", 250)?);
    let mut rows = Vec::new();
    for (protocol, name) in [("http/1.1", "HTTP/1.1"), ("h2", "HTTP/2")] {
        let senders = Senders::start(place, protocol)?;
        for body in [SMALL, LARGE] {
            let mut taken = SENDERS.map(|_| Vec::new());
            // The first round is for connections, caches and the compiler's output.
            for round in 0..=rounds {
                for (sender, taken) in taken.iter_mut().enumerate() {
                    let one = senders.measure(sender, &body, ms)?;
                    if round > 0 {
                        taken.push(one);
                    }
                }
            }
            for row in rows_of(name, &body, &taken)? {
                row.tell();
                rows.push(row);
            }
        }
    }
    place.keep("outbound", &rows, args.has("--draw").then(|| chart(&rows)))
}

/// All that send to one server.
struct Senders<'a> {
    place: &'a Place,
    upstream: Server,
    house: House,
}

impl<'a> Senders<'a> {
    fn start(place: &'a Place, protocol: &str) -> Done<Self> {
        let root = Self::root(place);
        let mut command = pinned_to(1, &place.bench());
        let upstream =
            Server::start(command.args(["outbound", "upstream", "--protocol", protocol, "--root"]).arg(&root))?;
        let port = upstream.address.rsplit_once(':').ok_or("no port")?.1.parse()?;
        let house = House::start(place, port, &root)?;
        Ok(Self { place, upstream, house })
    }

    fn root(place: &Place) -> std::path::PathBuf {
        place.target.join("outbound-root.pem")
    }

    /// The sender with this place in [`SENDERS`].
    fn measure(&self, sender: usize, body: &Body, ms: u32) -> Done<Taken> {
        let measure = |workers| match sender {
            0 => self.client(body, workers, ms, &[]),
            1 => self.client(body, workers, ms, &["--egress"]),
            _ => self.house.measure(body, workers, ms),
        };
        Ok(Taken { loaded: measure(body.workers)?, alone: measure(1)? })
    }

    fn client(&self, body: &Body, workers: usize, ms: u32, more: &[&str]) -> Done<Pace> {
        let (_, port) = self.upstream.address.rsplit_once(':').ok_or("no port")?;
        let mut command: Command = pinned(&self.place.bench());
        command.args(["outbound", "client", "--port", port, "--path", body.path]).args(more);
        command.args(["--workers", &workers.to_string(), "--ms", &ms.to_string()]);
        let output = command.arg("--root").arg(Self::root(self.place)).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&said)
            .map_err(|_| format!("a client failed: {said}{}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

fn rows_of(protocol: &'static str, body: &Body, taken: &[Vec<Taken>; SENDERS.len()]) -> Done<Vec<Row>> {
    let [plain, ..] = taken;
    let row = |((sender, _), taken): (&(&'static str, Kind), &Vec<Taken>)| {
        let pairs = || taken.iter().zip(plain);
        let of = |figure: fn(&Taken, &Taken) -> f64| {
            median(pairs().map(|(taken, plain)| figure(taken, plain))).ok_or("no round")
        };
        Ok(Row {
            protocol,
            body: body.name,
            workers: body.workers,
            sender,
            per_second: of(|taken, _| taken.loaded.per_second)?,
            ratio: of(|taken, plain| taken.loaded.per_second / plain.loaded.per_second)?,
            alone_ratio: of(|taken, plain| taken.alone.per_second / plain.alone.per_second)?,
            p50_us: of(|taken, _| taken.alone.p50_us)?,
            added_us: of(|taken, plain| taken.alone.p50_us - plain.alone.p50_us)?,
        })
    };
    SENDERS.iter().zip(taken).map(row).collect()
}

impl Row {
    fn tell(&self) {
        let Self { protocol, body, workers, sender, per_second, ratio, alone_ratio, p50_us, added_us } = self;
        tell(&format!(
            "{protocol:<9} {body} × {workers:<3} {sender:<20} {per_second:>8.0}/s  {ratio:.2}   \
             alone {alone_ratio:.2}, p50 {p50_us:>5.0} µs, added {added_us:>4.0} µs"
        ));
    }
}

fn chart(rows: &[Row]) -> Chart {
    let bar = |row: &Row| {
        let kind = SENDERS.iter().find(|(name, _)| *name == row.sender).map_or(Kind::Other, |(_, kind)| *kind);
        let text = format!("{:.2} · {}/s", row.ratio, thousands(row.per_second));
        Bar { label: row.sender.to_owned(), note: String::new(), value: row.ratio, text, kind }
    };
    let sections = rows.chunk_by(|a, b| (a.protocol, a.body) == (b.protocol, b.body)).map(|rows| {
        let title = rows.first().map(|row| format!("{}, {}, {} at a time", row.protocol, row.body, row.workers));
        Section { title: title.unwrap_or_default(), bars: rows.iter().map(bar).collect() }
    });
    Chart {
        title: "Requests with a credential, as a share of a plain client".to_owned(),
        subtitle: "Over TLS, one processor for whoever sends and one for the server, medians of interleaved rounds"
            .to_owned(),
        sections: sections.collect(),
    }
}
