//! A request as the caller puts it, and what came back.

use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::{Deserialize, Serialize};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme, http_error_code,
};
use wasip2::io::streams::StreamError;

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Ask {
    /// Default: GET.
    pub method: Option<String>,
    /// `https`, `http` or another one. Default: none is said.
    pub scheme: Option<String>,
    /// Default: none is said.
    pub authority: Option<String>,
    /// With the query. Default: none is said.
    pub path: Option<String>,
    /// Names and values.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Default: the request has no body.
    pub body: Option<String>,
    /// The credential to choose before.
    #[serde(rename = "use")]
    pub credential: Option<String>,
    /// After how many bytes reading ends. Default: 1 MiB.
    pub read_max: Option<u64>,
}

/// What came of a request. What there was not is null.
#[derive(Serialize, Default)]
#[serde(crate = "certosa_sdk::serde")]
pub struct Answer {
    pub status: Option<u16>,
    pub headers: Option<Vec<(String, String)>>,
    /// What was read, as text.
    pub body: Option<String>,
    /// How much was read.
    pub bytes: u64,
    /// FNV-1a with 64 bits of what was read, in hex.
    pub checksum: Option<String>,
    pub trailers: Option<Vec<(String, String)>>,
    /// What ended the exchange before its end.
    pub error: Option<String>,
    /// What ended the sending of the body before its end.
    pub sending: Option<String>,
}

/// A request that is on its way. Dropped in this order: nothing outlives what it is a part of.
pub struct Begun {
    pub body: Option<OutgoingBody>,
    pub response: FutureIncomingResponse,
}

impl Ask {
    /// Sends the head. With `body`, one is to follow.
    pub fn begin(&self, body: bool) -> Result<Begun, String> {
        if let Some(name) = &self.credential {
            certosa_sdk::vault::use_credential(name).map_err(|_| "use: refused".to_owned())?;
        }
        let request = self.head()?;
        let body = body.then(|| request.body().map_err(|()| "body: refused".to_owned())).transpose()?;
        let response = handle(request, None).map_err(|code| code.to_string())?;
        Ok(Begun { body, response })
    }

    fn head(&self) -> Result<OutgoingRequest, String> {
        let pairs: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
        let headers = Fields::from_list(&pairs).map_err(|error| error.to_string())?;
        let request = OutgoingRequest::new(headers);
        let method = method(self.method.as_deref().unwrap_or("GET"));
        request.set_method(&method).map_err(|()| "method: refused".to_owned())?;
        if let Some(name) = &self.scheme {
            request.set_scheme(Some(&scheme(name))).map_err(|()| "scheme: refused".to_owned())?;
        }
        if let Some(authority) = &self.authority {
            request.set_authority(Some(authority)).map_err(|()| "authority: refused".to_owned())?;
        }
        if let Some(path) = &self.path {
            request.set_path_with_query(Some(path)).map_err(|()| "path: refused".to_owned())?;
        }
        Ok(request)
    }
}

/// The head of the response, as soon as it is there.
pub fn answered(response: &FutureIncomingResponse) -> Result<IncomingResponse, String> {
    response.subscribe().block();
    match response.get() {
        Some(Ok(Ok(response))) => Ok(response),
        Some(Ok(Err(code))) => Err(code.to_string()),
        Some(Err(())) => Err("taken before".to_owned()),
        None => Err("ready, and not there".to_owned()),
    }
}

pub fn pairs(fields: &Fields) -> Vec<(String, String)> {
    let pairs = fields.entries().into_iter();
    pairs.map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned())).collect()
}

/// With the code of wasi:http where there is one.
pub fn broken(error: &StreamError) -> String {
    match error {
        StreamError::Closed => "closed".to_owned(),
        StreamError::LastOperationFailed(error) => {
            http_error_code(error).map_or_else(|| error.to_debug_string(), |code| code.to_string())
        }
    }
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn scheme(name: &str) -> Scheme {
    match name {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    }
}
