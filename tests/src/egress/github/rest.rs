//! Issues as GitHub's REST API has them (version 2022-11-28).

use http::HeaderValue;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use super::body::{self, Reply};
use super::{Query, Seen, State};

#[derive(Clone, Debug)]
pub struct Issue {
    /// `owner/repo`.
    pub repository: String,
    pub number: u64,
    pub title: String,
    pub body: Option<String>,
    pub labels: Vec<String>,
    pub open: bool,
    pub comments: Vec<String>,
}

/// Answers a request below `/repos/{owner}/{repo}/issues`.
pub fn answer(state: &State, seen: &Seen, query: &Query, repository: (&str, &str), rest: &[&str]) -> Reply {
    let reply = refusal(state, seen).or_else(|| trouble(state, repository)).unwrap_or_else(|| {
        let repository = format!("{}/{}", repository.0, repository.1);
        match (seen.method.as_str(), rest) {
            ("GET", []) => list(state, &repository, query),
            ("POST", []) => create(state, &repository, seen),
            ("GET", [number]) => with_issue(state, &repository, number, |issue| body::json(200, &shown(state, issue))),
            ("GET", [number, "comments"]) => {
                with_issue(state, &repository, number, |issue| comments(state, issue, query))
            }
            ("POST", [number, "comments"]) => {
                with_issue(state, &repository, number, |issue| add_comment(state, issue, seen))
            }
            _ => failed(404, "Not Found"),
        }
    });
    with_headers(reply, &[("x-github-media-type", "github.v3; format=json"), ("x-github-request-id", "CE27:05A")])
}

/// What is said before GitHub looks at what is wanted.
fn refusal(state: &State, seen: &Seen) -> Option<Reply> {
    let version = seen.header("x-github-api-version").unwrap_or("2022-11-28");
    match seen.header("authorization") {
        _ if seen.header("user-agent").is_none() => Some(body::text(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header\n",
        )),
        None => Some(failed(401, "Requires authentication")),
        Some(said) if said.strip_prefix("Bearer ") != Some(&state.token) => Some(failed(401, "Bad credentials")),
        _ if version != "2022-11-28" => Some(failed(400, "The API version is not supported")),
        _ => None,
    }
}

/// What is wrong with the repositories of `trouble`.
fn trouble(state: &State, (owner, repo): (&str, &str)) -> Option<Reply> {
    if owner != "trouble" {
        return None;
    }
    let page = |status| body::reply(status, "text/html", Full::from("<html>no API</html>").boxed_unsync());
    Some(match repo {
        "limited" => {
            let reply = failed(403, "API rate limit exceeded for user ID 1.");
            let reset = (now() + 600).to_string();
            with_headers(reply, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset)])
        }
        "hasty" => with_headers(failed(429, "You have exceeded a secondary rate limit."), &[("retry-after", "60")]),
        "forbidden" => failed(403, "Resource not accessible by personal access token"),
        "gone" => failed(410, "Issues has been disabled in this repository."),
        "moved" => {
            let to = format!("{}/repositories/1/issues", state.url());
            with_headers(failed(301, "Moved Permanently"), &[("location", &to)])
        }
        "broken" => page(200),
        "down" => page(502),
        "large" => body::reply(200, "application/json", Full::from(vec![b' '; LARGE]).boxed_unsync()),
        _ => failed(404, "Not Found"),
    })
}

fn list(state: &State, repository: &str, query: &Query) -> Reply {
    let wanted = query.text("state").unwrap_or("open");
    let labels: Vec<_> = query.text("labels").into_iter().flat_map(|labels| labels.split(',')).collect();
    let fits = |issue: &&Issue| {
        issue.repository == repository
            && (wanted == "all" || (wanted == "open") == issue.open)
            && labels.iter().all(|label| issue.labels.iter().any(|found| found == label))
    };
    let all = state.issues.lock().unwrap();
    // The newest first.
    let found: Vec<_> = all.iter().rev().filter(fits).map(|issue| shown(state, issue)).collect();
    page(state, &format!("/repos/{repository}/issues"), query, &found)
}

fn create(state: &State, repository: &str, seen: &Seen) -> Reply {
    let Some(said) = object(seen) else { return failed(400, "Problems parsing JSON") };
    let title = said["title"].as_str().unwrap_or_default();
    let text = said["body"].as_str();
    if title.trim().is_empty() {
        return invalid(&json!({"resource": "Issue", "code": "missing_field", "field": "title"}));
    }
    if text.is_some_and(|text| text.chars().count() > TEXT_CHARS_MAX) {
        return invalid(&json!("body is too long (maximum is 65536 characters)"));
    }
    let labels = said["labels"].as_array().into_iter().flatten();
    let labels = labels.filter_map(|label| label.as_str().map(str::to_owned)).collect();
    let number = state.add(repository, title, text, labels, &[]);
    with_issue(state, repository, &number.to_string(), |issue| body::json(201, &shown(state, issue)))
}

