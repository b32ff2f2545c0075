use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path as FilePath, PathBuf};

use certosa_model::Digest;

use crate::lex::{Kind, Token, tokens};
use crate::problem::{Problem, Problems};
use crate::span::place;

const FILES_MAX: usize = 64;
const DEPTH_MAX: usize = 8;
const TEXT_BYTES_MAX: u64 = 1 << 20;
const TOTAL_BYTES_MAX: u64 = 64 << 20;

/// The files of a manifest, read once: the manifest, what it imports and what it embeds. All of them lie in
/// the manifest's folder or below it, also after symbolic links are followed.
pub struct Sources {
    folder: PathBuf,
    main: PathBuf,
    /// By their path in the folder, `/`-separated and without `.` or `..`.
    files: BTreeMap<PathBuf, Vec<u8>>,
}

/// A file that another one names.
pub(crate) struct Wanted {
    path: PathBuf,
    depth: usize,
    is_text: bool,
    /// Where it is named; the main file is named by nobody.
    named: Option<Problem>,
}

impl Sources {
    /// Reads the manifest at `path` and every file that it needs.
    pub fn read(path: &FilePath) -> Result<Self, Problems> {
        let shown = path.display().to_string();
        let unreadable = |error: std::io::Error| Problem::new(format!("cannot read the manifest {shown}: {error}"));
        let real = path.canonicalize().map_err(unreadable)?;
        let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(Problem::new(format!("{shown} is not a file")).into());
        };
        let mut sources = Self { folder: folder.to_owned(), main: name.into(), files: BTreeMap::new() };
        let mut problems = Vec::new();
        let mut queue = VecDeque::from([Wanted { path: name.into(), depth: 0, is_text: true, named: None }]);
        while let Some(wanted) = queue.pop_front() {
            match sources.take(&wanted) {
                Ok(more) => queue.extend(more),
                Err(mut problem) => problems.append(&mut problem),
            }
        }
        match Problems::new(problems) {
            None => Ok(sources),
            Some(problems) => Err(problems),
        }
    }

    /// A manifest of one file, which is in no folder.
    pub(crate) fn of_text(text: &str) -> Self {
        let main = PathBuf::from("manifest.capnp");
        let files = BTreeMap::from([(main.clone(), text.as_bytes().to_owned())]);
        Self { folder: PathBuf::from("/nowhere"), main, files }
    }

    /// Reads one file and finds out which further ones it names.
    fn take(&mut self, wanted: &Wanted) -> Result<Vec<Wanted>, Vec<Problem>> {
        if self.files.contains_key(&wanted.path) {
            return Ok(Vec::new());
        }
        let refuse = |message: String| vec![wanted.named.clone().unwrap_or_else(|| Problem::new("")).say(message)];
        if self.files.len() == FILES_MAX {
            return Err(refuse(format!("a manifest has at most {FILES_MAX} files")));
        }
        if wanted.depth > DEPTH_MAX {
            return Err(refuse(format!("imports are at most {DEPTH_MAX} deep")));
        }
        let bytes = self.load(wanted).map_err(refuse)?;
        if !wanted.is_text {
            self.files.insert(wanted.path.clone(), bytes);
            return Ok(Vec::new());
        }
        let shown = wanted.path.display().to_string();
        let text = str::from_utf8(&bytes)
            .map_err(|error| refuse(format!("{shown} is not UTF-8 text: bad byte at {}", error.valid_up_to())))?;
        let more = references(&shown, text, &wanted.path, wanted.depth + 1);
        self.files.insert(wanted.path.clone(), bytes);
        more
    }

    fn load(&self, wanted: &Wanted) -> Result<Vec<u8>, String> {
        let shown = wanted.path.display();
        let real =
            self.folder.join(&wanted.path).canonicalize().map_err(|error| format!("cannot read {shown}: {error}"))?;
        if !real.starts_with(&self.folder) {
            return Err(format!("{shown} is a link that leads out of the manifest's folder"));
        }
        // Looked at before it is opened: opening a pipe would wait for somebody to write into it.
        if !real.metadata().is_ok_and(|meta| meta.is_file()) {
            return Err(format!("{shown} is not a regular file"));
        }
        let file = File::open(&real).map_err(|error| format!("cannot read {shown}: {error}"))?;
        let used: u64 = self.files.values().map(|bytes| bytes.len() as u64).sum();
        let left = TOTAL_BYTES_MAX - used;
        let bytes_max = if wanted.is_text { left.min(TEXT_BYTES_MAX) } else { left };
        let mut bytes = Vec::new();
        let read = file.take(bytes_max + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("cannot read {shown}: {error}"))?;
        if bytes.len() as u64 > bytes_max {
            return Err(format!("{shown} is too large: a text may have 1 MiB, all files together 64 MiB"));
        }
        Ok(bytes)
    }

    /// Identifies these sources and everything else that the compiled manifest depends on.
    pub fn digest(&self) -> Digest {
        let paths = self.files.iter().flat_map(|(path, bytes)| [path.as_os_str().as_encoded_bytes(), bytes]);
        let fixed = [
            env!("CARGO_PKG_VERSION").as_bytes(),
            certosa_schema::TEXT.as_bytes(),
            self.main.as_os_str().as_encoded_bytes(),
        ];
        Digest::of_parts(fixed.into_iter().chain(paths))
    }

    /// The folder that the manifest's files lie in.
    pub fn folder(&self) -> &FilePath {
        &self.folder
    }

    /// The file name of the manifest.
    pub(crate) fn main(&self) -> &FilePath {
        &self.main
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&FilePath, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path.as_path(), bytes.as_slice()))
    }

    /// The text of one of the files; empty for those that are none.
    pub(crate) fn text(&self, path: &FilePath) -> &str {
        self.files.get(path).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or("")
    }
}

