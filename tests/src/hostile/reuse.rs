//! Cells that outlive their calls, and those that do not: what one call leaves for the next.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{ask, broke_off, folder, guest, house, number, plain, refused, still_serves};
use crate::support::House;

/// A component that counts its calls in a global, a memory and a table.
pub fn counter() -> Vec<u8> {
    let code = r#"
        (global $calls (mut i32) (i32.const 0)) (memory 1) (table 1 funcref)
        (func (export "count") (param i32) (result i32)
            (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1)))
            (drop (table.grow (ref.null func) (i32.const 1)))
            (if (i32.ne (global.get $calls) (i32.load (i32.const 64))) (then unreachable))
            (if (i32.ne (global.get $calls) (i32.sub (table.size) (i32.const 1))) (then unreachable))
            (global.get $calls))
        (func (export "break") (param i32) (result i32) unreachable)
        (func (export "spin") (param i32) (result i32) (loop $again (br $again)) (i32.const 0))
        (func $down (param i32) (result i32) (i32.add (call $down (local.get 0)) (i32.const 1)))
        (func (export "fall") (param i32) (result i32) (call $down (i32.const 0)))
        (func (export "hoard") (param i32) (result i32)
            (if (i32.eq (memory.grow (local.get 0)) (i32.const -1)) (then unreachable))
            (memory.size))"#;
    plain(code, &["count", "break", "spin", "fall", "hoard"])
}

fn with(fields: &str) -> House {
    House::in_folder(folder(&[("hostile", &counter(), fields)]))
}

fn count(house: &House) -> u64 {
    number(&ask(house, "count", 0))
}

#[test]
fn once_means_once() {
    let house = house(&counter(), "");
    for _ in 0..5 {
        assert_eq!(count(&house), 1);
    }
    let counts = thread::scope(|scope| {
        let calls: Vec<_> = (0..16).map(|_| scope.spawn(|| count(&house))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect::<BTreeSet<_>>()
    });
    assert_eq!(counts, BTreeSet::from([1]));
    // Another caller, in a process of its own.
    assert_eq!(house.folder.call("hostile_count", &json!({"number": 0})).1["structuredContent"]["result"], 1);
    still_serves(&house);
}

#[test]
fn serial_cells_go_on_in_order() {
    let house = with(", reuse = serial");
    assert_eq!([(); 3].map(|()| count(&house)), [1, 2, 3]);
    let counts = thread::scope(|scope| {
        let calls: Vec<_> = (0..16).map(|_| scope.spawn(|| count(&house))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect::<BTreeSet<_>>()
    });
    assert_eq!(counts, (4..20).collect(), "one after the other, in one cell");
    // Arguments that do not fit do not reach the cell.
    assert_eq!(super::call(&house, "count", json!({"number": "x"}))["isError"], true);
    assert_eq!(count(&house), 20);
    // A process of its own has a cell of its own, and does not wait for that to idle.
    let started = Instant::now();
    assert_eq!(house.folder.call("hostile_count", &json!({"number": 0})).1["structuredContent"]["result"], 1);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    still_serves(&house);
}

#[test]
fn a_cell_ends_with_a_call_that_breaks_off() {
    let house = with(", reuse = serial, limits = (cpuMsMax = 300, memoryMibMax = 4)");
    let broken = || {
        assert_eq!(count(&house), 2, "the cell is kept until then");
        ask(&house, "break", 0)
    };
    assert_eq!(count(&house), 1);
    broke_off(&broken(), "unreachable");
    assert_eq!(count(&house), 1);
    for (function, limit, field, bound) in [
        ("spin", "cpu", "cpuMsMax", 300),
        ("fall", "stack", "stackKibMax", 512),
        ("hoard", "memory", "memoryMibMax", 4),
    ] {
        assert_eq!(count(&house), 2, "the cell is kept until then");
        refused(&ask(&house, function, 65), limit, field, bound);
        assert_eq!(count(&house), 1, "after {function}");
    }
    still_serves(&house);
}

#[test]
fn time_is_counted_for_each_call() {
    let bytes = guest(
        "work: func(number: u32) -> u32;",
        r#"(func (export "i#work") (param i32) (result i32) (call $work (local.get 0)))"#,
    );
    let fields = ", reuse = serial, limits = (cpuMsMax = 300)";
    let house = House::in_folder(folder(&[("hostile", &bytes, fields)]));
    for _ in 0..8 {
        assert_eq!(number(&ask(&house, "work", 240)), 240);
    }
    still_serves(&house);
}

#[test]
fn memory_adds_up_over_the_calls_of_a_cell() {
    let house = with(", reuse = serial, limits = (cpuMsMax = 300, memoryMibMax = 4)");
    assert_eq!(number(&ask(&house, "hoard", 29)), 30);
    assert_eq!(number(&ask(&house, "hoard", 28)), 58);
    refused(&ask(&house, "hoard", 28), "memory", "memoryMibMax", 4);
    assert_eq!(number(&ask(&house, "hoard", 28)), 29, "a new cell");
    still_serves(&house);
}

#[test]
fn a_cell_that_idles_ends() {
    let house = with(", reuse = serial, reuseIdleMsMax = 2000");
    assert_eq!([(); 2].map(|()| count(&house)), [1, 2]);
    // At 90 % of the time it is still there, and each call begins it anew.
    for calls in [3, 4] {
        thread::sleep(Duration::from_millis(1_600));
        assert_eq!(count(&house), calls);
    }
    thread::sleep(Duration::from_millis(3_500));
    assert_eq!(count(&house), 1);
    still_serves(&house);
}
