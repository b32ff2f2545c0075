//! A body of a client as JSON-RPC: what is read is what serde_json reads in it, and what is answered is JSON.

use certosa_mcp::fuzzing::{Read, read};
use certosa_mcp::{Code, rpc_error};
use serde_json::{Map, Value};

pub fn run(data: &[u8]) {
    for read in read(data) {
        match read {
            Read::Message { text, id, method, name, arguments } => {
                let answer = rpc_error(id.as_deref(), Code::Internal, &method, arguments.as_deref());
                let answer = serde_json::from_slice::<Value>(&answer);
                let Some(message) = object(&text) else { continue };
                assert_eq!(message.get("method").and_then(Value::as_str), Some(method.as_str()), "{text}");
                assert_eq!(message.get("id"), id.as_deref().map(value).as_ref(), "{text}");
                let param =
                    |name: &str| message.get("params").and_then(|params| params.get(name)).filter(|of| !of.is_null());
                assert_eq!(param("name").and_then(Value::as_str), name.as_deref(), "{text}");
                assert_eq!(param("arguments"), arguments.as_deref().map(value).as_ref(), "{text}");
                // Arguments that serde_json reads can stand in an answer, and so can the id.
                let answer = answer.unwrap_or_else(|error| panic!("{error}: {text}"));
                assert_eq!((answer.get("id"), &answer["error"]["message"]), (message.get("id"), &Value::from(method)));
            }
            Read::Response { text, id, result } => {
                let Some(message) = object(&text) else { continue };
                assert_eq!(message.get("id"), Some(&value(&id)), "{text}");
                match result {
                    Ok(result) => assert_eq!(message.get("result"), Some(&value(&result)), "{text}"),
                    Err(_) => assert!(message.contains_key("error") && !message.contains_key("result"), "{text}"),
                }
            }
            Read::Refused(answer) => {
                let answer: Value = serde_json::from_slice(&answer).expect("an answer is JSON");
                assert!(answer["error"]["message"].is_string(), "{answer}");
            }
        }
    }
}

/// A text as an object, if serde_json takes it: in what is passed on unread it takes less than we do.
fn object(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
