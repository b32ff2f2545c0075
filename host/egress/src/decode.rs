//! Codings of responses, undone so that a secret can be found in them: gzip (RFC 1952) and deflate (RFC 1950). The
//! credentialed request asks for none; what comes in another one all the same is refused.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use http::header::{self, HeaderMap};

use crate::error::ResponseError;

/// A body that is unpacked a little at a time: no more than is taken.
pub(crate) struct Decoder {
    packed: Packed,
    /// What came and is not unpacked yet.
    rest: Bytes,
    came: u64,
    made: u64,
}

enum Packed {
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Deflate(Box<ZlibDecoder<Vec<u8>>>),
}

/// The most that a body may grow: ten times what text does.
const RATIO_MAX: u64 = 200;
/// Below this it may grow as it likes: there is little to be had from small ones.
const FREE_BYTES: u64 = 1 << 20;

impl Decoder {
    /// `None` if the body is as it is.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, ResponseError> {
        // A transfer coding beside `chunked` would be left in the body by hyper (RFC 9112, section 7).
        let mut transfer = headers.get_all(header::TRANSFER_ENCODING).iter();
        if !transfer.all(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked")) {
            return Err(ResponseError::Coding);
        }
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        let packed = match (codings.next().map(|coding| coding.as_bytes().to_ascii_lowercase()), codings.next()) {
            (None, _) => return Ok(None),
            (Some(coding), None) => match coding.as_slice() {
                b"identity" | b"" => return Ok(None),
                b"gzip" | b"x-gzip" => Packed::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
                b"deflate" => Packed::Deflate(Box::new(ZlibDecoder::new(Vec::new()))),
                _ => return Err(ResponseError::Coding),
            },
            (Some(_), Some(_)) => return Err(ResponseError::Coding),
        };
        Ok(Some(Self { packed, rest: Bytes::new(), came: 0, made: 0 }))
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.came += chunk.len() as u64;
        self.rest = chunk;
    }

    /// The next piece; `None` if there is none before more comes.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, ResponseError> {
        while !self.rest.is_empty() {
            let taken = match &mut self.packed {
                Packed::Gzip(decoder) => decoder.write(&self.rest),
                Packed::Deflate(decoder) => decoder.write(&self.rest),
            };
            let taken = taken.map_err(|_| ResponseError::Corrupt)?;
            if taken == 0 {
                // Something stands behind the end.
                return Err(ResponseError::Corrupt);
            }
            drop(self.rest.split_to(taken.min(self.rest.len())));
            let made = self.take()?;
            if !made.is_empty() {
                return Ok(Some(made));
            }
        }
        Ok(None)
    }

    /// What is left when nothing more comes.
    pub(crate) fn finish(&mut self) -> Result<Bytes, ResponseError> {
        // A response without a body says in what it would be coded, too.
        if self.came > 0 {
            let finished = match &mut self.packed {
                Packed::Gzip(decoder) => decoder.try_finish(),
                Packed::Deflate(decoder) => decoder.try_finish(),
            };
            finished.map_err(|_: io::Error| ResponseError::Corrupt)?;
        }
        self.take()
    }

    fn take(&mut self) -> Result<Bytes, ResponseError> {
        let made = match &mut self.packed {
            Packed::Gzip(decoder) => std::mem::take(decoder.get_mut()),
            Packed::Deflate(decoder) => std::mem::take(decoder.get_mut()),
        };
        self.made += made.len() as u64;
        if self.made > FREE_BYTES && self.made > self.came.saturating_mul(RATIO_MAX) {
            return Err(ResponseError::Bomb);
        }
        Ok(Bytes::from(made))
    }
}
