use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certosa_house::{Annotations, House, ItemView, List, Listings, Offered, PromptArgument, Route, RouteView};
use certosa_model::Subject;
use certosa_policy::Caller;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::headers::{ParamHeader, params_of};

/// What a house offers at one moment: its listings, how they are written, the headers that the parameters of
/// tools want, and what each route can do. It never changes; where lists do, another one takes its place.
pub(crate) struct Catalog {
    pub listings: Arc<Listings>,
    /// In the order of the house's routes.
    routes: Vec<Written>,
}

struct Written {
    /// The items as their lists show them.
    entries: HashMap<List, HashMap<Subject, String>>,
    /// The tools that want parameters in headers.
    params: HashMap<Subject, Vec<ParamHeader>>,
    capabilities: String,
}

/// Items on one page of a list.
const PAGE_ITEMS_MAX: usize = 250;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedTool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    description: &'a str,
    input_schema: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_schema: Option<Box<RawValue>>,
    annotations: Hints,
}

/// The author's promises; `openWorldHint` and `destructiveHint` are written out because their defaults are
/// not "no".
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hints {
    read_only_hint: bool,
    destructive_hint: bool,
    idempotent_hint: bool,
    open_world_hint: bool,
}

#[derive(Serialize)]
struct ListedPrompt<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    arguments: &'a [PromptArgument],
}

/// A resource or a template.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedResource<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri_template: Option<&'a str>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    annotations: &'a Annotations,
}

impl Catalog {
    pub(crate) fn of(house: &House, listings: Arc<Listings>) -> Self {
        let routes = house.routes().map(|route| Written::of(route.view(&listings))).collect();
        Self { listings, routes }
    }

    /// What a route shows.
    pub(crate) fn view<'a>(&'a self, route: Route<'a>) -> RouteView<'a> {
        route.view(&self.listings)
    }

    /// What a route can do, as `ServerCapabilities`.
    pub(crate) fn capabilities(&self, route: Route<'_>) -> &str {
        self.written(route).map_or("{}", |route| &route.capabilities)
    }

    /// The tools of a route that want parameters in headers, and in which. Few routes have one.
    pub(crate) fn params(&self, route: Route<'_>) -> Option<&HashMap<Subject, Vec<ParamHeader>>> {
        self.written(route).map(|route| &route.params).filter(|params| !params.is_empty())
    }

    /// Writes a page of what `caller` may have: `"tools":[…]` and perhaps `,"nextCursor":"…"`.
    pub(crate) fn write_page(
        &self,
        route: Route<'_>,
        list: List,
        caller: &Caller,
        cursor: Option<&str>,
        body: &mut Vec<u8>,
    ) -> Result<(), String> {
        let after = cursor.map(read_cursor).transpose()?;
        let entries = self.written(route);
        let is_before = |item: &ItemView<'_>| after.as_deref().is_some_and(|after| item.name <= after);
        let mut items = self.view(route).items(list, caller).skip_while(is_before);
        body.extend_from_slice(format!(r#""{}":["#, member(list)).as_bytes());
        let mut last = None;
        for item in items.by_ref().take(PAGE_ITEMS_MAX) {
            if last.is_some() {
                body.push(b',');
            }
            let entry = entries.and_then(|route| route.entry(list, item.subject));
            body.extend_from_slice(entry.unwrap_or("null").as_bytes());
            last = Some(item.name);
        }
        body.push(b']');
        if let (Some(last), Some(_)) = (last, items.next()) {
            body.extend_from_slice(format!(r#","nextCursor":"{}""#, URL_SAFE_NO_PAD.encode(last)).as_bytes());
        }
        Ok(())
    }

    fn written(&self, route: Route<'_>) -> Option<&Written> {
        self.routes.get(route.index())
    }
}

impl Written {
    fn of(route: RouteView<'_>) -> Self {
        let entries = |list: List| {
            let items = route.all_items(list).map(|item| (item.subject.clone(), listed(&item)));
            (list, items.collect::<HashMap<_, _>>())
        };
        let entries: HashMap<_, _> = List::ALL.into_iter().map(entries).collect();
        let params = |item: ItemView<'_>| {
            let Offered::Tool(tool) = item.offered else { return None };
            let params = params_of(&serde_json::from_str(&tool.input_schema).unwrap_or_default());
            (!params.is_empty()).then(|| (item.subject.clone(), params))
        };
        let params = route.all_items(List::Tools).filter_map(params).collect();
        let has = |list: List| route.granted_items(list).next().is_some();
        let mut capabilities = vec![r#""tools":{"listChanged":true}"#, r#""logging":{}"#];
        if has(List::Prompts) {
            capabilities.push(r#""prompts":{"listChanged":true}"#);
        }
        if has(List::Resources) || has(List::Templates) {
            capabilities.push(r#""resources":{"subscribe":true,"listChanged":true}"#);
        }
        if has(List::Prompts) || has(List::Templates) {
            capabilities.push(r#""completions":{}"#);
        }
        let capabilities = format!("{{{}}}", capabilities.join(","));
        Self { entries, params, capabilities }
    }

    fn entry(&self, list: List, subject: &Subject) -> Option<&str> {
        self.entries.get(&list)?.get(subject).map(String::as_str)
    }
}

/// An item as its list shows it.
fn listed(item: &ItemView<'_>) -> String {
    let raw = |schema: &str| RawValue::from_string(schema.to_owned()).ok();
    let json = match item.offered {
        Offered::Tool(tool) => serde_json::to_string(&ListedTool {
            name: item.name,
            title: tool.title.as_deref(),
            description: &tool.description,
            input_schema: raw(&tool.input_schema).unwrap_or_default(),
            output_schema: tool.output_schema.as_deref().and_then(raw),
            annotations: Hints {
                read_only_hint: tool.read_only,
                destructive_hint: tool.destructive,
                idempotent_hint: tool.idempotent,
                open_world_hint: tool.open_world,
            },
        }),
        Offered::Prompt(prompt) => serde_json::to_string(&ListedPrompt {
            name: item.name,
            title: prompt.title.as_deref(),
            description: prompt.description.as_deref(),
            arguments: &prompt.arguments,
        }),
        Offered::Resource(resource) => serde_json::to_string(&ListedResource {
            uri: Some(&resource.uri),
            uri_template: None,
            name: &resource.name,
            title: resource.title.as_deref(),
            description: resource.description.as_deref(),
            mime_type: resource.mime_type.as_deref(),
            size: resource.size,
            annotations: &resource.annotations,
        }),
        Offered::Template(template) => serde_json::to_string(&ListedResource {
            uri: None,
            uri_template: Some(&template.uri_template),
            name: &template.name,
            title: template.title.as_deref(),
            description: template.description.as_deref(),
            mime_type: template.mime_type.as_deref(),
            size: None,
            annotations: &template.annotations,
        }),
    };
    json.unwrap_or_default()
}

/// What a list is called in its result.
fn member(list: List) -> &'static str {
    match list {
        List::Tools => "tools",
        List::Prompts => "prompts",
        List::Resources => "resources",
        List::Templates => "resourceTemplates",
    }
}

/// A cursor is the name of the last item on the page before, so it stays good when lists change and when the house
/// starts anew: what is there all the time is on one page.
fn read_cursor(cursor: &str) -> Result<String, String> {
    let name = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| "the cursor is not one that this server gave".to_owned())
}
