//! `certosa stdio`: the same as over HTTP for clients that start processes, with the house in the process or
//! behind an address.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::support::{Folder, House, MODERN, bundles, certosa, changing, text};

const BUNDLES: [&str; 3] = ["hello", "probe", "shifty"];

pub struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    folder: Folder,
}

impl Client {
    pub fn start(folder: Folder, args: &[&str]) -> Self {
        let args = [&["stdio"], args].concat();
        let mut command = certosa(&args);
        command.current_dir(folder.dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output, folder }
    }

    fn of(names: &[&str]) -> Self {
        Self::start(Folder::new(&bundles(names, "")), &[])
    }

    fn send(&mut self, message: &Value) {
        self.send_line(&message.to_string());
    }

    fn send_line(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).unwrap() > 0, "standard output has ended");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a message: {line:?}"))
    }

    pub fn ask(&mut self, message: &Value) -> Value {
        self.send(message);
        let answer = self.next();
        assert_eq!(answer["id"], message["id"], "{answer}");
        answer
    }

    /// Closes standard input and returns the exit code.
    fn end(&mut self) -> Option<i32> {
        drop(self.input.take());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _status = self.child.wait();
    }
}

pub fn modern(id: u32, method: &str, mut params: Value) -> Value {
    let meta = params.as_object_mut().unwrap().entry("_meta").or_insert(json!({}));
    meta["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {}});
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn initialize(version: &str) -> Value {
    let client = json!({"name": "t", "version": "1"});
    let params = json!({"protocolVersion": version, "capabilities": {"elicitation": {}}, "clientInfo": client});
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
}

fn new_era(client: &mut Client) {
    let discovered = client.ask(&modern(1, "server/discover", json!({})));
    assert_eq!(discovered["result"]["supportedVersions"][0], MODERN);
    let greet = json!({"name": "hello_greet", "arguments": {"name": "Ana"}});
    assert_eq!(text(&client.ask(&modern(2, "tools/call", greet))["result"]), "Hello, Ana!");
    let about = client.ask(&modern(3, "resources/read", json!({"uri": "hello://about"})));
    assert!(about["result"]["contents"][0]["text"].is_string());
    let asked = client.ask(&modern(4, "tools/call", json!({"name": "hello_introduce", "arguments": {}})));
    assert_eq!(asked["result"]["resultType"], "input_required");
    let steps = json!({"name": "probe_steps", "arguments": {"count": 2, "ms": 1}, "_meta": {"progressToken": "p"}});
    client.send(&modern(5, "tools/call", steps));
    for step in 0..=2 {
        assert_eq!(client.next()["params"]["progress"], step);
    }
    assert_eq!(client.next()["id"], 5);
    client.send(&modern(6, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}})));
    assert_eq!(client.next()["method"], "notifications/subscriptions/acknowledged");
    client.send(&modern(7, "tools/call", json!({"name": "shifty_announce", "arguments": {}})));
    let mut seen = [client.next(), client.next()];
    seen.sort_by_key(|message| message.get("id").is_some());
    assert_eq!(seen[0]["method"], "notifications/tools/list_changed");
    assert_eq!(seen[0]["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 6);
    // There is no connection to close, so requests are taken back by a notification.
    client.send(&modern(8, "tools/call", json!({"name": "probe_sleep", "arguments": {"ms": 20_000}})));
    std::thread::sleep(std::time::Duration::from_millis(100));
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 8}}));
    assert_eq!(client.ask(&modern(9, "ping", json!({})))["error"]["code"], -32601, "and nothing comes of them");
}

fn older_era(client: &mut Client) {
    assert_eq!(client.ask(&initialize("2025-06-18"))["result"]["protocolVersion"], "2025-06-18");
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let request =
        |id: u32, method: &str, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    let call =
        |id, name: &str, arguments: Value| request(id, "tools/call", json!({"name": name, "arguments": arguments}));
    assert_eq!(text(&client.ask(&call(1, "hello_greet", json!({"name": "Ana"})))["result"]), "Hello, Ana!");
    client.send(&call(2, "hello_introduce", json!({})));
    let question = client.next();
    assert_eq!(question["method"], "elicitation/create");
    let answer = json!({"action": "accept", "content": {"name": "Bo"}});
    client.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": answer}));
    assert_eq!(text(&client.next()["result"]), "Hello, Bo!");
    let uri = json!({"uri": "probe://numbers/1"});
    assert_eq!(client.ask(&request(3, "resources/subscribe", uri.clone()))["result"], json!({}));
    client.send(&call(4, "probe_touch", uri.clone()));
    let mut seen = [client.next(), client.next()];
    seen.sort_by_key(|message| message.get("id").is_some());
    assert_eq!((&seen[0]["method"], &seen[0]["params"]), (&json!("notifications/resources/updated"), &uri));
    client.send(&call(5, "probe_sleep", json!({"ms": 20_000})));
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}));
    assert_eq!(client.ask(&request(6, "ping", json!({})))["result"], json!({}));
}

