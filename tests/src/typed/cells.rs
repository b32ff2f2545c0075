//! Typed components that mean harm.

use std::time::{Duration, Instant};

use certosa_model::CompileLimits;
use serde_json::{Value, json};

use super::{component, module, program};
use crate::support::{Folder, House, bundles, text};

const HOSTILE: &str = r#"
package t:hostile;
interface i {
    enum colour { red, green }
    variant shape { dot, line(string) }
    trap: func();
    spin: func();
    deep: func();
    hoard: func();
    flood: func(count: u32) -> list<u8>;
    numbers: func(count: u32) -> list<u32>;
    strings: func(count: u32) -> list<string>;
    bad-text: func() -> string;
    bad-char: func() -> char;
    bad-enum: func() -> colour;
    bad-case: func() -> shape;
    far-text: func() -> string;
    far-list: func() -> list<u64>;
    huge-error: func() -> result<u32, string>;
    good: func(x: string) -> string;
}
world w { export i; }
"#;

const HOSTILE_CODE: &str = r#"
    (data (i32.const 16) "\ff\fe")
    (func $down (param i32) (result i32) (i32.add (call $down (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
    (func $pair (param i32 i32) (result i32)
        (i32.store (i32.const 1024) (local.get 0))
        (i32.store (i32.const 1028) (local.get 1))
        (i32.const 1024))
    (func (export "t:hostile/i#trap") unreachable)
    (func (export "t:hostile/i#spin") (loop $again (br $again)))
    (func (export "t:hostile/i#deep") (drop (call $down (i32.const 0))))
    (func (export "t:hostile/i#hoard")
        (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable)
    (func (export "t:hostile/i#flood") (param i32) (result i32) (call $pair (i32.const 0) (local.get 0)))
    (func (export "t:hostile/i#numbers") (param i32) (result i32) (call $pair (i32.const 65536) (local.get 0)))
    (func (export "t:hostile/i#strings") (param i32) (result i32) (call $pair (i32.const 65536) (local.get 0)))
    (func (export "t:hostile/i#bad-text") (result i32) (call $pair (i32.const 16) (i32.const 2)))
    (func (export "t:hostile/i#bad-char") (result i32) (i32.const 0xd800))
    (func (export "t:hostile/i#bad-enum") (result i32) (i32.const 2))
    (func (export "t:hostile/i#bad-case") (result i32) (i32.store (i32.const 1024) (i32.const 9)) (i32.const 1024))
    (func (export "t:hostile/i#far-text") (result i32) (call $pair (i32.const 0x7fffffff) (i32.const 0x7fffffff)))
    (func (export "t:hostile/i#far-list") (result i32) (call $pair (i32.const 8) (i32.const 0x1fffffff)))
    (func (export "t:hostile/i#huge-error") (result i32)
        (i32.store (i32.const 2048) (i32.const 1))
        (i32.store (i32.const 2052) (i32.const 65536))
        (i32.store (i32.const 2056) (i32.const 196607))
        (i32.const 2048))
    (func (export "t:hostile/i#good") (param i32 i32) (result i32) (call $pair (local.get 0) (local.get 1)))
"#;

fn house(limits: &str) -> House {
    let folder = Folder::new(&bundles(&["hostile"], limits));
    folder.write("hostile.wasm", component(HOSTILE, &module(HOSTILE_CODE)));
    House::in_folder(folder)
}

fn still_serves(house: &House) {
    assert_eq!(text(&house.call("hostile_good", json!({"x": "still"}))), "still");
}

fn refused_by(result: &Value, limit: &str) {
    assert_eq!(result["isError"], true, "{result}");
    assert_eq!(result["_meta"]["certosa/refusal"]["limit"], limit, "{result}");
}

#[test]
fn the_limits_of_cells_hold() {
    let house = house("cpuMsMax = 300, memoryMibMax = 16");
    refused_by(&house.call("hostile_spin", json!({})), "cpu");
    refused_by(&house.call("hostile_deep", json!({})), "stack");
    refused_by(&house.call("hostile_hoard", json!({})), "memory");
    let trapped = house.call("hostile_trap", json!({}));
    assert_eq!(trapped["_meta"]["certosa/refusal"]["fault"], "bundle", "{trapped}");
    assert!(text(&trapped).contains("unreachable"), "{trapped}");
    still_serves(&house);
}

#[test]
fn output_is_bounded_in_json_and_in_the_host() {
    let house = house("outputKibMax = 100, memoryMibMax = 64");
    // 30,000 bytes are 40,000 characters in each of the two texts.
    assert_eq!(text(&house.call("hostile_flood", json!({"count": 30_000}))).len(), 40_002);
    refused_by(&house.call("hostile_flood", json!({"count": 45_000})), "output");
    refused_by(&house.call("hostile_flood", json!({"count": 250_000})), "output");
    assert_eq!(text(&house.call("hostile_numbers", json!({"count": 20_000}))).len(), 40_001);
    refused_by(&house.call("hostile_numbers", json!({"count": 40_000})), "output");
    refused_by(&house.call("hostile_strings", json!({"count": 24_000})), "output");
    refused_by(&house.call("hostile_huge-error", json!({})), "output");
    still_serves(&house);
}

#[test]
fn lies_of_the_canonical_abi_end_the_call_alone() {
    let house = house("");
    for (tool, why) in [
        ("bad-text", "utf-8"),
        ("bad-char", "char"),
        ("bad-enum", "discriminant"),
        ("bad-case", "discriminant"),
        ("far-text", "bounds"),
        ("far-list", "bounds"),
    ] {
        let result = house.call(&format!("hostile_{tool}"), json!({}));
        assert_eq!(result["isError"], true, "{tool}: {result}");
        assert_eq!(result["_meta"]["certosa/refusal"]["fault"], "bundle", "{tool}: {result}");
        assert!(text(&result).contains(why), "{tool}: {result}");
    }
    still_serves(&house);
}

/// What was left out takes no JSON, and room in the host.
#[test]
fn what_is_left_out_of_arguments_is_bounded() {
    let fields: String = (0..200).map(|n| format!("field{n}: option<bool>, ")).collect();
    let wit = format!(
        "package t:hostile; interface i {{ record wide {{ {fields} }} f: func(x: list<wide>) -> u32; }}
         world w {{ export i; }}"
    );
    let code = r#"(func (export "t:hostile/i#f") (param i32 i32) (result i32) (local.get 1))"#;
    let folder = Folder::new(&bundles(&["hostile"], ""));
    folder.write("hostile.wasm", component(&wit, &module(code)));
    let house = House::in_folder(folder);
    // Of 64 MiB each record takes some 14.3 KiB.
    let records = |count: usize| house.call("hostile_f", json!({"x": vec![json!({}); count]}));
    assert_eq!(text(&records(4_200)), "4200");
    for count in [5_000, 500_000] {
        let started = Instant::now();
        let result = records(count);
        refused_by(&result, "memory");
        assert!(text(&result).contains("memoryMibMax = 64, set by the operator"), "{result}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    assert_eq!(text(&records(1)), "1");
}

#[test]
fn large_arguments_take_no_long_time() {
    let house = house("");
    let long = "x".repeat(2 << 20);
    let started = Instant::now();
    let result = house.call("hostile_good", json!({"x": long}));
    refused_by(&result, "output");
    assert!(started.elapsed() < Duration::from_secs(10));
    still_serves(&house);
}

#[test]
fn corrupted_components_never_crash_the_describing_child() {
    let whole = component(HOSTILE, &module(HOSTILE_CODE));
    let whole = super::wire::with_docs(whole, HOSTILE);
    let mut chance = super::types::Chance::Seed(1);
    for _ in 0..150 {
        let mut bytes = whole.clone();
        for _ in 0..1 + chance.below(3) {
            // The types stand at the end, behind the code.
            let at = bytes.len() - 1 - chance.below(bytes.len() * 2 / 3);
            bytes[at] ^= 1 << chance.below(8);
        }
        match certosa_isolate::describe(&bytes, &program(), "internal-describe-component", CompileLimits::default()) {
            Ok(_) | Err(certosa_isolate::CodeError::Exports(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    for part in [9, 100, whole.len() / 3, whole.len() - 1] {
        let described = certosa_isolate::describe(
            &whole[..part],
            &program(),
            "internal-describe-component",
            CompileLimits::default(),
        );
        assert!(described.is_err(), "{part}");
    }
}
