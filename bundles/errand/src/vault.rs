//! What the vault does for this call.

use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::Deserialize;
use certosa_sdk::serde_json::{Value, json};
use certosa_sdk::vault::{self, Refused};

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Nothing {}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Name {
    name: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Message {
    /// The credential.
    name: String,
    message: String,
}

pub fn available(_: Nothing) -> Value {
    json!({ "available": vault::available() })
}

pub fn use_credential(Name { name }: Name) -> Value {
    json!({ "ok": vault::use_credential(&name).is_ok() })
}

pub fn sign(Message { name, message }: Message) -> Value {
    told(vault::sign(&name, message.as_bytes()))
}

pub fn mac(Message { name, message }: Message) -> Value {
    told(vault::mac(&name, message.as_bytes()))
}

fn told(made: Result<Vec<u8>, Refused>) -> Value {
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    json!({ "ok": made.is_ok(), "hex": made.ok().map(hex) })
}
