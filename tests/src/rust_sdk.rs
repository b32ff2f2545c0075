//! The Rust SDK as a client of the demo house: everything that it offers, in both eras, over HTTP and stdio.

use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, ContentBlock, ElicitRequestParams,
    ElicitResult, ElicitationAction, ErrorCode, ErrorData, GetPromptRequestParams, Implementation, ProtocolVersion,
    ReadResourceRequestParams, ResourceContents,
};
use rmcp::service::{RequestContext, RunningService};
use rmcp::transport::{IntoTransport, StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt as _, RoleClient, ServiceError};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{Folder, House, MODERN, certosa};

/// What the demo house offers.
const TOOLS: [&str; 24] = [
    "calc_bases",
    "calc_convert",
    "calc_evaluate",
    "hello_echo",
    "hello_greet",
    "hello_introduce",
    "jq_query",
    "page_article",
    "page_links",
    "page_outline",
    "page_to_html",
    "page_to_markdown",
    "table_describe",
    "table_query",
    "text_best_matches",
    "text_compare",
    "text_diff",
    "text_replace",
    "text_search",
    "time_add",
    "time_convert",
    "time_difference",
    "time_format",
    "time_now",
];
const PROMPTS: [&str; 3] = ["hello_welcome", "table_explore_table", "text_review_changes"];
const RESOURCES: [&str; 5] = ["calc://syntax", "calc://units", "hello://about", "table://sql", "time://zones"];
const TEMPLATES: [&str; 2] = ["hello://greeting/{language}", "time://zones/{+zone}"];

/// The one who is asked for a name: they give it, or decline.
struct Person {
    version: ProtocolVersion,
    name: Option<&'static str>,
}

impl ClientHandler for Person {
    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_elicitation().build();
        ClientConfig::new(capabilities, Implementation::new("rust-sdk", "1"))
            .with_protocol_version(self.version.clone())
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        match request {
            ElicitRequestParams::FormElicitationParams { message, requested_schema, .. }
                if message == "What is your name?" && requested_schema.properties.contains_key("name") => {}
            other => return Err(ErrorData::invalid_params(format!("{other:?}"), None)),
        }
        Ok(match self.name {
            Some(name) => ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "name": name })),
            None => ElicitResult::new(ElicitationAction::Decline),
        })
    }
}

type Client = RunningService<RoleClient, Person>;

fn said(result: &CallToolResult) -> &str {
    &result.content[0].as_text().unwrap_or_else(|| panic!("no text: {result:?}")).text
}

fn params(tool: &'static str, arguments: Value) -> CallToolRequestParams {
    CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone())
}

async fn uses_tools(client: &Client) {
    let tools = client.list_all_tools().await.unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    assert_eq!(names, TOOLS);
    assert_eq!(tools[4].input_schema["required"], json!(["name"]));
    assert_eq!(tools[4].annotations.as_ref().unwrap().read_only_hint, Some(true));
    let done = client.call_tool(params("hello_greet", json!({"name": "Ana"}))).await.unwrap();
    assert_eq!((said(&done), done.is_error.unwrap_or(false)), ("Hello, Ana!", false));
    let found = client.call_tool(params("jq_query", json!({"filter": ".a", "input": {"a": [1]}}))).await.unwrap();
    assert_eq!(said(&found), "[1]");
    let missing = client.call_tool(params("hello_greet", json!({}))).await.unwrap();
    assert_eq!(missing.is_error, Some(true));
    assert!(said(&missing).contains("name"), "{missing:?}");
    let unknown = client.call_tool(params("nothing_here", json!({}))).await;
    assert_eq!(code(unknown), ErrorCode::INVALID_PARAMS);
}

