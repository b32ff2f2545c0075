//! HTML and Markdown into what a model reads well. Nothing is fetched: the caller brings the page along.

mod html;
mod markdown;

use std::borrow::Cow;

use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::Deserialize;
use certosa_sdk::tool;

/// Turns HTML into Markdown: headings, lists, tables, links, code. Scripts, styles and other things nobody reads are
/// left out.
///
/// Use it for a piece of HTML or a page that shall be read in full; for the main part of a web page alone use
/// `article`.
#[tool(title = "HTML to Markdown", read_only, idempotent)]
fn to_markdown(
    /// The HTML, a page or a part of one, at most 1 MiB.
    html: String,
    /// Cut the result after this many characters. Default: 50,000; at most 1,000,000.
    chars_max: Option<usize>,
) -> Result<String, String> {
    Ok(cut(html::to_markdown(bounded("html", &html)?)?.trim(), chars_max))
}

/// Returns the main part of a web page as Markdown, after its title: the longest `<main>` or `<article>`, else all
/// but menus, headers, footers, side columns and forms.
///
/// Use it for news, blogs and documentation, where the rest of the page is of no interest.
#[tool(title = "Main part of a page", read_only, idempotent)]
fn article(
    /// The HTML of the whole page, at most 1 MiB.
    html: String,
    /// Cut the result after this many characters. Default: 50,000; at most 1,000,000.
    chars_max: Option<usize>,
) -> Result<String, String> {
    Ok(cut(&html::article(bounded("html", &html)?)?, chars_max))
}

/// Lists the headings of a text, one per line with its level as `#`, and for Markdown with its line number in front:
/// `12: ## Install`.
///
/// Use it to find out what a long document has before reading it.
#[tool(title = "Headings", read_only, idempotent)]
fn outline(
    /// The Markdown or HTML, at most 1 MiB.
    text: String,
    /// What it is. Default: HTML if it begins with `<`.
    format: Option<Format>,
) -> Result<String, String> {
    let (text, format) = as_markdown(&text, format)?;
    Ok(cut(&markdown::outline(&text, matches!(format, Format::Markdown)), None))
}

/// Lists the links and images of a text as Markdown, one per line, each only once: `[text](address)`,
/// `![description](address)`.
#[tool(title = "Links", read_only, idempotent)]
fn links(
    /// The Markdown or HTML, at most 1 MiB.
    text: String,
    /// What it is. Default: HTML if it begins with `<`.
    format: Option<Format>,
) -> Result<String, String> {
    let (text, _) = as_markdown(&text, format)?;
    Ok(cut(&markdown::links(&text), None))
}

/// Turns Markdown (CommonMark with tables, footnotes, task lists, strikethrough) into HTML, without a head or styles.
///
/// HTML inside the Markdown is shown as text and addresses that run scripts are emptied, unless `trust` is set.
#[tool(title = "Markdown to HTML", read_only, idempotent)]
fn to_html(
    /// The Markdown, at most 1 MiB.
    markdown: String,
    /// Let HTML inside the Markdown through, and any address. Default: false.
    trust: Option<bool>,
) -> Result<String, String> {
    let html = markdown::to_html(bounded("markdown", &markdown)?, trust.unwrap_or(false));
    match html.len() {
        ..=HTML_BYTES_MAX => Ok(html),
        length => Err(format!("the HTML has {length} bytes, more than {HTML_BYTES_MAX}; pass a part of the Markdown")),
    }
}

#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(crate = "certosa_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "certosa_sdk::schemars")]
enum Format {
    Markdown,
    Html,
}

impl Format {
    fn of(text: &str, said: Option<Self>) -> Self {
        said.unwrap_or(if text.trim_start().starts_with('<') { Self::Html } else { Self::Markdown })
    }
}

fn bounded<'a>(name: &str, text: &'a str) -> Result<&'a str, String> {
    match text.len() {
        ..=TEXT_BYTES_MAX if !text.trim().is_empty() => Ok(text),
        ..=TEXT_BYTES_MAX => Err(format!("`{name}` is empty")),
        length => Err(format!("`{name}` has {length} bytes; at most {TEXT_BYTES_MAX}, so pass a part of it")),
    }
}

/// The first characters of a text, and how many there were.
fn cut(text: &str, chars_max: Option<usize>) -> String {
    let chars_max = chars_max.unwrap_or(CHARS_DEFAULT).clamp(1, CHARS_MAX);
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => {
            let (start, rest) = text.split_at_checked(at).unwrap_or((text, ""));
            format!("{start}\n\n… cut after {chars_max} characters; {} more follow", rest.chars().count())
        }
        None => text.to_owned(),
    }
}

const TEXT_BYTES_MAX: usize = 1 << 20;
const HTML_BYTES_MAX: usize = 3 << 20;
const CHARS_DEFAULT: usize = 50_000;
const CHARS_MAX: usize = 1_000_000;

/// A text as Markdown, and what it was.
fn as_markdown(text: &str, format: Option<Format>) -> Result<(Cow<'_, str>, Format), String> {
    let text = bounded("text", text)?;
    Ok(match Format::of(text, format) {
        Format::Markdown => (Cow::Borrowed(text), Format::Markdown),
        Format::Html => (Cow::Owned(html::to_markdown(text)?), Format::Html),
    })
}

certosa_sdk::bundle!(to_markdown, article, outline, links, to_html);
