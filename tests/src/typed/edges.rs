//! Values and types at the edge of what there is.

use std::time::{Duration, Instant};

use certosa_house::Schema;
use certosa_isolate::{CodeError, compile, describe};
use certosa_model::CompileLimits;
use serde_json::{Value, json};

use super::types::base64;
use super::{Bench, Loaded, TIME, boxed, component, core, echoes, is_refusal, module, program};

/// Sends a value through an echo, after the schema has taken it.
fn through(loaded: &Loaded<'_>, index: usize, value: &Value) -> Value {
    assert_eq!(loaded.input(index).check(&boxed(value), TIME), Ok(()), "{value}");
    loaded.echo(index, value).unwrap_or_else(|error| panic!("{value}: {error:?}"))
}

/// Values that neither the schema nor the machine takes.
fn refused(loaded: &Loaded<'_>, index: usize, values: &[Value]) {
    for value in values {
        assert!(loaded.input(index).check(&boxed(value), TIME).is_err(), "the schema takes {value}");
        let error = loaded.echo(index, value).expect_err("the machine takes it");
        assert!(is_refusal(&error), "{value}: {error:?}");
    }
}

#[test]
fn numbers_keep_every_bit() {
    let bench = Bench::new();
    let types = ["u64", "s64", "f32", "f64", "s8"].map(str::to_owned);
    let loaded = bench.load(&echoes("", &types));
    for value in [0, 1, (1 << 53) + 1, i64::MAX as u64 + 1, u64::MAX] {
        assert_eq!(through(&loaded, 0, &json!(value)), json!(value));
    }
    refused(&loaded, 0, &[json!(-1), json!(18_446_744_073_709_551_616.0), json!(0.5), json!("1"), json!(null)]);
    for value in [i64::MIN, -1, 0, i64::MAX] {
        assert_eq!(through(&loaded, 1, &json!(value)), json!(value));
    }
    refused(&loaded, 1, &[json!(u64::MAX), json!(1e19)]);
    for value in [f32::MIN_POSITIVE, f32::MAX, f32::MIN, 1e-45, 0.1, -0.0] {
        let text = loaded.call("echo2", &boxed(&json!(value)).to_string()).unwrap().structured.unwrap();
        let shortest = serde_json::to_string(&value).unwrap();
        assert!(text.contains(&format!(r#"{{"result":{{"value":{shortest},"#)), "{text}");
    }
    refused(&loaded, 2, &[json!(3.5e38), json!(-1e39), json!("nan"), json!("1.0")]);
    for value in [f64::MIN_POSITIVE, 5e-324, f64::MAX, 0.1 + 0.2, -0.0] {
        let got = through(&loaded, 3, &json!(value));
        assert_eq!(got.as_f64().unwrap().to_bits(), value.to_bits());
    }
    for index in [2, 3] {
        for name in ["NaN", "Infinity", "-Infinity"] {
            assert_eq!(through(&loaded, index, &json!(name)), json!(name));
        }
    }
    // The same integer in another spelling, where it is a double.
    for (text, value) in [("1.0", 1), ("1e2", 100), ("-0", 0), ("-0.0", 0), ("-1.28e2", -128)] {
        let arguments = boxed(&json!("HERE")).to_string().replace("\"HERE\"", text);
        let result = loaded.call("echo4", &arguments).unwrap().structured.unwrap();
        assert!(result.contains(&format!("\"value\":{value},")), "{text}: {result}");
    }
    let arguments = boxed(&json!("HERE")).to_string().replace("\"HERE\"", "9007199254740993.0");
    let result = loaded.call("echo0", &arguments).unwrap().structured.unwrap();
    assert!(result.contains("\"value\":9007199254740992,"), "{result}");
}

#[test]
fn texts_and_bytes_are_exact() {
    let bench = Bench::new();
    let types = ["char", "string", "list<u8>", "list<string>", "list<u64>"].map(str::to_owned);
    let loaded = bench.load(&echoes("", &types));
    for value in ["\0", "\u{d7ff}", "\u{e000}", "🦀", "\u{10ffff}", "\"", "\\"] {
        assert_eq!(through(&loaded, 0, &json!(value)), json!(value));
        assert_eq!(through(&loaded, 1, &json!(value)), json!(value));
    }
    refused(&loaded, 0, &[json!(""), json!("ab"), json!("e\u{301}"), json!(65)]);
    assert_eq!(through(&loaded, 1, &json!("")), json!(""));
    let long = "a\u{1f980}".repeat(50_000);
    assert_eq!(through(&loaded, 1, &json!(long)), json!(long));
    for bytes in [&b""[..], b"a", b"ab", b"abc", &[0xff; 100_000]] {
        assert_eq!(through(&loaded, 2, &json!(base64(bytes))), json!(base64(bytes)));
    }
    refused(
        &loaded,
        2,
        &[json!("A"), json!("AA"), json!("AB=="), json!("AAB="), json!("A==="), json!("AA==\n"), json!("_-==")],
    );
    refused(&loaded, 2, &[json!([1, 2]), json!("AA== "), json!("AA==AA==")]);
    for index in [3, 4] {
        assert_eq!(through(&loaded, index, &json!([])), json!([]));
    }
    let many: Vec<u64> = (0..20_000).collect();
    assert_eq!(through(&loaded, 4, &json!(many)), json!(many));
}

#[test]
fn nothing_inside_of_something_is_told_apart() {
    let bench = Bench::new();
    let types = "type maybe = option<u8>; record r { a: maybe, b: option<maybe>, c: u8 }";
    let values = ["option<option<option<u8>>>", "r", "result", "result<option<u8>>", "option<result<_, bool>>"];
    let loaded = bench.load(&echoes(types, &values.map(str::to_owned)));
    for value in [json!(null), json!({"some": null}), json!({"some": {"some": null}}), json!({"some": {"some": 1}})] {
        assert_eq!(through(&loaded, 0, &value), value);
    }
    refused(&loaded, 0, &[json!(1), json!({}), json!({"some": 1}), json!({"some": null, "else": 1})]);
    let all = json!({"a": null, "b": null, "c": 1});
    assert_eq!(through(&loaded, 1, &json!({"c": 1})), all);
    assert_eq!(through(&loaded, 1, &all), all);
    let some = json!({"a": 2, "b": {"some": null}, "c": 1});
    assert_eq!(through(&loaded, 1, &some), some);
    refused(&loaded, 1, &[json!({}), json!({"c": null}), json!({"c": 1, "d": 2}), json!({"b": 1, "c": 1})]);
    for value in [json!("ok"), json!("err")] {
        assert_eq!(through(&loaded, 2, &value), value);
    }
    refused(&loaded, 2, &[json!({"ok": null}), json!("OK"), json!(null)]);
    for value in [json!({"ok": null}), json!({"ok": 3}), json!("err")] {
        assert_eq!(through(&loaded, 3, &value), value);
    }
    refused(&loaded, 3, &[json!("ok"), json!({"err": 1}), json!({"ok": 1, "err": 1})]);
    for value in [json!(null), json!("ok"), json!({"err": true})] {
        assert_eq!(through(&loaded, 4, &value), value);
    }
}

#[test]
fn many_cases_and_flags_are_told_apart() {
    let bench = Bench::new();
    let list = |stem: &str, count: usize| (0..count).map(|n| format!("{stem}{n}")).collect::<Vec<_>>().join(", ");
    let types = format!(
        "enum e {{ {} }}\nvariant v {{ {}, last(u64) }}\nflags f {{ {} }}\nenum many {{ {} }}",
        list("e", 300),
        list("v", 300),
        list("f", 32),
        list("m", 1_001),
    );
    let values = ["e", "v", "f", "many"].map(str::to_owned);
    let loaded = bench.load(&echoes(&types, &values));
    for value in ["e0", "e255", "e256", "e299"] {
        assert_eq!(through(&loaded, 0, &json!(value)), json!(value));
    }
    refused(&loaded, 0, &[json!("e300"), json!("E0"), json!(0), json!({"e0": null})]);
    for value in [json!("v0"), json!("v256"), json!({"last": u64::MAX})] {
        assert_eq!(through(&loaded, 1, &value), value);
    }
    refused(&loaded, 1, &[json!("last"), json!({"v0": 1}), json!({"last": -1}), json!({"last": 1, "v0": 1})]);
    let all: Vec<_> = (0..32).map(|n| format!("f{n}")).collect();
    for value in [json!([]), json!(["f0", "f31"]), json!(all)] {
        assert_eq!(through(&loaded, 2, &value), value);
    }
    assert_eq!(through(&loaded, 2, &json!(["f31", "f0"])), json!(["f0", "f31"]));
    refused(&loaded, 2, &[json!(["f0", "f0"]), json!(["f32"]), json!("f0"), json!([0])]);
    // More names than a value should be compared with.
    assert_eq!((loaded.described.functions.len(), loaded.described.skipped.len()), (3, 1));
    assert!(loaded.described.skipped[0].reason.contains("1001 cases"), "{:?}", loaded.described.skipped);
}

/// A component with these types and a function that takes the last of them, in text: WIT cannot share types
/// that have no name.
fn shared(types: &str, last: &str, flat: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $m {})
            (core instance $i (instantiate $m))
            {types}
            (func (export "f") (param "x" {last}) (canon lift (core func $i "f")
                (memory (core memory $i "memory")) (realloc (core func $i "cabi_realloc")))))"#,
        core(&format!(r#"(func (export "f") (param {flat}))"#)),
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn doubled(levels: usize) -> String {
    let each = |level: usize| format!("(type $t{} (tuple $t{level} $t{level}))\n", level + 1);
    format!("(type $t0 (tuple{}))\n{}", " u64".repeat(17), (0..levels).map(each).collect::<String>())
}

#[test]
fn types_that_share_parts_do_not_blow_up() {
    let described = |component: &[u8]| {
        let started = Instant::now();
        let described =
            describe(component, &program(), "internal-describe-component", CompileLimits::default()).unwrap();
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        described
    };
    // With names, each is said once.
    let named = |level: usize| format!("type t{} = tuple<t{level}, t{level}>;\n", level + 1);
    let types: String = (0..14).map(named).collect();
    let wit = format!(
        "package t:t; interface i {{ type t0 = tuple<u64, u64>; {types} f: func(x: t14); }} world w {{ export i; }}"
    );
    let code = module(r#"(func (export "t:t/i#f") (param i32))"#);
    let found = described(&component(&wit, &code));
    let schema = &found.functions[0].input_schema;
    assert!(schema.len() < 4_000, "{schema}");
    let started = Instant::now();
    let schema = Schema::of_object(schema).unwrap();
    assert!(schema.check(&json!({"x": [[], []]}), TIME).is_err());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // Without, the schema is as large as the values, and ends at its limit.
    let found = described(&shared(&doubled(13), "$t13", "i32"));
    assert_eq!(found.functions, []);
    assert!(found.skipped[0].reason.contains("longer than 256 KiB"), "{found:?}");
    assert_eq!(described(&shared(&doubled(3), "$t3", "i32")).functions.len(), 1);
}

#[test]
fn types_that_are_nested_too_deeply_are_refused() {
    let nested = |levels: usize| {
        let each = |level: usize| format!("(type $t{} (list $t{level}))\n", level + 1);
        let types: String = (0..levels).map(each).collect();
        shared(&format!("(type $t0 (list u64))\n{types}"), &format!("$t{levels}"), "i32 i32")
    };
    let described =
        |levels| describe(&nested(levels), &program(), "internal-describe-component", CompileLimits::default());
    assert_eq!(described(40).unwrap().functions.len(), 1);
    assert!(described(98).unwrap().skipped[0].reason.contains("too deeply"));
    for levels in [1_000, 50_000] {
        let compiled = compile(&nested(levels), &program(), "internal-compile-component", CompileLimits::default());
        assert!(matches!(compiled, Err(CodeError::Invalid(_))), "{levels}");
        match described(levels) {
            Ok(found) => assert!(found.skipped[0].reason.contains("too deeply"), "{found:?}"),
            Err(error) => assert!(matches!(error, CodeError::Exports(_)), "{error:?}"),
        }
    }
    // With names a schema is flat, and wasmtime says how deep types may be.
    let named = |level: usize| format!("type t{} = option<t{level}>;\n", level + 1);
    let types: String = (0..60).map(named).collect();
    let bench = Bench::new();
    let loaded = bench.load(&echoes(&format!("type t0 = u8;\n{types}"), &["t60".to_owned()]));
    let mut value = json!(7);
    for _ in 0..59 {
        value = json!({"some": value});
    }
    assert_eq!(through(&loaded, 0, &value), value);
}
