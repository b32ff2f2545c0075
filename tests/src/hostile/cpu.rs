//! Time: on the processor, in the guest and in the host on its behalf, and on the wall.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{ask, call, guest, house, number, plain, refused, still_serves};
use crate::support::House;

const FUNCTIONS: &str = "
    work: func(number: u32) -> u32;
    sleep: func(number: u32) -> u32;
    naps: func(number: u32) -> u32;
    now: func();
    random: func(number: u32) -> u32;
    insecure: func(number: u32) -> u32;
    randoms: func();
    ready: func();
    polls: func(number: u32) -> u32;
    drops: func();
";

const CODE: &str = r#"
    (func (export "i#work") (param i32) (result i32) (call $work (local.get 0)))
    (func (export "i#sleep") (param i32) (result i32)
        (call $block (call $timer-ms (local.get 0))) (local.get 0))
    ;; Sleeps a millisecond at a time, for ever.
    (func (export "i#naps") (param i32) (result i32)
        (local $timer i32)
        (loop $again
            (call $block (local.tee $timer (call $timer-ms (i32.const 1))))
            (call $drop-pollable (local.get $timer))
            (br $again))
        (local.get 0))
    (func (export "i#now") (loop $again (drop (call $now)) (br $again)))
    (func (export "i#random") (param i32) (result i32)
        (call $random (i64.extend_i32_u (local.get 0)) (i32.const 1024)) (i32.load (i32.const 1028)))
    (func (export "i#insecure") (param i32) (result i32)
        (call $insecure (i64.extend_i32_u (local.get 0)) (i32.const 1024)) (i32.load (i32.const 1028)))
    (func (export "i#randoms")
        (loop $again
            (global.set $next (i32.const 65536))
            (call $random (i64.const 65536) (i32.const 1024))
            (br $again)))
    (func (export "i#ready")
        (local $pollable i32)
        (local.set $pollable (call $subscribe (call $stdout)))
        (loop $again (br_if $again (call $ready (local.get $pollable)))) unreachable)
    ;; Polls the same ready pollable so many times at once, for ever.
    (func (export "i#polls") (param $width i32) (result i32)
        (local $pollable i32) (local $index i32)
        (local.set $pollable (call $subscribe (call $stdout)))
        (loop $fill
            (i32.store
                (i32.add (i32.const 131072) (i32.mul (local.get $index) (i32.const 4))) (local.get $pollable))
            (br_if $fill
                (i32.lt_u (local.tee $index (i32.add (local.get $index) (i32.const 1))) (local.get $width))))
        (loop $again
            (global.set $next (i32.const 160000))
            (call $poll (i32.const 131072) (local.get $width) (i32.const 1024))
            (br_if $again (i32.eq (i32.load (i32.const 1028)) (local.get $width))))
        unreachable)
    (func (export "i#drops") (loop $again (call $drop-stream (call $stdout)) (br $again)))
"#;

/// Calls what would go on for ever, and expects it to end at the bound of its time, soon.
fn ends(house: &House, function: &str, limit: (&str, &str, u64)) {
    let started = Instant::now();
    let result = match function {
        "polls" | "naps" => ask(house, function, 1000),
        "fill" | "copy" | "tail" => ask(house, function, 1),
        _ => call(house, function, json!({})),
    };
    refused(&result, limit.0, limit.1, limit.2);
    assert!(started.elapsed() < Duration::from_secs(15), "{function}: {:?}", started.elapsed());
}

#[test]
fn floods_of_calls_into_the_host_end_with_their_time() {
    let house = house(&guest(FUNCTIONS, CODE), "cpuMsMax = 400");
    for function in ["now", "randoms", "ready", "polls", "drops"] {
        ends(&house, function, ("cpu", "cpuMsMax", 400));
        let used = house.records(1).pop().unwrap()["cpu_us"].as_u64().unwrap();
        assert!((400_000..1_500_000).contains(&used), "{function}: {used} us");
    }
    // 90 % by the clock is at most 90 % of the processor.
    assert_eq!(number(&ask(&house, "work", 360)), 360);
    still_serves(&house);
}

#[test]
fn sleeping_ends_with_the_time_on_the_wall() {
    let house = house(&guest(FUNCTIONS, CODE), "wallMsMax = 1500");
    ends(&house, "naps", ("wall", "wallMsMax", 1500));
    let started = Instant::now();
    refused(&ask(&house, "sleep", 4_000_000), "wall", "wallMsMax", 1500);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(number(&ask(&house, "sleep", 1350)), 1350);
    still_serves(&house);
}

#[test]
fn random_numbers_are_bounded_at_once() {
    for (limits, kib) in [("", 64), ("randomKibMax = 100", 100)] {
        let house = house(&guest(FUNCTIONS, CODE), limits);
        for function in ["random", "insecure"] {
            for bytes in [kib * 1024 / 10 * 9, kib * 1024] {
                assert_eq!(number(&ask(&house, function, bytes)), u64::from(bytes));
            }
            for bytes in [kib * 1024 + 1, u32::MAX] {
                refused(&ask(&house, function, bytes), "random", "randomKibMax", kib.into());
            }
        }
        still_serves(&house);
    }
}

/// One instruction may move the whole memory. It is waited for, and counts.
#[test]
fn bulk_instructions_count() {
    let code = r#"(memory 768)
        (func $tail (return_call $tail))
        (func (export "tail") (param i32) (result i32) (call $tail) (i32.const 0))
        (func (export "fill") (param i32) (result i32)
            (loop $again (memory.fill (i32.const 0) (local.get 0) (i32.const 50331648)) (br $again))
            (i32.const 0))
        (func (export "copy") (param i32) (result i32)
            (loop $again (memory.copy (i32.const 0) (i32.const 1) (i32.const 50331647)) (br $again))
            (i32.const 0))
        (func (export "once") (param i32) (result i32)
            (memory.fill (i32.const 0) (local.get 0) (i32.const 16777216)) (i32.load8_u (i32.const 16777215)))"#;
    let house = house(&plain(code, &["tail", "fill", "copy", "once"]), "cpuMsMax = 400");
    for function in ["tail", "fill", "copy"] {
        ends(&house, function, ("cpu", "cpuMsMax", 400));
        let used = house.records(1).pop().unwrap()["cpu_us"].as_u64().unwrap();
        assert!((400_000..1_500_000).contains(&used), "{function}: {used} us");
    }
    assert_eq!(number(&ask(&house, "once", 7)), 7);
    still_serves(&house);
}
