//! Code that runs before anything was called: the start functions of core modules.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use wit_parser::Resolve;

use super::{folder, guest, number, plain, refused, still_serves};
use crate::support::House;
use crate::typed::encoded;

const SPIN: &str = "(func $start (loop $again (br $again)))";
const HOARD: &str = "(func $start
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable)";
const FALL: &str = "(func $start (call $start) (call $start))";
/// Takes 14 of 16 MiB, and goes 1,000 calls deep.
const WORK: &str = "
    (func $down (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
            (else (i32.const 0))))
    (func $start
        (if (i32.eq (memory.grow (i32.const 224)) (i32.const -1)) (then unreachable))
        (if (i32.ne (call $down (i32.const 1000)) (i32.const 1000)) (then unreachable)))";

const LIMITS: &str = ", limits = (cpuMsMax = 300, memoryMibMax = 16)";

/// A component that starts like this, and then could answer.
fn typed(start: &str) -> Vec<u8> {
    let answer = r#"(func (export "answer") (param i32) (result i32) (local.get 0))"#;
    plain(&format!("(memory 1) {start} (start $start) {answer}"), &["answer"])
}

/// A bundle of the world of Certosa that starts like this, and lists no tools.
fn world(start: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).unwrap();
    let wit = "
        package t:w;
        world w {
            import wasi:io/poll@0.2.0;
            import wasi:clocks/monotonic-clock@0.2.0;
            export certosa:tools/tools@0.1.0;
        }
        package wasi:io@0.2.0 { interface poll { resource pollable { block: func(); } } }
        package wasi:clocks@0.2.0 {
            interface monotonic-clock {
                use wasi:io/poll@0.2.0.{pollable};
                subscribe-duration: func(when: u64) -> pollable;
            }
        }";
    let package = resolve.push_str("w.wit", wit).unwrap();
    let parameters = "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)";
    encoded(
        &resolve,
        package,
        &format!(
            r#"(module
                (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
                (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
                {}
                (func (export "certosa:tools/tools@0.1.0#list-tools") (result i32) (i32.const 1024))
                (func (export "certosa:tools/tools@0.1.0#call-tool") {parameters} (result i32) unreachable))"#,
            crate::typed::core(&format!("{start} (start $start)"))
        ),
    )
}

#[test]
fn start_functions_are_bounded_in_calls() {
    let bundles = [("spins", typed(SPIN)), ("hoards", typed(HOARD)), ("falls", typed(FALL)), ("works", typed(WORK))];
    let bundles: Vec<_> = bundles.iter().map(|(name, bytes)| (*name, bytes.as_slice(), LIMITS)).collect();
    let house = House::in_folder(folder(&bundles));
    let answer = |bundle: &str| house.call(&format!("{bundle}_answer"), json!({"number": 5}));
    refused(&answer("spins"), "cpu", "cpuMsMax", 300);
    refused(&answer("hoards"), "memory", "memoryMibMax", 16);
    refused(&answer("falls"), "stack", "stackKibMax", 512);
    assert_eq!(number(&answer("works")), 5);
    still_serves(&house);
}

#[test]
fn an_honest_start_has_most_of_the_time() {
    let starts = |ms: u32| {
        let start = format!("(func $start (drop (call $work (i32.const {ms})))) (start $start)");
        let answer = r#"(func (export "i#answer") (param i32) (result i32) (local.get 0))"#;
        guest("answer: func(number: u32) -> u32;", &format!("{start} {answer}"))
    };
    let house = super::house(&starts(350), "cpuMsMax = 400");
    assert_eq!(number(&super::ask(&house, "answer", 5)), 5);
    let house = super::house(&starts(60_000), "cpuMsMax = 400, wallMsMax = 50000");
    refused(&super::ask(&house, "answer", 5), "cpu", "cpuMsMax", 400);
    still_serves(&house);
}

#[test]
fn start_functions_are_bounded_while_a_bundle_is_listed() {
    let slow = ", limits = (cpuMsMax = 60000, memoryMibMax = 16)";
    let bundles = [
        ("spins", world(SPIN), LIMITS),
        ("hoards", world(HOARD), LIMITS),
        ("falls", world(FALL), LIMITS),
        ("endless", world(SPIN), slow),
        ("works", world(WORK), LIMITS),
    ];
    let bundles: Vec<_> = bundles.iter().map(|(name, bytes, limits)| (*name, bytes.as_slice(), *limits)).collect();
    let folder = folder(&bundles);
    let checked = folder.run(&["check"]);
    assert_eq!(checked.code, 3, "{checked:?}");
    for (bundle, why) in [
        ("spins", "cpuMsMax = 300, set by the operator"),
        ("hoards", "memoryMibMax = 16, set by the operator"),
        ("falls", "stackKibMax = 512, set by the operator"),
        // On the processor 5 s, or 10 s in all where the machine is busy.
        ("endless", "set by the house, for listings"),
    ] {
        let offers_nothing = format!("{bundle} offers nothing, because it could not say what it offers");
        assert!(checked.stderr.contains(&offers_nothing), "{bundle}: {checked:?}");
        assert!(checked.stderr.contains(why), "{bundle}: {checked:?}");
    }
    assert!(!checked.stderr.contains("works offers nothing"), "{checked:?}");
    let house = House::in_folder(folder);
    still_serves(&house);
}

#[test]
fn waiting_is_bounded_while_a_bundle_is_listed() {
    let waits = |ms: u32| world(&format!("(func $start (call $block (call $timer (i64.const {ms}000000))))"));
    let bundles = [
        ("waits", waits(60_000), ", limits = (wallMsMax = 1000)"),
        ("patient", waits(60_000), ", limits = (wallMsMax = 60000)"),
        ("works", waits(900), ", limits = (wallMsMax = 1000)"),
    ];
    let bundles: Vec<_> = bundles.iter().map(|(name, bytes, limits)| (*name, bytes.as_slice(), *limits)).collect();
    let folder = folder(&bundles);
    let started = Instant::now();
    let checked = folder.run(&["check"]);
    assert!(started.elapsed() < Duration::from_secs(50), "{:?}", started.elapsed());
    for why in ["wallMsMax = 1000, set by the operator", "wallMsMax = 10000, set by the house, for listings"] {
        assert!(checked.stderr.contains(why), "{why}: {checked:?}");
    }
    assert!(!checked.stderr.contains("works offers nothing"), "{checked:?}");
    still_serves(&House::in_folder(folder));
}
