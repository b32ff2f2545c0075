//! What a house does all day, for a build that counts: `cargo xtask dist` optimises by what came out. Only that: what is
//! done now and then is not rare enough then to be kept out of the way of the rest (docs/decisions/0017).

use crate::args::Args;
use crate::compare::compare;
use crate::place::Place;
use crate::{Done, outbound};

const CALLS: [&str; 4] = ["--rounds", "3", "--round-ms", "3000"];
const OUTBOUND: [&str; 2] = ["--rounds", "2"];

pub(crate) fn run(place: &Place) -> Done<()> {
    compare(&Args::of(&CALLS), place, Some("once,serial"))?;
    outbound::run(&Args::of(&OUTBOUND), place)
}
