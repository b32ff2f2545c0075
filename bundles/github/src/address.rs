//! Where requests go. What a caller says is checked here before it becomes a part of an address, so that nothing can
//! be said that leads to another place of the API.

/// The issues of one repository: `https://HOST/…/repos/OWNER/REPO/issues`.
pub struct Issues {
    address: String,
    host: String,
}

/// Which issues are listed.
pub struct Filter {
    pub state: &'static str,
    pub labels: Vec<String>,
    pub page: u32,
    pub per_page: u32,
}

impl Issues {
    pub fn of(api: Option<&str>, owner: &str, repo: &str) -> Result<Self, String> {
        let (base, host) = base(api.unwrap_or(GITHUB))?;
        if !is_owner(owner) {
            return Err(format!(
                "`owner` is {owner:?}, and has to be the name of a user or an organization: at most {OWNER_CHARS_MAX} \
                 letters, digits, hyphens, as in `octocat`"
            ));
        }
        if !is_repository(repo) {
            return Err(format!(
                "`repo` is {repo:?}, and has to be the name of a repository without its owner and without `.git`: at \
                 most {REPOSITORY_CHARS_MAX} letters, digits, `.`, `-`, `_`, as in `hello-world`"
            ));
        }
        Ok(Self { address: format!("{base}/repos/{owner}/{repo}/issues"), host: host.to_owned() })
    }

    /// Who is asked, with the port if one was said.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn all(&self) -> &str {
        &self.address
    }

    pub fn filtered(&self, filter: &Filter) -> Result<String, String> {
        let Filter { state, labels, page, per_page } = filter;
        let mut address = format!("{}?state={state}&page={page}&per_page={per_page}", self.address);
        if let Some(label) = labels.iter().find(|label| label.trim().is_empty() || label.contains(',')) {
            return Err(format!("nothing can be listed by the label {label:?}: it is empty or has a comma"));
        }
        if !labels.is_empty() {
            let labels: Vec<_> = labels.iter().map(|label| encoded(label)).collect();
            address = format!("{address}&labels={}", labels.join(","));
        }
        match address.len() {
            ..=ADDRESS_BYTES_MAX => Ok(address),
            _ => Err("`labels` are too long together; name fewer".to_owned()),
        }
    }

    pub fn one(&self, number: u32) -> String {
        format!("{}/{number}", self.address)
    }

    pub fn comments(&self, number: u32) -> String {
        format!("{}/{number}/comments", self.address)
    }

    pub fn first_comments(&self, number: u32, count: u32) -> String {
        format!("{}?per_page={count}", self.comments(number))
    }
}

/// The base address without a slash at its end, and its authority.
fn base(api: &str) -> Result<(&str, &str), String> {
    let wrong = || {
        format!(
            "`api` is {api:?}, and has to be the base address of the API: `{GITHUB}`, or `https://HOST/api/v3` for \
             GitHub Enterprise Server"
        )
    };
    let base = api.strip_suffix('/').unwrap_or(api);
    let rest = base.strip_prefix("https://").ok_or_else(wrong)?;
    let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b));
    let is_segment = |segment: &str| {
        let plain = segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
        plain && !matches!(segment, "" | "." | "..")
    };
    if is_host && path.is_none_or(|path| path.split('/').all(is_segment)) { Ok((base, host)) } else { Err(wrong()) }
}

/// The underscore stands before the short code of an enterprise that manages its users.
fn is_owner(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    plain && (1..=OWNER_CHARS_MAX).contains(&name.len()) && !name.starts_with('-')
}

fn is_repository(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let reserved = matches!(name, "." | "..") || name.ends_with(".git") || name.ends_with(".wiki");
    plain && (1..=REPOSITORY_CHARS_MAX).contains(&name.len()) && !reserved
}

/// Percent-encoded but for what is never reserved (RFC 3986, section 2.3).
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

const GITHUB: &str = "https://api.github.com";
const OWNER_CHARS_MAX: usize = 39;
const REPOSITORY_CHARS_MAX: usize = 100;
/// Upstreams and proxies refuse longer ones, each with an error of its own.
const ADDRESS_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issues_are_below_the_repository() {
        let issues = Issues::of(None, "octocat", "hello-world").unwrap();
        assert_eq!(issues.one(7), "https://api.github.com/repos/octocat/hello-world/issues/7");
        assert_eq!(issues.host(), "api.github.com");
        let issues = Issues::of(Some("https://git.example:8443/api/v3/"), "a_b", "x.y").unwrap();
        assert_eq!(issues.comments(1), "https://git.example:8443/api/v3/repos/a_b/x.y/issues/1/comments");
        assert_eq!(issues.host(), "git.example:8443");
    }

    #[test]
    fn nothing_breaks_out_of_its_place() {
        let long = "a".repeat(101);
        for owner in ["", "-a", "a/b", "a.b", "..", "a b", "a?b", "a#b", "a%2Fb", "ä", &long] {
            assert!(Issues::of(None, owner, "r").is_err(), "{owner}");
        }
        for repo in ["", ".", "..", "a/b", "a?b", "a#b", "a%2e", "a\\b", "r.git", "r.wiki", "ü", &long] {
            assert!(Issues::of(None, "o", repo).is_err(), "{repo}");
        }
        let apis =
            ["http://a", "https://", "https:///x", "https://u@a", "https://a/?q", "https://a/#", "https://a/../b"];
        for api in
            apis.iter().chain(&["https://a//b", "https://a/b//", "https://a\\b", "api.github.com", "https://a/%2e"])
        {
            assert!(Issues::of(Some(api), "o", "r").is_err(), "{api}");
        }
    }

    #[test]
    fn labels_are_encoded() {
        let issues = Issues::of(None, "o", "r").unwrap();
        let filter = |labels: &[&str]| Filter {
            state: "open",
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            page: 2,
            per_page: 30,
        };
        let address = issues.filtered(&filter(&["help wanted", "a&b=ü"])).unwrap();
        assert!(address.ends_with("/issues?state=open&page=2&per_page=30&labels=help%20wanted,a%26b%3D%C3%BC"));
        assert!(issues.filtered(&filter(&["a,b"])).is_err());
        assert!(issues.filtered(&filter(&["ü".repeat(1000).as_str()])).is_err());
    }
}
