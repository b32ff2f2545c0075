//! Looking at a component without running it.

use certosa_model::Digest;
use certosa_syscall::guest::EXPORTS;
use serde::Serialize;
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind, ComponentType, ComponentTypeRef, Encoding,
    InstanceTypeDeclaration, Parser, Payload, TypeBounds,
};

/// What a component says of itself.
#[derive(Debug, Clone, Serialize)]
pub struct Shape {
    pub digest: Digest,
    pub bytes: usize,
    /// Interfaces and functions that it wants from outside, in its order. Imports that only give types a name
    /// want nothing and are left out.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

/// How a component offers what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By the interfaces of `certosa:tools`.
    World,
    /// By functions of its own.
    Typed,
    /// Not at all.
    Nothing,
}

/// The package of the interfaces that the house itself asks; functions of it are never tools.
const OUR_PACKAGE: &str = "certosa:tools/";

impl Shape {
    pub fn form(&self) -> Form {
        if self.exports.iter().any(|export| EXPORTS.contains(&export.as_str())) {
            Form::World
        } else if self.exports.iter().any(|export| export.starts_with(OUR_PACKAGE)) {
            // Made for another version of our world.
            Form::Nothing
        } else if self.exports.iter().any(|export| !is_ours_or_wasi(export)) {
            Form::Typed
        } else {
            Form::Nothing
        }
    }
}

/// Whether an exported interface is one that a system calls: no tools.
pub(crate) fn is_ours_or_wasi(export: &str) -> bool {
    export.starts_with(OUR_PACKAGE) || export.starts_with("wasi:")
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
    let mut types = Types::default();
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(broken)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(ShapeError::CoreModule),
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentTypeSection(section) if depth == 1 => {
                for ty in section {
                    types.defined(&ty.map_err(broken)?);
                }
            }
            Payload::ComponentAliasSection(section) if depth == 1 => {
                for alias in section {
                    types.aliased(&alias.map_err(broken)?);
                }
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    let import = import.map_err(broken)?;
                    if types.imported(import.ty) {
                        shape.imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.map_err(broken)?;
                    types.exported(export.kind);
                    shape.exports.push(export.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(shape)
}

/// The types of a component, in the order of its index space: which of them are instances that have nothing
/// but names of types.
#[derive(Default)]
struct Types(Vec<bool>);

impl Types {
    fn defined(&mut self, ty: &ComponentType<'_>) {
        let only_types = |declaration: &InstanceTypeDeclaration<'_>| match declaration {
            InstanceTypeDeclaration::Export { ty, .. } => matches!(ty, ComponentTypeRef::Type(TypeBounds::Eq(_))),
            _ => true,
        };
        let exports =
            |declaration: &InstanceTypeDeclaration<'_>| matches!(declaration, InstanceTypeDeclaration::Export { .. });
        self.0.push(match ty {
            ComponentType::Instance(parts) => parts.iter().any(exports) && parts.iter().all(only_types),
            _ => false,
        });
    }

    fn aliased(&mut self, alias: &ComponentAlias<'_>) {
        let is_type = match alias {
            ComponentAlias::InstanceExport { kind, .. } => *kind == ComponentExternalKind::Type,
            ComponentAlias::Outer { kind, .. } => *kind == ComponentOuterAliasKind::Type,
            ComponentAlias::CoreInstanceExport { .. } => false,
        };
        self.0.extend(is_type.then_some(false));
    }

    fn exported(&mut self, kind: ComponentExternalKind) {
        self.0.extend((kind == ComponentExternalKind::Type).then_some(false));
    }

    /// Whether an import wants something from outside.
    fn imported(&mut self, import: ComponentTypeRef) -> bool {
        match import {
            ComponentTypeRef::Type(bounds) => {
                self.0.push(false);
                !matches!(bounds, TypeBounds::Eq(_))
            }
            ComponentTypeRef::Instance(index) => {
                let index = usize::try_from(index).ok();
                !index.and_then(|index| self.0.get(index)).copied().unwrap_or(false)
            }
            _ => true,
        }
    }
}

fn broken(error: wasmparser::BinaryReaderError) -> ShapeError {
    ShapeError::Broken { offset: error.offset(), message: error.message().to_owned() }
}
