//! Every limit of a cell: a hostile guest that runs into it, and an honest call at 90 % of it that does not.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{House, bundles, text};

fn refused_by(result: &Value, limit: &str) {
    assert_eq!(result["isError"], true, "{result}");
    let refusal = &result["_meta"]["certosa/refusal"];
    assert_eq!(refusal["limit"], limit, "{result}");
}

fn still_serves(house: &House) {
    assert_eq!(text(&house.call("hello_greet", json!({"name": "Ana"}))), "Hello, Ana!");
}

#[test]
fn memory_is_bounded() {
    let house = House::of(&["hello", "probe"], "memoryMibMax = 20");
    let result = house.call("probe_hoard", json!({"mib": 25}));
    refused_by(&result, "memory");
    assert!(text(&result).contains("memoryMibMax = 20"), "{result}");
    assert_eq!(text(&house.call("probe_hoard", json!({"mib": 17}))), "holding 17 MiB");
    still_serves(&house);
    let used = house.records(3)[1]["memory_bytes"].as_u64().unwrap();
    assert!((18 << 20..=20 << 20).contains(&used), "honest at 90 % and more: {used}");
}

#[test]
fn time_on_the_processor_is_bounded() {
    let house = House::of(&["hello", "probe"], "cpuMsMax = 300");
    refused_by(&house.call("probe_spin", json!({})), "cpu");
    assert_eq!(text(&house.call("probe_compute", json!({"ms": 270}))), "computed");
    // Waiting is not computing.
    assert_eq!(text(&house.call("probe_sleep", json!({"ms": 600}))), "slept");
    still_serves(&house);
}

#[test]
fn time_on_the_wall_is_bounded() {
    let house = House::of(&["hello", "probe"], "wallMsMax = 500");
    let started = Instant::now();
    refused_by(&house.call("probe_sleep", json!({"ms": 60_000})), "wall");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(text(&house.call("probe_sleep", json!({"ms": 450}))), "slept");
    still_serves(&house);
}

#[test]
fn the_stack_is_bounded() {
    let house = House::of(&["hello", "probe"], "");
    let descends = |depth: u32| house.call("probe_recurse", json!({"depth": depth}))["isError"] != true;
    // Where it ends depends on the compiler, so the deepest descent is found by halving.
    let (mut good, mut bad) = (0, 60_000);
    refused_by(&house.call("probe_recurse", json!({"depth": bad})), "stack");
    while bad - good > 50 {
        let middle = (good + bad) / 2;
        if descends(middle) { good = middle } else { bad = middle }
    }
    assert!(good > 1000, "{good}");
    assert!(descends(good / 10 * 9));
    refused_by(&house.call("probe_recurse", json!({"depth": bad})), "stack");
    still_serves(&house);
}

#[test]
fn output_is_bounded() {
    let house = House::of(&["hello", "probe"], "outputKibMax = 100");
    refused_by(&house.call("probe_flood", json!({"kib": 101})), "output");
    refused_by(&house.call("probe_flood", json!({"kib": 20_000})), "output");
    refused_by(&house.call("probe_crumbs", json!({"count": 500_000})), "output");
    assert_eq!(text(&house.call("probe_flood", json!({"kib": 90}))).len(), 90 << 10);
    still_serves(&house);
}

