//! What GitHub sends (REST API, version 2022-11-28), as far as it is of use here.

use certosa_sdk::serde::Deserialize;
use certosa_sdk::serde::de::IgnoredAny;

#[derive(Deserialize)]
#[serde(crate = "certosa_sdk::serde")]
pub struct Issue {
    pub number: u64,
    pub title: String,
    pub state: String,
    pub user: Option<User>,
    #[serde(default)]
    pub labels: Vec<Label>,
    pub body: Option<String>,
    #[serde(default)]
    pub comments: u64,
    pub created_at: String,
    pub updated_at: String,
    pub html_url: String,
    /// There is something if the issue is a pull request.
    pub pull_request: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(crate = "certosa_sdk::serde")]
pub struct Comment {
    pub user: Option<User>,
    pub body: Option<String>,
    pub created_at: String,
    pub html_url: String,
}

/// Nobody, where the account is no more.
#[derive(Deserialize)]
#[serde(crate = "certosa_sdk::serde")]
pub struct User {
    pub login: String,
}

#[derive(Deserialize)]
#[serde(crate = "certosa_sdk::serde", untagged)]
pub enum Label {
    Name(String),
    Whole { name: Option<String> },
}

/// The body of a response that is no success.
#[derive(Deserialize, Default)]
#[serde(crate = "certosa_sdk::serde", default)]
pub struct Trouble {
    pub message: String,
    pub errors: Vec<Detail>,
}

#[derive(Deserialize)]
#[serde(crate = "certosa_sdk::serde", untagged)]
pub enum Detail {
    Text(String),
    Whole { field: Option<String>, code: Option<String>, message: Option<String> },
}
