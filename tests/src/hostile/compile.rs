//! Components that are made to cost: while they are compiled, described or loaded; and broken ones, by the thousand.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use certosa_isolate::{Code, CodeError, Form, ImageError, Machine, check_shape, compile, describe};
use certosa_model::{CellLimits, CompileLimits};
use serde_json::json;

use super::{ask, folder, number, plain, still_serves};
use crate::support::House;
use crate::typed::{program, types::Chance};

const COMPILE: &str = "internal-compile-component";
const DESCRIBE: &str = "internal-describe-component";

/// A component that could answer, beside this.
fn beside(more: &str) -> Vec<u8> {
    let answer = r#"(func (export "answer") (param i32) (result i32) (local.get 0))"#;
    plain(&format!("{more} {answer}"), &["answer"])
}

fn numbered(count: usize, write: impl Fn(&mut String, usize) -> std::fmt::Result) -> String {
    let mut text = String::new();
    (0..count).for_each(|index| write(&mut text, index).unwrap());
    text
}

/// A house of this component either opens, and the component answers, or says why not; both soon. The house without
/// it opens in any case.
fn opens_or_says_why(what: &str, component: &[u8]) -> bool {
    let started = Instant::now();
    let folder = folder(&[("hostile", component, "")]);
    let checked = folder.run(&["check"]);
    assert!(started.elapsed() < Duration::from_secs(170), "{what}: {:?}", started.elapsed());
    if checked.code == 0 {
        let house = House::in_folder(folder);
        assert_eq!(number(&ask(&house, "answer", 9)), 9, "{what}");
        still_serves(&house);
        return true;
    }
    assert_eq!(checked.code, 3, "{what}: {checked:?}");
    assert!(checked.stderr.contains("the component of hostile cannot be used"), "{what}: {checked:?}");
    assert!(!checked.stderr.contains("panicked"), "{what}: {checked:?}");
    still_serves(&House::in_folder(super::folder(&[])));
    false
}

#[test]
fn what_compiling_takes_is_bounded_for_each_bundle() {
    let functions = numbered(20_000, |text, index| {
        write!(text, "(func (param i32) (result i32) (i32.mul (local.get 0) (i32.const {index})))")
    });
    let large = beside(&functions);
    let check = |limits: &str| folder(&[("hostile", &large, &format!(", limits = ({limits})"))]).run(&["check"]);
    for (limit, bound) in [("compileMsMax", 20), ("compileMibMax", 128)] {
        let checked = check(&format!("{limit} = {bound}"));
        let said = format!("compiling it takes more than it may: {limit} = {bound}, set by the operator");
        assert!(checked.code == 3 && checked.stderr.contains(&said), "{checked:?}");
    }
    let started = Instant::now();
    assert_eq!(check("").code, 0);
    // It is measured here, and this machine may be busy: what it took once is enough with a tenth more.
    let enough = started.elapsed().as_millis() * 11 / 10 + 2_000;
    let checked = check(&format!("compileMsMax = {enough}, compileMibMax = 1024"));
    assert_eq!(checked.code, 0, "{checked:?}");
}

#[test]
fn tables_of_branches_are_compiled_or_refused() {
    let bomb = |targets: usize| {
        let targets = "0 ".repeat(targets);
        beside(&format!("(func (param i32) (block (br_table {targets} (local.get 0))))"))
    };
    assert!(opens_or_says_why("br_table", &bomb(60_000)));
    assert!(!opens_or_says_why("br_table", &bomb(1_000_000)));
}

#[test]
fn many_data_segments_are_loaded() {
    let segments = numbered(50_000, |text, index| write!(text, "(data (i32.const {}) \"x\")", index % 60_000));
    assert!(opens_or_says_why("data", &beside(&format!("(memory 1) {segments}"))));
    // One more than WebAssembly allows.
    let passive = "(data \"\")".repeat(100_001);
    assert!(!opens_or_says_why("data", &beside(&format!("(memory 1) {passive}"))));
}

#[test]
fn many_functions_and_types_are_compiled_or_refused() {
    let functions = "(func)".repeat(50_000);
    opens_or_says_why("functions", &beside(&functions));
    let types = numbered(20_000, |text, index| {
        let bit = |place: usize| if index >> place & 1 == 0 { "i32 " } else { "i64 " };
        write!(text, "(type (func (param {})))", (0..15).map(bit).collect::<String>())
    });
    opens_or_says_why("types", &beside(&types));
    let globals = "(global (mut i64) (i64.const 0))".repeat(20_000);
    opens_or_says_why("globals", &beside(&globals));
    // Functions that a table refers to need room in each instance.
    let named = numbered(100_000, |text, index| write!(text, "(func $f{index})"));
    let elements = numbered(100_000, |text, index| write!(text, "$f{index} "));
    opens_or_says_why("elements", &beside(&format!("{named} (table 100000 funcref) (elem (i32.const 0) {elements})")));
}

#[test]
fn deep_blocks_and_long_functions_are_compiled_or_refused() {
    for (what, body) in [
        ("blocks", format!("{} {}", "block ".repeat(50_000), "end ".repeat(50_000))),
        ("loops", format!("{} {}", "loop ".repeat(20_000), "end ".repeat(20_000))),
        ("sums", format!("i32.const 1 {} drop", "i32.const 1 i32.add ".repeat(200_000))),
        ("stack", format!("{} {}", "i32.const 1 ".repeat(20_000), "drop ".repeat(20_000))),
        ("locals", format!("(local {})", "i64 ".repeat(40_000))),
        ("calls", "call 0 ".repeat(50_000)),
        ("branches", "block local.get 0 br_if 0 end ".repeat(30_000)),
    ] {
        opens_or_says_why(what, &beside(&format!("(func (param i32) {body})").replace("call 0", "local.get 0 call 0")));
    }
    // More locals than WebAssembly allows.
    assert!(!opens_or_says_why("locals", &beside(&format!("(func (local {}))", "i64 ".repeat(50_001)))));
}

