//! Results that are small in the guest and large in the host.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{ask, call, house, number, peak_mib, refused, still_serves};
use crate::support::{House, text};
use crate::typed::{component, module};

const DEEP: usize = 16;

/// Functions that return lists of `number` items of one kind each.
fn hostile() -> Vec<u8> {
    let flags: Vec<_> = ('a'..='z').map(String::from).chain((0..6).map(|index| format!("z{index}"))).collect();
    let long = format!("a{}", "x".repeat(20_000));
    let list = format!("{}u8{}", "list<".repeat(DEEP), ">".repeat(DEEP));
    let wit = format!(
        "package t:hostile;
        interface i {{
            flags many {{ {} }}
            enum long {{ {long}, b }}
            record one {{ a: bool }}
            flagged: func(number: u32) -> list<many>;
            named: func(number: u32) -> list<long>;
            records: func(number: u32) -> list<one>;
            tuples: func(number: u32) -> list<tuple<bool>>;
            options: func(number: u32) -> list<option<bool>>;
            same-text: func(number: u32) -> list<string>;
            same-list: func(number: u32) -> list<list<u64>>;
            laughs: func(number: u32) -> {list};
            same: func(number: u32) -> u32;
        }}
        world w {{ export i; }}",
        flags.join(", ")
    );
    // Level after level, four entries that are all the next level.
    let levels: String = (0..DEEP)
        .map(|level| {
            let (at, next) = (4096 + level * 64, 4096 + (level + 1) * 64);
            (0..4)
                .map(|entry| {
                    format!(
                        "(i32.store (i32.const {}) (i32.const {next})) (i32.store (i32.const {}) (local.get 0))",
                        at + entry * 8,
                        at + entry * 8 + 4
                    )
                })
                .collect::<String>()
        })
        .collect();
    let of_nothing = |name: &str| {
        format!(
            r#"(func (export "t:hostile/i#{name}") (param i32) (result i32) (call $list (i32.const 0) (local.get 0)))"#
        )
    };
    let plain = ["named", "records", "tuples"].map(of_nothing).join("\n");
    let code = format!(
        r#"
        (func $list (param i32 i32) (result i32)
            ;; From 1 MiB on there is room for lists.
            (drop (memory.grow (i32.const 700)))
            (i32.store (i32.const 1024) (i32.add (i32.const 1048576) (local.get 0)))
            (i32.store (i32.const 1028) (local.get 1))
            (i32.const 1024))
        (func $filled (param $count i32) (param $first i32) (param $second i32) (result i32)
            (local $at i32)
            (drop (call $list (i32.const 0) (local.get $count)))
            (local.set $at (i32.const 1048576))
            (loop $more
                (i32.store (local.get $at) (local.get $first))
                (i32.store (i32.add (local.get $at) (i32.const 4)) (local.get $second))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $more
                    (i32.lt_u (local.get $at)
                        (i32.add (i32.const 1048576) (i32.mul (local.get $count) (i32.const 8))))))
            (i32.const 1024))
        {plain}
        (func (export "t:hostile/i#flagged") (param i32) (result i32)
            (drop (call $list (i32.const 0) (local.get 0)))
            (memory.fill (i32.const 1048576) (i32.const 255) (i32.mul (local.get 0) (i32.const 4)))
            (i32.const 1024))
        (func (export "t:hostile/i#options") (param i32) (result i32)
            (drop (call $list (i32.const 0) (local.get 0)))
            (memory.fill (i32.const 1048576) (i32.const 1) (i32.mul (local.get 0) (i32.const 2)))
            (i32.const 1024))
        (func (export "t:hostile/i#same-text") (param i32) (result i32)
            (memory.fill (i32.const 65536) (i32.const 97) (i32.const 65536))
            (call $filled (local.get 0) (i32.const 65536) (i32.const 65536)))
        (func (export "t:hostile/i#same-list") (param i32) (result i32)
            (call $filled (local.get 0) (i32.const 65536) (i32.const 8192)))
        (func (export "t:hostile/i#laughs") (param i32) (result i32)
            {levels}
            (call $list (i32.const -1044480) (local.get 0)))
        (func (export "t:hostile/i#same") (param i32) (result i32) (local.get 0))"#
    );
    component(&wit, &module(&code))
}

