//! Typed components in a house, over HTTP.

use serde_json::{Value, json};
use wit_parser::{PackageMetadata, Resolve};

use super::{component, module};
use crate::support::{Folder, House, bundles, text};

/// Sums, as a component that knows nothing of Certosa. `add` and `divide` do what they say; `total` returns
/// the biggest `u64` there is; `origin` a record.
const SUMS: &str = r#"
package docs:sums@0.1.0;

interface types {
    /// A place on the plane.
    record point {
        /// To the right.
        x: s32,
        y: s32,
    }
}

/// Sums.
interface calc {
    use types.{point};
    /// Adds two numbers.
    ///
    /// The sum is exact.
    add: func(a: u64, b: u64) -> u64;
    divide: func(a: u32, b: u32) -> result<u32, string>;
    origin: func() -> point;
    flip: func(p: point, twice: option<bool>) -> point;
    forget: func();
    greet: func() -> string;
}

world w {
    use types.{point};
    export calc;
    /// The sum of the two coordinates.
    export sum: func(p: point) -> s32;
}
"#;

const SUMS_CODE: &str = r#"
    (data (i32.const 16) "\20\00\00\00\11\00\00\00division by zero\00")
    (data (i32.const 128) "\90\00\00\00\05\00\00\00\00\00\00\00\00\00\00\00hello")
    (func (export "docs:sums/calc@0.1.0#add") (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1)))
    (func (export "docs:sums/calc@0.1.0#divide") (param i32 i32) (result i32)
        (if (i32.eqz (local.get 1))
            (then
                (i32.store (i32.const 1024) (i32.const 1))
                (i32.store (i32.const 1028) (i32.const 24))
                (i32.store (i32.const 1032) (i32.const 16)))
            (else
                (i32.store (i32.const 1024) (i32.const 0))
                (i32.store (i32.const 1028) (i32.div_u (local.get 0) (local.get 1)))))
        (i32.const 1024))
    (func (export "docs:sums/calc@0.1.0#origin") (result i32) (i32.const 2048))
    (func (export "docs:sums/calc@0.1.0#flip") (param i32 i32 i32 i32) (result i32)
        (i32.store (i32.const 1024) (local.get 1))
        (i32.store (i32.const 1028) (local.get 0))
        (i32.const 1024))
    (func (export "docs:sums/calc@0.1.0#forget"))
    (func (export "docs:sums/calc@0.1.0#greet") (result i32) (i32.const 128))
    (func (export "sum") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
"#;

/// A house of these typed components.
fn house(components: &[(&str, Vec<u8>)]) -> House {
    House::in_folder(folder(components))
}

fn folder(components: &[(&str, Vec<u8>)]) -> Folder {
    let names: Vec<_> = components.iter().map(|(name, _)| *name).collect();
    let folder = Folder::new(&bundles(&names, "cpuMsMax = 1000"));
    components.iter().for_each(|(name, bytes)| folder.write(&format!("{name}.wasm"), bytes));
    folder
}

/// A component with its authors' comments, as tools of the Bytecode Alliance keep them.
pub fn with_docs(mut component: Vec<u8>, wit: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let docs = PackageMetadata::extract(&resolve, package).encode().unwrap();
    let mut section = vec![u8::try_from(PackageMetadata::SECTION_NAME.len()).unwrap()];
    section.extend_from_slice(PackageMetadata::SECTION_NAME.as_bytes());
    section.extend_from_slice(&docs);
    component.push(0);
    let mut length = section.len();
    while length >= 128 {
        component.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    component.push(u8::try_from(length).unwrap());
    component.extend_from_slice(&section);
    component
}

fn tools(house: &House) -> Vec<Value> {
    house.modern("tools/list", json!({})).last()["result"]["tools"].as_array().unwrap().clone()
}

fn tool<'t>(tools: &'t [Value], name: &str) -> &'t Value {
    tools.iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("no {name} in {tools:#?}"))
}

