//! Questions to the client: sealed state in the new era, requests over the session in the older one.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Events, House, LEGACY_HEADERS, text};

const ALL: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#;

fn answers() -> [(&'static str, Value); 4] {
    let said = json!({"role": "assistant", "content": {"type": "text", "text": "hi"}, "model": "m"});
    [
        ("visit", json!({"action": "accept"})),
        ("sample", said),
        ("roots", json!({"roots": [{"uri": "file:///home"}]})),
        ("form", json!({"action": "accept", "content": {"name": "Ana"}})),
    ]
}

/// Posts the client's answer to a question; returns the status.
fn reply(house: &House, session: &str, id: &Value, result: Result<Value, &str>) -> u16 {
    let body = match result {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(why) => json!({"jsonrpc": "2.0", "id": id, "error": {"code": -1, "message": why}}),
    };
    let headers = [&LEGACY_HEADERS[..], &[("Mcp-Session-Id", session)]].concat();
    house.http("POST", "/mcp", &headers, &body.to_string()).status
}

#[test]
fn an_older_client_is_asked_over_its_session() {
    let house = House::of(&["probe"], "");
    let session = house.session_of("2025-11-25", serde_json::from_str(ALL).unwrap());
    let call = json!({"name": "probe_ask_all", "arguments": {}});
    let mut events = Events::in_session(&house, &session, "tools/call", &call);
    let asked: Vec<_> = (0..3).map(|_| events.next().unwrap()).collect();
    let methods: Vec<_> = asked.iter().map(|request| request["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["elicitation/create", "sampling/createMessage", "roots/list"]);
    assert_eq!(asked[0]["params"]["mode"], "url");
    assert!(asked[0]["params"]["elicitationId"].is_string(), "{}", asked[0]);
    assert_eq!(asked[1]["params"]["maxTokens"], 5);
    // In another order than they were asked in, and not by anybody else.
    let other = house.session("2025-11-25");
    assert_eq!(reply(&house, &other, &asked[0]["id"], Ok(json!({}))), 400, "another session cannot answer");
    for index in [2, 0, 1] {
        assert_eq!(reply(&house, &session, &asked[index]["id"], Ok(answers()[index].1.clone())), 202);
    }
    assert_eq!(reply(&house, &session, &asked[0]["id"], Ok(json!({}))), 400, "nothing is answered twice");
    let form = events.next().unwrap();
    assert_eq!(form["params"]["mode"], "form");
    assert_eq!(reply(&house, &session, &form["id"], Ok(answers()[3].1.clone())), 202);
    let result = events.next().unwrap()["result"].clone();
    assert_eq!(text(&result), r#""accept"|"hi"|{"uri":"file:///home"} "Ana""#);
    assert_eq!(events.next(), None);
    let outcomes: Vec<_> = house.records(3).iter().map(|line| line["outcome"].as_str().unwrap().to_owned()).collect();
    assert_eq!(outcomes, ["input-required", "input-required", "done"], "a fresh cell for each round");
}

#[test]
fn older_versions_are_asked_in_their_own_words() {
    let house = House::of(&["probe", "hello"], "");
    let session = house.session_of("2025-06-18", serde_json::from_str(ALL).unwrap());
    let call = json!({"name": "hello_introduce", "arguments": {}});
    let mut events = Events::in_session(&house, &session, "tools/call", &call);
    let form = events.next().unwrap();
    assert!(form["params"].get("mode").is_none(), "there was no word for it: {form}");
    assert_eq!(reply(&house, &session, &form["id"], Ok(json!({"action": "decline"}))), 202);
    assert_eq!(text(&events.next().unwrap()["result"]), "Hello, whoever you are!");
    // There are no addresses to visit in this version, and no forms in the one before.
    let all = house.legacy(&session, "tools/call", &json!({"name": "probe_ask_all", "arguments": {}}));
    assert_eq!(all.last()["result"]["_meta"]["certosa/refusal"]["kind"], "cannot-ask");
    let session = house.session_of("2025-03-26", serde_json::from_str(ALL).unwrap());
    let ask = house.legacy(&session, "tools/call", &json!({"name": "probe_ask", "arguments": {}}));
    assert_eq!(ask.last()["result"]["_meta"]["certosa/refusal"]["kind"], "cannot-ask");
}

#[test]
fn a_refusal_to_answer_ends_the_call() {
    let house = House::of(&["probe"], "");
    let session = house.session_of("2025-11-25", json!({"elicitation": {}}));
    let ask = |name: &str| {
        let call = json!({"name": name, "arguments": {}});
        let mut events = Events::in_session(&house, &session, "tools/call", &call);
        let form = events.next().unwrap();
        (events, form)
    };
    let (mut events, form) = ask("probe_ask");
    assert_eq!(reply(&house, &session, &form["id"], Err("the person is away")), 202);
    let result = events.next().unwrap()["result"].clone();
    assert!(text(&result).contains("the person is away"), "{result}");
    assert_eq!(result["_meta"]["certosa/refusal"]["kind"], "unanswered");

    let (mut events, form) = ask("probe_ask");
    let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"a":1,"a":2}}}}"#, form["id"]);
    let headers = [&LEGACY_HEADERS[..], &[("Mcp-Session-Id", session.as_str())]].concat();
    assert_eq!(house.http("POST", "/mcp", &headers, &body).status, 202);
    assert_eq!(events.next().unwrap()["result"]["_meta"]["certosa/refusal"]["kind"], "unanswered", "a key twice");

    // A client that ends its session has no more questions to answer.
    let (mut events, form) = ask("probe_ask");
    assert_eq!(house.http("DELETE", "/mcp", &[("Mcp-Session-Id", &session)], "").status, 204);
    assert!(text(&events.next().unwrap()["result"]).contains("the session has ended"));
    assert_eq!(reply(&house, &session, &form["id"], Ok(json!({}))), 404);
}

