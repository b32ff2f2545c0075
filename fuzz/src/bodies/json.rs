//! A text as JSON: what the strict reader takes, serde_json takes for the same value.

use certosa_model::parse_json;
use serde_json::Value;

pub fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match (parse_json(text), serde_json::from_str::<Value>(text)) {
        (Ok(ours), Ok(theirs)) => {
            // As texts, because 0.0 and -0.0 are equal.
            assert_eq!(ours.to_string(), theirs.to_string());
            let again = parse_json(&ours.to_string()).expect("what is written can be read");
            assert_eq!(again.to_string(), ours.to_string());
        }
        (Err(_), Err(_)) => {}
        (Err(why), Ok(_)) => assert!(why.to_string().starts_with("duplicate key"), "{why}"),
        (Ok(ours), Err(why)) => panic!("serde_json refuses {ours}: {why}"),
    }
}