#[test]
fn functions_are_tools() {
    let house = house(&[("sums", component(SUMS, &module(SUMS_CODE)))]);
    let tools = tools(&house);
    let mut names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["sums_add", "sums_divide", "sums_flip", "sums_forget", "sums_greet", "sums_origin", "sums_sum"]);
    let add = tool(&tools, "sums_add");
    assert_eq!(add["description"], "add: func(a: u64, b: u64) -> u64");
    assert_eq!(add["inputSchema"]["properties"]["a"], json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}));
    assert_eq!(add["annotations"]["readOnlyHint"], false);
    assert_eq!(add["annotations"]["destructiveHint"], true);
    let flip = tool(&tools, "sums_flip");
    assert_eq!(flip["inputSchema"]["required"], json!(["p"]));
    assert_eq!(flip["inputSchema"]["properties"]["p"], json!({"$ref": "#/$defs/types-point"}));
    assert!(tool(&tools, "sums_forget").get("outputSchema").is_none());

    let sum = house.call("sums_add", json!({"a": u64::MAX - 1, "b": 1}));
    assert_eq!(sum["structuredContent"], json!({"result": u64::MAX}));
    assert_eq!(text(&sum), u64::MAX.to_string());
    assert_eq!(house.call("sums_add", json!({"a": 1e3, "b": 2.0}))["structuredContent"], json!({"result": 1002}));
    let large = house.call("sums_add", json!({"a": 1e18, "b": 1}));
    assert_eq!(large["structuredContent"], json!({"result": 1_000_000_000_000_000_001_u64}));
    assert_eq!(text(&house.call("sums_divide", json!({"a": 7, "b": 2}))), "3");
    let failed = house.call("sums_divide", json!({"a": 7, "b": 0}));
    assert_eq!((text(&failed), &failed["isError"]), ("division by zero", &json!(true)));
    assert!(failed.get("structuredContent").is_none() && failed["_meta"].get("certosa/refusal").is_none(), "{failed}");
    assert_eq!(house.call("sums_origin", json!({}))["structuredContent"], json!({"result": {"x": 0, "y": 0}}));
    let point = json!({"x": -3, "y": 4});
    let flipped = house.call("sums_flip", json!({"p": point, "twice": null}));
    assert_eq!(flipped["structuredContent"], json!({"result": {"x": 4, "y": -3}}));
    assert_eq!(text(&house.call("sums_sum", json!({"p": point}))), "1");
    let nothing = house.call("sums_forget", json!({}));
    assert_eq!((text(&nothing), nothing.get("structuredContent")), ("done", None));
    assert_eq!(text(&house.call("sums_greet", json!({}))), "hello");

    for (arguments, why) in [
        (json!({"a": 1}), "\"b\""),
        (json!({"a": 1, "b": 2, "c": 3}), "there is no \"c\""),
        (json!({"a": -1, "b": 2}), "at /a: an integer from 0 to 18446744073709551615 is expected"),
        (json!({"a": "1", "b": 2}), "at /a: an integer from"),
        (json!({"a": 2e19, "b": 2}), "at /a: an integer from"),
    ] {
        let refused = house.call("sums_add", arguments);
        assert!(text(&refused).contains("the arguments do not fit") && text(&refused).contains(why), "{refused}");
        assert_eq!(refused["_meta"]["certosa/refusal"]["fault"], "caller", "{refused}");
    }
}