#[test]
fn a_question_can_be_taken_back() {
    let house = House::of(&["probe"], "");
    let session = house.session_of("2025-11-25", json!({"elicitation": {}}));
    let call = json!({"name": "probe_ask", "arguments": {}});
    let headers = [&LEGACY_HEADERS[..], &[("Mcp-Session-Id", session.as_str())]].concat();
    let body = json!({"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": call});
    let mut events = Events::open(&house, "POST", &headers, &body.to_string());
    let form = events.next().unwrap();
    let note = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "x"}});
    assert_eq!(house.http("POST", "/mcp", &headers, &note.to_string()).status, 202);
    assert_eq!(events.next(), None);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(reply(&house, &session, &form["id"], Ok(json!({}))), 400, "nobody waits for it any more");
}

/// Only what was asked in the session is an answer there; what comes with the request is not.
#[test]
fn an_older_client_cannot_answer_before_it_is_asked() {
    let house = House::of(&["hello"], "");
    let session = house.session_of("2025-11-25", json!({"elicitation": {}}));
    let answer = json!({"name": {"action": "accept", "content": {"name": "Mallory"}}});
    let call = json!({"name": "hello_introduce", "arguments": {}, "inputResponses": answer});
    let mut events = Events::in_session(&house, &session, "tools/call", &call);
    assert_eq!(events.next().unwrap()["method"], "elicitation/create");
}

/// A client that goes away has no more questions to answer, and nothing is kept for it.
#[test]
fn who_goes_away_is_not_waited_for() {
    let house = House::of(&["probe"], "");
    let session = house.session_of("2025-11-25", json!({"elicitation": {}}));
    let call = json!({"name": "probe_ask", "arguments": {}});
    let mut events = Events::in_session(&house, &session, "tools/call", &call);
    let form = events.next().unwrap();
    drop(events);
    std::thread::sleep(Duration::from_millis(1000));
    assert_eq!(reply(&house, &session, &form["id"], Ok(json!({}))), 400, "nobody waits for it any more");
}

#[test]
fn a_house_that_closes_waits_for_no_answer() {
    let mut house = House::of(&["probe"], "");
    let session = house.session_of("2025-11-25", json!({"elicitation": {}}));
    let call = json!({"name": "probe_ask", "arguments": {}});
    let mut events = Events::in_session(&house, &session, "tools/call", &call);
    assert_eq!(events.next().unwrap()["method"], "elicitation/create");
    house.signal("-TERM");
    assert!(text(&events.next().unwrap()["result"]).contains("the house is closing"));
    assert_eq!(house.child.wait().unwrap().code(), Some(0));
}

#[test]
fn prompts_and_resources_ask_in_both_eras() {
    let house = House::of(&["probe"], "");
    let answer = json!({"action": "accept", "content": {"name": "Ana"}});
    for (method, what) in
        [("prompts/get", json!({"name": "probe_asking"})), ("resources/read", json!({"uri": "probe://asking"}))]
    {
        let meta = json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}});
        let mut params = what.clone();
        params["_meta"] = meta;
        let first = house.modern(method, params.clone()).last()["result"].clone();
        assert_eq!(first["resultType"], "input_required", "{first}");
        assert_eq!(first["inputRequests"]["name"]["method"], "elicitation/create");
        params["inputResponses"] = json!({"name": answer});
        params["requestState"] = first["requestState"].clone();
        let second = house.modern(method, params.clone()).last()["result"].clone();
        assert_eq!(second["resultType"], "complete");
        assert!(second.to_string().contains("Ana"), "{second}");
        // The state is good for this one request only.
        let mut other = json!({"name": "probe_ask", "arguments": {}, "_meta": params["_meta"]});
        other["requestState"] = first["requestState"].clone();
        assert_eq!(house.modern("tools/call", other).error(), (400, -32602));
        // Without the capability the client hears what it lacks.
        let refused = house.modern(method, what.clone());
        assert_eq!(refused.error(), (400, -32021));
        assert_eq!(refused.last()["error"]["data"]["requiredCapabilities"], json!({"elicitation": {"form": {}}}));

        let session = house.session_of("2025-11-25", json!({"elicitation": {}}));
        let mut events = Events::in_session(&house, &session, method, &what);
        let form = events.next().unwrap();
        assert_eq!(reply(&house, &session, &form["id"], Ok(answer.clone())), 202);
        assert!(events.next().unwrap()["result"].to_string().contains("Ana"));
    }
}