/// The files that `text` imports and embeds.
pub(crate) fn references(shown: &str, text: &str, from: &FilePath, depth: usize) -> Result<Vec<Wanted>, Vec<Problem>> {
    let (mut wanted, mut problems) = (Vec::new(), Vec::new());
    for pair in tokens(text).windows(2) {
        let [word, name] = pair else { continue };
        let is_import = word.kind == Kind::Word && word.text == "import";
        let is_embed = word.kind == Kind::Word && word.text == "embed";
        if !(is_import || is_embed) || name.kind != Kind::Text {
            continue;
        }
        let named = Problem::new("").at(Some(place(shown, text, name.start, name.end())));
        match target(name, from, is_import) {
            Ok(None) => {}
            Ok(Some(path)) => wanted.push(Wanted { path, depth, is_text: is_import, named: Some(named) }),
            Err(_) if problems.len() > Problems::MAX => {}
            Err(message) => problems.push(
                named.say(message).found(name.text).expected("a path in the manifest's folder, relative to this file"),
            ),
        }
    }
    if problems.is_empty() { Ok(wanted) } else { Err(problems) }
}

/// The file that a name stands for, relative to the manifest's folder. `None` is a schema that the program
/// carries itself.
fn target(name: &Token<'_>, from: &FilePath, is_import: bool) -> Result<Option<PathBuf>, String> {
    let Some(path) = name.text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return Err("a file is named by a string in double quotes".to_owned());
    };
    if path.contains('\\') || path.contains(|c: char| c.is_control()) {
        return Err("a file name has no escapes and no control characters".to_owned());
    }
    if is_import && (path == "/certosa.capnp" || path.starts_with("/capnp/")) {
        return Ok(None);
    }
    let mut parts: Vec<&OsStr> = from.parent().into_iter().flat_map(FilePath::iter).collect();
    for part in FilePath::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part),
            Component::ParentDir if parts.pop().is_some() => {}
            _ => return Err("files outside of the manifest's folder cannot be read".to_owned()),
        }
    }
    Ok(Some(parts.iter().collect()))
}

impl Problem {
    fn say(mut self, message: String) -> Self {
        self.message = message;
        self
    }
}
