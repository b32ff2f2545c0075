use std::path::Path as FilePath;

use capnp::message::{Builder, HeapAllocator, Reader, ReaderOptions};
use capnp::schema_capnp::{code_generator_request, node, type_, value};
use capnp::serialize::{self, OwnedSegments};
use capnp::traits::{HasStructSize as _, HasTypeId as _};
use certosa_model::Digest;
use certosa_schema::manifest;

use crate::problem::{Problem, Problems};
use crate::sources::Sources;
use crate::span::{Path, locate};

/// A manifest as it was said: compiled, not yet checked.
pub struct Manifest {
    sources: Sources,
    /// The name of the constant that is the manifest.
    constant: String,
    /// The constant's value, in canonical form.
    message: Vec<u8>,
}

impl Manifest {
    /// Takes the one constant of type `Certosa.Manifest` out of the compiler's output.
    pub(crate) fn of_request(sources: Sources, request: &[u8]) -> Result<Self, Problems> {
        match find(request) {
            Err(error) => Err(Problem::new(format!("the compiler's output cannot be read: {error}")).into()),
            Ok(Found::One { name, message }) => Ok(Self { sources, constant: name, message }),
            Ok(Found::Other(names)) => {
                let found = match names.as_slice() {
                    [] => "none".to_owned(),
                    names => format!("{}: {}", names.len(), names.join(", ")),
                };
                let message = format!("{} does not define its manifest", sources.main().display());
                let expected = "exactly one constant of type Certosa.Manifest: const house :Certosa.Manifest = (…);";
                Err(Problem::new(message).found(found).expected(expected).into())
            }
        }
    }

    /// Takes up what [`Manifest::to_cache`] returned for the same sources.
    pub fn of_cache(sources: Sources, cached: &[u8]) -> Result<Self, Sources> {
        let parse = || {
            let (length, rest) = cached.split_first_chunk()?;
            let (name, message) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            Some((str::from_utf8(name).ok()?.to_owned(), message.to_owned()))
        };
        match parse() {
            Some((constant, message)) => Ok(Self { sources, constant, message }),
            None => Err(sources),
        }
    }

    /// What spares the compiler the next time the sources are the same.
    pub fn to_cache(&self) -> Vec<u8> {
        let length = u32::try_from(self.constant.len()).unwrap_or(u32::MAX).to_le_bytes();
        [&length, self.constant.as_bytes(), &self.message].concat()
    }

    /// The folder that file names in the manifest are relative to.
    pub fn folder(&self) -> &FilePath {
        self.sources.folder()
    }

    /// A problem with the value at `path`.
    pub fn problem(&self, path: &Path, message: impl Into<String>) -> Problem {
        let main = self.sources.main();
        let place = locate(&main.display().to_string(), self.sources.text(main), &self.constant, path);
        Problem::new(message).at(place)
    }

    /// Identifies what the manifest says, whatever its text looks like.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.message)
    }

    pub(crate) fn read(&self) -> capnp::Result<Reader<OwnedSegments>> {
        read(&self.message)
    }
}

enum Found {
    One { name: String, message: Vec<u8> },
    Other(Vec<String>),
}

fn find(request: &[u8]) -> capnp::Result<Found> {
    let reader = read(request)?;
    let request = reader.get_root::<code_generator_request::Reader<'_>>()?;
    let file = request.get_requested_files()?.iter().next().map(|file| file.get_id());
    let mut names = Vec::new();
    let mut message = None;
    for constant in request.get_nodes()?.iter().filter(|node| Some(node.get_scope_id()) == file) {
        let node::Const(definition) = constant.which()? else { continue };
        let type_::Struct(kind) = definition.get_type()?.which()? else { continue };
        let value::Struct(value) = definition.get_value()?.which()? else { continue };
        if kind.get_type_id() == manifest::Reader::<'_>::TYPE_ID {
            let full_name = constant.get_display_name()?.to_string()?;
            names.push(full_name.rsplit(':').next().unwrap_or(&full_name).to_owned());
            message = Some(canonical(value.get_as()?)?);
        }
    }
    match (message, <[String; 1]>::try_from(names)) {
        (Some(message), Ok([name])) => Ok(Found::One { name, message }),
        (_, Ok(names)) => Ok(Found::Other(names.into())),
        (_, Err(names)) => Ok(Found::Other(names)),
    }
}

/// The one encoding of a value (Cap'n Proto encoding specification, "Canonicalization").
fn canonical(value: manifest::Reader<'_>) -> capnp::Result<Vec<u8>> {
    let words = value.total_size()?.word_count.saturating_add(u64::from(manifest::Builder::STRUCT_SIZE.total()) + 8);
    let first = u32::try_from(words).map_err(|_| capnp::Error::failed("the manifest is too large".to_owned()))?;
    let mut message = Builder::new(HeapAllocator::new().first_segment_words(first));
    message.set_root_canonical(value)?;
    Ok(serialize::write_message_to_words(&message))
}

fn read(bytes: &[u8]) -> capnp::Result<Reader<OwnedSegments>> {
    let mut options = ReaderOptions::new();
    options.nesting_limit(64).traversal_limit_in_words(Some(bytes.len().saturating_mul(2).max(1024)));
    serialize::read_message(bytes, options)
}