/// The result of a function as JSON.
fn returned(house: &House, function: &str, number: u32) -> Value {
    let result = ask(house, function, number);
    assert_ne!(result["isError"], true, "{function}: {result}");
    result["structuredContent"]["result"].clone()
}

#[test]
fn what_is_lifted_takes_bounded_room_in_the_host() {
    let house = house(&hostile(), "memoryMibMax = 64, cpuMsMax = 20000");
    assert_eq!(number(&ask(&house, "same", 5)), 5);
    let before = peak_mib(&house);
    for (function, count) in [
        // As many as the guest's memory has room for, or the host.
        ("flagged", 500_000),
        ("flagged", 10_000_000),
        ("named", 40_000_000),
        ("records", 700_000),
        ("records", 40_000_000),
        ("tuples", 700_000),
        ("options", 700_000),
        ("same-text", 4_000_000),
        ("same-list", 4_000_000),
        ("laughs", 4),
    ] {
        let started = Instant::now();
        refused(&ask(&house, function, count), "output", "outputKibMax", 4096);
        assert!(started.elapsed() < Duration::from_secs(20), "{function}: {:?}", started.elapsed());
        let more = peak_mib(&house) - before;
        // 64 MiB of the guest, 15 times the output, four times that with all that is around it, and what the allocator
        // keeps of calls before.
        assert!(more < 64 + 4 * 15 * 4 + 128, "{function} with {count}: {more} MiB");
    }
    still_serves(&house);
}

#[test]
fn what_is_large_and_honest_is_lifted() {
    let house = house(&hostile(), "outputKibMax = 256, memoryMibMax = 64, cpuMsMax = 20000");
    // At 90 % of the output, which has the JSON twice.
    for (function, count, each) in
        [("flagged", 828, 137), ("records", 10_000, 12), ("tuples", 14_000, 8), ("options", 22_000, 5)]
    {
        let value = returned(&house, function, count);
        assert_eq!(value.as_array().unwrap().len(), count as usize, "{function}");
        let written = value.to_string().len();
        assert!(written <= count as usize * each + 2, "{function}: {written}");
        let size = house.records(1).pop().unwrap()["output_bytes"].as_u64().unwrap();
        assert!((200 << 10..256 << 10).contains(&size), "{function}: {size}");
    }
    assert_eq!(returned(&house, "same-text", 1)[0].as_str().unwrap().len(), 65_536);
    let mut laughs = &returned(&house, "laughs", 1);
    for _ in 1..DEEP {
        laughs = &laughs[0];
    }
    // A list of bytes is base64.
    assert_eq!(laughs.as_str().unwrap().len(), 4);
    refused(&ask(&house, "flagged", 1_000), "output", "outputKibMax", 256);
    still_serves(&house);
}

/// What is sent to a tool is bounded by the size of a request, and fits its type or is refused.
#[test]
fn deep_arguments_are_refused_before_a_cell_is_made() {
    let house = house(&hostile(), "");
    for levels in [100, 126, 10_000] {
        let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let (headers, body) =
            house.modern_parts("tools/call", json!({"name": "hostile_same", "arguments": {"number": "HERE"}}));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let response = house.http("POST", "/mcp", &headers, &body.replace("\"HERE\"", &deep));
        let refused = response.status == 400 || response.last()["result"]["isError"] == true;
        assert!(refused, "{levels}: {response:?}");
    }
    let none = call(&house, "same", json!({"number": u64::MAX}));
    assert!(text(&none).contains("the arguments do not fit"), "{none}");
    still_serves(&house);
}
