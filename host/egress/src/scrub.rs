//! Takes secrets out of what comes back, in a stream: whatever the chunks are, what goes out holds none of the forms
//! of the secret, and what has nothing to do with it is passed on without being copied. The end of a chunk is kept back
//! until more comes, however it looks: if that rested on what the secret is, a guest that has its guesses echoed would see
//! by where a piece ends how much of one is right.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::packed::{self, MatchKind, Searcher};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::forms::{CODED_BYTES_MIN, Forms, SEARCHED_BYTES_MIN};
use crate::spelling;

/// What stands where a secret stood.
pub(crate) const REDACTED: &str = "[redacted]";

/// Finds secrets, and takes them out of one body.
pub(crate) struct Scrubber {
    secrets: Vec<Zeroizing<Vec<u8>>>,
    /// Written down when something begins like one of them, which most bodies never do.
    forms: OnceLock<Forms>,
    /// So much of the end is kept back: a form that is not whole is no longer. It says little about the secret's length.
    reach: usize,
    /// No form has a line break in it, so lines pass at once.
    is_line: bool,
    beginnings: Beginnings,
    /// The end of what came so far.
    held: Zeroizing<Vec<u8>>,
    /// How much of `held` has been replaced, and is there only because something else may begin in it.
    gone: usize,
}

/// Finds where a form may begin. It gets no more of a secret than it needs: its memory is not overwritten.
struct Beginnings {
    /// How the forms begin.
    outline: Forms,
    /// For each value of a byte, the forms that have it as their first byte, as their second, third and fourth: eight
    /// bits each, from the lowest on, of which one stands for an eighth of the forms.
    words: Box<[u32; 256]>,
    /// The same, for many bytes at a time.
    fast: Fast,
}

enum Fast {
    /// When so many bytes have come: making it takes longer than searching a small body without it.
    Later(usize),
    Now(Searcher),
    /// Not on this machine.
    Never,
}

const SLOW_BYTES: usize = 16 << 10;
const REACH_BYTES: usize = 256;

impl Scrubber {
    /// `None` if there is nothing that could be searched for. In a box: it goes the way of its exchange.
    pub(crate) fn new(secrets: &[&[u8]]) -> Option<Box<Self>> {
        let longest = Forms::longest_of(secrets);
        (longest > 0).then(|| {
            Box::new(Self {
                secrets: secrets.iter().map(|secret| Zeroizing::new(secret.to_vec())).collect(),
                forms: OnceLock::new(),
                reach: longest.next_multiple_of(REACH_BYTES),
                is_line: secrets.iter().all(|secret| secret.is_ascii() && !secret.contains(&b'\n')),
                beginnings: Beginnings::of(Forms::beginnings(secrets)),
                held: Zeroizing::default(),
                gone: 0,
            })
        })
    }

    fn forms(&self) -> &Forms {
        self.forms.get_or_init(|| Forms::of(&self.secrets.iter().map(|secret| secret.as_slice()).collect::<Vec<_>>()))
    }

    /// Those that are searched for in every spelling.
    fn spelled(&self) -> impl Iterator<Item = &[u8]> {
        self.secrets.iter().map(|secret| secret.as_slice()).filter(|secret| secret.len() >= CODED_BYTES_MIN)
    }

    /// Takes the next chunk, and puts what can go on behind `out`: all of it and of what was kept back, if nothing
    /// follows any more.
    pub(crate) fn push(&mut self, chunk: &Bytes, is_last: bool, out: &mut VecDeque<Bytes>) {
        if !chunk.is_empty() || is_last && !self.held.is_empty() {
            self.step(chunk, is_last, out);
        }
    }

