//! The WASI 0.2 base, which the components of every toolchain import: clocks, random numbers, streams and
//! standard error. The file system has no folders, sockets and name lookup refuse, environment and
//! arguments are empty, and standard input is at its end.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{self, AsyncWrite};
use wasmtime::component::{Linker, ResourceTable, ResourceTableError};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::caller::Cell;

/// The WASI packages of the base.
pub(crate) const PACKAGES: [&str; 6] =
    ["wasi:io", "wasi:clocks", "wasi:random", "wasi:cli", "wasi:filesystem", "wasi:sockets"];

const TAIL_BYTES_MAX: usize = 2048;

pub(crate) fn link(linker: &mut Linker<Cell>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

pub(crate) fn context(errors: &Arc<Mutex<Tail>>, random_bytes_max: u64) -> WasiCtx {
    WasiCtxBuilder::new()
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(random_bytes_max)
        .stderr(StandardError(Arc::clone(errors)))
        .build()
}

pub(crate) fn table(handles_max: usize) -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(handles_max);
    table
}

/// Whether a cell ended because it wanted to hold more handles than it may.
pub fn is_out_of_handles(error: &wasmtime::Error) -> bool {
    let full = |error: &ResourceTableError| matches!(error, ResourceTableError::Full);
    // wasmtime has no type for the second; the test of the limit notices when the text changes.
    error.downcast_ref().is_some_and(full) || format!("{error:#}").contains("store handle limit exceeded")
}

/// Whether a cell ended because it wanted more random bytes at once than it may.
pub fn is_too_random(error: &wasmtime::Error) -> bool {
    // wasmtime has no type for this; the test of the limit notices when the text changes.
    error.root_cause().to_string().starts_with("requested len ")
}

/// The last bytes of a text; the rest is gone.
#[derive(Debug, Default)]
pub(crate) struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        let news = bytes.get(bytes.len().saturating_sub(TAIL_BYTES_MAX)..).unwrap_or(bytes);
        let excess = (self.0.len() + news.len()).saturating_sub(TAIL_BYTES_MAX);
        self.0.drain(..excess);
        self.0.extend_from_slice(news);
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).trim().to_owned()
    }
}

/// A standard error of which the end is kept. Writing never waits and never fails.
#[derive(Clone)]
struct StandardError(Arc<Mutex<Tail>>);

impl StandardError {
    fn push(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}

impl IsTerminal for StandardError {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for StandardError {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for StandardError {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(4096)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for StandardError {
    async fn ready(&mut self) {}
}

impl AsyncWrite for StandardError {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_the_end() {
        let mut tail = Tail::default();
        tail.push(&[b'a'; 5000]);
        tail.push(b"the end\n");
        assert_eq!(tail.0.len(), TAIL_BYTES_MAX);
        assert!(tail.text().ends_with("aaathe end"));
    }
}
