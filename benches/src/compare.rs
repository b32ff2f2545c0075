//! The same call on the floor, on the house and on its peers, in one run.

use std::time::Duration;

use serde::Serialize;

use crate::args::Args;
use crate::chart::{Bar, Chart, Kind, Section, thousands};
use crate::load::{Figures, Load, is_calm, median};
use crate::peers::{PEERS, Peer, Running, Started};
use crate::place::Place;
use crate::{Done, tell};

/// Whoever is asked again at once by every connection is busy, unless it waits for something else than a processor.
const BUSY_MIN: f64 = 0.8;
const NOT_CALM: &str = "no round was calm";
/// Compilers of peers have to see what is called often; after that each round begins with a short one.
const FIRST_WARM_UP: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_millis(100);

#[derive(Serialize)]
struct Results {
    connections: usize,
    round_ms: u64,
    rounds: usize,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    key: &'static str,
    name: &'static str,
    note: &'static str,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    Measured {
        ratio: f64,
        /// The same by time on the server's processor for each call, which other work hardly moves.
        ratio_of_time: f64,
        #[serde(flatten)]
        figures: Figures,
        resident_kib: u64,
        calm_rounds: usize,
    },
    /// It is not installed, or it failed.
    LeftOut { left_out: String },
}

struct Contestant {
    peer: &'static Peer,
    running: Running,
    rounds: Vec<Round>,
    resident_kib: u64,
    failed: Option<String>,
}

/// A peer between two floors.
struct Round {
    figures: Figures,
    floors: [Figures; 2],
}

pub(crate) fn run(args: &Args, place: &Place) -> Done<()> {
    compare(args, place, args.text("--only"))
}

/// The peers of these names, or all, each between two floors.
pub(crate) fn compare(args: &Args, place: &Place, only: Option<&str>) -> Done<()> {
    let (connections, rounds) = (args.number("--connections", 16)?, args.number("--rounds", 30)?);
    let round_ms = args.number("--round-ms", 500)?;
    let load = Load { connections, warm_up: WARM_UP, time: Duration::from_millis(round_ms) };
    let (mut contestants, mut rows) = (Vec::new(), Vec::new());
    for peer in wanted(only) {
        match peer.start(place) {
            Ok(Started::Running(running)) => {
                let mut contestant = Contestant { peer, running, rounds: Vec::new(), resident_kib: 0, failed: None };
                contestant.failed =
                    contestant.load(&Load { warm_up: FIRST_WARM_UP, ..load }).err().map(|error| error.to_string());
                contestants.push(contestant);
            }
            Ok(Started::Absent(why)) => rows.push(left_out(peer, &why)),
            Err(error) => rows.push(left_out(peer, &format!("it failed: {error}"))),
        }
    }
    tell(&format!("{connections} connections, {rounds} rounds of {round_ms} ms, one processor for each side"));
    tell("server, client: time on the processor for each call, and its share of the time");
    let (floor, peers) =
        contestants.split_first_mut().filter(|(first, _)| first.peer.key == "floor").ok_or("no floor")?;
    for round in 1..=rounds {
        tell(&format!("round {round}"));
        one_round(floor, peers, &load)?;
    }
    let calm: Vec<_> = peers.iter().flat_map(|peer| peer.calm().flat_map(|round| round.floors)).collect();
    let floor = if calm.is_empty() { left_out(floor.peer, NOT_CALM) } else { floor.row(1.0, 1.0, &calm)? };
    let mut measured = vec![floor];
    for contestant in peers {
        measured.push(contestant.result()?);
    }
    measured.append(&mut rows);
    finish(&Results { connections, round_ms, rounds, rows: measured }, args, place)
}

/// Each peer once, with a floor before and after it.
fn one_round(floor: &mut Contestant, peers: &mut [Contestant], load: &Load) -> Done<()> {
    let mut before = floor.load(load)?;
    for contestant in peers.iter_mut().filter(|contestant| contestant.failed.is_none()) {
        let figures = contestant.load(load);
        let after = floor.load(load)?;
        match figures {
            Ok(figures) => contestant.rounds.push(Round { figures, floors: [before, after] }),
            Err(error) => contestant.failed = Some(error.to_string()),
        }
        before = after;
    }
    Ok(())
}

fn wanted(only: Option<&str>) -> impl Iterator<Item = &'static Peer> {
    let only: Option<Vec<&str>> = only.map(|names| names.split(',').collect());
    PEERS.iter().filter(move |peer| peer.key == "floor" || only.as_ref().is_none_or(|only| only.contains(&peer.key)))
}

impl Row {
    fn was_not_calm(&self) -> bool {
        matches!(&self.outcome, Outcome::LeftOut { left_out } if left_out.starts_with(NOT_CALM))
    }
}

