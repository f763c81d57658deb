//! Bytes to text, refusing what no YAML reader takes, with the place of the first wrong byte.

use std::sync::Arc;

use super::{MAX_BYTES, Refusal};
use crate::diag::{Diagnostic, SourceText, Span};

/// Text of a file: a byte-order mark is dropped, `\r\n` stays.
///
/// # Errors
/// When the file is too large, is not UTF-8, or holds control characters; the diagnostic shows the text around it.
pub fn decode(name: &str, bytes: &[u8]) -> Result<Arc<SourceText>, Box<Diagnostic>> {
    let named = |text: String| Arc::new(SourceText { name: name.to_owned(), text });
    if bytes.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, more than the {MAX_BYTES} that are read", bytes.len());
        return Err(Box::new(Diagnostic::error("yaml/too-large", message).at(&named(String::new()), Span::default())));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        let problem = Diagnostic::error("yaml/encoding", "the file is UTF-16, not UTF-8")
            .at(&named(String::new()), Span::default())
            .help("save it as UTF-8");
        return Err(Box::new(problem));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => match forbidden(text) {
            None => Ok(named(text.to_owned())),
            Some((start, character)) => {
                let code = u32::from(character);
                let problem = Diagnostic::error(
                    "yaml/control-character",
                    format!("the control character U+{code:04X} is not allowed"),
                )
                .at(&named(text.to_owned()), Span { start, len: character.len_utf8() })
                .help("remove it; the file may be binary or damaged");
                Err(Box::new(problem))
            }
        },
        Err(error) => {
            let start = error.valid_up_to();
            let problem = Diagnostic::error("yaml/encoding", format!("byte 0x{:02X} is not UTF-8", bytes[start]))
                .at(&named(String::from_utf8_lossy(bytes).into_owned()), Span { start, len: 3 })
                .help("save the file as UTF-8; it looks like Latin-1 or Windows-1252");
            Err(Box::new(problem))
        }
    }
}

/// The characters that PyYAML's reader stops at.
fn forbidden(text: &str) -> Option<(usize, char)> {
    text.char_indices().find(|(_, c)| {
        let code = u32::from(*c);
        (code < 0x20 && !matches!(c, '\t' | '\n' | '\r'))
            || (0x7F..=0x9F).contains(&code) && code != 0x85
            || matches!(code, 0xFFFE | 0xFFFF)
    })
}

/// Finds tabs that PyYAML stops at: outside of quotes, blocks of text and comments.
pub(super) struct Tabs<'a> {
    text: &'a str,
    /// Where scalars are, and whether without quotes; kept only for a text that has tabs.
    scalars: Vec<(Span, bool)>,
    any: bool,
}

impl<'a> Tabs<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, scalars: Vec::new(), any: text.contains('\t') }
    }

    pub(super) fn scalar(&mut self, span: Span, plain: bool) {
        if self.any && span.len > 0 {
            self.scalars.push((span, plain));
        }
    }

    /// The first such tab. Scalars come in the order of the text, so that one pass is enough.
    pub(super) fn misplaced(&self) -> Option<usize> {
        if !self.any {
            return None;
        }
        let within = |at: usize| {
            let next = self.scalars.partition_point(|(span, _)| span.start <= at);
            let (span, plain) = self.scalars.get(next.checked_sub(1)?)?;
            (at < span.start + span.len).then_some(*plain)
        };
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            let mut previous = b'\n';
            for (column, byte) in line.bytes().enumerate() {
                let at = start + column;
                let comment = byte == b'#' && matches!(previous, b'\n' | b' ' | b'\t') && within(at).is_none();
                if comment {
                    break;
                }
                if byte == b'\t' && within(at) != Some(false) {
                    return Some(at);
                }
                previous = byte;
            }
            start += line.len();
        }
        None
    }
}

/// What git leaves in a file where a merge stopped. Asked only of a file that is no YAML: a text may show such lines.
pub(super) fn conflict(text: &str) -> Option<Refusal> {
    let mut start = None;
    let mut both = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        match line.trim_end() {
            mark if mark == "<<<<<<<" || mark.starts_with("<<<<<<< ") => start = start.or(Some((at, mark.len()))),
            "=======" => both |= start.is_some(),
            mark if both && (mark == ">>>>>>>" || mark.starts_with(">>>>>>> ")) => {
                let (start, len) = start?;
                let refusal = Refusal::new("yaml/conflict", "a merge conflict starts here", Span { start, len });
                return Some(refusal.help("decide between the two sides, and remove the three marked lines"));
            }
            _ => {}
        }
        at += line.len();
    }
    None
}
