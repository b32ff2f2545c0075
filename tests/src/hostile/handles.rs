//! Handles of the host's resources: how many, and false ones.

use serde_json::json;

use super::{ask, broke_off, call, folder, guest, house, number, refused, still_serves};
use crate::support::House;

const FUNCTIONS: &str = "
    streams: func(number: u32) -> u32;
    pollables: func(number: u32) -> u32;
    timers: func(number: u32) -> u32;
    turns: func(number: u32) -> u32;
    forged: func(number: u32) -> u32;
    dropped: func(number: u32) -> u32;
    twice: func(number: u32) -> u32;
    other: func(number: u32) -> u32;
    lent: func(number: u32) -> u32;
";

/// Repeats what takes a handle `number` times.
fn repeated(name: &str, locals: &str, before: &str, each: &str) -> String {
    format!(
        r#"(func (export "i#{name}") (param $count i32) (result i32)
            (local $done i32) {locals}
            {before}
            (loop $more
                {each}
                (br_if $more
                    (i32.lt_u (local.tee $done (i32.add (local.get $done) (i32.const 1))) (local.get $count))))
            (local.get $done))"#
    )
}

fn code() -> String {
    let stream = "(local $stream i32)";
    [
        repeated("streams", "", "", "(drop (call $stdout))"),
        repeated(
            "pollables",
            stream,
            "(local.set $stream (call $stdout))",
            "(drop (call $subscribe (local.get $stream)))",
        ),
        repeated("timers", "", "", "(drop (call $timer-ms (i32.const 1000)))"),
        repeated(
            "turns",
            "",
            "",
            "(call $drop-stream (call $stdout)) (call $drop-pollable (call $timer-ms (i32.const 1)))",
        ),
    ]
    .join("\n")
        + r#"
    (func (export "i#forged") (param i32) (result i32) (call $ready (local.get 0)))
    (func (export "i#dropped") (param i32) (result i32)
        (local $timer i32)
        (local.set $timer (call $timer-ms (i32.const 1)))
        (call $drop-pollable (local.get $timer))
        (call $ready (local.get $timer)))
    (func (export "i#twice") (param i32) (result i32)
        (local $timer i32)
        (local.set $timer (call $timer-ms (i32.const 1)))
        (call $drop-pollable (local.get $timer))
        (call $drop-pollable (local.get $timer))
        (i32.const 0))
    ;; A stream, passed as a pollable.
    (func (export "i#other") (param i32) (result i32) (call $ready (call $stdout)))
    ;; A stream that something still waits for.
    (func (export "i#lent") (param i32) (result i32)
        (local $stream i32) (local $pollable i32)
        (local.set $stream (call $stdout))
        (local.set $pollable (call $subscribe (local.get $stream)))
        (call $drop-stream (local.get $stream))
        (call $ready (local.get $pollable)))
    "#
}

#[test]
fn handles_are_bounded() {
    let house = house(&guest(FUNCTIONS, &code()), "handlesMax = 100");
    for function in ["streams", "pollables"] {
        assert_eq!(number(&ask(&house, function, 90)), 90);
        refused(&ask(&house, function, 101), "handles", "handlesMax", 100);
        refused(&ask(&house, function, 1_000_000), "handles", "handlesMax", 100);
    }
    // A timer is two things in the host: itself, and what is waited for.
    assert_eq!(number(&ask(&house, "timers", 45)), 45);
    refused(&ask(&house, "timers", 51), "handles", "handlesMax", 100);
    // What is dropped makes room.
    assert_eq!(number(&ask(&house, "turns", 10_000)), 10_000);
    still_serves(&house);
}

/// Resources of the guest's own are handles as well.
#[test]
fn handles_of_own_resources_are_bounded() {
    let bytes = wat::parse_str(
        r#"(component
            (type $r (resource (rep i32)))
            (core func $new (canon resource.new $r))
            (core module $m
                (import "" "new" (func $new (param i32) (result i32)))
                (func (export "own") (param $count i32) (result i32)
                    (local $done i32)
                    (loop $more
                        (drop (call $new (i32.const 7)))
                        (br_if $more
                            (i32.lt_u
                                (local.tee $done (i32.add (local.get $done) (i32.const 1))) (local.get $count))))
                    (local.get $done)))
            (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
            (func (export "own") (param "number" u32) (result u32) (canon lift (core func $i "own"))))"#,
    );
    let house = house(&bytes.unwrap(), "handlesMax = 100");
    assert_eq!(number(&ask(&house, "own", 90)), 90);
    refused(&ask(&house, "own", 101), "handles", "handlesMax", 100);
    refused(&ask(&house, "own", 1_000_000), "handles", "handlesMax", 100);
    still_serves(&house);
}

#[test]
fn false_handles_end_their_call_alone() {
    let house = house(&guest(FUNCTIONS, &code()), "");
    for forged in [0, 1, 2, 12_345, u32::MAX] {
        broke_off(&ask(&house, "forged", forged), "handle");
    }
    for function in ["dropped", "twice", "other"] {
        broke_off(&call(&house, function, json!({"number": 0})), "handle");
        assert_eq!(number(&ask(&house, "streams", 90)), 90, "after {function}");
    }
    broke_off(&ask(&house, "lent", 0), "");
    still_serves(&house);
}

/// In a cell that is reused handles add up over its calls, and going past the bound ends the cell.
#[test]
fn handles_add_up_where_cells_are_reused() {
    let bytes = guest(FUNCTIONS, &code());
    let fields = ", reuse = serial, limits = (handlesMax = 100)";
    let house = House::in_folder(folder(&[("hostile", &bytes, fields)]));
    assert_eq!(number(&ask(&house, "streams", 60)), 60);
    refused(&ask(&house, "streams", 60), "handles", "handlesMax", 100);
    assert_eq!(number(&ask(&house, "streams", 60)), 60, "a new cell");
    assert_eq!(number(&ask(&house, "streams", 30)), 30);
    refused(&ask(&house, "streams", 11), "handles", "handlesMax", 100);
    still_serves(&house);
}