    /// Takes the secrets out of headers. One whose name has one goes altogether.
    pub(crate) fn headers(&self, headers: &mut HeaderMap) {
        let is_named = |name: &&HeaderName| {
            let name = name.as_str().as_bytes();
            // No form is shorter than its secret.
            let is_long = self.secrets.iter().any(|secret| secret.len() <= name.len());
            is_long
                && self.forms().iter().any(|form| name.windows(form.len()).any(|part| part.eq_ignore_ascii_case(form)))
        };
        let named: Vec<HeaderName> = headers.keys().filter(is_named).cloned().collect();
        for name in named {
            headers.remove(name);
        }
        for value in headers.values_mut() {
            if self.find(value.as_bytes(), 0).is_some() {
                *value = self.value(value.as_bytes());
            }
        }
    }

    fn value(&self, value: &[u8]) -> HeaderValue {
        let mut places = Vec::new();
        self.find_all(value, value.len(), 0, &mut places);
        let mut clean = Vec::with_capacity(value.len());
        let mut at = 0;
        for place in places {
            clean.extend(value.get(at..place.start).unwrap_or_default());
            clean.extend(REDACTED.as_bytes());
            at = place.end;
        }
        clean.extend(value.get(at..).unwrap_or_default());
        HeaderValue::from_bytes(&clean).unwrap_or(HeaderValue::from_static(REDACTED))
    }

    /// What was held and `chunk` are one text here; places in it count from the beginning of what was held.
    fn step(&mut self, chunk: &Bytes, is_last: bool, out: &mut VecDeque<Bytes>) {
        self.beginnings.quicken(chunk.len());
        let held = self.held.len();
        let reach = self.reach;
        let mut places = Vec::new();
        if self.gone > 0 {
            places.push(0..self.gone);
        }
        // Across the border: what begins in what was held ends before this does.
        let border = self.border(chunk, reach);
        if let Some(border) = &border {
            self.find_all(border, held, 0, &mut places);
        }
        self.find_all(chunk, chunk.len(), held, &mut places);

        let total = held + chunk.len();
        let keep_from = match &border {
            _ if is_last => total,
            Some(border) if chunk.len() <= reach => self.open_from(border),
            _ => held + self.open_from(chunk),
        };
        let gone = self.emit(chunk, keep_from, &places, out);
        let kept = match &border {
            Some(border) if chunk.len() <= reach => border.get(keep_from..),
            _ => chunk.get(keep_from.saturating_sub(held)..),
        };
        self.held = Zeroizing::new(kept.unwrap_or_default().to_vec());
        self.gone = gone;
    }

    /// What was held and the beginning of `chunk`, if anything was held.
    fn border(&self, chunk: &Bytes, reach: usize) -> Option<Zeroizing<Vec<u8>>> {
        if self.held.is_empty() {
            return None;
        }
        let head = chunk.get(..reach).unwrap_or(chunk);
        let mut border = Zeroizing::new(Vec::with_capacity(self.held.len() + head.len()));
        border.extend_from_slice(&self.held);
        border.extend_from_slice(head);
        Some(border)
    }

    /// Passes on what comes before `until` and is not in `places`; returns how much behind it is in one that has been
    /// replaced.
    fn emit(&self, chunk: &Bytes, until: usize, places: &[Range<usize>], out: &mut VecDeque<Bytes>) -> usize {
        let mut at = 0;
        for place in places {
            // The one at the beginning of what was held has its replacement already.
            let is_replaced = place.start == 0 && self.gone > 0;
            if place.start >= until && !is_replaced {
                break;
            }
            self.pass(chunk, at..place.start, out);
            if !is_replaced {
                out.push_back(Bytes::from_static(REDACTED.as_bytes()));
            }
            at = place.end;
        }
        self.pass(chunk, at..until, out);
        at.saturating_sub(until)
    }

    fn pass(&self, chunk: &Bytes, part: Range<usize>, out: &mut VecDeque<Bytes>) {
        let held = self.held.len();
        if let Some(part) = self.held.get(part.start..part.end.min(held)).filter(|part| !part.is_empty()) {
            out.push_back(Bytes::copy_from_slice(part));
        }
        let (start, end) = (part.start.max(held) - held, part.end.max(held) - held);
        if start < end && end <= chunk.len() {
            out.push_back(chunk.slice(start..end));
        }
    }

