//! Bundles in JavaScript, Python and C (`guests/`), and published ones that know nothing of this house: ordinary WIT
//! functions, which the house offers as tools. `cargo xtask foreign` builds and unpacks them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Folder, House, bundles, manifest, target, text};

/// A house of these components under `target/foreign`, with these bundles in its manifest.
fn house(components: &[&str], body: &str) -> House {
    House::in_folder(folder(components, body))
}

fn folder(components: &[&str], body: &str) -> Folder {
    let folder = Folder { dir: tempfile::tempdir().unwrap() };
    for component in components {
        let path = target().join("foreign").join(component);
        let name = Path::new(component).file_name().unwrap().to_str().unwrap();
        fs::copy(&path, folder.path(name)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    folder.write("manifest.capnp", manifest(body));
    folder
}

/// The component `name` of the crate that `guests/published` names.
fn published(name: &str) -> String {
    format!("published/golem-wasm-ast/wasm/{name}.wasm")
}

/// The tools of a house, by name.
fn tools(house: &House) -> Vec<Value> {
    house.modern("tools/list", json!({})).last()["result"]["tools"].as_array().unwrap().clone()
}

fn names(tools: &[Value]) -> Vec<&str> {
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

/// What a call returned.
fn value(house: &House, tool: &str, arguments: Value) -> Value {
    let result = house.call(tool, arguments);
    assert_ne!(result["isError"], true, "{tool}: {result}");
    result["structuredContent"]["result"].clone()
}

/// The text of a call whose result is an error of the tool.
fn failure(house: &House, tool: &str, arguments: Value) -> String {
    let result = house.call(tool, arguments);
    assert_eq!(result["isError"], true, "{tool}: {result}");
    assert_eq!(result["structuredContent"], Value::Null, "{tool}: an error has no value");
    text(&result).to_owned()
}

/// Arguments of another type never reach the tool, whichever way the house says so.
fn refused(house: &House, tool: &str, arguments: Value) {
    let response = house.modern("tools/call", json!({"name": tool, "arguments": arguments}));
    let answer = response.last();
    assert!(answer["error"].is_object() || answer["result"]["isError"] == true, "{tool}: {answer}");
}

#[test]
fn a_bundle_in_javascript() {
    let house = house(&["scan.wasm"], &bundles(&["scan"], ""));
    let listed = tools(&house);
    let mut found = names(&listed);
    found.sort_unstable();
    assert_eq!(found, ["scan_decode", "scan_encode", "scan_replace", "scan_search", "scan_tokens"]);

    let search = listed.iter().find(|tool| tool["name"] == "scan_search").unwrap();
    let mut required: Vec<_> =
        search["inputSchema"]["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    required.sort_unstable();
    assert_eq!(required, ["pattern", "text"], "options may be left out");
    for name in ["text", "pattern", "options", "at-most"] {
        assert!(search["inputSchema"]["properties"][name].is_object(), "{name}: {search}");
    }

    // Options that are left out, null and there; flags; tuples; options within lists.
    let ana = json!({"text": "Ana has 2 cats\nana", "pattern": "(?<n>a)n(x)?"});
    let groups = json!([["1", "a"], ["2", null], ["n", "a"]]);
    assert_eq!(value(&house, "scan_search", ana), json!([{"start": 15, "text": "an", "groups": groups}]));
    let ana = json!({"text": "😀 Ana ana", "pattern": "A", "options": ["ignore-case"], "at-most": 2});
    let places = json!([{"start": 2, "text": "A", "groups": []}, {"start": 4, "text": "a", "groups": []}]);
    assert_eq!(value(&house, "scan_search", ana), places);
    let none = json!({"text": "b", "pattern": "b", "options": null, "at-most": 0});
    assert_eq!(value(&house, "scan_search", none), json!([]));
    let lines = |options: Value| json!({"text": "a\nb", "pattern": "^.", "replacement": "x", "options": options});
    assert_eq!(value(&house, "scan_replace", lines(json!([]))), json!({"text": "x\nb", "count": 1}));
    assert_eq!(value(&house, "scan_replace", lines(json!(["multiline"]))), json!({"text": "x\nx", "count": 2}));
    assert_eq!(
        value(&house, "scan_replace", lines(json!(["multiline", "dot-all"]))),
        json!({"text": "x\nx", "count": 2})
    );

    // Variants with and without payload; integers of 64 bits; characters.
    let text = "18446744073709551615 18446744073709551616 9007199254740993 1.5e-3 añb+😀";
    let tokens = json!([
        {"whole": u64::MAX}, "gap", {"number": 18_446_744_073_709_551_616.0}, "gap", {"whole": 9_007_199_254_740_993_u64},
        "gap", {"number": 0.0015}, "gap", {"word": "añb"}, {"sign": "+"}, {"sign": "😀"}
    ]);
    assert_eq!(value(&house, "scan_tokens", json!({"text": text})), tokens);
    assert_eq!(value(&house, "scan_tokens", json!({"text": ""})), json!([]));

    // Bytes and enums.
    for (form, encoded) in [("hex", "fffe0068656c6c6f"), ("base32", "777AA2DFNRWG6"), ("base64url", "__4AaGVsbG8")] {
        let bytes = json!({"data": "//4AaGVsbG8=", "form": form});
        assert_eq!(value(&house, "scan_encode", bytes), encoded);
        assert_eq!(value(&house, "scan_decode", json!({"text": encoded, "form": form})), "//4AaGVsbG8=");
    }
    assert_eq!(value(&house, "scan_encode", json!({"data": "", "form": "hex"})), "");
    assert_eq!(value(&house, "scan_decode", json!({"text": "", "form": "hex"})), "");

    // Errors that are a text, and errors that are a variant.
    let why = failure(&house, "scan_search", json!({"text": "x", "pattern": "("}));
    assert!(why.contains("that is no pattern: "), "{why}");
    let why = failure(&house, "scan_decode", json!({"text": "0g", "form": "hex"}));
    assert!(why.contains("character") && why.contains("\"at\":1"), "{why}");
    let why = failure(&house, "scan_decode", json!({"text": "000", "form": "hex"}));
    assert!(why.contains("length") && why.contains('3'), "{why}");

    for arguments in [
        json!({"text": "x"}),
        json!({"text": 1, "pattern": "x"}),
        json!({"text": "x", "pattern": "x", "options": ["loud"]}),
        json!({"text": "x", "pattern": "x", "at-most": -1}),
        json!({"text": "x", "pattern": "x", "at-most": 4_294_967_296_u64}),
        json!({"text": "x", "pattern": "x", "at_most": 1}),
    ] {
        refused(&house, "scan_search", arguments);
    }
    refused(&house, "scan_encode", json!({"data": "no base64!", "form": "hex"}));
    refused(&house, "scan_encode", json!({"data": "", "form": "base65"}));
}

/// A regular expression that takes forever takes as long as it may.
#[test]
fn javascript_ends_at_a_limit() {
    let house = house(&["scan.wasm"], &bundles(&["scan"], "cpuMsMax = 200"));
    let forever = json!({"text": "a".repeat(40) + "b", "pattern": "^(a+)+$"});
    let response = house.modern("tools/call", json!({"name": "scan_search", "arguments": forever}));
    assert!(response.body.contains("cpuMsMax"), "{response:?}");
    assert_eq!(value(&house, "scan_encode", json!({"data": "/w==", "form": "hex"})), "ff", "the house goes on");
}

#[test]
fn a_bundle_in_python() {
    let house = house(&["figures.wasm"], &bundles(&["figures"], ""));
    let listed = tools(&house);
    // The component has an export more than its world has: `init`, which componentize-py called when it was built.
    for name in ["summarize", "calculate", "calculate-all", "pack", "unpack", "compress", "expand"] {
        assert!(names(&listed).contains(&format!("figures_{name}").as_str()), "{name}: {:?}", names(&listed));
    }

    // Numbers that JSON does not have, in both directions.
    let values = json!({"values": [1, 2.5, 2.5, 4.5]});
    let summary = value(&house, "figures_summarize", values);
    assert_eq!(summary["count"], 4);
    assert_eq!(summary["mean"], 2.625);
    assert_eq!(summary["modes"], json!([2.5]));
    assert!((summary["deviation"].as_f64().unwrap() - 1.436).abs() < 0.001, "{summary}");
    let summary = value(&house, "figures_summarize", json!({"values": ["Infinity"]}));
    assert_eq!(summary["greatest"], "Infinity");
    assert_eq!(summary["deviation"], Value::Null);
    let summary = value(&house, "figures_summarize", json!({"values": ["Infinity", "-Infinity"]}));
    assert_eq!((&summary["least"], &summary["mean"]), (&json!("-Infinity"), &json!("NaN")));
    let why = failure(&house, "figures_summarize", json!({"values": []}));
    assert_eq!(why, "there is nothing to describe: give at least one number");

    // Variants of every kind, and errors.
    let calculate = |expression: &str| value(&house, "figures_calculate", json!({"expression": expression}));
    assert_eq!(calculate("1/3 + 1/6"), json!({"fraction": {"numerator": 1, "denominator": 2}}));
    assert_eq!(calculate("-9223372036854775808"), json!({"whole": i64::MIN}));
    assert_eq!(calculate("1/(2**64-1)"), json!({"fraction": {"numerator": 1, "denominator": u64::MAX}}));
    assert_eq!(calculate("2**64 - 1"), json!({"digits": "18446744073709551615"}));
    assert_eq!(calculate("0.1 + 0.2"), json!({"fraction": {"numerator": 3, "denominator": 10}}));
    assert_eq!(
        calculate("1/2**65 * 4"),
        json!({"fraction": {"numerator": 1, "denominator": 9_223_372_036_854_775_808_u64}})
    );
    assert!(calculate("2**200/3")["rounded"].is_f64());
    let mistake = |expression: &str| failure(&house, "figures_calculate", json!({"expression": expression}));
    assert!(mistake("1/0").contains("division-by-zero"));
    assert!(mistake("2**99999999").contains("too-large") && mistake("2**99999999").contains("99999999"));
    assert!(mistake("__import__('os')").contains("Call is nothing to calculate with"));

    // Results within a value.
    let expressions = json!({"expressions": ["1", "1/0", "x"]});
    let results = json!([
        {"ok": {"whole": 1}}, {"err": "division-by-zero"}, {"err": {"unreadable": "Name is nothing to calculate with"}}
    ]);
    assert_eq!(value(&house, "figures_calculate-all", expressions), results);

    // Lists of variants to bytes and back.
    let values = json!([{"unsigned": u64::MAX}, {"signed": i64::MIN}, {"double": 1.5}, {"text": "añ😀"}]);
    let packed = "//////////+AAAAAAAAAAD/4AAAAAAAAAAAAB2HDsfCfmIA=";
    assert_eq!(value(&house, "figures_pack", json!({"values": values, "order": "big"})), packed);
    let shapes = json!(["unsigned", "signed", "double", "text"]);
    let unpack = json!({"data": packed, "shapes": shapes, "order": "big"});
    assert_eq!(value(&house, "figures_unpack", unpack), values);
    let nan = value(&house, "figures_pack", json!({"values": [{"double": "-Infinity"}], "order": "little"}));
    assert_eq!(nan, "AAAAAAAA8P8=");
    let unpack = json!({"data": nan, "shapes": ["double"], "order": "little"});
    assert_eq!(value(&house, "figures_unpack", unpack), json!([{"double": "-Infinity"}]));
    let why = failure(&house, "figures_unpack", json!({"data": "AAA=", "shapes": ["unsigned"], "order": "big"}));
    assert!(why.contains("8 bytes"), "{why}");
    for level in [json!(null), json!(0), json!(9)] {
        let packed = value(&house, "figures_compress", json!({"data": "aGVsbG8=", "level": level}));
        assert_eq!(value(&house, "figures_expand", json!({"data": packed})), "aGVsbG8=");
    }
    let why = failure(&house, "figures_compress", json!({"data": "", "level": 255}));
    assert_eq!(why, "there is no level 255: 0 to 9");

    refused(&house, "figures_pack", json!({"values": [{"unsigned": -1}], "order": "big"}));
    refused(&house, "figures_pack", json!({"values": [{"unsigned": 1, "signed": 1}], "order": "big"}));
    refused(&house, "figures_pack", json!({"values": ["unsigned"], "order": "big"}));
    refused(&house, "figures_compress", json!({"data": "", "level": 256}));
}

/// Functions of two interfaces and of the world itself; types of a third interface, which the component imports
/// although nothing but types is in it.
#[test]
fn a_bundle_in_c() {
    let house = house(&["bits.wasm"], &bundles(&["bits"], "memoryMibMax = 2"));
    let listed = tools(&house);
    let mut found = names(&listed);
    found.sort_unstable();
    let all = ["checksum-of", "distance", "lengthen", "letters", "number", "ones", "read", "shorten"];
    assert_eq!(found, all.map(|name| format!("bits_{name}")));

    // Records of flags and enums, there and back.
    let (rwx, rx) = (json!(["read", "write", "execute"]), json!(["read", "execute"]));
    let mode = json!({"kind": "directory", "owner": rwx, "group": rx, "others": ["read"],
        "special": ["set-group", "sticky"]});
    assert_eq!(value(&house, "bits_read", json!({"written": {"letters": "drwxr-sr-T"}})), mode);
    assert_eq!(value(&house, "bits_letters", json!({"mode": mode})), "drwxr-sr-T");
    assert_eq!(value(&house, "bits_number", json!({"mode": mode})), 0o43754);
    assert_eq!(value(&house, "bits_read", json!({"written": {"number": 0o43754}})), mode);
    let nothing = json!({"kind": "file", "owner": [], "group": [], "others": [], "special": []});
    assert_eq!(value(&house, "bits_read", json!({"written": {"number": 0}})), nothing);
    let why = failure(&house, "bits_read", json!({"written": {"letters": "rwx"}}));
    assert_eq!(why, "that is no mode: 10 letters are, as in drwxr-xr-x");
    let why = failure(&house, "bits_read", json!({"written": {"number": u32::MAX}}));
    assert_eq!(why, "037777777777 is the mode of no kind of file");

    // Integers of 64 bits.
    let checksum = |data: &str, kind: &str, after: Value| {
        value(&house, "bits_checksum-of", json!({"data": data, "checksum": kind, "after": after}))
    };
    assert_eq!(checksum("aGVsbG8=", "crc32", Value::Null), 0x3610_a686);
    assert_eq!(checksum("bG8=", "crc32", checksum("aGVs", "crc32", Value::Null)), 0x3610_a686);
    assert_eq!(checksum("aGVsbG8=", "fnv64", Value::Null), 11_831_194_018_420_276_491_u64);
    assert_eq!(checksum("", "fnv64", json!(u64::MAX)), u64::MAX);
    let numbers = json!([0, 1, 127, 128, 4_294_967_296_u64, 9_223_372_036_854_775_808_u64, u64::MAX]);
    let short = "AAF/gAGAgICAEICAgICAgICAgAH///////////8B";
    assert_eq!(value(&house, "bits_shorten", json!({"numbers": numbers})), short);
    assert_eq!(value(&house, "bits_lengthen", json!({"data": short})), numbers);
    let why = failure(&house, "bits_lengthen", json!({"data": "AYA="}));
    assert!(why.contains("cut-off") && why.contains('1'), "{why}");
    assert!(failure(&house, "bits_lengthen", json!({"data": "////////////Ag=="})).contains("too-large"));

    // Tuples with an option within.
    assert_eq!(value(&house, "bits_ones", json!({"number": 0})), json!([0, null]));
    assert_eq!(value(&house, "bits_ones", json!({"number": u64::MAX})), json!([64, [0, 63]]));
    assert_eq!(value(&house, "bits_distance", json!({"one": "añ😀", "other": "an😀b"})), 2);

    refused(&house, "bits_ones", json!({"number": -1}));
    refused(&house, "bits_ones", json!({"number": 1.5}));
    refused(&house, "bits_ones", json!({"number": "1"}));
    refused(&house, "bits_letters", json!({"mode": {"kind": "file"}}));
    refused(&house, "bits_read", json!({"written": {"letters": "-", "number": 1}}));
    refused(&house, "bits_read", json!({"written": "number"}));
}

/// Memory that C could not have is an error of its own, and the house blames the limit.
#[test]
fn c_ends_at_a_limit() {
    let house = house(&["bits.wasm"], &bundles(&["bits"], "memoryMibMax = 2"));
    let long = "a".repeat(1 << 20);
    let arguments = json!({"one": "a", "other": long});
    let response = house.modern("tools/call", json!({"name": "bits_distance", "arguments": arguments}));
    assert!(response.body.contains("memoryMibMax"), "{response:?}");
}

/// A service of files, in Rust and from elsewhere: it is there, and there are no files.
#[test]
fn a_published_bundle_finds_no_files() {
    let house = house(&[&published("file-service")], &bundles(&["file-service"], ""));
    let listed = tools(&house);
    assert_eq!(listed.len(), 13, "{:?}", names(&listed));
    for name in ["read-file", "write-file", "create-sym-link", "hash"] {
        assert!(names(&listed).contains(&format!("file-service_{name}").as_str()), "{name}: {:?}", names(&listed));
    }
    for (tool, arguments) in [
        ("read-file", json!({"path": "/etc/passwd"})),
        ("get-info", json!({"path": "."})),
        ("write-file", json!({"path": "x", "contents": "y"})),
        ("create-directory", json!({"path": "x"})),
    ] {
        let why = failure(&house, &format!("file-service_{tool}"), arguments);
        assert!(why.contains("failed to find a pre-opened file descriptor"), "{tool}: {why}");
    }
    assert_eq!(failure(&house, "file-service_hash", json!({"path": "/"})), "Root not found");
}

/// It keeps the cart in memory: once for each call, or once for a caller whose cell outlives its calls.
#[test]
fn a_published_bundle_forgets_unless_its_cells_are_reused() {
    let body = |reuse: &str| {
        format!(
            "listen = \"127.0.0.1:0\", bundles = [(name = \"cart\", file = \"shopping-cart.wasm\", reuse = {reuse})],\n\
             routes = [(path = \"/mcp\", tools = [\"bundle/**\"], callers = [\"anonymous/loopback\"])]"
        )
    };
    let item = json!({"product-id": "a-1", "name": "Pen", "price": 1.5, "quantity": u32::MAX});
    for (reuse, kept) in [("once", json!([])), ("caller", json!([item]))] {
        let house = house(&[&published("shopping-cart")], &body(reuse));
        assert_eq!(tools(&house).len(), 6);
        // Functions without a result.
        assert_ne!(house.call("cart_initialize-cart", json!({"user-id": "ana"}))["isError"], true);
        assert_ne!(house.call("cart_add-item", json!({"item": item}))["isError"], true);
        assert_eq!(value(&house, "cart_get-cart-contents", json!({})), kept, "{reuse}");
        let order = value(&house, "cart_checkout", json!({}));
        // A variant that is no result. One time in ten, at random, this shop has run out of stock.
        assert!(order["success"]["order-id"].is_string() || order["error"].is_string(), "{order}");
        refused(&house, "cart_add-item", json!({"item": {"product-id": "a-1", "name": "Pen", "price": 1.5}}));
    }
}

/// What imports more than types from outside of the WASI base is refused as ever.
#[test]
fn a_published_bundle_that_needs_more_is_refused() {
    let folder = folder(&[&published("auction_registry_composed")], &bundles(&["auction_registry_composed"], ""));
    let ran = folder.run(&["check"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("golem:rpc/types@0.1.0"), "{ran:?}");
}
