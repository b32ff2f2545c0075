//! Schemas that mean harm: they come from a bundle, and are run in the host.

use std::fs;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use certosa_isolate::{Breach, Held, Image, Terms};
use certosa_syscall::guest::Outcome;
use serde_json::{Value, json};

use super::{call, folder, house, refused, still_serves};
use crate::relist::scripted;
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

/// Each of them takes 8 MB when it is compiled.
#[test]
fn schemas_take_no_more_of_the_house_than_cells_do() {
    let negated = |levels| {
        let mut schema = (0..levels).fold(json!({}), |schema, _| json!({ "not": schema }));
        schema["type"] = json!("object");
        scripted(terms(&schema, &anything(), &json!({})), "many", 0)
    };
    let folder = folder(&[("hostile", &negated(120), "")]);
    let checked = folder.run(&["check"]);
    assert!(checked.stderr.contains("the schemas take more than 64 MiB of the house"), "{checked:?}");
    let house = House::in_folder(folder);
    assert!(super::peak_mib(&house) < 500, "{} MiB", super::peak_mib(&house));
    still_serves(&house);
    // 400 tools with some of it are no hindrance.
    assert_eq!(text(&call(&super::house(&negated(8), ""), "n001", json!({}))), "n001");
}

/// Whether it is looked at whether it will take long; which takes all of that time.
fn is_first(time: Duration) -> bool {
    let until = Instant::now() + Duration::from_millis(2);
    while Instant::now() < until {}
    time < Duration::from_millis(20)
}

/// Terms that take some time, and say on which threads they were asked.
#[derive(Default)]
struct Slow(Mutex<Vec<String>>);

impl Terms for Slow {
    fn takes(&self, _: &str) -> Result<Held<'_>, Breach> {
        Ok(Some(Box::new(|time| {
            self.0.lock().unwrap().push(std::thread::current().name().unwrap_or_default().to_owned());
            if is_first(time) { Err(Breach::Long) } else { Ok(()) }
        })))
    }

    fn gives(&self, _: &Outcome) -> Result<Held<'_>, Breach> {
        Ok(None)
    }
}

/// Terms that take until so many calls at the same time look at theirs, or nobody has patience any more.
struct Crowd {
    enough: usize,
    patience: Duration,
    /// How many there are, and how many there were at most.
    there: Mutex<(usize, usize)>,
    more: Condvar,
}

impl Crowd {
    fn of(enough: usize, patience: Duration) -> Arc<Self> {
        Arc::new(Self { enough, patience, there: Mutex::default(), more: Condvar::new() })
    }

    fn enter(&self) -> Result<(), Breach> {
        let mut there = self.there.lock().unwrap();
        there.0 += 1;
        there.1 = there.1.max(there.0);
        self.more.notify_all();
        let is_too_small = |there: &mut (usize, usize)| there.1 < self.enough;
        let (mut there, _) = self.more.wait_timeout_while(there, self.patience, is_too_small).unwrap();
        there.0 -= 1;
        Ok(())
    }

    /// How many there were at most, when each of these images was called so often.
    fn peak(self: Arc<Self>, bench: &Bench, calls: &[(&Arc<Image>, usize)]) -> usize {
        let terms = Arc::clone(&self) as Arc<dyn Terms>;
        let call = |image| bench.call(image, "greet", r#"{"name":"Ana"}"#, Some(Arc::clone(&terms))).unwrap();
        std::thread::scope(|scope| {
            for (image, count) in calls {
                (0..*count).for_each(|_| drop(scope.spawn(|| call(image))));
            }
        });
        self.there.lock().unwrap().1
    }
}

impl Terms for Crowd {
    fn takes(&self, _: &str) -> Result<Held<'_>, Breach> {
        Ok(Some(Box::new(|time| if is_first(time) { Err(Breach::Long) } else { self.enter() })))
    }

    fn gives(&self, _: &Outcome) -> Result<Held<'_>, Breach> {
        Ok(None)
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

/// Nor in that of others that stand back: a bundle has as many such checks at a time as there are processors, and those of
/// another do not wait for them.
#[test]
fn checks_that_take_long_do_not_wait_for_those_of_other_bundles() {
    let bench = Bench::new();
    let hello = fs::read(component("hello")).unwrap();
    let (one, other) = (bench.linked(&hello), bench.linked(&hello));
    let processors = std::thread::available_parallelism().unwrap().get();
    let all = Crowd::of(processors + 1, Duration::from_secs(20));
    assert_eq!(all.peak(&bench, &[(&one, processors), (&other, 1)]), processors + 1);
    let many = Crowd::of(usize::MAX, Duration::from_millis(200));
    assert_eq!(many.peak(&bench, &[(&one, 2 * processors + 1)]), processors);
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
