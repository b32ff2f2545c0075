use std::collections::HashSet;

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

/// The headings, one per line.
pub fn outline(text: &str, numbered: bool) -> String {
    let mut lines = Vec::new();
    let mut open = None;
    let (mut line, mut counted) = (1, 0);
    for (event, range) in Parser::new_ext(text, options()).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                line += text.get(counted..range.start).unwrap_or_default().matches('\n').count();
                counted = counted.max(range.start);
                let number = if numbered { format!("{line}: ") } else { String::new() };
                open = Some(format!("{number}{} ", "#".repeat(level as usize)));
            }
            Event::End(TagEnd::Heading(_)) => lines.extend(open.take()),
            event => open.iter_mut().for_each(|heading| heading.push_str(shown(&event))),
        }
    }
    if lines.is_empty() { "there are no headings".to_owned() } else { lines.join("\n") }
}

/// The links and images, one per line.
pub fn links(text: &str) -> String {
    let mut seen = HashSet::new();
    let mut lines = Vec::new();
    let mut open: Vec<(&str, String, String)> = Vec::new();
    for event in Parser::new_ext(text, options()) {
        match event {
            Event::Start(Tag::Link { dest_url, .. }) => open.push(("", String::new(), dest_url.into_string())),
            Event::Start(Tag::Image { dest_url, .. }) => open.push(("!", String::new(), dest_url.into_string())),
            Event::End(TagEnd::Link | TagEnd::Image) => {
                let Some((sign, text, url)) = open.pop() else { continue };
                let link = format!("{sign}[{}]({url})", text.trim());
                if seen.insert(link.clone()) {
                    lines.push(link);
                }
            }
            event => open.iter_mut().for_each(|(_, text, _)| text.push_str(shown(&event))),
        }
    }
    if lines.is_empty() { "there are no links".to_owned() } else { lines.join("\n") }
}

pub fn to_html(text: &str, trust: bool) -> String {
    let mut written = String::with_capacity(text.len() * 3 / 2);
    let events = Parser::new_ext(text, options());
    if trust {
        html::push_html(&mut written, events);
    } else {
        html::push_html(&mut written, events.map(tame));
    }
    written
}

/// HTML becomes text, and an address that runs something becomes none.
fn tame(event: Event<'_>) -> Event<'_> {
    let harmless = |url: CowStr<'_>| {
        let letters = url.chars().filter(|letter| letter.is_ascii_graphic());
        let start: String = letters.take(SCHEME_CHARS_MAX).collect::<String>().to_lowercase();
        !HARMFUL.iter().any(|scheme| start.starts_with(scheme))
    };
    match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) if !harmless(dest_url.clone()) => {
            Event::Start(Tag::Link { link_type, dest_url: "".into(), title, id })
        }
        Event::Start(Tag::Image { link_type, dest_url, title, id }) if !harmless(dest_url.clone()) => {
            Event::Start(Tag::Image { link_type, dest_url: "".into(), title, id })
        }
        event => event,
    }
}

/// What a reader sees of a piece inside of a heading or a link.
fn shown<'a>(event: &'a Event<'_>) -> &'a str {
    match event {
        Event::Text(text) | Event::Code(text) | Event::InlineMath(text) => text,
        Event::SoftBreak | Event::HardBreak => " ",
        _ => "",
    }
}

fn options() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_GFM
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
}

const HARMFUL: [&str; 3] = ["javascript:", "vbscript:", "data:"];
const SCHEME_CHARS_MAX: usize = 20;
