//! Schemas that mean harm: they come from a bundle, and are run in the host.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use certosa_isolate::{Breach, Terms};
use certosa_syscall::guest::Outcome;
use serde_json::{Value, json};

use super::{call, house, refused, still_serves};
use crate::support::{House, component, text};
use crate::typed::Bench;

/// `shifty` with a tool that takes arguments of one schema and gives a result of another.
fn terms(input: &Value, output: &Value, result: &Value) -> Vec<u8> {
    let mut bytes = fs::read(component("shifty")).unwrap();
    let name = b"shifty-terms:";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    let text = format!("{input}\n{output}\n{result}\n");
    let room = &mut bytes[at..at + text.len()];
    assert!(room.iter().all(|byte| *byte == b' '), "there is no room for {} bytes", text.len());
    room.copy_from_slice(text.as_bytes());
    bytes
}

/// A house of such a tool, and a neighbour.
fn of(input: &Value, output: &Value, result: &Value, limits: &str) -> House {
    house(&terms(input, output, result), limits)
}

fn anything() -> Value {
    json!({"type": "object"})
}

/// So many definitions, each of which refers to the next as `link` says, and the last is `last`.
fn chain(count: usize, link: impl Fn(Value) -> Value, last: Value) -> Value {
    let mut schema = json!({"type": "object", "$ref": "#/$defs/r0"});
    for n in 1..count {
        schema["$defs"][format!("r{}", n - 1)] = link(json!({"$ref": format!("#/$defs/r{n}")}));
    }
    schema["$defs"][format!("r{}", count - 1)] = last;
    schema
}

/// Objects in each other.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!({}), |inside, _| json!({ "a": inside }))
}

/// A schema of so many levels, each of which doubles what is to be done. None of it says anything of the value.
fn doubled(levels: usize) -> Value {
    chain(levels, |next| json!({"allOf": [next, next]}), json!({}))
}

#[test]
fn a_schema_takes_the_time_of_the_call() {
    for (input, output) in [(doubled(60), anything()), (anything(), doubled(60))] {
        let house = of(&input, &output, &json!({}), "cpuMsMax = 300");
        let started = Instant::now();
        refused(&call(&house, "terms", json!({})), "cpu", "cpuMsMax", 300);
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        still_serves(&house);
    }
    // A million steps, of which some take longer than others.
    for (input, output) in [(doubled(18), anything()), (anything(), doubled(18))] {
        let house = of(&input, &output, &json!({}), "cpuMsMax = 300");
        assert_eq!(call(&house, "terms", json!({}))["structuredContent"], json!({}));
    }
}

/// Terms that take some time, and say on which threads they were asked.
#[derive(Default)]
struct Slow(Mutex<Vec<String>>);

impl Terms for Slow {
    fn takes(&self, _: &str, time: Duration) -> Result<(), Breach> {
        self.0.lock().unwrap().push(std::thread::current().name().unwrap_or_default().to_owned());
        let until = Instant::now() + Duration::from_millis(2);
        while Instant::now() < until {}
        if time > Duration::from_millis(20) { Ok(()) } else { Err(Breach::Long) }
    }

    fn gives(&self, _: &Outcome, _: Duration) -> Result<(), Breach> {
        Ok(())
    }
}

/// A check that takes long stands back, as a guest does that computes for long.
#[test]
fn a_schema_that_takes_long_is_in_nobodys_way() {
    let bench = Bench::new();
    let image = bench.linked(&fs::read(component("hello")).unwrap());
    let terms = Arc::new(Slow::default());
    bench.call(&image, "greet", r#"{"name":"Ana"}"#, Some(Arc::clone(&terms) as Arc<dyn Terms>)).unwrap();
    let threads = terms.0.lock().unwrap();
    assert!(threads.len() == 2 && threads[0] != "certosa-slow" && threads[1] == "certosa-slow", "{threads:?}");
}

#[test]
fn a_schema_is_followed_to_a_depth() {
    let round = json!({"additionalProperties": {"$ref": "#/$defs/r0"}});
    let long = |count| chain(count, |next| next, round.clone());
    let house = of(&long(400), &anything(), &json!({}), "");
    let result = call(&house, "terms", nested(100));
    assert!(text(&result).contains("nested more deeply than the schema can be followed"), "{result}");
    assert_eq!(call(&house, "terms", nested(2))["structuredContent"], json!({}));
    still_serves(&house);
    let house = of(&anything(), &long(400), &nested(100), "");
    let result = call(&house, "terms", json!({}));
    assert!(text(&result).contains("nested more deeply than the schema can be followed"), "{result}");
    assert_eq!(result["_meta"]["certosa/refusal"]["fault"], "bundle", "{result}");
    still_serves(&house);
    let house = of(&long(20), &long(20), &nested(100), "");
    assert_eq!(call(&house, "terms", nested(100))["structuredContent"], nested(100));
}

#[test]
fn a_regular_expression_takes_the_time_of_the_call() {
    let with = |pattern: &str| json!({"type": "object", "properties": {"a": {"pattern": pattern}}});
    let house = of(&with("[ab]*a[ab]{1000}c"), &anything(), &json!({}), "");
    let long = "ab".repeat(1 << 20);
    refused(&call(&house, "terms", json!({"a": long})), "cpu", "cpuMsMax", 2000);
    still_serves(&house);
    let house = of(&with("^[ab]*$"), &anything(), &json!({}), "");
    assert_eq!(call(&house, "terms", json!({"a": long}))["structuredContent"], json!({}));
}

#[test]
fn what_is_wrong_under_alternatives_takes_no_memory() {
    // What fits comes first, so that it is not seen at once that something does not.
    let rows = json!({"type": "object", "properties": {
        "a": {"items": {"type": "integer"}},
        "b": {"anyOf": [{"items": {"type": "string"}}, {"type": "null"}]},
    }});
    let house = of(&rows, &anything(), &json!({}), "");
    let before = super::peak_mib(&house);
    let result = call(&house, "terms", json!({"a": vec![0; 200_000], "b": vec![0; 1_700_000]}));
    assert_eq!(result["_meta"]["certosa/refusal"]["kind"], "arguments", "{result}");
    let more = super::peak_mib(&house) - before;
    assert!(more < 200, "{more} MiB");
    still_serves(&house);
}
