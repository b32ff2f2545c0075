use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use htmd::element_handler::Handlers;
use htmd::options::{BulletListMarker, HrStyle, Options};
use htmd::{Element, HtmlToMarkdown, HtmlToMarkdownBuilder, Node};

/// All of a page that is there to be read.
pub fn to_markdown(html: &str) -> Result<String, String> {
    convert(html, converter().build())
}

/// The title and the main part of a page: its longest `main` or `article`, else all but what stands around the text.
pub fn article(html: &str) -> Result<String, String> {
    let found = Arc::new(Mutex::new(Found::default()));
    let (titles, parts) = (found.clone(), found.clone());
    let converter = converter()
        .skip_tags(AROUND.to_vec())
        .add_handler(vec!["title"], move |handlers: &dyn Handlers, element: Element<'_>| {
            let title = handlers.walk_children(element.node).content;
            // Pictures in SVG have titles too; the page's comes first.
            titles.lock().unwrap_or_else(PoisonError::into_inner).title.get_or_insert(title);
            None
        })
        .add_handler(vec!["main", "article"], move |handlers: &dyn Handlers, element: Element<'_>| {
            let whole = handlers.fallback(element)?;
            let mut found = parts.lock().unwrap_or_else(PoisonError::into_inner);
            if found.part.len() < whole.content.len() {
                found.part.clone_from(&whole.content);
            }
            Some(whole)
        });
    let all = convert(html, converter.build())?;
    let Found { title, part } = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    let title = title.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let text = if part.trim().is_empty() { all } else { part };
    let text = text.trim();
    let head = if title.is_empty() { String::new() } else { format!("Title: {title}\n\n") };
    Ok(format!("{head}{text}"))
}

/// What is met on the way through a page.
#[derive(Default)]
struct Found {
    title: Option<String>,
    part: String,
}

fn converter() -> HtmlToMarkdownBuilder {
    let options = Options {
        bullet_list_marker: BulletListMarker::Dash,
        hr_style: HrStyle::Dashes,
        ul_bullet_spacing: 1,
        ol_number_spacing: 1,
        ..Options::default()
    };
    HtmlToMarkdown::builder().options(options).skip_tags(UNREADABLE.to_vec())
}

fn convert(html: &str, converter: HtmlToMarkdown) -> Result<String, String> {
    let page = converter.html_to_tree(html).map_err(|error| format!("the HTML cannot be read: {error}"))?;
    if deeper_than(&page, NESTING_MAX) {
        return Err(format!("the HTML is nested deeper than {NESTING_MAX} elements; pass a part of it"));
    }
    let text = converter.tree_to_markdown(&page);
    match text.trim() {
        "" => Err("there is nothing to read in this HTML".to_owned()),
        _ => Ok(text),
    }
}

/// The converter calls itself for every level; this does not.
fn deeper_than(page: &Rc<Node>, levels: usize) -> bool {
    let mut open = vec![(page.clone(), 0)];
    while let Some((node, depth)) = open.pop() {
        if depth > levels {
            return true;
        }
        open.extend(node.children.borrow().iter().map(|child| (child.clone(), depth + 1)));
    }
    false
}

const UNREADABLE: [&str; 9] =
    ["script", "style", "noscript", "template", "svg", "iframe", "canvas", "object", "textarea"];
const AROUND: [&str; 6] = ["nav", "header", "footer", "aside", "form", "dialog"];
const NESTING_MAX: usize = 100;
