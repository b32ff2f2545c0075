//! The resources. The caching scenario reads the first one.

use certosa_sdk::resource;
use certosa_sdk::serde_json::json;

use crate::media;

/// A text.
#[resource(uri = "test://static-text", mime_type = "text/plain")]
pub fn static_text() -> &'static str {
    "This is the content of the static text resource."
}

/// An image.
#[resource(uri = "test://static-binary", mime_type = "image/png")]
pub fn static_binary() -> Vec<u8> {
    media::RED_PNG.to_vec()
}

/// Data for an id.
#[resource(uri = "test://template/{id}/data", mime_type = "application/json")]
pub fn template_data(
    /// Any id.
    id: String,
) -> String {
    json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")}).to_string()
}

/// A resource to subscribe to.
#[resource(uri = "test://watched-resource", mime_type = "text/plain")]
pub fn watched_resource() -> &'static str {
    "This is the content of the watched resource."
}
