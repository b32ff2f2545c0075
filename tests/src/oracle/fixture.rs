//! What the bundle `hello` offers, once more on the Rust SDK's own server.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rmcp::handler::server::tool::InputResponses;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    Annotations, CallToolResponse, CallToolResult, CompleteRequestParams, CompleteResult, CompletionInfo, ContentBlock,
    ElicitRequest, ElicitRequestParams, ErrorData, InputRequest, InputRequests, InputRequiredResult,
    ListResourceTemplatesResult, ListResourcesResult, PaginatedRequestParams, PromptMessage, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Reference, Resource, ResourceContents,
    ResourceTemplate, Role, ServerCapabilities, ServerConfig, SetLevelRequestParams,
};
use rmcp::schemars::JsonSchema;
use rmcp::serde::Deserialize;
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler, prompt, prompt_handler, prompt_router, tool, tool_handler, tool_router};
use serde_json::json;
use tokio::net::TcpListener;

const LANGUAGES: [(&str, &str); 5] = [
    ("english", "Hello"),
    ("french", "Bonjour"),
    ("german", "Guten Tag"),
    ("italian", "Buongiorno"),
    ("spanish", "Hola"),
];
const ABOUT: &str = "# hello\n\nThe smallest bundle that has everything: tools, one of which asks a question, a \
     prompt, a resource and a template of resources. Its source is a good place to start writing one.\n";

#[derive(Clone)]
struct Fixture;

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "rmcp::serde", deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
struct Greet {
    /// Whom to greet.
    name: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "rmcp::serde", deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
struct Echo {
    /// The text to return.
    text: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "rmcp::serde", deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
struct Welcome {
    /// Who is welcomed.
    name: String,
    /// The language: english, french, german, italian or spanish; english if it is left out.
    language: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "rmcp::serde", deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
struct Nothing {}

#[tool_router]
impl Fixture {
    /// Greets someone by name.
    #[tool(
        title = "Greet",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    fn greet(&self, Parameters(Greet { name }): Parameters<Greet>) -> String {
        format!("Hello, {name}!")
    }

    /// Returns the text that it was given. Useful for finding out whether calls arrive.
    #[tool(
        title = "Echo",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    fn echo(&self, Parameters(Echo { text }): Parameters<Echo>) -> String {
        text
    }

    /// Asks the person at the client for their name, and greets them. Useful for finding out whether a client can
    /// be asked something.
    #[tool(
        title = "Introduce yourself",
        annotations(read_only_hint = true, destructive_hint = false, idempotent_hint = false, open_world_hint = false)
    )]
    async fn introduce(
        &self,
        _none: Parameters<Nothing>,
        InputResponses(answers): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let answer = answers.and_then(|mut answers| answers.remove("name"));
        let askable = context.client_capabilities().is_some_and(|client| client.elicitation.is_some());
        if answer.is_none() && askable {
            let name = json!({"type": "string", "title": "Your name"});
            let schema = json!({"type": "object", "properties": {"name": name}, "required": ["name"]});
            let form = ElicitRequestParams::FormElicitationParams {
                meta: None,
                message: "What is your name?".to_owned(),
                requested_schema: serde_json::from_value(schema).unwrap(),
            };
            let ask = InputRequests::from([("name".to_owned(), InputRequest::Elicitation(ElicitRequest::new(form)))]);
            return Ok(InputRequiredResult::new(Some(ask), None).into());
        }
        let name = answer.and_then(|answer| answer["content"]["name"].as_str().map(str::to_owned));
        let greeting = format!("Hello, {}!", name.as_deref().unwrap_or("whoever you are"));
        Ok(CallToolResult::success(vec![ContentBlock::text(greeting)]).into())
    }
}

#[prompt_router]
impl Fixture {
    /// A first message to a model, to see whether prompts arrive.
    #[prompt(title = "Welcome")]
    async fn welcome(&self, Parameters(given): Parameters<Welcome>) -> Result<Vec<PromptMessage>, ErrorData> {
        let language = given.language.unwrap_or_else(|| "english".to_owned());
        let greeting = greeting(&language).ok_or_else(|| ErrorData::invalid_params("none of the languages", None))?;
        let text = format!("{greeting}, {}! Please introduce yourself in one sentence, in {language}.", given.name);
        Ok(vec![PromptMessage::new_text(Role::User, text)])
    }
}

#[tool_handler]
#[prompt_handler]
impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let capabilities = json!({
            "tools": {"listChanged": true}, "prompts": {"listChanged": true}, "completions": {}, "logging": {},
            "resources": {"subscribe": true, "listChanged": true},
        });
        ServerConfig::new(serde_json::from_value::<ServerCapabilities>(capabilities).unwrap())
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&[
            ProtocolVersion::V_2026_07_28,
            ProtocolVersion::V_2025_11_25,
            ProtocolVersion::V_2025_06_18,
            ProtocolVersion::V_2025_03_26,
        ])
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let about = Resource::new("hello://about", "about")
            .with_title("About this bundle")
            .with_description("What this bundle is.")
            .with_mime_type("text/markdown")
            .with_annotations(Annotations::default().with_priority(0.2));
        Ok(ListResourcesResult::with_all_items(vec![about]))
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let greeting = ResourceTemplate::new("hello://greeting/{language}", "greeting_in")
            .with_title("A greeting")
            .with_description("The greeting of a language: english, french, german, italian or spanish.")
            .with_mime_type("text/plain");
        Ok(ListResourceTemplatesResult::with_all_items(vec![greeting]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.as_str();
        let (text, kind) = match uri.strip_prefix("hello://greeting/") {
            Some(language) => (greeting(language), "text/plain"),
            None => ((uri == "hello://about").then_some(ABOUT), "text/markdown"),
        };
        let Some(text) = text else {
            return Err(ErrorData::resource_not_found("there is no such resource", Some(json!({ "uri": uri }))));
        };
        let contents = ResourceContents::text(text, uri).with_mime_type(kind);
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let arguments: &[_] = match &request.r#ref {
            Reference::Prompt(prompt) if prompt.name == "welcome" => &["name", "language"],
            Reference::Resource(resource) if resource.uri == "hello://greeting/{language}" => &["language"],
            _ => &[],
        };
        let typing = &request.argument;
        if !arguments.contains(&typing.name.as_str()) {
            return Err(ErrorData::invalid_params("there is no such argument", None));
        }
        let languages = LANGUAGES.iter().map(|(name, _)| (*name).to_owned());
        let found = languages.filter(|name| typing.name == "language" && name.starts_with(&typing.value)).collect();
        Ok(CompleteResult::new(CompletionInfo::with_all_values(found).unwrap()))
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        Ok(())
    }
}

fn greeting(language: &str) -> Option<&'static str> {
    LANGUAGES.iter().find(|(name, _)| *name == language).map(|(_, greeting)| *greeting)
}

/// Serves the fixture for as long as the runtime lives.
pub async fn serve() -> SocketAddr {
    let config = StreamableHttpServerConfig::default().enforce_origin_validation();
    let service = StreamableHttpService::new(|| Ok(Fixture), Arc::new(LocalSessionManager::default()), config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}