#[test]
fn nested_components_and_many_exports_are_bounded() {
    let nested = format!("(component {} {})", "(component ".repeat(200), ")".repeat(200));
    let nested = wat::parse_str(nested);
    if let Ok(nested) = nested {
        assert!(!opens_or_says_why("nested", &nested));
    }
    let functions = numbered(3_000, |text, index| {
        write!(text, r#"(func (export "f{index}") (param "number" u32) (result u32) (canon lift (core func $i "f")))"#)
    });
    let bytes = wat::parse_str(format!(
        r#"(component (core module $m (func (export "f") (param i32) (result i32) (local.get 0)))
            (core instance $i (instantiate $m))
            (func (export "answer") (param "number" u32) (result u32) (canon lift (core func $i "f")))
            {functions})"#
    ));
    assert!(opens_or_says_why("exports", &bytes.unwrap()));
}

fn limits() -> CellLimits {
    CellLimits {
        memory_bytes_max: 16 << 20,
        cpu_ms_max: 300,
        wall_ms_max: 5_000,
        output_bytes_max: 1 << 20,
        stack_bytes_max: 512 << 10,
        handles_max: 100,
        logs_max: 10,
        random_bytes_max: 1 << 10,
        concurrency_max: 1,
        caller_concurrency_max: 1,
        queue_max: 1,
    }
}

/// What comes of a component on the way into a house.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    NoComponent,
    NotCompiled,
    NotDescribed,
    NotLoaded,
    Loaded,
}

/// Takes a component as far as it goes. Whatever it is, nothing but its own children may end.
fn fate(machine: &Machine, bytes: &[u8]) -> Fate {
    let Ok(shape) = check_shape(bytes) else { return Fate::NoComponent };
    if shape.form() != Form::Typed || !shape.imports.is_empty() {
        return Fate::NoComponent;
    }
    let code = match compile(bytes, &program(), COMPILE, CompileLimits::default()) {
        Ok(code) => code,
        Err(CodeError::Invalid(why)) => {
            assert!(!why.contains("gave up") && !why.contains("panicked"), "{why}");
            return Fate::NotCompiled;
        }
        Err(error) => panic!("{error:?}"),
    };
    let described = match describe(bytes, &program(), DESCRIBE, CompileLimits::default()) {
        Ok(described) => described,
        Err(CodeError::Exports(_)) => return Fate::NotDescribed,
        Err(error) => panic!("{error:?}"),
    };
    match machine.typed_image(Code::Bytes(&code), limits().stack_bytes_max, &described, 60) {
        Ok(_) => Fate::Loaded,
        Err(ImageError::World(_)) => Fate::NotLoaded,
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn a_thousand_broken_components_harm_nobody() {
    let whole = beside(
        r#"(memory 1) (table 4 funcref) (global (mut i32) (i32.const 3)) (data (i32.const 16) "some bytes")
           (func $f (param i32) (result i32)
               (block $a (block $b (br_table $a $b $a (local.get 0))) (memory.fill (i32.const 0) (i32.const 1) (i32.const 9)))
               (i32.add (local.get 0) (i32.const 1)))
           (elem (i32.const 0) $f) (func (export "same") (param i32) (result i32) (call $f (local.get 0)))"#,
    );
    let machine = Machine::new(2, [&limits()]).unwrap();
    assert_eq!(fate(&machine, &whole), Fate::Loaded);
    let mut chance = Chance::Seed(7);
    let mut fates = std::collections::BTreeMap::new();
    let mut see = |fate| *fates.entry(fate).or_insert(0) += 1;
    // Every truncation.
    (0..whole.len()).for_each(|length| see(fate(&machine, &whole[..length])));
    for _ in 0..1_000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + chance.below(3) {
            let at = 8 + chance.below(bytes.len() - 8);
            match chance.below(4) {
                0 => bytes[at] = u8::try_from(chance.below(256)).unwrap(),
                1 => bytes.insert(at, u8::try_from(chance.below(256)).unwrap()),
                2 => drop(bytes.remove(at)),
                _ => bytes[at] ^= 1 << chance.below(8),
            }
        }
        see(fate(&machine, &bytes));
    }
    assert!(fates[&Fate::NoComponent] > 50 && fates[&Fate::NotCompiled] > 50 && fates[&Fate::Loaded] > 10, "{fates:?}");
}

/// The house that has one of them beside a neighbour does not open, and says why; without it, it does.
#[test]
fn a_broken_component_is_named() {
    let whole = beside("(memory 1)");
    for length in [whole.len() / 2, whole.len() - 3] {
        let folder = folder(&[("hostile", &whole[..length], "")]);
        let checked = folder.run(&["check", "-o", "json"]);
        assert_eq!(checked.code, 3, "{checked:?}");
        let value: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap();
        assert_eq!(value["problems"].as_array().unwrap().len(), 1, "{value:#}");
        assert!(value["problems"][0]["message"].as_str().unwrap().contains("hostile"), "{value:#}");
        folder.write("hostile.wasm", &whole);
        let house = House::in_folder(folder);
        assert_eq!(house.call("hostile_answer", json!({"number": 4}))["structuredContent"]["result"], 4);
        still_serves(&house);
    }
}