    /// Adds the places of all forms that begin before `before`, as one where they overlap, moved by `offset`.
    fn find_all(&self, text: &[u8], before: usize, offset: usize, places: &mut Vec<Range<usize>>) {
        let mut from = 0;
        while let Some(found) = self.find(text, from).filter(|found| found.start < before) {
            from = found.start + 1;
            let found = found.start + offset..found.end + offset;
            match places.last_mut() {
                Some(last) if found.start < last.end => last.end = last.end.max(found.end),
                _ => places.push(found),
            }
        }
    }

    /// The first form from `from` on, and the longest there.
    fn find(&self, text: &[u8], mut from: usize) -> Option<Range<usize>> {
        loop {
            from = self.beginnings.next(text, from)?;
            let rest = text.get(from..)?;
            let form = self.forms().iter().find(|form| rest.starts_with(form)).map(<[u8]>::len);
            let spelled = self.spelled().filter_map(|secret| spelling::begins(rest, secret));
            if let Some(bytes) = spelled.chain(form).max() {
                return Some(from..from + bytes);
            }
            from += 1;
        }
    }

    /// From where on a form may stand in `text` that goes on in what comes next.
    fn open_from(&self, text: &[u8]) -> usize {
        let from = text.len().saturating_sub(self.reach);
        let end = text.get(from..).unwrap_or_default();
        let line = end.iter().rposition(|byte| *byte == b'\n').filter(|_| self.is_line);
        line.map_or(from, |at| from + at + 1)
    }
}

impl Beginnings {
    fn of(outline: Forms) -> Self {
        let mut words = Box::new([0; 256]);
        for (index, form) in outline.iter().enumerate() {
            for (place, byte) in form.iter().take(SEARCHED_BYTES_MIN).enumerate() {
                if let Some(word) = words.get_mut(usize::from(*byte)) {
                    *word |= 1 << (place * 8 + index % 8);
                }
            }
        }
        Self { outline, words, fast: Fast::Later(SLOW_BYTES) }
    }

    fn quicken(&mut self, bytes: usize) {
        let Fast::Later(left) = &mut self.fast else { return };
        *left = left.saturating_sub(bytes);
        if *left > 0 {
            return;
        }
        let outline = self.outline.iter();
        let mut beginnings: Vec<&[u8]> = outline.filter_map(|form| form.get(..SEARCHED_BYTES_MIN)).collect();
        beginnings.sort_unstable();
        beginnings.dedup();
        let kind = MatchKind::LeftmostFirst;
        let searcher = packed::Config::new().match_kind(kind).builder().extend(beginnings).build();
        self.fast = searcher.map_or(Fast::Never, Fast::Now);
    }

    fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        if let Fast::Now(searcher) = &self.fast {
            return searcher.find_in(text, (from..text.len()).into()).map(|found| found.start());
        }
        // Of every three pairs of bytes one is looked at, so one of each beginning is, and few are in any.
        let (threes, last) = text.get(from..)?.as_chunks::<3>();
        let words = &*self.words;
        for (index, [a, b, _]) in threes.iter().enumerate() {
            if has_pair(words, *a, *b)
                && let Some(found) = self.around(text, from, from + index * 3)
            {
                return Some(found);
            }
        }
        match last {
            [a, b] if has_pair(words, *a, *b) => self.around(text, from, text.len() - 2),
            _ => None,
        }
    }

    /// The first place not before `from` where a form may begin that has its first, second or third pair at `pair`.
    fn around(&self, text: &[u8], from: usize, pair: usize) -> Option<usize> {
        (0..3).rev().filter_map(|before| pair.checked_sub(before)).find(|at| *at >= from && self.begins(text, *at))
    }

    fn word(&self, byte: u8) -> u32 {
        self.words.get(usize::from(byte)).copied().unwrap_or(0)
    }

    /// Whether a form may begin here, of which at least the first bytes are there.
    fn begins(&self, text: &[u8], at: usize) -> bool {
        let start = text.get(at..).and_then(<[u8]>::first_chunk::<SEARCHED_BYTES_MIN>);
        start.is_some_and(|[a, b, c, d]| {
            let [a, b, c, d] = [a, b, c, d].map(|byte| self.word(*byte));
            a & b >> 8 & c >> 16 & d >> 24 != 0
        })
    }
}

