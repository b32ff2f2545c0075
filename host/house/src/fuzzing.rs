//! What the fuzz targets in `fuzz/` reach of this crate; nothing else uses it.

use crate::uri::Template;

/// Variables, each with its value.
type Values = Vec<(String, String)>;

/// The variables of a template of addresses, and what `uri` has in their places.
pub fn read_template(template: &str, uri: &str) -> Result<(Vec<String>, Option<Values>), String> {
    let template = Template::new(template)?;
    Ok((template.variables().map(str::to_owned).collect(), template.read(uri)))
}