#[test]
fn both_eras_are_spoken_in_process() {
    let three = || Client::start(Folder::new(&changing(&bundles(&BUNDLES, ""))), &[]);
    let mut client = three();
    new_era(&mut client);
    assert_eq!(client.end(), Some(0));
    let records = client.folder.records();
    assert!(records.iter().all(|line| line["way"] == "stdio"), "{records:?}");
    assert!(records.iter().any(|line| line["outcome"] == "cancelled"), "{records:?}");

    let mut client = three();
    older_era(&mut client);
    assert_eq!(client.end(), Some(0));
}

#[test]
fn both_eras_are_passed_on_to_a_running_house() {
    let house = House::start(&changing(&bundles(&BUNDLES, "")));
    let bridge = || Client::start(Folder::new(""), &["--url", &house.url()]);
    let mut client = bridge();
    new_era(&mut client);
    assert_eq!(client.end(), Some(0));
    let mut client = bridge();
    older_era(&mut client);
    assert_eq!(client.end(), Some(0));
    assert!(house.records(9).iter().all(|line| line["way"] == "http"));
    let metrics = house.http("GET", "/metrics", &[], "").body;
    assert!(metrics.contains("\ncertosa_sessions 0\n"), "the session was ended: {metrics}");
}

/// A line is begun before the next one is read: a cancellation behind its call is never too early.
#[test]
fn a_cancellation_right_behind_its_call_ends_it() {
    for version in ["2025-06-18", "2026-07-28"] {
        let mut client = Client::of(&["probe"]);
        let is_older = version != "2026-07-28";
        if is_older {
            client.ask(&initialize(version));
        }
        for id in 1..=40 {
            let params = json!({"name": "probe_sleep", "arguments": {"ms": 20_000}});
            let call = match is_older {
                true => json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}),
                false => modern(id, "tools/call", params),
            };
            let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
            client.send_line(&format!("{call}\n{cancel}"));
        }
        assert_eq!(client.end(), Some(0), "{version}: nothing is left to wait for");
    }
}

/// The bridge repeats arguments in headers where a tool's schema wants it.
#[test]
fn the_bridge_adds_the_headers_that_a_tool_wants() {
    let house = House::of(&["conformance"], "");
    let tools = house.modern("tools/list", json!({})).last()["result"]["tools"].clone();
    let wants = |tool: &&Value| tool["inputSchema"].to_string().contains("x-mcp-header");
    let tool = tools.as_array().unwrap().iter().find(wants).expect("a tool that wants a header").clone();
    let properties = tool["inputSchema"]["properties"].as_object().unwrap();
    let value = |property: &Value| match property["type"].as_str() {
        Some("integer" | "number") => json!(3),
        Some("boolean") => json!(true),
        _ => json!("größer"),
    };
    let arguments: serde_json::Map<_, _> =
        properties.iter().map(|(name, property)| (name.clone(), value(property))).collect();
    let mut client = Client::start(Folder::new(""), &["--url", &house.url()]);
    let answer = client.ask(&modern(1, "tools/call", json!({"name": tool["name"], "arguments": arguments})));
    assert!(answer["error"].is_null() && answer["result"]["isError"] != true, "{answer}");
}