/// Whether some beginning has these two bytes in a row.
fn has_pair(words: &[u32; 256], a: u8, b: u8) -> bool {
    let word = |byte: u8| words.get(usize::from(byte)).copied().unwrap_or(0);
    word(a) & word(b) >> 8 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that are the same in every run (xorshift, G. Marsaglia 2003).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 11).unwrap() % end
        }

        fn pick<'a>(&mut self, from: &'a [u8]) -> &'a u8 {
            &from[self.below(from.len())]
        }
    }

    const ALPHABETS: [&[u8]; 4] =
        [b"ab", b"abcdefghijklmnopqrstuvwxyz0123456789-_", b"/+=\"'&<> %\\aZ9~*", b"\0\xff\xfeab\n\xc3\xa4"];

    fn secret(numbers: &mut Numbers) -> Vec<u8> {
        let alphabet = ALPHABETS[numbers.below(4)];
        (0..4 + numbers.below(40)).map(|_| *numbers.pick(alphabet)).collect()
    }

    /// Forms, beginnings of forms, ends of forms, and other things.
    fn text(numbers: &mut Numbers, forms: &[Vec<u8>], secret: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..numbers.below(12) {
            let form = &forms[numbers.below(forms.len())];
            let cut = numbers.below(form.len() + 1);
            let spelled = spelling::spelled(secret, |count| numbers.below(count));
            match numbers.below(7) {
                0 | 1 => text.extend(form),
                4 => text.extend(spelled),
                5 => text.extend(&spelled[..numbers.below(spelled.len() + 1)]),
                2 => text.extend(&form[..cut]),
                3 => text.extend(&form[cut..]),
                _ => text.extend((0..numbers.below(300)).map(|_| b'.')),
            }
        }
        text
    }

    fn scrubbed(scrubber: &mut Scrubber, chunks: &[&[u8]]) -> Vec<u8> {
        let mut out = VecDeque::new();
        // That the last one is the last is known with it, or afterwards.
        let is_told = chunks.len().is_multiple_of(2);
        for (index, chunk) in chunks.iter().enumerate() {
            scrubber.push(&Bytes::copy_from_slice(chunk), is_told && index + 1 == chunks.len(), &mut out);
            assert!(scrubber.held.len() <= scrubber.reach, "what is held is bounded");
        }
        assert!(!is_told || scrubber.held.is_empty());
        scrubber.push(&Bytes::new(), true, &mut out);
        out.into_iter().flatten().collect()
    }

    #[test]
    fn no_form_of_any_secret_comes_through_in_any_chunks() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for round in 0..3000 {
            let secret = secret(&mut numbers);
            let mut scrubber = Scrubber::new(&[&secret[..]]).unwrap();
            match round % 3 {
                0 => scrubber.beginnings.fast = Fast::Later(0),
                1 => scrubber.beginnings.fast = Fast::Never,
                _ => {}
            }
            let forms: Vec<Vec<u8>> = scrubber.forms().iter().map(<[u8]>::to_vec).collect();
            let text = text(&mut numbers, &forms, &secret);
            let most = 1 + numbers.below(60);
            let (mut chunks, mut rest) = (Vec::new(), &text[..]);
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(rest.len().min(1 + numbers.below(most)));
                chunks.push(chunk);
                rest = after;
            }
            let out = scrubbed(&mut scrubber, &chunks);
            let out = String::from_utf8_lossy(&out).replace(REDACTED, "\n\n\n\n").into_bytes();
            let shown = String::from_utf8_lossy(&text);
            let has_spelled = |text: &[u8]| (0..text.len()).any(|at| spelling::begins(&text[at..], &secret).is_some());
            assert!(secret.len() < CODED_BYTES_MIN || !has_spelled(&out), "{round}: {shown}");
            for form in forms.iter().filter(|form| form.iter().all(u8::is_ascii_graphic)) {
                assert!(!out.windows(form.len()).any(|part| part == form), "{round}: {shown}");
            }
            // The same as in one piece.
            let mut whole = Scrubber::new(&[&secret[..]]).unwrap();
            assert_eq!(
                out,
                String::from_utf8_lossy(&scrubbed(&mut whole, &[&text])).replace(REDACTED, "\n\n\n\n").into_bytes()
            );
        }
    }

    #[test]
    fn what_overlaps_goes_as_one() {
        let clean = |secret: &str, text: &str| {
            let mut whole = Scrubber::new(&[secret.as_bytes()]).unwrap();
            let all = String::from_utf8(scrubbed(&mut whole, &[text.as_bytes()])).unwrap();
            let mut single = Scrubber::new(&[secret.as_bytes()]).unwrap();
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(String::from_utf8(scrubbed(&mut single, &bytes)).unwrap(), all);
            all
        };
        assert_eq!(clean("xyyyyyyx", "xyyyyyyxyyyyyyx"), "[redacted]");
        assert_eq!(clean("xyyyyyyx", "xyyyyyyxxyyyyyyx"), "[redacted][redacted]");
        assert_eq!(clean("aaaa", "aaaaaaaaaaab"), "[redacted]b");
        assert_eq!(clean("abcd", "abc"), "abc");
        assert_eq!(clean("abcd", "ababcabcdabc"), "ababc[redacted]abc");
    }

    #[test]
    fn what_has_no_secret_is_not_copied() {
        let mut scrubber = Scrubber::new(&[&b"ghp_0123456789abcdef"[..]]).unwrap();
        let chunk = Bytes::from(vec![b'x'; 10_000]);
        let mut out = VecDeque::new();
        scrubber.push(&chunk, false, &mut out);
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn where_a_piece_ends_tells_nothing_about_the_secret() {
        let pieces = |chunks: &[&str]| {
            let mut scrubber = Scrubber::new(&[&b"ghp_0123456789abcdef"[..]]).unwrap();
            let mut out = VecDeque::new();
            for chunk in chunks {
                scrubber.push(&Bytes::copy_from_slice(chunk.as_bytes()), false, &mut out);
                out.push_back(Bytes::new());
            }
            scrubber.push(&Bytes::new(), true, &mut out);
            out.iter().map(Bytes::len).collect::<Vec<_>>()
        };
        for before in ["", "x", "data: 1\n\n", "xx\ndata: 1\n\nd", &"x".repeat(300), &"x\n".repeat(9000)] {
            for guess in ["ghp_", "ghp_0", "ghp_0123456789abcde", "Z2hwXzAx", "%67", "Bearer ghp_0123"] {
                let wrong = guess.replace(['g', 'Z', '%'], "k");
                for after in ["", "\n", "!"] {
                    let of = |guess: &str| pieces(&[&format!("{before}{guess}"), after]);
                    assert_eq!(of(guess), of(&wrong), "{before}{guess}{after}");
                }
            }
        }
        assert_eq!(pieces(&["data: 1\n\n"]), [9, 0], "an event passes at once");
    }

    #[test]
    fn a_header_value_is_cleaned_and_a_name_goes() {
        let scrubber = Scrubber::new(&[&b"ghp_0123456789abcdef"[..]]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("location", HeaderValue::from_static("/?a=ghp_0123456789abcdef&b=ghp_0123456789abcdef"));
        headers.insert("x-ghp_0123456789abcdef", HeaderValue::from_static("1"));
        headers.insert("etag", HeaderValue::from_static("ghp_"));
        scrubber.headers(&mut headers);
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["location"], "/?a=[redacted]&b=[redacted]");
        assert_eq!(headers["etag"], "ghp_");
    }
}
