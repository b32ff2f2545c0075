//! Issues on GitHub, with an ordinary client of wasi:http. Nothing here knows of a credential: the host decides
//! whether a request may go out, and puts the credential in on its way.

mod address;
mod exchange;
mod failure;
mod github;
mod shown;

use certosa_sdk::serde::Deserialize;
use certosa_sdk::serde_json::json;
use certosa_sdk::{schemars, tool};

use crate::address::{Filter, Issues};
use crate::exchange::{get, in_time, post};
use crate::shown::{Commented, Created, Listing, Shown, Thread};

/// Lists the issues of a repository, the newest first: number, title, state, author, labels. Texts are left out; use
/// `read_issue` for one of them.
///
/// Pull requests are issues too and are marked.
#[tool(title = "List issues", read_only, idempotent, open_world)]
fn list_issues(
    /// The user or organization that the repository belongs to, such as `octocat`.
    owner: String,
    /// The repository without its owner, such as `hello-world`.
    repo: String,
    /// Which ones. Default: open.
    state: Option<State>,
    /// Only issues with all of these labels.
    labels: Option<Vec<String>>,
    /// The page, from 1 on. Default: 1.
    #[schemars(range(min = 1))]
    page: Option<u32>,
    /// How many issues a page has. Default: 30.
    #[schemars(range(min = 1, max = 100))]
    per_page: Option<u32>,
    /// The base address of the API, for GitHub Enterprise Server `https://HOST/api/v3`. Default:
    /// `https://api.github.com`.
    api: Option<String>,
) -> Result<Shown<Listing>, String> {
    let issues = Issues::of(api.as_deref(), &owner, &repo)?;
    let filter = Filter {
        state: state.unwrap_or(State::Open).name(),
        labels: labels.unwrap_or_default(),
        page: page.unwrap_or(1),
        per_page: per_page.unwrap_or(PER_PAGE),
    };
    let address = issues.filtered(&filter)?;
    let (found, more) = in_time(get(&issues, &address))?;
    Ok(Shown(Listing::of(found, filter.page, more)))
}

/// Reads one issue: what it says, and its first 30 comments. Texts of more than 8 KiB are cut.
#[tool(title = "Read an issue", read_only, idempotent, open_world)]
fn read_issue(
    /// The user or organization that the repository belongs to, such as `octocat`.
    owner: String,
    /// The repository without its owner, such as `hello-world`.
    repo: String,
    /// The number of the issue.
    #[schemars(range(min = 1))]
    number: u32,
    /// The base address of the API, for GitHub Enterprise Server `https://HOST/api/v3`. Default:
    /// `https://api.github.com`.
    api: Option<String>,
) -> Result<Shown<Thread>, String> {
    let issues = Issues::of(api.as_deref(), &owner, &repo)?;
    let thread = async {
        let (issue, _): (github::Issue, _) = get(&issues, &issues.one(number)).await?;
        let comments = match issue.comments {
            0 => Vec::new(),
            _ => get(&issues, &issues.first_comments(number, COMMENTS_MAX)).await?.0,
        };
        Ok(Thread::of(issue, comments))
    };
    Ok(Shown(in_time(thread)?))
}

/// Opens a new issue. Everybody who watches the repository is notified, so call it once for each issue.
#[tool(title = "Create an issue", open_world)]
fn create_issue(
    /// The user or organization that the repository belongs to, such as `octocat`.
    owner: String,
    /// The repository without its owner, such as `hello-world`.
    repo: String,
    /// The title, one line.
    title: String,
    /// The text, in Markdown.
    body: Option<String>,
    /// Its labels, which have to exist in the repository.
    labels: Option<Vec<String>>,
    /// The base address of the API, for GitHub Enterprise Server `https://HOST/api/v3`. Default:
    /// `https://api.github.com`.
    api: Option<String>,
) -> Result<Shown<Created>, String> {
    let issues = Issues::of(api.as_deref(), &owner, &repo)?;
    let title = said("title", &title)?;
    let mut issue = json!({ "title": title });
    if let Some(body) = body {
        issue["body"] = body.into();
    }
    if let Some(labels) = labels {
        issue["labels"] = labels.into();
    }
    let created: github::Issue = in_time(post(&issues, issues.all(), &issue))?;
    Ok(Shown(Created { number: created.number, url: created.html_url }))
}

/// Adds a comment to an issue or a pull request. Those who take part in it are notified, so call it once for each
/// comment.
#[tool(title = "Comment on an issue", open_world)]
fn comment(
    /// The user or organization that the repository belongs to, such as `octocat`.
    owner: String,
    /// The repository without its owner, such as `hello-world`.
    repo: String,
    /// The number of the issue.
    #[schemars(range(min = 1))]
    number: u32,
    /// The text, in Markdown.
    body: String,
    /// The base address of the API, for GitHub Enterprise Server `https://HOST/api/v3`. Default:
    /// `https://api.github.com`.
    api: Option<String>,
) -> Result<Shown<Commented>, String> {
    let issues = Issues::of(api.as_deref(), &owner, &repo)?;
    let comment = json!({ "body": said("body", &body)? });
    let made: github::Comment = in_time(post(&issues, &issues.comments(number), &comment))?;
    Ok(Shown(Commented { number: number.into(), url: made.html_url }))
}

#[derive(Deserialize, schemars::JsonSchema, Clone, Copy)]
#[serde(crate = "certosa_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "certosa_sdk::schemars")]
enum State {
    Open,
    Closed,
    All,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::All => "all",
        }
    }
}

fn said<'a>(name: &str, text: &'a str) -> Result<&'a str, String> {
    if text.trim().is_empty() { Err(format!("`{name}` is empty")) } else { Ok(text) }
}

const PER_PAGE: u32 = 30;
const COMMENTS_MAX: u32 = 30;

certosa_sdk::bundle!(list_issues, read_issue, create_issue, comment);
