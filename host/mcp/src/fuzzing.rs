//! What the fuzz targets in `fuzz/` reach of this crate; nothing else uses it.

use std::borrow::Cow;

use bytes::Bytes;
use certosa_model::TraceParent;

use crate::params::{Capabilities, Params};
use crate::rpc::{self, Body, Code, Envelope, Malformed};
use crate::versions::Version;

/// What a text of a client is, before anything is looked up for it.
#[derive(Debug)]
pub enum Read {
    Message {
        text: String,
        id: Option<String>,
        method: String,
        /// Of the parameters.
        name: Option<String>,
        arguments: Option<String>,
    },
    Response {
        text: String,
        id: String,
        result: Result<String, String>,
    },
    /// What is answered.
    Refused(Bytes),
}

/// Reads a body, and the parameters of each message in it as those of every method.
pub fn read(body: &[u8]) -> Vec<Read> {
    match rpc::read(body) {
        Ok(Body::One(text)) => vec![one(text)],
        Ok(Body::Batch(texts)) => texts.into_iter().map(|text| one(text.get())).collect(),
        Err(malformed) => vec![refused("", malformed)],
    }
}

fn one(text: &str) -> Read {
    let envelope = match Envelope::parse(text) {
        Ok(envelope) => envelope,
        Err(malformed) => return refused(text, malformed),
    };
    let apart = Envelope::parse_apart(text);
    assert!(apart.as_ref().is_ok_and(|apart| format!("{apart:?}") == format!("{envelope:?}")), "{apart:?}: {text}");
    let params = match envelope.params {
        Ok(params) => params,
        Err(why) => return Read::Refused(rpc::error(envelope.id, Code::InvalidParams, &why, None)),
    };
    look(&params);
    Read::Message {
        text: text.to_owned(),
        id: envelope.id.map(str::to_owned),
        method: envelope.method.into_owned(),
        name: params.name.map(Cow::into_owned),
        arguments: params.arguments.map(|arguments| arguments.get().to_owned()),
    }
}

fn look(params: &Params<'_>) {
    let opening = params.capabilities.and_then(|text| serde_json::from_str::<Capabilities>(text.get()).ok());
    let in_meta = params.meta.as_ref().and_then(|meta| meta.capabilities.as_ref());
    for capabilities in opening.iter().chain(in_meta) {
        let _all = Version::ALL.map(|version| capabilities.askable(version));
    }
    let Some(meta) = &params.meta else { return };
    let _trace = meta.traceparent.as_deref().and_then(TraceParent::parse);
    let _token = meta.progress_token.map(|token| rpc::is_id(token.get()));
}

fn refused(text: &str, malformed: Malformed) -> Read {
    let (code, why, id) = match malformed {
        Malformed::Response(response) => {
            return Read::Response { text: text.to_owned(), id: response.id, result: response.result };
        }
        Malformed::NotJson(why) => (Code::Parse, why, None),
        Malformed::NotRequest(why, id) => (Code::InvalidRequest, why, id),
    };
    Read::Refused(rpc::error(id.as_deref(), code, &why, None))
}
