//! Guests that go for one limit each. A limit holds when such a guest ends at it in a real house, an honest call at
//! about 90 % of it succeeds, and a neighbour in the same house still answers.

mod compile;
mod cpu;
mod handles;
mod inside;
mod memory;
mod reuse;
mod start;
mod streams;
mod terms;
mod values;

use std::fs;

use serde_json::{Value, json};

use crate::support::{Folder, House, manifest, text};
use crate::typed::{component, core};

/// What these guests import, as far as they use it.
const IMPORTS: &str = r"
    import wasi:io/poll@0.2.0;
    import wasi:io/streams@0.2.0;
    import wasi:clocks/monotonic-clock@0.2.0;
    import wasi:random/random@0.2.0;
    import wasi:random/insecure@0.2.0;
    import wasi:cli/stdout@0.2.0;
    import wasi:cli/stderr@0.2.0;
    import certosa:tools/log@0.1.0;
";

const PACKAGES: &str = r"
package wasi:io@0.2.0 {
    interface error { resource error; }
    interface poll {
        resource pollable { ready: func() -> bool; block: func(); }
        poll: func(in: list<borrow<pollable>>) -> list<u32>;
    }
    interface streams {
        use error.{error};
        use poll.{pollable};
        variant stream-error { last-operation-failed(error), closed }
        resource output-stream {
            write: func(contents: list<u8>) -> result<_, stream-error>;
            write-zeroes: func(len: u64) -> result<_, stream-error>;
            blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
            subscribe: func() -> pollable;
        }
    }
}
package wasi:clocks@0.2.0 {
    interface monotonic-clock {
        use wasi:io/poll@0.2.0.{pollable};
        now: func() -> u64;
        subscribe-duration: func(when: u64) -> pollable;
    }
}
package wasi:random@0.2.0 {
    interface random { get-random-bytes: func(len: u64) -> list<u8>; }
    interface insecure { get-insecure-random-bytes: func(len: u64) -> list<u8>; }
}
package wasi:cli@0.2.0 {
    interface stdout { use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> output-stream; }
    interface stderr { use wasi:io/streams@0.2.0.{output-stream}; get-stderr: func() -> output-stream; }
}
package certosa:tools@0.1.0 {
    interface log {
        enum level { debug, info, notice, warning, error, critical, alert, emergency }
        write: func(level: level, data: string);
    }
}
";

/// The same for core modules.
const DOORS: &str = r#"
    (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.ready" (func $ready (param i32) (result i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop-pollable (param i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.write-zeroes" (func $write-zeroes (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
        (func $write-and-flush (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.subscribe" (func $subscribe (param i32) (result i32)))
    (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop-stream (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
    (import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))
    (import "wasi:random/insecure@0.2.0" "get-insecure-random-bytes" (func $insecure (param i64 i32)))
    (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
    (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
    (import "certosa:tools/log@0.1.0" "write" (func $log (param i32 i32 i32)))
"#;

/// Helpers that several guests have: a timer of so many milliseconds, and work for as long by the clock.
const COMMON: &str = r#"
    (func $timer-ms (param i32) (result i32)
        (call $timer (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 1000000))))
    (func $work (param i32) (result i32)
        (local $end i64)
        (local.set $end
            (i64.add (call $now) (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 1000000))))
        (loop $again (br_if $again (i64.lt_u (call $now) (local.get $end))))
        (local.get 0))
"#;

/// A component with the doors of WASI whose functions are these, as WIT, and whose code is this. Exports are called
/// `i#name` there.
fn guest(functions: &str, code: &str) -> Vec<u8> {
    let wit =
        format!("package t:hostile;\ninterface i {{ {functions} }}\nworld w {{ {IMPORTS} export i; }}\n{PACKAGES}");
    let code = format!("{COMMON} {code}").replace("\"i#", "\"t:hostile/i#");
    component(&wit, &format!("(module {DOORS} {})", core(&code)))
}

/// A component that imports nothing, of this core module, whose functions of these names take a number and return
/// one.
pub(crate) fn plain(module: &str, names: &[&str]) -> Vec<u8> {
    let function = |name: &&str| {
        format!(r#"(func (export "{name}") (param "number" u32) (result u32) (canon lift (core func $i "{name}")))"#)
    };
    let functions: String = names.iter().map(function).collect();
    wat::parse_str(format!("(component (core module $m {module}) (core instance $i (instantiate $m)) {functions})"))
        .unwrap()
}

/// A folder with these bundles (their name, their component, further fields), and a neighbour.
pub(crate) fn folder(bundles: &[(&str, &[u8], &str)]) -> Folder {
    let folder = Folder { dir: tempfile::tempdir().unwrap() };
    let mut all = String::new();
    for (name, component, fields) in bundles {
        fs::write(folder.path(&format!("{name}.wasm")), component).unwrap();
        all += &format!("(name = \"{name}\", file = \"{name}.wasm\" {fields}), ");
    }
    let seven = r#"(func (export "seven") (param i32) (result i32) (i32.const 7))"#;
    fs::write(folder.path("neighbour.wasm"), plain(seven, &["seven"])).unwrap();
    folder.write(
        "manifest.capnp",
        manifest(&format!(
            "listen = \"127.0.0.1:0\", bundles = [{all} (name = \"neighbour\", file = \"neighbour.wasm\")],\n\
             routes = [(path = \"/mcp\", tools = [\"bundle/**\"], callers = [\"anonymous/**\", \"user/**\"])]"
        )),
    );
    folder
}

/// A house with the bundle `hostile`, which has these limits, and a neighbour.
fn house(component: &[u8], limits: &str) -> House {
    House::in_folder(folder(&[("hostile", component, &format!(", limits = ({limits})"))]))
}

/// Calls a function of `hostile`.
fn call(house: &House, function: &str, arguments: Value) -> Value {
    house.call(&format!("hostile_{function}"), arguments)
}

/// The same with one number.
fn ask(house: &House, function: &str, number: u32) -> Value {
    call(house, function, json!({ "number": number }))
}

/// The number that a function returned.
pub(crate) fn number(result: &Value) -> u64 {
    text(result).parse().unwrap_or_else(|_| panic!("no number: {result}"))
}

fn still_serves(house: &House) {
    assert_eq!(number(&house.call("neighbour_seven", json!({"number": 1}))), 7);
}

/// A call ended at a limit, and says which, its value and who set it.
fn refused(result: &Value, limit: &str, field: &str, bound: u64) {
    assert_eq!(result["isError"], true, "{result}");
    let refusal = &result["_meta"]["certosa/refusal"];
    let said = (&refusal["limit"], &refusal["setBy"], &refusal["bound"], &refusal["fault"]);
    assert_eq!(said, (&json!(limit), &json!(field), &json!(bound), &json!("bundle")), "{result}");
    assert!(text(result).contains(&format!("{field} = {bound}, set by the operator")), "{result}");
}

/// A call broke off by itself.
fn broke_off(result: &Value, why: &str) {
    assert_eq!(result["isError"], true, "{result}");
    let refusal = &result["_meta"]["certosa/refusal"];
    assert_eq!((&refusal["kind"], &refusal["fault"]), (&json!("bundle"), &json!("bundle")), "{result}");
    assert!(text(result).contains(why), "{result}");
}

/// The most memory that the house has had so far, in MiB.
fn peak_mib(house: &House) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", house.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}