impl Contestant {
    fn load(&mut self, load: &Load) -> Done<Figures> {
        let Running { server, call, .. } = &self.running;
        let figures = load.run(&server.address, call, &self.running.processes());
        let name = self.peer.name;
        match &figures {
            Ok(figures) => {
                self.resident_kib = server.resident_kib()?;
                tell(&format!("  {name:<22} {figures}  {:>4} MiB", self.resident_kib >> 10));
            }
            Err(error) => tell(&format!("  {name:<22} {error}")),
        }
        figures
    }

    fn calm(&self) -> impl Iterator<Item = &Round> {
        self.rounds.iter().filter(|round| is_calm(&round.floors))
    }

    /// The median of its calm rounds.
    fn result(&self) -> Done<Row> {
        if let Some(why) = &self.failed {
            return Ok(left_out(self.peer, why));
        }
        let of_time = |round: &Round| mean(&round.floors, |floor| floor.server_us) / round.figures.server_us;
        let ratio = |round: &Round| round.figures.per_second / mean(&round.floors, |floor| floor.per_second);
        let Some(ratio) = median(self.calm().map(ratio)) else {
            let ratio_of_time = median(self.rounds.iter().map(of_time)).unwrap_or(f64::NAN);
            let why = format!("{NOT_CALM}; by time on the processor {ratio_of_time:.3} of the floor");
            return Ok(left_out(self.peer, &why));
        };
        let ratio_of_time = median(self.calm().map(of_time)).unwrap_or(f64::NAN);
        self.row(ratio, ratio_of_time, &self.calm().map(|round| round.figures).collect::<Vec<_>>())
    }

    fn row(&self, ratio: f64, ratio_of_time: f64, calm: &[Figures]) -> Done<Row> {
        let figures = Figures::median(calm).ok_or("no round")?;
        let Peer { key, name, note, .. } = *self.peer;
        let (resident_kib, calm_rounds) = (self.resident_kib, calm.len());
        let outcome = Outcome::Measured { ratio, ratio_of_time, figures, resident_kib, calm_rounds };
        Ok(Row { key, name, note, outcome })
    }
}

fn mean(floors: &[Figures; 2], of: fn(&Figures) -> f64) -> f64 {
    floors.iter().map(of).sum::<f64>() / 2.0
}

fn left_out(peer: &Peer, why: &str) -> Row {
    let Peer { key, name, note, .. } = *peer;
    Row { key, name, note, outcome: Outcome::LeftOut { left_out: why.to_owned() } }
}

/// Says, writes and draws what came out.
fn finish(results: &Results, args: &Args, place: &Place) -> Done<()> {
    tell("the medians of the calm rounds:");
    for Row { name, outcome, .. } in &results.rows {
        match outcome {
            Outcome::Measured { ratio, ratio_of_time, figures, resident_kib, calm_rounds } => {
                let mib = resident_kib >> 10;
                let ratios = format!("{ratio:.3} ({ratio_of_time:.3} by time)");
                tell(&format!("  {name:<22} {ratios}  {figures}  {mib:>4} MiB  {calm_rounds} calm"));
                if figures.server_busy.max(figures.client_busy) < BUSY_MIN {
                    tell("    neither side was busy: something makes it wait, such as a delayed acknowledgement");
                }
            }
            Outcome::LeftOut { left_out } => tell(&format!("  {name:<22} left out: {left_out}")),
        }
    }
    if let Some(Row { outcome: Outcome::Measured { figures, .. }, .. }) = results.rows.first()
        && figures.client_busy > figures.server_busy
    {
        tell("the client was busier than the floor, so the floor is faster than it looks here");
    }
    let (draws, is_calm) = (args.has("--draw"), !results.rows.iter().any(Row::was_not_calm));
    place.keep("compare", results, (draws && is_calm).then(|| chart(results)))?;
    if draws && !is_calm {
        return Err("nothing is drawn, because not everyone had a calm round".into());
    }
    Ok(())
}

fn chart(results: &Results) -> Chart {
    let mut bars = Vec::new();
    for Row { key, name, note, outcome } in &results.rows {
        let Outcome::Measured { ratio, figures, .. } = outcome else { continue };
        let kind = match *key {
            "floor" => Kind::Floor,
            "once" | "serial" => Kind::Ours,
            _ => Kind::Other,
        };
        let text = format!("{ratio:.2} · {}/s", thousands(figures.per_second));
        bars.push(Bar { label: (*name).to_owned(), note: (*note).to_owned(), value: *ratio, text, kind });
    }
    bars.sort_by(|a, b| b.value.total_cmp(&a.value));
    Chart {
        title: "Echo calls, as a share of a bare HTTP server".to_owned(),
        subtitle: format!(
            "One processor for the server, {} connections, every answer checked, medians of calm rounds of {} ms",
            results.connections, results.round_ms
        ),
        sections: vec![Section { title: String::new(), bars }],
    }
}
