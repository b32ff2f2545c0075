use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certosa_house::{House, RouteView, ToolView};
use certosa_model::Subject;
use certosa_policy::Caller;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::headers::{ParamHeader, params_of};

/// What does not change about the tools of a house: their listings, written once, and the headers that their
/// parameters want.
pub(crate) struct Catalog {
    /// By route and tool.
    entries: HashMap<Box<str>, HashMap<Subject, Entry>>,
}

pub(crate) struct Entry {
    /// The tool as `tools/list` shows it.
    json: String,
    pub params: Vec<ParamHeader>,
}

/// Tools on one page of `tools/list`.
const PAGE_TOOLS_MAX: usize = 250;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    description: &'a str,
    input_schema: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_schema: Option<Box<RawValue>>,
    annotations: Annotations,
}

/// The author's promises; `openWorldHint` and `destructiveHint` are written out because their defaults are
/// not "no".
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Annotations {
    read_only_hint: bool,
    destructive_hint: bool,
    idempotent_hint: bool,
    open_world_hint: bool,
}

impl Catalog {
    pub(crate) fn of(house: &House) -> Self {
        let everyone = |route: RouteView<'_>| {
            let tools = route.all_tools().map(|tool| (tool.subject.clone(), Entry::of(&tool)));
            (route.plan().path.as_str().into(), tools.collect())
        };
        Self { entries: house.routes().map(everyone).collect() }
    }

    pub(crate) fn entry(&self, route: &str, tool: &Subject) -> Option<&Entry> {
        self.entries.get(route)?.get(tool)
    }

    /// Writes a page of the tools that `caller` may call: `"tools":[…]` and perhaps `,"nextCursor":"…"`.
    pub(crate) fn write_page(
        &self,
        route: RouteView<'_>,
        caller: &Caller,
        cursor: Option<&str>,
        body: &mut Vec<u8>,
    ) -> Result<(), String> {
        let after = cursor.map(read_cursor).transpose()?;
        let mut tools =
            route.tools(caller).skip_while(|tool| after.as_deref().is_some_and(|after| tool.name.as_str() <= after));
        body.extend_from_slice(br#""tools":["#);
        let mut last = None;
        for tool in tools.by_ref().take(PAGE_TOOLS_MAX) {
            if last.is_some() {
                body.push(b',');
            }
            let entry = self.entry(&route.plan().path, tool.subject);
            body.extend_from_slice(entry.map_or("null", |entry| &entry.json).as_bytes());
            last = Some(tool.name);
        }
        body.push(b']');
        if let (Some(last), Some(_)) = (last, tools.next()) {
            body.extend_from_slice(format!(r#","nextCursor":"{}""#, URL_SAFE_NO_PAD.encode(last.as_str())).as_bytes());
        }
        Ok(())
    }
}

impl Entry {
    fn of(view: &ToolView<'_>) -> Self {
        let tool = view.tool;
        let raw = |schema: &str| RawValue::from_string(schema.to_owned()).ok();
        let listed = Listed {
            name: view.name.as_str(),
            title: tool.title.as_deref(),
            description: &tool.description,
            input_schema: raw(&tool.input_schema).unwrap_or_default(),
            output_schema: tool.output_schema.as_deref().and_then(raw),
            annotations: Annotations {
                read_only_hint: tool.read_only,
                destructive_hint: tool.destructive,
                idempotent_hint: tool.idempotent,
                open_world_hint: tool.open_world,
            },
        };
        let schema = serde_json::from_str(&tool.input_schema).unwrap_or_default();
        Self { json: serde_json::to_string(&listed).unwrap_or_default(), params: params_of(&schema) }
    }
}

/// A cursor is the name of the last tool on the page before, so it stays good when the house starts anew.
fn read_cursor(cursor: &str) -> Result<String, String> {
    let name = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| "the cursor is not one that this server gave".to_owned())
}
