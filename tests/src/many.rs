//! Houses of more components than are ready at the same time: those that were not used lately are loaded when somebody
//! calls them.

use std::fs;

use serde_json::json;

use crate::hostile::{folder, number, plain};
use crate::support::{Folder, House, text};

const BUNDLES: usize = 70;

/// A component that returns what it was given and so much more: no two of these are the same.
fn adds(more: usize) -> Vec<u8> {
    let answer =
        format!(r#"(func (export "answer") (param i32) (result i32) (i32.add (local.get 0) (i32.const {more})))"#);
    plain(&answer, &["answer"])
}

fn houses() -> Folder {
    let bundles: Vec<_> = (0..BUNDLES).map(|number| (format!("adds{number}"), adds(number))).collect();
    let bundles: Vec<_> = bundles.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice(), "")).collect();
    folder(&bundles)
}

fn ask(house: &House, bundle: usize) -> serde_json::Value {
    house.call(&format!("adds{bundle}_answer"), json!({"number": 1000}))
}

#[test]
fn all_of_many_components_answer() {
    let house = House::in_folder(houses());
    for _ in 0..2 {
        for bundle in 0..BUNDLES {
            assert_eq!(number(&ask(&house, bundle)), 1000 + u64::try_from(bundle).unwrap());
        }
    }
    // Without the cache they are compiled again. The first ones were used longest ago, so they are not loaded.
    let cache = house.folder.path(".certosa/cache");
    fs::remove_dir_all(&cache).unwrap();
    fs::create_dir(&cache).unwrap();
    assert_eq!(number(&ask(&house, 0)), 1000);
    // One that cannot be loaded any more fails alone, and the operator learns of it.
    fs::remove_dir_all(&cache).unwrap();
    fs::write(house.folder.path("adds1.wasm"), adds(999)).unwrap();
    let failed = ask(&house, 1);
    assert_eq!(failed["isError"], true, "{failed}");
    assert_eq!(text(&failed), "the host failed: the component could not be loaded");
    assert_eq!(number(&ask(&house, BUNDLES - 1)), 1000 + 69);
    let records = house.records(2 * BUNDLES + 3);
    assert_eq!(records[2 * BUNDLES + 1]["outcome"], "fault", "{}", records[2 * BUNDLES + 1]);
    fs::write(house.folder.path("adds1.wasm"), adds(1)).unwrap();
    assert_eq!(number(&ask(&house, 1)), 1001, "it is there again");
}
