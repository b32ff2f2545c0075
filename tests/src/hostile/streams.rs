//! Streams and logs: what a guest writes takes no room in the host.

use serde_json::json;

use super::{ask, broke_off, folder, guest, house, number, peak_mib, refused, still_serves};
use crate::support::{House, text};

const FUNCTIONS: &str = "
    errors: func(number: u32) -> u32;
    prints: func(number: u32) -> u32;
    zeroes: func(number: u32) -> u32;
    at-once: func(number: u32) -> u32;
    cries: func(number: u32) -> u32;
    logs: func(number: u32) -> u32;
    long-log: func(number: u32) -> u32;
";

/// Writes 4 KiB `number` times.
fn flood(name: &str, stream: &str) -> String {
    format!(
        r#"(func (export "i#{name}") (param $count i32) (result i32)
            (local $done i32) (local $stream i32)
            (local.set $stream (call {stream}))
            (loop $more
                (call $write-and-flush (local.get $stream) (i32.const 4096) (i32.const 4096) (i32.const 1024))
                (if (i32.load8_u (i32.const 1024)) (then unreachable))
                (br_if $more
                    (i32.lt_u (local.tee $done (i32.add (local.get $done) (i32.const 1))) (local.get $count))))
            (local.get $done))"#
    )
}

fn code() -> String {
    let floods = [flood("errors", "$stderr"), flood("prints", "$stdout")].join("\n");
    floods
        + r#"
    (data (i32.const 12288) "these were the last words")
    (func (export "i#zeroes") (param i32) (result i32)
        (call $write-zeroes (call $stdout) (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 20)) (i32.const 1024))
        (local.get 0))
    ;; One write of so many KiB.
    (func (export "i#at-once") (param i32) (result i32)
        (drop (memory.grow (i32.const 256)))
        (call $write (call $stderr) (i32.const 0) (i32.mul (local.get 0) (i32.const 1024)) (i32.const 1024))
        (i32.load8_u (i32.const 1024)))
    ;; Writes much to standard error and breaks off.
    (func (export "i#cries") (param i32) (result i32)
        (local $done i32) (local $stream i32)
        (local.set $stream (call $stderr))
        (memory.fill (i32.const 4096) (i32.const 97) (i32.const 4096))
        (loop $more
            (call $write (local.get $stream) (i32.const 4096) (i32.const 4096) (i32.const 1024))
            (br_if $more
                (i32.lt_u (local.tee $done (i32.add (local.get $done) (i32.const 1))) (local.get 0))))
        (call $write (local.get $stream) (i32.const 12288) (i32.const 25) (i32.const 1024))
        unreachable)
    (func (export "i#logs") (param $count i32) (result i32)
        (local $done i32)
        (loop $more
            (call $log (i32.const 4) (i32.const 12288) (i32.const 25))
            (br_if $more
                (i32.lt_u (local.tee $done (i32.add (local.get $done) (i32.const 1))) (local.get $count))))
        (local.get $done))
    ;; One message of so many bytes.
    (func (export "i#long-log") (param i32) (result i32)
        (memory.fill (i32.const 16384) (i32.const 97) (local.get 0))
        (call $log (i32.const 4) (i32.const 16384) (local.get 0)) (local.get 0))
    "#
}

#[test]
fn what_is_written_takes_no_room_in_the_host() {
    let house = house(&guest(FUNCTIONS, &code()), "cpuMsMax = 60000, wallMsMax = 60000");
    for function in ["errors", "prints"] {
        assert_eq!(number(&ask(&house, function, 100)), 100);
        let before = peak_mib(&house);
        // 400 MiB.
        assert_eq!(number(&ask(&house, function, 100_000)), 100_000);
        let more = peak_mib(&house) - before;
        assert!(more < 32, "{function}: {more} MiB");
    }
    // As many zeroes as nobody has memory for.
    broke_off(&ask(&house, "zeroes", u32::MAX), "zeroes");
    still_serves(&house);
}

#[test]
fn one_write_is_bounded() {
    let house = house(&guest(FUNCTIONS, &code()), "outputKibMax = 100");
    // Fifteen times the output, as much as values of a result may take in the host, and 64 KiB.
    assert_eq!(number(&ask(&house, "at-once", 1_400)), 0);
    refused(&ask(&house, "at-once", 1_570), "output", "outputKibMax", 100);
    refused(&ask(&house, "at-once", 15_000), "output", "outputKibMax", 100);
    still_serves(&house);
}

#[test]
fn the_operator_sees_the_last_words_alone() {
    let bytes = guest(FUNCTIONS, &code());
    let house = House::in_folder(folder(&[("hostile", &bytes, ", limits = (cpuMsMax = 20000)")]));
    broke_off(&ask(&house, "cries", 10_000), "unreachable");
    still_serves(&house);
    let log = house.log();
    assert!(log.contains("these were the last words"), "{log}");
    let cried = log.matches("aaaa").count() * 4;
    assert!((1_900..2_048).contains(&cried), "{cried} of the 40 MiB are kept");
}

/// The messages of a call that asks to hear them, and how many were dropped.
fn heard(house: &House, function: &str, number: u32) -> (usize, u64) {
    let before = house.folder.records().len();
    let meta = json!({"io.modelcontextprotocol/logLevel": "debug"});
    let params = json!({"name": format!("hostile_{function}"), "arguments": {"number": number}, "_meta": meta});
    let messages = house.modern("tools/call", params).messages();
    assert_eq!(text(&messages.last().unwrap()["result"]), number.to_string());
    let dropped = house.records(before + 1).pop().unwrap()["events_dropped"].as_u64().unwrap();
    (messages.len() - 1, dropped)
}

#[test]
fn logs_are_dropped_and_counted() {
    let house = house(&guest(FUNCTIONS, &code()), "logsMax = 20, cpuMsMax = 60000, wallMsMax = 60000");
    assert_eq!(heard(&house, "logs", 18), (18, 0));
    assert_eq!(heard(&house, "logs", 20), (20, 0));
    assert_eq!(heard(&house, "logs", 21), (20, 1));
    let before = peak_mib(&house);
    assert_eq!(heard(&house, "logs", 2_000_000), (20, 1_999_980));
    assert!(peak_mib(&house) - before < 32);
    // A message has at most 4 KiB.
    assert_eq!(heard(&house, "long-log", 3_700), (1, 0));
    assert_eq!(heard(&house, "long-log", 4_097), (0, 1));
    still_serves(&house);
}

#[test]
fn a_bundle_may_be_kept_from_logging() {
    let house = house(&guest(FUNCTIONS, &code()), "logsMax = 0");
    assert_eq!(heard(&house, "logs", 3), (0, 3));
}
