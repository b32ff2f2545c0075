//! What went wrong, in words that say who can mend it: the caller, the operator, or time.

use std::error::Error as StdError;

use certosa_sdk::serde_json;
use wstd::http::body::util::LengthLimitError;
use wstd::http::{Error, ErrorCode, HeaderMap};

use crate::github::{Detail, Trouble};

/// No response in the time that there is.
pub fn late(ms_max: u64) -> String {
    format!(
        "there was no whole answer within {} s; try again later. If something was to be written, look first whether \
         it was",
        ms_max / 1000
    )
}

/// The request did not go out, or no response came.
pub fn unsent(host: &str, error: &Error) -> String {
    match error.downcast_ref::<ErrorCode>() {
        Some(code) => refused(host, code),
        // The client writes the body before it looks for a response, and reports that first.
        None => format!(
            "the request to {host} was not taken ({error}): the connection broke, or this bundle may not reach {host} \
             with it; try once more, and if it stays so, the operator's log says why"
        ),
    }
}

fn refused(host: &str, code: &ErrorCode) -> String {
    use ErrorCode as Code;
    match code {
        Code::HttpRequestDenied => format!(
            "this bundle may not reach {host} with this request; the operator's log says what line of the manifest \
             would allow it"
        ),
        Code::DnsTimeout
        | Code::ConnectionTimeout
        | Code::ConnectionReadTimeout
        | Code::ConnectionWriteTimeout
        | Code::HttpResponseTimeout => {
            format!("{host} took too long; try again later. If something was to be written, look first whether it was")
        }
        Code::DnsError(_) | Code::DestinationNotFound => {
            format!("there is no host {host}; check `api`, or leave it out for github.com")
        }
        Code::ConnectionLimitReached => {
            format!("there are too many requests to {host} at the moment; try again in a few seconds")
        }
        Code::HttpRequestBodySize(_) => "the text is larger than the operator lets through; make it shorter".to_owned(),
        Code::HttpResponseBodySize(_) => {
            format!("the answer of {host} is larger than the operator lets through; ask for less, with `per_page`")
        }
        code => format!("{host} could not be reached ({code}); try again later. If it stays so, tell the operator"),
    }
}

/// The response came, but not all of it.
pub fn unread(host: &str, error: &(dyn StdError + 'static), bytes_max: usize) -> String {
    if error.is::<LengthLimitError>() {
        return format!("the answer of {host} is larger than {} MiB; ask for less, with `per_page`", bytes_max >> 20);
    }
    format!("the answer of {host} broke off ({error}); try again. If something was to be written, look first")
}

/// A response that is not what GitHub would say.
pub fn nonsense(host: &str, status: u16, error: &serde_json::Error) -> String {
    format!(
        "{host} answered with status {status} and something that is not the JSON of GitHub's API ({error}); is `api` \
         the address of the API, such as https://HOST/api/v3?"
    )
}

/// A response that is no success. `now` is in seconds since 1970.
pub fn answered(host: &str, status: u16, headers: &HeaderMap, body: &[u8], now: u64) -> String {
    let trouble: Trouble = serde_json::from_slice(body).unwrap_or_default();
    let said = said(&trouble);
    if status == 429 || (status == 403 && is_rate_limit(headers, &trouble)) {
        return format!("GitHub takes no more requests for now; {}{said}", wait(headers, now));
    }
    let advice = match status {
        301 | 302 | 307 | 308 => {
            let place = header(headers, "location").unwrap_or("another place").to_owned();
            format!("the repository or the issue has moved to {}; use its new name", cut(&place))
        }
        401 => "GitHub does not know who is asking; the operator has to set or renew the credential".to_owned(),
        403 => "GitHub does not allow this; the operator has to set or widen the credential".to_owned(),
        404 => "there is no such repository or issue, or this credential may not see it; check `owner`, `repo` and \
                the number, else the operator has to set or widen the credential"
            .to_owned(),
        410 => "the issue was deleted, or the repository has no issues; nothing will change that".to_owned(),
        422 => "GitHub cannot take these arguments; mend them".to_owned(),
        500.. => format!("{host} is in trouble of its own (status {status}); try again later"),
        _ => format!("{host} refused the request (status {status})"),
    };
    format!("{advice}{said}")
}

/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>
fn is_rate_limit(headers: &HeaderMap, trouble: &Trouble) -> bool {
    header(headers, "x-ratelimit-remaining") == Some("0")
        || headers.contains_key("retry-after")
        || trouble.message.to_lowercase().contains("rate limit")
}

fn wait(headers: &HeaderMap, now: u64) -> String {
    let number = |name| header(headers, name).and_then(|text| text.parse::<u64>().ok());
    // Requests may be left where the other limit, that of many writes at a time, has been reached.
    let reset = number("x-ratelimit-reset").filter(|_| header(headers, "x-ratelimit-remaining") == Some("0"));
    match number("retry-after").or(reset.map(|reset| reset.saturating_sub(now))) {
        Some(seconds) => format!("try again in {seconds} s"),
        None => "try again in a minute or later".to_owned(),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What GitHub itself says, if it says anything.
fn said(trouble: &Trouble) -> String {
    let details = trouble.errors.iter().map(|detail| match detail {
        Detail::Text(text) => text.clone(),
        Detail::Whole { field, code, message } => {
            [field, code, message].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ")
        }
    });
    let all: Vec<_> = std::iter::once(trouble.message.clone()).chain(details).filter(|part| !part.is_empty()).collect();
    if all.is_empty() { String::new() } else { format!(" (GitHub says: {})", cut(&all.join("; "))) }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(SAID_BYTES_MAX)).unwrap_or(text)
}

const SAID_BYTES_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> String {
        let pairs = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        answered("api.github.com", status, &pairs.collect(), body.as_bytes(), 1000)
    }

    #[test]
    fn limits_are_told_from_refusals() {
        let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1090")];
        assert!(told(403, &spent, "{}").contains("try again in 90 s"));
        assert!(told(403, &[("retry-after", "7")], "{}").contains("try again in 7 s"));
        assert!(told(429, &[("x-ratelimit-remaining", "9"), ("x-ratelimit-reset", "1090")], "").contains("a minute"));
        let refused = told(403, &[("x-ratelimit-remaining", "9")], r#"{"message":"Must have admin rights"}"#);
        assert!(refused.contains("set or widen the credential (GitHub says: Must have admin rights)"), "{refused}");
    }

    #[test]
    fn github_s_own_words_are_told() {
        let body = r#"{"message":"Validation Failed","errors":[{"resource":"Issue","code":"missing_field","field":"title"},"so"]}"#;
        let told = told(422, &[], body);
        assert!(told.ends_with("(GitHub says: Validation Failed; title missing_field; so)"), "{told}");
    }

    #[test]
    fn a_body_that_is_no_json_is_survived() {
        assert_eq!(told(502, &[], "<html>"), "api.github.com is in trouble of its own (status 502); try again later");
        assert!(told(404, &[], "").ends_with("widen the credential"));
        let long = told(400, &[], &format!(r#"{{"message":"{}"}}"#, "ä".repeat(1000)));
        assert!(long.len() < 600, "{}", long.len());
    }
}