#[test]
fn bad_lines_are_answered_and_survived() {
    let body = format!("{}, limits = (requestKibMax = 1)", bundles(&["hello"], ""));
    let mut client = Client::start(Folder::new(&body), &[]);
    for (line, code) in [
        ("{", -32700),
        ("[]", -32600),
        ("3", -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, -32600),
        (&"x".repeat(3000), -32600),
    ] {
        client.send_line(line);
        assert_eq!(client.next()["error"]["code"], code, "{line}");
    }
    client.send_line("");
    // Nobody is answered who did not ask.
    client.send_line(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    client.send_line(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    client.send_line(r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"name":3}}"#);
    let answer = client.ask(&modern(1, "tools/list", json!({})));
    assert_eq!(answer["result"]["tools"].as_array().unwrap().len(), 3);
    assert_eq!(client.end(), Some(0));
}

/// Nothing that was answered is lost when the input ends, and a second handshake harms nobody.
#[test]
fn the_bridge_survives_what_clients_do() {
    let house = House::of(&["hello"], "");
    let mut client = Client::start(Folder::new(""), &["--url", &house.url()]);
    client.ask(&initialize("2025-11-25"));
    client.ask(&initialize("2025-03-26"));
    let ping = |id: u32| json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
    assert_eq!(client.ask(&ping(1))["result"], json!({}));
    client.send(&json!([ping(2), ping(3)]));
    assert_eq!(client.next().as_array().unwrap().len(), 2);
    for line in ["{", "[]", "3"] {
        client.send_line(line);
        assert!(client.next()["error"]["code"].is_i64(), "{line}");
    }
    assert_eq!(client.end(), Some(0));
}

/// A client that ends the process instead of its input leaves no call without a record.
#[test]
fn a_signal_ends_it_as_the_end_of_input_does() {
    let mut client =
        Client::start(Folder::new(&format!("{}, limits = (drainMsMax = 100)", bundles(&["probe"], ""))), &[]);
    client.ask(&modern(0, "server/discover", json!({})));
    client.send(&modern(1, "tools/call", json!({"name": "probe_sleep", "arguments": {"ms": 20_000}})));
    std::thread::sleep(std::time::Duration::from_millis(500));
    let id = client.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(client.child.wait().unwrap().code(), Some(5));
    assert_eq!(client.folder.records()[0]["outcome"], "cancelled");
}

/// A house that is started anew knows no sessions; the client behind the bridge need not notice.
#[test]
fn a_session_is_opened_again_for_a_house_that_was_restarted() {
    let house = House::of(&["hello"], "");
    let mut client = Client::start(Folder::new(""), &["--url", &house.url()]);
    client.ask(&initialize("2025-11-25"));
    let greet = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "hello_greet", "arguments": {"name": "Ana"}}});
    assert_eq!(text(&client.ask(&greet)["result"]), "Hello, Ana!");
    let address = house.address.clone();
    drop(house);
    let _house = House::start(&bundles(&["hello"], "").replace("127.0.0.1:0", &address));
    assert_eq!(text(&client.ask(&greet)["result"]), "Hello, Ana!");
    assert_eq!(client.end(), Some(0));
}

/// A client that reads nothing cannot keep the process.
#[test]
fn it_ends_without_a_reader() {
    let mut client = Client::of(&["hello"]);
    let text = "x".repeat(100_000);
    for id in 0..40 {
        client.send(&modern(id, "tools/call", json!({"name": "hello_echo", "arguments": {"text": text}})));
    }
    drop(client.input.take());
    let started = std::time::Instant::now();
    assert!(client.child.wait().unwrap().code().is_some());
    assert!(started.elapsed() < std::time::Duration::from_secs(40));
}

#[test]
fn nothing_that_was_answered_is_lost_at_the_end() {
    for _ in 0..10 {
        let mut client = Client::of(&["hello"]);
        client.send(&initialize("2025-11-25"));
        drop(client.input.take());
        assert_eq!(client.next()["id"], 0);
        assert_eq!(client.end(), Some(0));
    }
}

#[test]
fn a_house_that_is_not_there_is_named() {
    let mut client = Client::start(Folder::new(""), &["--url", "http://127.0.0.1:9/mcp"]);
    let answer = client.ask(&modern(1, "tools/list", json!({})));
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("http://127.0.0.1:9/mcp"), "{message}");
    assert_eq!(client.end(), Some(0));
    let folder = Folder::new("");
    assert_eq!(folder.run(&["stdio", "--url", "nonsense"]).code, 2);
    assert_eq!(folder.run(&["stdio", "--url", "ftp://127.0.0.1/mcp"]).code, 2);
    assert_eq!(folder.run(&["stdio", "--url", "http://h/", "--route", "/x"]).code, 2);
    assert_eq!(folder.run(&["stdio", "--ca", "x.pem"]).code, 2);
}
