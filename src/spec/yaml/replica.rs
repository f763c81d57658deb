//! What the parser reads in place of a text that it would refuse, or read otherwise, though PyYAML takes it.
//!
//! The parser knows YAML 1.2, PyYAML a loose 1.1: there a comment may stand directly behind a quote or a bracket,
//! quoted text may go on in any column, a lonely `-` in brackets is text, as is U+FEFF, and lines end at U+0085, U+2028
//! and U+2029, too. A replica is the text with these written as the parser takes them, byte for byte as long, so that
//! every position in it is the position in the text: such comments become blanks, such breaks blanks and `\n`, and a
//! scalar that the parser cannot be told becomes a filler, whose meaning is kept aside. To know what is a comment and
//! what a scalar, one walk goes from token to token as PyYAML's scanner does; it builds nothing and judges nothing.
//! Where it can follow no more it stops, and the parser says what is wrong.

use std::borrow::Cow;
use std::ops::Range;

use super::{MAX_DEPTH, MAX_NODES};

mod quoted;
#[cfg(test)]
mod tests;

/// What ends a line for PyYAML besides `\n` and `\r`.
const ODD_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];
/// U+FEFF, which the parser takes for a byte-order mark.
const MARK: char = '\u{FEFF}';
/// What stands in a replica for a mark, with as many bytes.
const FILLED: &str = "xxx";
const FILLER: u8 = b'x';

/// Whether PyYAML sees lines in a text where the parser sees none.
pub(super) fn has_odd_breaks(text: &str) -> bool {
    !text.is_ascii() && text.contains(ODD_BREAKS)
}

/// Whether a line ends at this character.
pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r') || ODD_BREAKS.contains(&c)
}

/// What a scalar of a replica means.
enum Meant {
    /// This text.
    Text(String),
    /// What was read, with a mark in place of the filler at its start.
    Marked,
}

/// A copy of a text that the parser takes where PyYAML takes the text.
pub(super) struct Replica {
    /// What the parser reads.
    pub(super) text: String,
    /// By the byte at which the scalar starts, in the order of the text.
    meant: Vec<(usize, Meant)>,
}

impl Replica {
    /// `None` where nothing had to be written otherwise.
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut walk = Walk::new(text);
        walk.tokens();
        if !walk.changed {
            return None;
        }
        let Walk { copy, meant, .. } = walk;
        // Whole characters were replaced by ASCII.
        let text = String::from_utf8(copy).ok()?;
        Some(Self { text, meant })
    }

    /// What the scalar that starts at this byte means, given what the parser read there.
    pub(super) fn meaning<'a>(&'a self, start: usize, read: Cow<'a, str>) -> Cow<'a, str> {
        let Ok(place) = self.meant.binary_search_by_key(&start, |(at, _)| *at) else { return read };
        match &self.meant[place].1 {
            Meant::Text(text) => Cow::Borrowed(text.as_str()),
            Meant::Marked => {
                let rest = read.strip_prefix(FILLED).unwrap_or(&read);
                Cow::Owned(format!("{MARK}{rest}"))
            }
        }
    }
}