#[test]
fn numbers_of_64_bits_are_exact_on_the_wire() {
    let house = house(&[("sums", component(SUMS, &module(SUMS_CODE)))]);
    let params = r#"{"name":"sums_add","arguments":{"a":9007199254740993,"b":0}}"#;
    let response = house.modern("tools/call", serde_json::from_str(params).unwrap());
    assert!(response.body.contains(r#"{"result":9007199254740993}"#), "{response:?}");
}

#[test]
fn comments_are_descriptions() {
    let plain = component(SUMS, &module(SUMS_CODE));
    let house =
        house(&[("sums", with_docs(plain.clone(), SUMS)), ("odd", with_docs(plain, "package a:b; world x {}"))]);
    let tools = tools(&house);
    assert_eq!(tool(&tools, "sums_add")["description"], "Adds two numbers.\n\nThe sum is exact.");
    assert_eq!(tool(&tools, "sums_sum")["description"], "The sum of the two coordinates.");
    assert_eq!(tool(&tools, "sums_greet")["description"], "greet: func() -> string");
    let point = &tool(&tools, "sums_sum")["inputSchema"]["$defs"]["types-point"];
    assert_eq!(point["description"], "A place on the plane.");
    assert_eq!(point["properties"]["x"]["description"], "To the right.");
    assert_eq!(tool(&tools, "odd_greet")["description"], "greet: func() -> string");
}

#[test]
fn comments_of_cases_and_flags_are_descriptions() {
    let wit = "package t:t;
        interface i {
            enum colour {
                /// Like a tomato.
                red,
                green,
            }
            flags rights {
                /// Look at it.
                read,
                /// Change it.
                write,
            }
            enum plain { a, b }
            f: func(c: colour, r: rights, p: plain) -> colour;
        }
        world w { export i; }";
    let code = r#"(func (export "t:t/i#f") (param i32 i32 i32) (result i32) (local.get 0))"#;
    let house = house(&[("t", with_docs(component(wit, &module(code)), wit))]);
    let tools = tools(&house);
    let types = &tool(&tools, "t_f")["inputSchema"]["$defs"];
    let red = json!({"description": "Like a tomato.", "const": "red"});
    assert_eq!(types["i-colour"], json!({"type": "string", "oneOf": [red, {"const": "green"}]}));
    assert_eq!(types["i-rights"]["items"]["oneOf"][1], json!({"description": "Change it.", "const": "write"}));
    assert_eq!(types["i-plain"], json!({"type": "string", "enum": ["a", "b"]}));
    let given = house.call("t_f", json!({"c": "green", "r": ["write"], "p": "b"}));
    assert_eq!(given["structuredContent"], json!({"result": "green"}));
    let refused = house.call("t_f", json!({"c": "blue", "r": [], "p": "b"}));
    assert!(text(&refused).contains("at /c: there is no \"blue\""), "{refused}");
}

#[test]
fn many_fields_of_bytes_are_no_hindrance() {
    let fields: String = (0..150).map(|n| format!("field{n}: option<list<u8>>, ")).collect();
    let wit = format!(
        "package t:t; interface i {{ record blobs {{ {fields} }} f: func(x: blobs) -> u32; }} world w {{ export i; }}"
    );
    let code = r#"(func (export "t:t/i#f") (param i32) (result i32)
        (i32.load8_u (i32.load offset=4 (local.get 0))))"#;
    let house = house(&[("t", component(&wit, &module(code)))]);
    assert_eq!(text(&house.call("t_f", json!({"x": {"field0": "Bw=="}}))), "7");
}

/// One function that anyone can call, and others that need a resource.
const BLOBS: &str = r#"
package t:blobs;
interface store {
    resource blob { constructor(size: u32); size: func() -> u32; }
    open: func(name: string) -> blob;
    look: func(blob: borrow<blob>) -> option<u8>;
    count: func() -> u32;
}
world w { export store; }
"#;

const BLOBS_CODE: &str = r#"
    (func (export "t:blobs/store#[constructor]blob") (param i32) (result i32) (i32.const 1))
    (func (export "t:blobs/store#[method]blob.size") (param i32) (result i32) (i32.const 1))
    (func (export "t:blobs/store#open") (param i32 i32) (result i32) (i32.const 1))
    (func (export "t:blobs/store#look") (param i32) (result i32) (i32.const 1024))
    (func (export "t:blobs/store#count") (result i32) (i32.const 7))
"#;

#[test]
fn what_has_no_form_in_json_is_skipped_with_its_reason() {
    let folder = folder(&[("blobs", component(BLOBS, &module(BLOBS_CODE)))]);
    let ran = folder.run(&["check"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for word in ["warning: ", "t:blobs/store#open of blobs is no tool", "[method]blob.size", "a resource"] {
        assert!(ran.stderr.contains(word), "{word}: {ran:?}");
    }
    assert!(ran.stdout.contains("1 tools"), "{ran:?}");
    let checked: Value = serde_json::from_str(&folder.run(&["check", "-o", "json"]).stdout).unwrap();
    assert_eq!((&checked["ok"], checked["notes"].as_array().unwrap().len()), (&json!(true), 4), "{checked:#}");

    let inspected = folder.run(&["inspect", "blobs.wasm"]);
    assert_eq!(inspected.code, 0);
    for word in ["count: func() -> u32", "skipped", "t:blobs/store#look", "a resource"] {
        assert!(inspected.stdout.contains(word), "{word}: {inspected:?}");
    }
    let inspected: Value = serde_json::from_str(&folder.run(&["inspect", "-o", "json", "blobs.wasm"]).stdout).unwrap();
    assert_eq!(inspected["offer"]["tools"][0]["name"], "count", "{inspected:#}");
    assert!(inspected["offer"]["tools"][0]["output_schema"].as_str().unwrap().contains("4294967295"));
    assert_eq!(inspected["skipped"].as_array().unwrap().len(), 4);

    let house = House::in_folder(folder);
    assert_eq!(tools(&house).len(), 1);
    assert_eq!(text(&house.call("blobs_count", json!({}))), "7");
}

#[test]
fn a_component_without_anything_usable_is_refused() {
    let wit = "package t:b; interface s { resource r { f: func(); } } world w { export s; }";
    let code = r#"(func (export "t:b/s#[method]r.f") (param i32))"#;
    let ran = folder(&[("blobs", component(wit, &module(code)))]).run(&["check"]);
    assert_eq!(ran.code, 3);
    for word in ["blobs offers nothing", "t:b/s#[method]r.f", "belongs to a resource", "certosa:tools/tools@0.1.0"] {
        assert!(ran.stderr.contains(word), "{word}: {ran:?}");
    }
    let run = "package wasi:cli@0.2.0; interface run { run: func() -> result; } world w { export run; }";
    let command = component(run, &module(r#"(func (export "wasi:cli/run@0.2.0#run") (result i32) (i32.const 0))"#));
    let ran = folder(&[("command", command.clone())]).run(&["check"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("command offers nothing") && ran.stderr.contains("wasi:cli/run@0.2.0"), "{ran:?}");
    let next = "package certosa:tools@0.9.0; interface tools { list-tools: func() -> u32; } world w { export tools; }";
    let code = module(r#"(func (export "certosa:tools/tools@0.9.0#list-tools") (result i32) (i32.const 0))"#);
    let ran = folder(&[("next", component(next, &code))]).run(&["check"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("next offers nothing"), "{ran:?}");
    let inspected = folder(&[("command", command)]).run(&["inspect", "command.wasm"]);
    assert_eq!(inspected.code, 3, "{inspected:?}");
}

#[test]
fn wasi_beside_functions_is_left_alone() {
    let wit = "package t:t; interface i { f: func() -> u8; } world w { export i; export g: func() -> bool; \
               export run: interface { run: func(); } }";
    let code = r#"
        (func (export "t:t/i#f") (result i32) (i32.const 1))
        (func (export "g") (result i32) (i32.const 1))
        (func (export "run#run"))"#;
    let house = house(&[("t", component(wit, &module(code)))]);
    let tools = tools(&house);
    assert_eq!(tools.len(), 3, "{tools:#?}");
    assert_eq!(text(&house.call("t_g", json!({}))), "true");
    assert_eq!(text(&house.call("t_run", json!({}))), "done");
}

#[test]
fn names_are_told_apart_and_short_enough() {
    let long = format!("a{}", "-very-long".repeat(9));
    let wit = format!(
        "package t:t@1.0.0; interface a {{ f: func(); g: func(); }} interface b {{ f: func(); }} \
         world w {{ export a; export b; export {long}: func() -> string; export h: func(); }}"
    );
    let code = format!(
        r#"(func (export "t:t/a@1.0.0#f")) (func (export "t:t/a@1.0.0#g")) (func (export "t:t/b@1.0.0#f"))
           (func (export "h")) (func (export "{long}") (result i32) (i32.const 4096))"#
    );
    let house = house(&[("t", component(&wit, &module(&code)))]);
    let tools = tools(&house);
    let mut names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    let short = names.remove(0);
    assert_eq!(names, ["t_a_f", "t_b_f", "t_g", "t_h"]);
    assert!(short.len() == 64 && short.starts_with("t_a-very-long-very-long"), "{short}");
    assert_eq!(text(&house.call(&short, json!({}))), "");
}

#[test]
fn types_of_the_world_are_no_wish() {
    let wit = "package t:t; world w { record place { x: u8, y: u8 } export far: func(p: place) -> bool; }";
    let code = r#"(func (export "far") (param i32 i32) (result i32) (i32.gt_u (local.get 0) (local.get 1)))"#;
    let folder = folder(&[("t", component(wit, &module(code)))]);
    let inspected: Value = serde_json::from_str(&folder.run(&["inspect", "-o", "json", "t.wasm"]).stdout).unwrap();
    assert_eq!(inspected["component"]["imports"], json!([]), "{inspected:#}");
    let (code, result) = folder.call("t_far", &json!({"p": {"x": 2, "y": 1}}));
    assert_eq!((code, text(&result)), (0, "true"), "{result}");
}

#[test]
fn what_was_described_is_kept() {
    let folder = folder(&[("sums", component(SUMS, &module(SUMS_CODE)))]);
    assert_eq!(folder.run(&["check"]).code, 0);
    let kept = |folder: &Folder| {
        let files = std::fs::read_dir(folder.path(".certosa/cache")).unwrap();
        let mut found: Vec<_> = files.map(|file| file.unwrap()).collect();
        found.retain(|file| file.file_name().to_str().unwrap().starts_with("exports"));
        assert_eq!(found.len(), 1);
        found[0].path()
    };
    // What somebody else wrote there is not believed.
    std::fs::write(kept(&folder), r#"{"functions":[],"skipped":[],"skipped_besides":0}"#).unwrap();
    let (code, result) = folder.call("sums_add", &json!({"a": 2, "b": 3}));
    assert_eq!((code, text(&result)), (0, "5"), "{result}");
}