fn comments(state: &State, issue: &Issue, query: &Query) -> Reply {
    let all: Vec<_> = (0..issue.comments.len()).map(|index| shown_comment(state, issue, index)).collect();
    page(state, &format!("/repos/{}/issues/{}/comments", issue.repository, issue.number), query, &all)
}

fn add_comment(state: &State, issue: &mut Issue, seen: &Seen) -> Reply {
    let Some(said) = object(seen) else { return failed(400, "Problems parsing JSON") };
    let Some(text) = said["body"].as_str().filter(|text| !text.trim().is_empty()) else {
        return invalid(&json!({"resource": "IssueComment", "code": "missing_field", "field": "body"}));
    };
    issue.comments.push(text.to_owned());
    body::json(201, &shown_comment(state, issue, issue.comments.len() - 1))
}

impl State {
    /// Opens an issue and returns its number.
    pub fn add(
        &self,
        repository: &str,
        title: &str,
        body: Option<&str>,
        labels: Vec<String>,
        comments: &[&str],
    ) -> u64 {
        let mut issues = self.issues.lock().unwrap();
        let number = 1 + issues.iter().filter(|issue| issue.repository == repository).count() as u64;
        issues.push(Issue {
            repository: repository.to_owned(),
            number,
            title: title.to_owned(),
            body: body.map(str::to_owned),
            labels,
            open: true,
            comments: comments.iter().map(|text| (*text).to_owned()).collect(),
        });
        number
    }
}

fn with_issue(state: &State, repository: &str, number: &str, answer: impl FnOnce(&mut Issue) -> Reply) -> Reply {
    let mut issues = state.issues.lock().unwrap();
    let fits = |issue: &&mut Issue| issue.repository == repository && number.parse() == Ok(issue.number);
    issues.iter_mut().find(fits).map_or_else(|| failed(404, "Not Found"), answer)
}

fn shown(state: &State, issue: &Issue) -> Value {
    let Issue { repository, number, title, body, labels, open, comments } = issue;
    let labels: Vec<_> = labels.iter().map(|label| json!({"name": label, "color": "ededed"})).collect();
    json!({
        "id": 1000 + number,
        "url": format!("{}/repos/{repository}/issues/{number}", state.url()),
        "html_url": format!("{}/{repository}/issues/{number}", state.url()),
        "number": number,
        "title": title,
        "state": if *open { "open" } else { "closed" },
        "user": {"login": LOGIN, "id": 1},
        "labels": labels,
        "comments": comments.len(),
        "body": body,
        "created_at": TIME,
        "updated_at": TIME,
        "closed_at": (!open).then_some(TIME),
    })
}

fn shown_comment(state: &State, issue: &Issue, index: usize) -> Value {
    let place = format!("{}/{}/issues/{}", state.url(), issue.repository, issue.number);
    json!({
        "id": index + 1,
        "html_url": format!("{place}#issuecomment-{}", index + 1),
        "user": {"login": LOGIN, "id": 1},
        "body": issue.comments[index],
        "created_at": TIME,
        "updated_at": TIME,
    })
}

/// One page, with a link to the next one if there is one.
fn page(state: &State, path: &str, query: &Query, all: &[Value]) -> Reply {
    let per_page = query.number("per_page").unwrap_or(30).clamp(1, 100);
    let page = query.number("page").unwrap_or(1).max(1);
    let found: Vec<_> = all.iter().skip((page - 1) * per_page).take(per_page).collect();
    let reply = body::json(200, &json!(found));
    if page * per_page >= all.len() {
        return reply;
    }
    let link = |page, what| format!("<{}{path}?page={page}&per_page={per_page}>; rel=\"{what}\"", state.url());
    let links = format!("{}, {}", link(page + 1, "next"), link(all.len().div_ceil(per_page), "last"));
    with_headers(reply, &[("link", &links)])
}

fn object(seen: &Seen) -> Option<Value> {
    serde_json::from_str(&seen.body).ok().filter(Value::is_object)
}

fn failed(status: u16, message: &str) -> Reply {
    let help = "https://docs.github.com/rest";
    body::json(status, &json!({"message": message, "documentation_url": help, "status": status.to_string()}))
}

fn invalid(error: &Value) -> Reply {
    let help = "https://docs.github.com/rest/issues";
    let said = json!({"message": "Validation Failed", "errors": [error], "documentation_url": help, "status": "422"});
    body::json(422, &said)
}

fn with_headers(mut reply: Reply, headers: &[(&'static str, &str)]) -> Reply {
    for (name, value) in headers {
        reply.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
    }
    reply
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_secs()
}

const LOGIN: &str = "octocat";
const TIME: &str = "2026-01-02T03:04:05Z";
const TEXT_CHARS_MAX: usize = 65_536;
/// More than the bundle takes.
const LARGE: usize = 9 << 20;