/// Where the walk is. Depths are columns plus one, and zero outside of every block.
struct Walk<'a> {
    text: &'a str,
    at: usize,
    /// Where the line starts.
    line: usize,
    copy: Vec<u8>,
    meant: Vec<(usize, Meant)>,
    changed: bool,
    /// How many brackets are open.
    flow: usize,
    /// The depth of the innermost block, and those of the blocks around it.
    depth: usize,
    outer: Vec<usize>,
    /// Line and column of what is a key if a `:` follows.
    key: Option<(usize, usize)>,
    key_may_start: bool,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            line: 0,
            copy: text.as_bytes().to_vec(),
            meant: Vec::new(),
            changed: false,
            flow: 0,
            depth: 0,
            outer: Vec::new(),
            key: None,
            key_may_start: true,
        }
    }

    fn tokens(&mut self) {
        while self.blanks() {
            if self.flow == 0 {
                let depth = self.column() + 1;
                while self.depth > depth {
                    self.depth = self.outer.pop().unwrap_or(0);
                }
            }
            // The parser refuses more than this, too; the limits keep memory small on the way there.
            if self.outer.len() > MAX_DEPTH || self.meant.len() > MAX_NODES || !self.token() {
                return;
            }
        }
    }

    /// One token; false where it has no end.
    fn token(&mut self) -> bool {
        let Some(c) = self.peek() else { return false };
        if self.column() == 0 && (c == '%' || self.is_marker()) {
            (self.depth, self.key, self.key_may_start) = (0, None, false);
            self.outer.clear();
            if c == '%' {
                self.skip_line();
            } else {
                self.at += "---".len();
            }
            return true;
        }
        let indicates = self.flow > 0 || is_space(self.second());
        match c {
            '[' | '{' => {
                self.save_key();
                self.flow += 1;
                self.at += 1;
            }
            ']' | '}' => {
                self.flow = self.flow.saturating_sub(1);
                self.at += 1;
            }
            ',' => self.at += 1,
            '-' if is_space(self.second()) => self.entry(),
            '?' if indicates => self.entry(),
            ':' if indicates => self.value(),
            '&' | '*' | '!' => {
                self.save_key();
                self.property(c);
            }
            '|' | '>' if self.flow == 0 => self.block(),
            '\'' | '"' => return self.quoted(c == '"'),
            _ => self.plain(),
        }
        true
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    /// The character after the present one, which has one byte.
    fn second(&self) -> Option<char> {
        self.text.get(self.at + 1..)?.chars().next()
    }

    fn column(&self) -> usize {
        self.at - self.line
    }

    fn fill(&mut self, range: Range<usize>, with: u8) {
        self.copy[range].fill(with);
        self.changed = true;
    }

    fn skip_line(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.find(is_break).unwrap_or(rest.len());
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.at += 1;
        }
    }

    /// Goes over a line break, if there is one here. An odd one becomes blanks and `\n`.
    fn newline(&mut self) {
        let start = self.at;
        if self.skip_break().is_some_and(|c| ODD_BREAKS.contains(&c)) {
            self.fill(start..self.at, b' ');
            self.copy[self.at - 1] = b'\n';
        }
    }

    /// Goes over a line break and tells which.
    fn skip_break(&mut self) -> Option<char> {
        let c = self.peek().filter(|c| is_break(*c))?;
        self.at += if self.text[self.at..].starts_with("\r\n") { 2 } else { c.len_utf8() };
        self.line = self.at;
        Some(c)
    }

    /// Goes over what stands between tokens; false at the end of the text.
    fn blanks(&mut self) -> bool {
        loop {
            match self.peek() {
                None => return false,
                Some(' ' | '\t') => self.at += 1,
                Some('#') => self.comment(),
                Some(c) if is_break(c) => {
                    self.newline();
                    self.key_may_start |= self.flow == 0;
                }
                Some(_) => return true,
            }
        }
    }

    /// A comment is blanked where a quote or a sign stands right before it; any other is left. Behind a name, `#` is a
    /// fault for PyYAML, too.
    fn comment(&mut self) {
        let start = self.at;
        self.skip_line();
        let before = self.text[..start].chars().next_back();
        if before.is_some_and(|c| is_bracket(c) || matches!(c, '"' | '\'' | ':' | '?')) {
            self.fill(start..self.at, b' ');
        }
    }

    /// Whether `---` or `...` stands here, which at the start of a line ends a document.
    fn is_marker(&self) -> bool {
        let rest = &self.text[self.at..];
        (rest.starts_with("---") || rest.starts_with("...")) && is_space(rest[3..].chars().next())
    }

    fn save_key(&mut self) {
        if self.flow == 0 && self.key_may_start {
            self.key = Some((self.line, self.column()));
        }
        self.key_may_start = false;
    }

    fn open_block(&mut self, column: usize) {
        if self.depth <= column {
            self.outer.push(self.depth);
            self.depth = column + 1;
        }
    }

    /// `-` or `?`.
    fn entry(&mut self) {
        if self.flow == 0 {
            self.open_block(self.column());
            (self.key, self.key_may_start) = (None, true);
        }
        self.at += 1;
    }

    /// `:`, behind a key of this line or behind what a `?` began.
    fn value(&mut self) {
        if self.flow == 0 {
            let key = self.key.take().filter(|(line, _)| *line == self.line);
            self.open_block(key.map_or(self.column(), |(_, column)| column));
            self.key_may_start = key.is_none();
        }
        self.at += 1;
    }

    /// An anchor, an alias or a tag.
    fn property(&mut self, kind: char) {
        self.at += 1;
        while let Some(c) = self.peek() {
            let belongs = if kind == '!' {
                !is_space(Some(c)) && (self.flow == 0 || !is_bracket(c))
            } else {
                c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
            };
            if !belongs {
                return;
            }
            self.at += c.len_utf8();
        }
    }

    fn plain(&mut self) {
        let start = self.at;
        if self.peek() == Some(MARK) {
            self.fill(start..start + FILLED.len(), FILLER);
            self.meant.push((start, Meant::Marked));
        } else if self.flow > 0 && self.peek() == Some('-') && self.second().is_some_and(is_bracket) {
            self.fill(start..start + 1, FILLER);
            self.meant.push((start, Meant::Text("-".to_owned())));
        }
        self.save_key();
        loop {
            let from = self.at;
            while let Some(c) = self.peek().filter(|c| self.is_plain(*c)) {
                self.at += c.len_utf8();
            }
            if self.at == from {
                break;
            }
            self.key_may_start = false;
            if !self.plain_gap() {
                break;
            }
        }
        if self.at == start {
            // What starts no token: the parser says so.
            self.at += self.peek().map_or(0, char::len_utf8);
        }
    }

    fn is_plain(&self, c: char) -> bool {
        let next = self.text[self.at + c.len_utf8()..].chars().next();
        let flow = self.flow > 0;
        let colon = c == ':' && (is_space(next) || flow && next.is_some_and(is_bracket));
        !colon && !is_space(Some(c)) && !(flow && (c == '?' || is_bracket(c)))
    }

    /// Goes over blanks and breaks inside of plain text; whether it may go on behind them.
    fn plain_gap(&mut self) -> bool {
        let from = self.at;
        self.skip_blanks();
        while self.peek().is_some_and(is_break) {
            self.newline();
            self.key_may_start |= self.flow == 0;
            if self.is_marker() {
                return false;
            }
            self.skip_blanks();
        }
        self.at > from && self.peek() != Some('#') && (self.flow > 0 || self.column() >= self.depth)
    }

    /// `|` or `>`: its lines are those that are indented as far as the first of them.
    fn block(&mut self) {
        self.at += 1;
        let mut more = None;
        while let Some(c) = self.peek().filter(|c| matches!(c, '+' | '-' | '1'..='9')) {
            more = "123456789".find(c).or(more);
            self.at += 1;
        }
        self.skip_line();
        self.newline();
        let least = self.depth.max(1);
        let indent = match more {
            Some(more) => least + more,
            None => least.max(self.first_indent()),
        };
        self.block_breaks(indent);
        while self.column() == indent && self.at < self.text.len() {
            self.skip_line();
            self.newline();
            self.block_breaks(indent);
        }
        (self.key, self.key_may_start) = (None, true);
    }

    /// How far the first line that is not blank is indented, or one before it.
    fn first_indent(&mut self) -> usize {
        let mut widest = 0;
        loop {
            match self.peek() {
                Some(' ') => {
                    self.at += 1;
                    widest = widest.max(self.column());
                }
                Some(c) if is_break(c) => self.newline(),
                _ => return widest,
            }
        }
    }

    fn block_breaks(&mut self, indent: usize) {
        loop {
            while self.column() < indent && self.peek() == Some(' ') {
                self.at += 1;
            }
            if !self.peek().is_some_and(is_break) {
                return;
            }
            self.newline();
        }
    }

    /// Text in quotes; false where it has no end. One of several lines is filled, but for one before a `:`: a key ends
    /// in the line that it starts in, and whoever looks at keys has to see that.
    fn quoted(&mut self, double: bool) -> bool {
        let (start, line) = (self.at, self.line);
        self.save_key();
        self.at += 1;
        let Some(value) = self.quoted_text(double) else { return false };
        let rest = self.text[self.at..].trim_start_matches([' ', '\t']);
        let key = rest.strip_prefix(':').is_some_and(|rest| self.flow > 0 || is_space(rest.chars().next()));
        if self.line != line && !key {
            self.fill(start + 1..self.at - 1, FILLER);
            self.meant.push((start, Meant::Text(value)));
        }
        true
    }
}

/// A blank, a line break, or the end of the text.
fn is_space(c: Option<char>) -> bool {
    c.is_none_or(|c| matches!(c, ' ' | '\t') || is_break(c))
}

fn is_bracket(c: char) -> bool {
    matches!(c, ',' | '[' | ']' | '{' | '}')
}
