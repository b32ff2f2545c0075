//! `wit/changes.wit`.

use certosa_model::{Change, Lists};

use crate::bindings::certosa::tools::changes::{self, Host};
use crate::caller::Cell;

const CHANGES_MAX: usize = 64;
const URI_BYTES_MAX: usize = 2048;

impl Host for Cell {
    fn resource_updated(&mut self, uri: String) {
        match uri.len() <= URI_BYTES_MAX {
            true => self.change(Change::Resource(uri)),
            false => self.meter.events_dropped += 1,
        }
    }

    fn lists_changed(&mut self, lists: changes::Lists) {
        self.change(Change::Lists(Lists {
            tools: lists.contains(changes::Lists::TOOLS),
            prompts: lists.contains(changes::Lists::PROMPTS),
            resources: lists.contains(changes::Lists::RESOURCES),
        }));
    }
}

impl Cell {
    /// Keeps a change until the cell ends: nobody is told of something that may still come to nothing.
    fn change(&mut self, change: Change) {
        if self.changes.contains(&change) {
            return;
        }
        match self.changes.len() < CHANGES_MAX {
            true => self.changes.push(change),
            false => self.meter.events_dropped += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hearing;

    #[test]
    fn changes_are_bounded_and_each_is_said_once() {
        let mut cell = Cell::new(crate::meter::tests::limits(), Hearing::default(), None);
        for number in (0..CHANGES_MAX).chain(0..CHANGES_MAX) {
            cell.resource_updated(format!("a://{number}"));
        }
        assert_eq!((cell.changes.len(), cell.meter.events_dropped), (CHANGES_MAX, 0));
        cell.resource_updated("a://more".to_owned());
        assert_eq!((cell.end().len(), cell.meter.events_dropped), (CHANGES_MAX, 1));
        cell.resource_updated("x".repeat(URI_BYTES_MAX));
        cell.resource_updated("x".repeat(URI_BYTES_MAX + 1));
        assert_eq!((cell.end().len(), cell.meter.events_dropped), (1, 2));
    }
}
