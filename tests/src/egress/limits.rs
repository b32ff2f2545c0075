//! The bounds of `egress`: each holds, and what is just below it passes.

use serde_json::json;

use super::github::FakeGitHub;
use super::{errand, fetch, open_with, told, until};
use crate::support::House;

fn house(egress: &str) -> (FakeGitHub, House) {
    open_with(|said| said.egress = egress.to_owned())
}

#[test]
fn memory_that_is_handed_over_many_times_counts_each_time() {
    let (_server, house) = open_with(|said| said.bundle = "limits = (outputKibMax = 512)".to_owned());
    let alias = |count, bytes| house.call("errand_alias", json!({"count": count, "bytes": bytes}));
    assert_eq!(told(&alias(1, 50_000)), "ok");
    // Headers have a smaller bound of their own.
    let text = alias(8, 64 << 10)["content"][0]["text"].to_string();
    assert!(text.contains("total size of fields"), "{text}");
    for count in [10, 10_000] {
        let refused = alias(count, 64 << 10);
        let refusal = &refused["_meta"]["certosa/refusal"];
        assert_eq!((&refusal["limit"], &refusal["bound"]), (&json!("output"), &json!(512)), "{refused}");
    }
}

#[test]
fn nine_tenths_of_what_may_cross_the_border_cross_it() {
    // With 64 KiB that are always there, 66,560 bytes.
    let (_server, house) = open_with(|said| said.bundle = "limits = (outputKibMax = 1)".to_owned());
    let alias = |bytes| house.call("errand_alias", json!({"count": 1, "bytes": bytes}));
    assert_eq!(told(&alias(60_000)), "ok");
    assert_eq!(alias(68_000)["_meta"]["certosa/refusal"]["limit"], "output");
}

#[test]
fn bodies_end_where_the_manifest_says() {
    let (server, house) = house("requestKibMax = 256, responseKibMax = 256");
    let below = errand(
        &house,
        &server,
        "upload",
        "/status/200",
        json!({"method": "POST", "chunks": 25, "chunk_bytes": 10_000}),
    );
    assert_eq!(below["status"], 200, "{below}");
    let above = errand(
        &house,
        &server,
        "upload",
        "/status/200",
        json!({"method": "POST", "chunks": 30, "chunk_bytes": 10_000}),
    );
    assert!(above["error"].as_str().unwrap().contains("HttpRequestBodySize"), "{above}");
    assert!(house.log().contains("rule=\"requestBytesMax\""), "{}", house.log());

    let below = errand(&house, &server, "download", "/big?bytes=250000", json!({}));
    assert_eq!((&below["bytes"], &below["error"]), (&json!(250_000), &json!(null)), "{below}");
    for path in ["/big?bytes=270000", "/endless", "/bomb"] {
        let above = errand(&house, &server, "download", path, json!({}));
        let error = above["error"].as_str().unwrap();
        assert!(error.contains("body size exceeds limit") || error.contains("HttpResponseBodySize"), "{path}: {above}");
        assert!(above["bytes"].as_u64().unwrap() <= 262_144, "{path}: {above}");
    }
    until("no connection is left open", || server.open() == 0);
}

#[test]
fn a_large_body_is_whole_however_it_is_read() {
    let (server, house) = house("");
    let sums = [false, true].map(|looks| {
        let read = errand(&house, &server, "download", "/big?bytes=8000000", json!({"looks": looks}));
        assert_eq!((&read["bytes"], &read["error"]), (&json!(8_000_000), &json!(null)), "{read}");
        read["checksum"].to_string()
    });
    assert_eq!(sums[0], sums[1]);
}

#[test]
fn waiting_ends_where_the_manifest_says() {
    let (server, house) = house("firstByteMsMax = 800, betweenBytesMsMax = 800");
    assert_eq!(fetch(&house, &server, "/slow?ms=200", json!({}))["status"], 200);
    assert_eq!(fetch(&house, &server, "/hang", json!({}))["error"], "ErrorCode::HttpResponseTimeout");
    assert_eq!(fetch(&house, &server, "/pause?ms=200", json!({}))["error"], json!(null));
    let paused = fetch(&house, &server, "/pause?ms=5000", json!({}));
    assert!(paused["error"].as_str().unwrap().contains("connection read timeout"), "{paused}");
    for field in ["firstByteMsMax", "betweenBytesMsMax"] {
        assert!(house.log().contains(&format!("rule=\"{field}\"")), "{}", house.log());
    }
}

#[test]
fn a_bundle_has_so_many_exchanges_at_the_same_time() {
    let (server, house) = house("exchangesMax = 4");
    std::thread::scope(|scope| {
        let hoarding = scope.spawn(|| errand(&house, &server, "hoard", "/hang", json!({"count": 20, "ms": 1500})));
        until("as many as may be are on their way", || server.open() == 4);
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert_eq!(server.open(), 4);
        assert_eq!(hoarding.join().unwrap()["begun"], 20);
    });
    until("they are gone with their call", || server.open() == 0);
    assert_eq!(fetch(&house, &server, "/status/200", json!({}))["status"], 200);
}

#[test]
fn refusals_do_not_flood_the_log() {
    let (server, house) = house("");
    for _ in 0..40 {
        fetch(&house, &server, "/status/200", json!({"authority": "elsewhere.example"}));
    }
    let told = house.log().lines().filter(|line| line.contains("rule=\"hosts\"")).count();
    assert!((10..=30).contains(&told), "{told}");
    let refused: u64 = house.records(40).iter().filter_map(|record| record["refused"].as_u64()).sum();
    assert_eq!(refused, 40, "the records have them all");
}
