//! Looking at a component without running it.

use certosa_model::Digest;
use serde::Serialize;
use wasmparser::{Encoding, Parser, Payload};

/// What a component says of itself.
#[derive(Debug, Clone, Serialize)]
pub struct Shape {
    pub digest: Digest,
    pub bytes: usize,
    /// Interfaces and functions that it wants from outside, in its order.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

/// Why some bytes are no component.
#[derive(Debug, thiserror::Error)]
pub enum ShapeError {
    #[error("not WebAssembly: it does not begin with the bytes 00 61 73 6d")]
    NotWasm,
    #[error("a core module, not a component: build it for wasm32-wasip2, or wrap it with `wasm-tools component new`")]
    CoreModule,
    #[error("WebAssembly text, not binary: translate it with `wasm-tools parse`")]
    Text,
    #[error("broken at byte {offset}: {message}")]
    Broken { offset: usize, message: String },
}

/// Reads the outer sections of a component. Whether the code in it is valid shows when it is compiled.
pub fn check_shape(bytes: &[u8]) -> Result<Shape, ShapeError> {
    if bytes.trim_ascii_start().starts_with(b"(") {
        return Err(ShapeError::Text);
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(ShapeError::NotWasm);
    }
    let mut shape = Shape { digest: Digest::of(bytes), bytes: bytes.len(), imports: Vec::new(), exports: Vec::new() };
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(broken)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(ShapeError::CoreModule),
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    shape.imports.push(import.map_err(broken)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    shape.exports.push(export.map_err(broken)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(shape)
}

/// The component's world as WIT text.
pub fn wit(bytes: &[u8]) -> Result<String, String> {
    let decoded = wit_component::decode(bytes).map_err(|error| format!("{error:#}"))?;
    let mut printer = wit_component::WitPrinter::default();
    let others: Vec<_> =
        decoded.resolve().packages.iter().map(|(id, _)| id).filter(|id| *id != decoded.package()).collect();
    printer.print(decoded.resolve(), decoded.package(), &others).map_err(|error| format!("{error:#}"))?;
    Ok(printer.output.to_string())
}

fn broken(error: wasmparser::BinaryReaderError) -> ShapeError {
    ShapeError::Broken { offset: error.offset(), message: error.message().to_owned() }
}