async fn uses_prompts(client: &Client) {
    let prompts = client.list_all_prompts().await.unwrap();
    assert_eq!(prompts.iter().map(|prompt| prompt.name.as_str()).collect::<Vec<_>>(), PROMPTS);
    let required: Vec<_> = prompts[0].arguments.iter().flatten().map(|argument| argument.required).collect();
    assert_eq!(required, [Some(true), Some(false)]);
    let get = |arguments: Value| {
        let arguments = arguments.as_object().unwrap().clone();
        client.get_prompt(GetPromptRequestParams::new("hello_welcome").with_arguments(arguments))
    };
    let prompt = get(json!({"name": "Ana", "language": "french"})).await.unwrap();
    let ContentBlock::Text(text) = &prompt.messages[0].content else { panic!("{prompt:?}") };
    assert!(text.text.starts_with("Bonjour, Ana!"), "{prompt:?}");
    assert_eq!(code(get(json!({})).await), ErrorCode::INVALID_PARAMS);
    assert_eq!(client.complete_prompt_simple("hello_welcome", "language", "g").await.unwrap(), ["german"]);
}

/// A tool of each bundle; a prompt, the resources, a template and a completion of others than `hello`.
async fn uses_every_bundle(client: &Client) {
    let sales = json!([{"name": "sales", "data": "city,amount\nRome,3\nBari,4.5\nRome,1"}]);
    let totals = "SELECT city, SUM(amount) AS total FROM sales GROUP BY city ORDER BY total DESC";
    for (tool, arguments, expected, structured) in [
        ("calc_evaluate", json!({"expression": "1/3 + 1/6 to fraction"}), "1/2", None),
        ("hello_greet", json!({"name": "Ana"}), "Hello, Ana!", None),
        ("jq_query", json!({"filter": ".a", "input": {"a": [1]}}), "[1]", None),
        ("page_to_markdown", json!({"html": "<h1>Hi</h1><p>a <b>b</b></p>"}), "# Hi\n\na **b**", None),
        (
            "table_query",
            json!({"tables": sales, "sql": totals}),
            "Bari",
            Some(("rows", json!([["Bari", 4.5], ["Rome", 4]]))),
        ),
        ("text_diff", json!({"old": "a\nb\n", "new": "a\nc\n"}), "-b\n+c", None),
        (
            "time_add",
            json!({"time": "2024-01-31", "duration": "1 month"}),
            "2024-02-29",
            Some(("time", json!("2024-02-29T00:00:00+00:00[UTC]"))),
        ),
    ] {
        let done = client.call_tool(params(tool, arguments)).await.unwrap();
        assert!(!done.is_error.unwrap_or(false) && said(&done).contains(expected), "{tool}: {done:?}");
        if let Some((member, value)) = structured {
            assert_eq!(done.structured_content.as_ref().unwrap()[member], value, "{tool}");
        }
    }
    let texts = json!({"old": "a\n", "new": "b\n"}).as_object().unwrap().clone();
    let review = GetPromptRequestParams::new("text_review_changes").with_arguments(texts);
    let review = client.get_prompt(review).await.unwrap();
    let ContentBlock::Text(text) = &review.messages[0].content else { panic!("{review:?}") };
    assert!(text.text.contains("+b"), "{review:?}");
    for uri in [&RESOURCES[..], &["time://zones/Europe/Rome"]].concat() {
        let result = client.read_resource(ReadResourceRequestParams::new(uri)).await.unwrap();
        let [ResourceContents::TextResourceContents { text, .. }] = &result.contents[..] else { panic!("{result:?}") };
        let zone = uri.ends_with("Rome");
        assert!(if zone { text.contains("+0") } else { text.len() > 100 }, "{uri}: {text}");
    }
    let zones = client.complete_resource_simple(TEMPLATES[1], "zone", "europe/r").await.unwrap();
    assert!(zones.contains(&"Europe/Rome".to_owned()), "{zones:?}");
}

