//! Memories and tables: how much of them, and how many.

use std::fmt::Write as _;

use serde_json::json;

use super::{ask, call, folder, guest, house, number, plain, refused, still_serves};
use crate::support::House;

/// A module that grows all its memories or tables in turn until they have so many pages or elements together, and
/// breaks off if they cannot.
fn grower(name: &str, definitions: &str, each: &[String], step: u32) -> String {
    let mut turns = String::new();
    for grow in each {
        let _always = write!(
            turns,
            "(block $full (loop $more
                (br_if $done (i32.ge_u (local.get $have) (local.get $want)))
                (br_if $full (i32.eq {grow} (i32.const -1)))
                (local.set $have (i32.add (local.get $have) (i32.const {step})))
                (br $more)))"
        );
    }
    format!(
        r#"{definitions}
        (func (export "{name}") (param $want i32) (result i32)
            (local $have i32)
            (block $done {turns} unreachable)
            (local.get $have))"#
    )
}

#[test]
fn tables_count_as_memory() {
    let tables: String = (0..8).map(|index| format!("(table $t{index} 0 funcref)")).collect();
    let grow: Vec<_> = (0..8).map(|index| format!("(table.grow $t{index} (ref.null func) (i32.const 1000))")).collect();
    let house = house(&plain(&grower("tables", &tables, &grow, 1000), &["tables"]), "memoryMibMax = 1");
    // An element is a pointer of 8 bytes, so one MiB has 131,072 of them; one table has at most 100,000.
    assert_eq!(number(&ask(&house, "tables", 118_000)), 118_000);
    let used = house.records(1)[0]["memory_bytes"].as_u64().unwrap();
    assert!((118_000 * 8..=1 << 20).contains(&used), "{used}");
    refused(&ask(&house, "tables", 132_000), "memory", "memoryMibMax", 1);
    refused(&ask(&house, "tables", 4_000_000), "memory", "memoryMibMax", 1);
    still_serves(&house);
}

#[test]
fn memories_are_summed() {
    let memories: String = (0..4).map(|index| format!("(memory $m{index} 0)")).collect();
    // Each takes a third of the bound and no more, so that no single one reaches it.
    let grow: Vec<_> = (0..4)
        .map(|index| {
            format!(
                "(if (result i32) (i32.lt_u (memory.size $m{index}) (i32.const 85))
                    (then (memory.grow $m{index} (i32.const 1))) (else (i32.const -1)))"
            )
        })
        .collect();
    let house = house(&plain(&grower("memories", &memories, &grow, 1), &["memories"]), "memoryMibMax = 16");
    assert_eq!(number(&ask(&house, "memories", 230)), 230);
    assert_eq!(number(&ask(&house, "memories", 256)), 256);
    refused(&ask(&house, "memories", 257), "memory", "memoryMibMax", 16);
    assert_eq!(house.records(2)[1]["memory_bytes"], 16 << 20);
    still_serves(&house);
}

/// A table or a memory that is as large as it may be by its own bound cannot grow, and what it did not get is not
/// counted.
#[test]
fn what_cannot_grow_is_not_counted() {
    let code = r#"
        (memory 0) (memory $small 1 2) (table $t 0 100 funcref)
        (func (export "grow") (param $pages i32) (result i32)
            (local $tries i32)
            (loop $again
                (drop (table.grow $t (ref.null func) (i32.const 50000)))
                (drop (memory.grow $small (i32.const 200)))
                (br_if $again (i32.lt_u (local.tee $tries (i32.add (local.get $tries) (i32.const 1))) (i32.const 100))))
            (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then unreachable))
            (local.get $pages))"#;
    let house = house(&plain(code, &["grow"]), "memoryMibMax = 16");
    assert_eq!(number(&ask(&house, "grow", 255)), 255);
    refused(&ask(&house, "grow", 256), "memory", "memoryMibMax", 16);
    still_serves(&house);
}

