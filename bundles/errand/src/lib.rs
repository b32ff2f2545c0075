//! A hostile guest that goes out: it says to wasi:http, wasi:sockets and the vault whatever its caller wants said, and
//! reports what came of it. The tests of the host run it; no house that serves people should.
//!
//! Everything here is the bare interface, without a client in between that would mend a request or hide an error.

mod alias;
mod ask;
mod held;
mod repeat;
mod sockets;
mod transfer;
mod vault;

use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::Serialize;
use certosa_sdk::serde::de::DeserializeOwned;
use certosa_sdk::{Call, Hints, IntoOutcome as _, Outcome, Refusal, ToolInfo, schema_of, serde_json};

/// Tools whose arguments are one type, which several of them share, and whose result is a text of JSON.
macro_rules! tools {
    ($($name:ident: $description:literal, $run:path;)*) => {
        mod tools {
            $(
                #[allow(non_camel_case_types, reason = "named as the tool is")]
                pub struct $name {}

                impl certosa_sdk::Tool for $name {
                    const NAME: &'static str = stringify!($name);

                    fn describe() -> certosa_sdk::ToolInfo {
                        crate::described(Self::NAME, $description, $run)
                    }

                    fn call(call: &certosa_sdk::Call) -> Result<certosa_sdk::Outcome, certosa_sdk::Refusal> {
                        crate::run(call, $run)
                    }
                }
            )*
        }

        certosa_sdk::bundle!($(tools::$name),*);
    };
}

tools! {
    fetch: "Sends a request and reads its response.", crate::transfer::fetch;
    upload: "Sends a request with a body in chunks, and reads its response.", crate::transfer::upload;
    download: "Sends a request, and reads its response slowly.", crate::transfer::download;
    repeat: "Sends the same request again and again, and reads each response to its end.", crate::repeat::repeat;
    hoard: "Begins many exchanges at the same time and reads none.", crate::held::hoard;
    begin_and_leave: "Begins a request whose body never ends, and returns.", crate::held::begin_and_leave;
    keep: "Begins to read a response and keeps it beyond this call.", crate::held::keep;
    take: "Reads on in the response that an earlier call has kept.", crate::held::take;
    available: "Lists the credentials of this call.", crate::vault::available;
    use_credential: "Chooses a credential.", crate::vault::use_credential;
    sign: "Signs a message.", crate::vault::sign;
    mac: "Authenticates a message.", crate::vault::mac;
    alias: "Hands over many headers whose values are the same memory.", crate::alias::alias;
    sockets: "Connects to an address and looks up a name, without wasi:http.", crate::sockets::sockets;
}

fn described<A: JsonSchema, R>(name: &str, description: &str, _: fn(A) -> R) -> ToolInfo {
    ToolInfo {
        name: name.to_owned(),
        title: None,
        description: description.to_owned(),
        input_schema: schema_of::<A>(),
        output_schema: None,
        hints: Hints::OPEN_WORLD,
    }
}

fn run<A: DeserializeOwned, R: Serialize>(call: &Call, run: fn(A) -> R) -> Result<Outcome, Refusal> {
    let result = run(call.arguments()?);
    serde_json::to_string(&result).map_err(|error| Refusal::Failed(error.to_string()))?.into_outcome()
}
