//! What the caller gets: a value for programs, and a text for models.

use std::fmt::{self, Display, Formatter};

use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::Serialize;
use certosa_sdk::{Content, IntoOutcome, Outcome, Refusal, ToolResult, schema_of, serde_json};

use crate::github;

/// Structured content whose text is written for reading, not JSON once more.
pub struct Shown<T>(pub T);

impl<T: Serialize + JsonSchema + Display> IntoOutcome for Shown<T> {
    fn into_outcome(self) -> Result<Outcome, Refusal> {
        let structured = serde_json::to_string(&self.0).map_err(|error| Refusal::Failed(error.to_string()))?;
        let content = vec![Content::Text(self.0.to_string())];
        ToolResult { content, structured: Some(structured), is_error: false }.into_outcome()
    }

    fn schema() -> Option<String> {
        Some(schema_of::<T>())
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Listing {
    pub issues: Vec<Summary>,
    pub page: u32,
    /// The page after this one, if there is one.
    pub next_page: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Summary {
    pub number: u64,
    pub title: String,
    /// `open` or `closed`.
    pub state: String,
    /// Who opened it; nothing if the account is no more.
    pub author: Option<String>,
    pub labels: Vec<String>,
    /// How many comments it has.
    pub comment_count: u64,
    /// When it was opened (RFC 3339).
    pub created: String,
    /// When it changed last (RFC 3339).
    pub updated: String,
    /// Whether it is a pull request.
    pub pull_request: bool,
    /// Its address for people.
    pub url: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Thread {
    pub issue: Summary,
    /// What the issue says.
    pub body: Text,
    /// The first comments, the oldest first.
    pub comments: Vec<Comment>,
    /// How many further comments there are.
    pub comments_left_out: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Comment {
    pub author: Option<String>,
    pub created: String,
    pub body: Text,
    pub url: String,
}

/// Markdown that somebody wrote.
#[derive(Serialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Text {
    pub text: String,
    /// How many bytes of it were cut off at the end.
    pub bytes_cut: usize,
}

#[derive(Serialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Created {
    pub number: u64,
    pub url: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Commented {
    /// The number of the issue.
    pub number: u64,
    /// The address of the comment.
    pub url: String,
}

impl Listing {
    pub fn of(issues: Vec<github::Issue>, page: u32, more: bool) -> Self {
        let issues = issues.into_iter().map(|issue| Summary::of(issue).0).collect();
        Self { issues, page, next_page: more.then(|| page.saturating_add(1)) }
    }
}

impl Thread {
    pub fn of(issue: github::Issue, comments: Vec<github::Comment>) -> Self {
        let (issue, body) = Summary::of(issue);
        let comments: Vec<_> = comments.into_iter().map(Comment::of).collect();
        let comments_left_out = issue.comment_count.saturating_sub(comments.len() as u64);
        Self { issue, body: Text::of(body), comments, comments_left_out }
    }
}

impl Summary {
    /// The summary, and the text that it leaves out.
    fn of(issue: github::Issue) -> (Self, Option<String>) {
        let name = |label| match label {
            github::Label::Name(name) => Some(name),
            github::Label::Whole { name } => name,
        };
        let summary = Self {
            number: issue.number,
            title: issue.title,
            state: issue.state,
            author: issue.user.map(|user| user.login),
            labels: issue.labels.into_iter().filter_map(name).collect(),
            comment_count: issue.comments,
            created: issue.created_at,
            updated: issue.updated_at,
            pull_request: issue.pull_request.is_some(),
            url: issue.html_url,
        };
        (summary, issue.body)
    }
}

impl Comment {
    fn of(comment: github::Comment) -> Self {
        Self {
            author: comment.user.map(|user| user.login),
            created: comment.created_at,
            body: Text::of(comment.body),
            url: comment.html_url,
        }
    }
}

impl Text {
    fn of(text: Option<String>) -> Self {
        let mut text = text.unwrap_or_default();
        let kept = text.floor_char_boundary(TEXT_BYTES_MAX);
        let bytes_cut = text.len() - kept;
        text.truncate(kept);
        Self { text, bytes_cut }
    }
}

impl Display for Listing {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if self.issues.is_empty() {
            out.write_str("no issues here")?;
        }
        for (index, issue) in self.issues.iter().enumerate() {
            write!(out, "{}{issue}", if index == 0 { "" } else { "\n" })?;
        }
        self.next_page.map_or(Ok(()), |page| write!(out, "\n\nThere are more on page {page}."))
    }
}

impl Display for Summary {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let kind = if self.pull_request { " pull request" } else { "" };
        write!(out, "#{} ({}{kind}) {}", self.number, self.state, self.title)?;
        if !self.labels.is_empty() {
            write!(out, " [{}]", self.labels.join(", "))?;
        }
        write!(out, " by {}, {}", author(self.author.as_deref()), self.created)?;
        match self.comment_count {
            0 => Ok(()),
            1 => out.write_str(", 1 comment"),
            count => write!(out, ", {count} comments"),
        }
    }
}

impl Display for Thread {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}\n{}\n\n{}", self.issue, self.issue.url, self.body)?;
        for comment in &self.comments {
            let author = author(comment.author.as_deref());
            write!(out, "\n\n--- {author}, {}:\n\n{}", comment.created, comment.body)?;
        }
        match self.comments_left_out {
            0 => Ok(()),
            count => write!(out, "\n\n… and {count} further comments, which were not read"),
        }
    }
}

impl Display for Text {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match (self.text.trim(), self.bytes_cut) {
            ("", _) => out.write_str("(no text)"),
            (text, 0) => out.write_str(text),
            (text, cut) => write!(out, "{text}\n\n… cut here; {cut} more bytes follow"),
        }
    }
}

impl Display for Created {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "opened issue #{}: {}", self.number, self.url)
    }
}

impl Display for Commented {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "commented on issue #{}: {}", self.number, self.url)
    }
}

/// What GitHub calls an account that is no more.
fn author(login: Option<&str>) -> &str {
    login.unwrap_or("ghost")
}

const TEXT_BYTES_MAX: usize = 8 << 10;