/// A component of so many core instances, each with so many memories and tables.
fn parts(instances: usize, memories: &str, tables: &str) -> Vec<u8> {
    let more = "(core instance (instantiate $m))".repeat(instances - 1);
    wat::parse_str(format!(
        r#"(component
            (core module $m {memories} {tables} (func (export "same") (param i32) (result i32) (local.get 0)))
            (core instance $i (instantiate $m)) {more}
            (func (export "same") (param "number" u32) (result u32) (canon lift (core func $i "same"))))"#
    ))
    .unwrap()
}

#[test]
fn a_cell_has_only_so_many_parts() {
    let (memory, table) = ("(memory 1)", "(table 1 funcref)");
    let house = |bytes: Vec<u8>| folder(&[("hostile", &bytes, ", limits = (memoryMibMax = 16)")]);
    let large_tables = "(table 100000 funcref)".repeat(8);
    for bytes in [
        parts(32, "", ""),
        parts(1, &memory.repeat(4), &table.repeat(8)),
        parts(4, memory, &table.repeat(2)),
        parts(1, "(memory 128)", &large_tables),
    ] {
        let house = House::in_folder(house(bytes));
        assert_eq!(number(&ask(&house, "same", 3)), 3);
        still_serves(&house);
    }
    let many_globals = "(global i64 (i64.const 0))".repeat(100_000);
    for (bytes, found, whose) in [
        (parts(33, "", ""), "33 core module instances", "32 core instances"),
        (parts(1, &memory.repeat(5), ""), "count of 5", "4 memories"),
        (parts(5, memory, ""), "5 Wasm linear memories", "4 memories"),
        (parts(1, "", &table.repeat(9)), "count of 9", "8 tables"),
        (parts(9, "", table), "9 tables", "8 tables"),
        (parts(1, "", "(table 100001 funcref)"), "100001", "8 tables of 100000 elements"),
        (parts(1, "(memory 1025)", ""), "minimum byte size", "memoryMibMax, set by the operator"),
        (parts(1, &many_globals, ""), "bytes", "1 MiB for functions, globals"),
    ] {
        let checked = house(bytes).run(&["check"]);
        assert_eq!(checked.code, 3, "{checked:?}");
        assert!(checked.stderr.contains("the component of hostile cannot be used"), "{checked:?}");
        assert!(checked.stderr.contains(found) && checked.stderr.contains(whose), "{whose}: {checked:?}");
        assert!(whose.contains("operator") || checked.stderr.contains("set by the house"), "{checked:?}");
    }
}

/// A memory that fits another bundle's limits is refused where it is too large for its own.
#[test]
fn a_large_memory_is_no_better_in_large_company() {
    let bytes = parts(1, "(memory 257)", "");
    let bundles: [(&str, &[u8], &str); 2] =
        [("hostile", &bytes, ", limits = (memoryMibMax = 16)"), ("roomy", &bytes, ", limits = (memoryMibMax = 17)")];
    let house = House::in_folder(folder(&bundles));
    refused(&ask(&house, "same", 3), "memory", "memoryMibMax", 16);
    assert_eq!(number(&house.call("roomy_same", json!({"number": 3}))), 3);
    still_serves(&house);
}

/// What the host hands to a guest is written into the guest's own memory, and counts there.
#[test]
fn what_the_host_returns_counts_as_the_guests_memory() {
    let code = r#"
        (func (export "i#gather") (param $count i32) (result i32)
            (local $done i32)
            (loop $more
                (call $random (i64.const 65536) (i32.const 1024))
                (br_if $more
                    (i32.lt_u (local.tee $done (i32.add (local.get $done) (i32.const 1))) (local.get $count))))
            (local.get $done))"#;
    let house = house(&guest("gather: func(number: u32) -> u32;", code), "memoryMibMax = 16, cpuMsMax = 20000");
    assert_eq!(number(&call(&house, "gather", json!({"number": 220}))), 220);
    refused(&ask(&house, "gather", 100_000), "memory", "memoryMibMax", 16);
    still_serves(&house);
}