async fn uses_resources(client: &Client, not_found: ErrorCode) {
    let resources = client.list_all_resources().await.unwrap();
    assert_eq!(resources.iter().map(|resource| resource.uri.as_str()).collect::<Vec<_>>(), RESOURCES);
    let templates = client.list_all_resource_templates().await.unwrap();
    let template = "hello://greeting/{language}";
    assert_eq!(templates.iter().map(|template| template.uri_template.as_str()).collect::<Vec<_>>(), TEMPLATES);
    let read = |uri: &str| client.read_resource(ReadResourceRequestParams::new(uri));
    for (address, kind, beginning) in
        [("hello://about", "text/markdown", "# hello"), ("hello://greeting/spanish", "text/plain", "Hola")]
    {
        let result = read(address).await.unwrap();
        let [ResourceContents::TextResourceContents { uri, mime_type, text, .. }] = &result.contents[..] else {
            panic!("{result:?}")
        };
        assert_eq!((uri.as_str(), mime_type.as_deref()), (address, Some(kind)));
        assert!(text.starts_with(beginning), "{text}");
    }
    assert_eq!(code(read("hello://greeting/klingon").await), not_found);
    assert_eq!(client.complete_resource_simple(template, "language", "i").await.unwrap(), ["italian"]);
}

fn code<T: std::fmt::Debug>(result: Result<T, ServiceError>) -> ErrorCode {
    match result {
        Err(ServiceError::McpError(error)) => error.code,
        other => panic!("no error of the protocol: {other:?}"),
    }
}

/// A client of this version, on `transport`.
async fn connect<T, E, A>(version: &ProtocolVersion, name: Option<&'static str>, transport: T) -> Client
where
    T: IntoTransport<RoleClient, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let lifecycle = match version.as_str() {
        MODERN => ClientLifecycleMode::Discover { preferred_versions: vec![version.clone()] },
        _ => ClientLifecycleMode::Initialize,
    };
    let client = Person { version: version.clone(), name }.serve_with_lifecycle(transport, lifecycle).await.unwrap();
    let server = client.peer_info().unwrap();
    assert_eq!(&server.protocol_version, version);
    assert_eq!(server.server_info.as_ref().unwrap().name, "certosa");
    client
}

/// Does everything with clients of this version, each on a transport of its own.
async fn uses_everything<T, E, A>(version: ProtocolVersion, transport: impl Fn() -> T)
where
    T: IntoTransport<RoleClient, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let all = async {
        let client = connect(&version, Some("Ana"), transport()).await;
        uses_tools(&client).await;
        uses_prompts(&client).await;
        let not_found = if version.as_str() == MODERN { -32602 } else { -32002 };
        uses_resources(&client, ErrorCode(not_found)).await;
        uses_every_bundle(&client).await;
        // The version of March 2025 has no word for a question to the person.
        let greeting = if version == ProtocolVersion::V_2025_03_26 { "whoever you are" } else { "Ana" };
        let accepted = client.call_tool(params("hello_introduce", json!({}))).await.unwrap();
        assert_eq!(said(&accepted), format!("Hello, {greeting}!"));
        client.cancel().await.unwrap();

        let client = connect(&version, None, transport()).await;
        let declined = client.call_tool(params("hello_introduce", json!({}))).await.unwrap();
        assert_eq!(said(&declined), "Hello, whoever you are!");
        client.cancel().await.unwrap();
    };
    timeout(Duration::from_secs(120), all).await.unwrap();
}

async fn over_http(version: ProtocolVersion) {
    let house = House::in_folder(Folder::demo());
    uses_everything(version, || StreamableHttpClientTransport::from_uri(house.url())).await;
}

async fn over_stdio(version: ProtocolVersion) {
    let folder = Folder::demo();
    uses_everything(version, || {
        let mut command = tokio::process::Command::from(certosa(&["stdio"]));
        command.current_dir(folder.dir.path());
        TokioChildProcess::new(command).unwrap()
    })
    .await;
}

#[tokio::test]
async fn over_http_in_2026() {
    over_http(ProtocolVersion::V_2026_07_28).await;
}

#[tokio::test]
async fn over_http_in_the_older_era() {
    for version in [ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2025_03_26] {
        over_http(version).await;
    }
}

#[tokio::test]
async fn over_stdio_in_2026() {
    over_stdio(ProtocolVersion::V_2026_07_28).await;
}

#[tokio::test]
async fn over_stdio_in_the_older_era() {
    over_stdio(ProtocolVersion::V_2025_11_25).await;
}