#[test]
fn concurrency_is_bounded_and_the_line_is_fair() {
    let house = House::of(&["hello", "probe"], "concurrencyMax = 2, queueMax = 3");
    let started = Instant::now();
    let results: Vec<Value> = thread::scope(|scope| {
        let house = &house;
        let calls: Vec<_> = (0..7)
            .map(|_| {
                thread::sleep(Duration::from_millis(100));
                scope.spawn(move || house.call("probe_sleep", json!({"ms": 1500})))
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    // Two run, three wait, two are turned away at once; those who wait come in the order of their arrival.
    for (index, result) in results.iter().enumerate() {
        if index < 5 {
            assert_eq!(text(result), "slept", "call {index}");
        } else {
            refused_by(result, "concurrency");
            assert_eq!(result["_meta"]["certosa/refusal"]["retryAfterMs"], 1000);
        }
    }
    assert!(started.elapsed() >= Duration::from_millis(4500), "the line was not kept");
    assert_eq!(text(&house.call("probe_sleep", json!({"ms": 1}))), "slept", "the line is empty again");
    still_serves(&house);
}

#[test]
fn a_spinning_neighbour_does_not_stop_the_house() {
    let house = House::start(&bundles(&["hello", "probe"], "cpuMsMax = 3000, concurrencyMax = 8"));
    let mut spinners: Vec<_> = (0..8)
        .map(|_| {
            let (headers, body) = house.modern_parts("tools/call", json!({"name": "probe_spin", "arguments": {}}));
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let mut stream = house.connect();
            std::io::Write::write_all(&mut stream, house.request("POST", "/mcp", &headers, &body).as_bytes()).unwrap();
            stream
        })
        .collect();
    thread::sleep(Duration::from_millis(300));
    let started = Instant::now();
    still_serves(&house);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    spinners.clear();
}

/// The place of a call is taken for as long as its cell is there, and a cell that nobody waits for ends at its next tick.
#[test]
fn who_goes_away_gives_the_place_back() {
    let house = House::start(&bundles(&["probe"], "cpuMsMax = 60000, wallMsMax = 60000, concurrencyMax = 1"));
    let (headers, body) = house.modern_parts("tools/call", json!({"name": "probe_spin", "arguments": {}}));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut stream = house.connect();
    std::io::Write::write_all(&mut stream, house.request("POST", "/mcp", &headers, &body).as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(300));
    let started = Instant::now();
    drop(stream);
    assert_eq!(text(&house.call("probe_sleep", json!({"ms": 1}))), "slept");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(house.records(2)[0]["outcome"], "cancelled");
}

#[test]
fn a_cell_breaks_off_alone() {
    let house = House::of(&["hello", "probe"], "");
    for (tool, why) in [("probe_panic", "unreachable"), ("probe_exit", "exit code")] {
        let result = house.call(tool, json!({}));
        assert_eq!(result["isError"], true);
        assert_eq!(result["_meta"]["certosa/refusal"]["fault"], "bundle", "{result}");
        assert!(text(&result).contains(why), "{result}");
    }
    still_serves(&house);
}

/// To end a cell at work costs more than a call.
#[test]
#[cfg(target_os = "linux")]
fn what_breaks_off_stands_back_and_its_neighbour_does_not() {
    let house = House::of(&["hello", "probe"], "");
    let changes_of_thread_during = |call: &dyn Fn()| {
        let before = changes_to_slow_threads(&house);
        (0..100).for_each(|_| call());
        changes_to_slow_threads(&house) - before
    };
    let breaks_off = || assert_eq!(house.call("probe_panic", json!({}))["isError"], true);
    let of_hostile = changes_of_thread_during(&breaks_off);
    let of_honest = changes_of_thread_during(&|| still_serves(&house));
    // On a busy machine a thread may find the next call before it sleeps, and an honest call may have to wait at work.
    assert!(of_hostile >= 40 && of_honest < of_hostile / 2, "{of_hostile}, {of_honest}");
}

#[cfg(target_os = "linux")]
fn changes_to_slow_threads(house: &House) -> u64 {
    let mut changes = 0;
    for thread in std::fs::read_dir(format!("/proc/{}/task", house.child.id())).unwrap() {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        if field("Name:") == "certosa-slow" {
            let counts = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"];
            changes += counts.iter().map(|name| field(name).parse::<u64>().unwrap()).sum::<u64>();
        }
    }
    changes
}

#[test]
fn a_guest_reaches_nothing() {
    let house = House::of(&["hello", "probe"], "");
    assert_eq!(text(&house.call("probe_reach", json!({}))), "nothing");
}

#[test]
fn nothing_is_left_over_between_two_calls() {
    let house = House::of(&["hello", "probe"], "");
    for _ in 0..3 {
        assert_eq!(text(&house.call("probe_count", json!({}))), "1");
    }
}

#[test]
fn traces_do_not_flood_the_log() {
    let house = House::of(&["probe"], "");
    for _ in 0..40 {
        assert_eq!(house.call("probe_panic", json!({}))["isError"], true);
    }
    let told = house.log().lines().filter(|line| line.contains("WARN") && line.contains("unreachable")).count();
    assert!((10..=20).contains(&told), "{told}: {}", house.log());
    assert!(house.log().contains("panicked at"), "the first ones are told in full: {}", house.log());
    assert_eq!(house.records(40).iter().filter(|record| record["outcome"] == "trap").count(), 40);
}

#[test]
fn logs_are_bounded() {
    let house = House::of(&["hello", "probe"], "");
    let meta = json!({"io.modelcontextprotocol/logLevel": "debug"});
    let params = json!({"name": "probe_chatter", "arguments": {"count": 2000}, "_meta": meta});
    let response = house.modern("tools/call", params);
    let messages = response.messages();
    assert!(messages.len() <= 257, "{} messages", messages.len());
    assert_eq!(text(&messages.last().unwrap()["result"]), "said");
    still_serves(&house);
    let records = house.records(2);
    assert_eq!(records[0]["events_dropped"], 2000 - 256, "{records:?}");
}

#[test]
fn a_bundle_is_held_to_its_own_schema() {
    let house = House::of(&["hello", "probe"], "");
    let told = |structured: &str| house.call("probe_lie", json!({"structured": structured}));
    assert_eq!(told(r#"{"n":3}"#)["structuredContent"], json!({"n": 3}));
    for lie in [r#"{"n":"3"}"#, "{}", "[]", "not JSON", r#"{"n":3,"n":4}"#] {
        let result = told(lie);
        assert_eq!(result["isError"], true, "{lie}");
        assert_eq!(result["_meta"]["certosa/refusal"]["fault"], "bundle", "{lie}");
        assert!(result.get("structuredContent").is_none());
    }
    assert_eq!(house.call("probe_lie", json!({}))["isError"], true, "a promise that was not kept");
}
