//! Prompts, resources, templates and completion: who sees them, what is checked, how they fail.

use serde_json::{Value, json};

use crate::support::{Folder, House, bundles, text};

fn names(house: &House, method: &str, member: &str, key: &str) -> Vec<String> {
    let listed = house.modern(method, json!({})).last()["result"][member].clone();
    listed.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn everything_is_listed_in_order_and_with_its_words() {
    let house = House::of(&["hello", "probe"], "");
    assert_eq!(
        names(&house, "prompts/list", "prompts", "name"),
        ["hello_welcome", "probe_asking", "probe_panicking", "probe_picky"]
    );
    assert_eq!(names(&house, "resources/list", "resources", "uri"), ["hello://about", "probe://asking"]);
    assert_eq!(
        names(&house, "resources/templates/list", "resourceTemplates", "uriTemplate"),
        ["hello://greeting/{language}", "probe://numbers/{number}", "probe://tree/{+path}?q={query}"]
    );
    let prompts = house.modern("prompts/list", json!({})).last()["result"].clone();
    assert_eq!(prompts["prompts"][0]["title"], "Welcome");
    assert_eq!(prompts["prompts"][0]["arguments"][0]["required"], true);
    assert_eq!(prompts["prompts"][0]["arguments"][1]["required"], false);
    assert_eq!(prompts["cacheScope"], "private");
    let resources = house.modern("resources/list", json!({})).last()["result"].clone();
    assert_eq!(resources["resources"][0]["annotations"], json!({"priority": 0.2}));
    assert!(resources["resources"][1].get("annotations").is_none() && resources["resources"][1].get("size").is_none());
}

#[test]
fn a_prompt_gets_its_arguments_and_no_others() {
    let house = House::of(&["hello", "probe"], "");
    let get = |name: &str, arguments: Value| house.modern("prompts/get", json!({"name": name, "arguments": arguments}));
    let result = get("hello_welcome", json!({"name": "Ana", "language": "french"})).last()["result"].clone();
    assert_eq!(result["messages"][0]["role"], "user");
    assert!(result["messages"][0]["content"]["text"].as_str().unwrap().starts_with("Bonjour, Ana!"), "{result}");
    for (name, arguments, why) in [
        ("hello_welcome", json!({}), "\"name\" is missing"),
        ("hello_welcome", json!({"name": "A", "more": "x"}), "no argument \"more\""),
        ("hello_welcome", json!({"name": 3}), "strings"),
        ("hello_welcome", json!({"name": "A", "language": "klingon"}), "none of the languages"),
        ("probe_picky", json!({"word": "x"}), "not the right word"),
        ("hello_nothing", json!({}), "unknown prompt: hello_nothing"),
        ("hello_greet", json!({}), "unknown prompt"),
    ] {
        let response = get(name, arguments);
        assert_eq!(response.error(), (400, -32602), "{name}");
        assert!(response.last()["error"]["message"].as_str().unwrap().contains(why), "{response:?}");
    }
    // A key that is there twice means two things to two readers.
    let (headers, body) =
        house.modern_parts("prompts/get", json!({"name": "hello_welcome", "arguments": {"name": "A"}}));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let twice = body.replace(r#"{"name":"A"}"#, r#"{"name":"A","name":"B"}"#);
    assert_eq!(house.http("POST", "/mcp", &headers, &twice).error(), (400, -32602), "{twice}");
    let broken = get("probe_panicking", json!({}));
    assert_eq!(broken.error(), (400, -32603));
    assert_eq!(broken.last()["error"]["data"]["certosa/refusal"]["fault"], "bundle");
    assert_eq!(house.modern("prompts/get", json!({})).error(), (400, -32602));
}

#[test]
fn a_resource_is_read_by_its_address_or_its_template() {
    let house = House::of(&["hello", "probe"], "cpuMsMax = 200");
    let read = |uri: &str| house.modern("resources/read", json!({"uri": uri}));
    let about = read("hello://about").last()["result"]["contents"][0].clone();
    assert_eq!((&about["uri"], &about["mimeType"]), (&json!("hello://about"), &json!("text/markdown")));
    assert!(about["text"].as_str().unwrap().starts_with("# hello"));
    assert_eq!(read("probe://numbers/7").last()["result"]["contents"][0]["blob"], "BwcH");
    assert_eq!(
        read("probe://tree/a/b%20c?q=%C3%BC").last()["result"]["contents"][0]["text"],
        "a/b c ü",
        "variables arrive decoded"
    );
    for missing in [
        "hello://greeting/klingon",
        "hello://greeting/a/b",
        "hello://greeting/",
        "hello://ABOUT",
        "probe://numbers/256",
        "probe://numbers/%ff",
        "file:///etc/passwd",
        "",
    ] {
        let response = read(missing);
        assert_eq!(response.error(), (400, -32602), "{missing}");
        assert_eq!(response.last()["error"]["data"]["uri"], missing);
    }
    let spinning = read("probe://numbers/spin");
    assert_eq!(spinning.error(), (400, -32603));
    assert_eq!(spinning.last()["error"]["data"]["certosa/refusal"]["setBy"], "cpuMsMax");
}

#[test]
fn the_older_era_has_its_own_code_for_what_is_not_there() {
    let house = House::of(&["hello"], "");
    let session = house.session("2025-11-25");
    let response = house.legacy(&session, "resources/read", &json!({"uri": "hello://nothing"}));
    assert_eq!(response.error(), (200, -32002));
    assert_eq!(response.last()["error"]["data"]["uri"], "hello://nothing");
    let read = house.legacy(&session, "resources/read", &json!({"uri": "hello://about"})).last()["result"].clone();
    assert!(read["contents"][0]["text"].is_string() && read.get("ttlMs").is_none(), "{read}");
    assert_eq!(house.legacy(&session, "prompts/get", &json!({"name": "x"})).error(), (200, -32602));
}

#[test]
fn completion_proposes_what_begins_like_that() {
    let house = House::of(&["hello", "probe"], "");
    let complete = |reference: Value, argument: &str, value: &str| {
        let params = json!({"ref": reference, "argument": {"name": argument, "value": value}});
        house.modern("completion/complete", params)
    };
    let prompt = json!({"type": "ref/prompt", "name": "hello_welcome"});
    let found = complete(prompt.clone(), "language", "G").last()["result"]["completion"].clone();
    assert_eq!(found, json!({"values": ["german"], "total": 1, "hasMore": false}));
    assert_eq!(complete(prompt.clone(), "name", "A").last()["result"]["completion"]["values"], json!([]));
    let numbers = json!({"type": "ref/resource", "uri": "probe://numbers/{number}"});
    let found = complete(numbers, "number", "").last()["result"]["completion"].clone();
    assert_eq!((found["values"].as_array().unwrap().len(), &found["hasMore"]), (100, &json!(true)));
    assert_eq!(complete(prompt, "nothing", "").error(), (400, -32602));
    assert_eq!(complete(json!({"type": "ref/prompt", "name": "x"}), "a", "").error(), (400, -32602));
    assert_eq!(complete(json!({"type": "ref/else", "name": "x"}), "a", "").error(), (400, -32602));
    assert_eq!(complete(json!({"type": "ref/resource", "uri": "hello://about"}), "a", "").error(), (400, -32602));
}

/// Each kind is granted by a list of its own, and what is not granted looks as if it were not there.
#[test]
fn what_a_route_does_not_grant_is_not_there() {
    let body = r#"listen = "127.0.0.1:0",
        bundles = [(name = "hello", file = "hello.wasm"), (name = "probe", file = "probe.wasm")],
        routes = [(path = "/mcp", callers = ["anonymous/loopback"],
            tools = ["bundle/hello/**"], prompts = ["bundle/probe/picky"], resources = ["bundle/probe/numbers"])]"#;
    let house = House::start(body);
    assert_eq!(names(&house, "tools/list", "tools", "name"), ["hello_echo", "hello_greet", "hello_introduce"]);
    assert_eq!(names(&house, "prompts/list", "prompts", "name"), ["probe_picky"]);
    assert_eq!(names(&house, "resources/list", "resources", "uri"), Vec::<String>::new());
    assert_eq!(names(&house, "resources/templates/list", "resourceTemplates", "name"), ["numbers"]);
    // That the two answers are the same in every byte is looked at in `absence`.
    for (method, params) in [
        ("prompts/get", json!({"name": "hello_welcome"})),
        ("prompts/get", json!({"name": "hello_nothing"})),
        ("resources/read", json!({"uri": "hello://about"})),
        ("resources/read", json!({"uri": "hello://nothing"})),
    ] {
        assert_eq!(house.modern(method, params).error(), (400, -32602), "{method}");
    }
    let reasons: Vec<_> = house.records(4).iter().map(|line| line["reason"].as_str().unwrap().to_owned()).collect();
    assert!(
        reasons[0].contains("`prompts`") && reasons[2].contains("`resources`"),
        "the operator learns why: {reasons:?}"
    );
    assert_eq!(house.modern("resources/read", json!({"uri": "probe://numbers/1"})).status, 200);
}

#[test]
fn capabilities_say_what_there_is() {
    let house = House::of(&["hello"], "");
    let all = house.modern("server/discover", json!({})).last()["result"]["capabilities"].clone();
    assert_eq!(all["resources"], json!({"subscribe": true, "listChanged": true}));
    assert!(all["prompts"].is_object() && all["completions"].is_object());
    let house = House::of(&["jq"], "");
    let tools = house.modern("server/discover", json!({})).last()["result"]["capabilities"].clone();
    // What a route does not grant is not announced either.
    let body = r#"listen = "127.0.0.1:0", bundles = [(name = "hello", file = "hello.wasm")],
        routes = [(path = "/mcp", tools = ["bundle/hello/greet"], callers = ["anonymous/loopback"])]"#;
    let denied = House::start(body).modern("server/discover", json!({})).last()["result"]["capabilities"].clone();
    assert!(denied.get("prompts").is_none() && denied.get("resources").is_none(), "{denied}");
    assert!(
        tools["tools"].is_object() && tools.get("prompts").is_none() && tools.get("completions").is_none(),
        "{tools}"
    );
    assert_eq!(
        names(&house, "prompts/list", "prompts", "name"),
        Vec::<String>::new(),
        "asking is allowed all the same"
    );
}

/// Two bundles with the same names: the first one is shown, the second one hidden, and the operator is told.
#[test]
fn a_collision_hides_the_later_one() {
    let two = r#"(name = "a", file = "hello.wasm"), (name = "b", file = "hello.wasm")"#;
    let route = r#"(path = "/mcp", tools = ["bundle/**"], resources = ["bundle/**"],
        callers = ["anonymous/loopback"], toolNames = bare)"#;
    let body = format!(r#"listen = "127.0.0.1:0", bundles = [{two}], routes = [{route}]"#);
    let house = House::start(&body);
    assert_eq!(names(&house, "tools/list", "tools", "name"), ["echo", "greet", "introduce"]);
    assert_eq!(text(&house.call("greet", json!({"name": "Ana"}))), "Hello, Ana!");
    assert_eq!(house.records(1)[0]["bundle"], "a");
    let ready: Value = serde_json::from_str(&house.http("GET", "/ready", &[], "").body).unwrap();
    assert_eq!(ready["house"]["warnings"], 5, "three tools, a resource and a template");
    let checked = Folder::new(&body).run(&["check"]);
    assert_eq!(checked.code, 3);
    assert!(checked.stderr.contains("bundle/a/greet hides bundle/b/greet"), "{checked:?}");
}

/// A bundle that cannot be listed is left out; the others answer.
#[test]
fn one_bundle_that_fails_to_list_does_not_spoil_the_rest() {
    let body = bundles(&["hello"], "").replace(
        "bundles = [",
        r#"bundles = [(name = "small", file = "hello.wasm", limits = (memoryMibMax = 1)), (name = "probe", file = "probe.wasm"), "#,
    );
    let house = House::start(&body);
    assert!(names(&house, "tools/list", "tools", "name").contains(&"hello_greet".to_owned()));
    assert_eq!(house.modern("tools/call", json!({"name": "small_greet", "arguments": {}})).error(), (400, -32602));
    let ready: Value = serde_json::from_str(&house.http("GET", "/ready", &[], "").body).unwrap();
    assert_eq!((&ready["ready"], &ready["house"]["warnings"]), (&json!(true), &json!(1)));
    let checked = Folder::new(&body).run(&["check"]);
    assert_eq!(checked.code, 3, "who checks is told that it is wrong");
    assert!(
        checked.stderr.contains("small offers nothing") && checked.stderr.contains("memoryMibMax = 1"),
        "{checked:?}"
    );
}
