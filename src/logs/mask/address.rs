//! Credentials in addresses that are printed: passwords before `@`, tokens in the user's place, telling parameters.
//!
//! Nothing is known of these values but where they stand. What comes out does not depend on how the input is cut: there is
//! one machine of a byte at a time, and where it is at rest a search for the three bytes that can matter jumps ahead and
//! puts it into the state that it would have come to. Only an authority (what stands between `://` and the path) waits for
//! its end, since the last `@` in it decides.

use crate::secret::is_telling;

/// Longer authorities hide nothing: what waits has to be bounded.
const LONGEST: usize = 16 * 1024;
/// Longer names of parameters tell nothing.
const LONGEST_NAME: usize = 40;
/// A user of so many letters and digits is no user.
const TOKEN: usize = 20;

/// What the tokens of well-known services begin with.
const PREFIXES: [&[u8]; 24] = [
    b"ATATT",
    b"ATCTT",
    b"dckr_pat_",
    b"dop_v1_",
    b"eyJ",
    b"gho_",
    b"ghp_",
    b"ghr_",
    b"ghs_",
    b"ghu_",
    b"github_pat_",
    b"gldt-",
    b"glpat-",
    b"glptt-",
    b"glrt-",
    b"hf_",
    b"npm_",
    b"pypi-",
    b"rk_live_",
    b"sk_live_",
    b"sk_test_",
    b"xapp-",
    b"xoxb-",
    b"xoxp-",
];

/// What the bytes read last may be the beginning of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Of nothing.
    #[default]
    Ground,
    /// `:`
    Colon,
    /// `:/`
    Slash,
    /// `:\`, as some write JSON.
    Escape,
    /// `:\/`
    EscapedSlash,
    /// `:\/\`
    SecondEscape,
    /// What stands behind `://`.
    Authority,
    /// The name of a parameter, behind `?` or `&`.
    Name,
    /// `=` behind a telling name.
    Equals,
    /// The value of such a parameter.
    Value,
}

/// The search in one stream.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    state: State,
    /// The authority or the name so far.
    text: Vec<u8>,
    /// Where in the authority the last `@` is.
    at: Option<usize>,
    /// Bytes read so far.
    read: u64,
    /// What is to be hidden and has not been taken: sorted, apart from each other.
    hidden: Vec<(u64, u64)>,
}

impl Addresses {
    /// Reads what comes next.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            at = match self.state {
                State::Ground => self.skip(bytes, at),
                State::Value => self.value(bytes, at),
                _ => {
                    self.step(bytes[at], self.read + at as u64);
                    at + 1
                }
            };
        }
        self.read += bytes.len() as u64;
    }

    /// From where on what was read may still have to be hidden.
    pub(super) fn live(&self) -> u64 {
        match self.state {
            State::Authority => self.read - self.text.len() as u64,
            _ => self.read,
        }
    }

    /// Nothing comes any more: what was cut off is hidden where it looks like a beginning of a password or a token.
    pub(super) fn finish(&mut self) {
        if self.state != State::Authority {
            return;
        }
        match beginning(&self.text).filter(|_| self.at.is_none()) {
            Some(from) => self.hide(self.live() + from as u64, self.read),
            None => self.end_authority(self.read),
        }
        self.state = State::Ground;
    }

    /// What was found to be hidden since it was taken last: sorted, apart from each other.
    pub(super) fn take(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.hidden)
    }

    /// At rest: goes on behind the next byte that can matter.
    fn skip(&mut self, bytes: &[u8], from: usize) -> usize {
        let found = memchr::memchr3(b'@', b'?', b'&', &bytes[from..]);
        let until = found.map_or(bytes.len(), |len| from + len);
        let before = &bytes[from..until];
        match bytes.get(until) {
            // It ends every authority, and there is no `@` in this one.
            Some(b'?') => self.leave(b'?'),
            Some(byte) => {
                if let Some(authority) = last_authority(before) {
                    self.enter(authority);
                }
                self.step(*byte, self.read + until as u64);
            }
            None => match last_authority(before) {
                Some(authority) => self.enter(authority),
                None => self.state = last_opener(before),
            },
        }
        until + 1
    }

    /// Hides a value to its end, and returns where to go on.
    fn value(&mut self, bytes: &[u8], from: usize) -> usize {
        let len = bytes[from..].iter().position(|byte| ends_value(*byte));
        let until = len.map_or(bytes.len(), |len| from + len);
        self.hide(self.read + from as u64, self.read + until as u64);
        if let Some(byte) = bytes.get(until) {
            self.leave(*byte);
        }
        until + 1
    }

    /// Takes one byte, the one at `here`.
    fn step(&mut self, byte: u8, here: u64) {
        match self.state {
            State::Authority => self.in_authority(byte, here),
            State::Name => self.in_name(byte),
            State::Equals | State::Value if ends_value(byte) => self.leave(byte),
            // A variable, a template's field, what was hidden before.
            State::Equals if matches!(byte, b'$' | b'{' | b'*') => self.leave(byte),
            State::Equals | State::Value => {
                self.hide(here, here + 1);
                self.state = State::Value;
            }
            _ => self.open(byte),
        }
    }

    fn in_authority(&mut self, byte: u8, here: u64) {
        if ends_authority(byte) || self.text.len() == LONGEST {
            self.end_authority(here);
            self.step(byte, here);
            return;
        }
        if byte == b'@' {
            self.at = Some(self.text.len());
        }
        self.text.push(byte);
    }

    fn in_name(&mut self, byte: u8) {
        let fits = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b';');
        if byte == b'=' {
            // HTML writes `&` as `&amp;`.
            let name = self.text.strip_prefix(b"amp;").unwrap_or(&self.text);
            self.state = if is_telling(name) { State::Equals } else { State::Ground };
        } else if fits && self.text.len() < LONGEST_NAME {
            self.text.push(byte);
        } else {
            self.leave(byte);
        }
    }

    /// Goes on with `://`, or with its form in JSON.
    fn open(&mut self, byte: u8) {
        match (self.state, byte) {
            (State::Colon, b'/') => self.state = State::Slash,
            (State::Colon, b'\\') => self.state = State::Escape,
            (State::Escape, b'/') => self.state = State::EscapedSlash,
            (State::EscapedSlash, b'\\') => self.state = State::SecondEscape,
            (State::Slash | State::SecondEscape, b'/') => self.enter(&[]),
            _ => self.leave(byte),
        }
    }

    /// Begins anew with a byte that did not go on with what was before it.
    fn leave(&mut self, byte: u8) {
        self.state = match byte {
            b':' => State::Colon,
            b'?' | b'&' => State::Name,
            _ => State::Ground,
        };
        self.text.clear();
    }

    /// In an authority of which so much has been read.
    fn enter(&mut self, authority: &[u8]) {
        self.state = State::Authority;
        self.at = None;
        self.text.clear();
        self.text.extend_from_slice(authority);
    }

    /// The authority is over before the byte at `end`.
    fn end_authority(&mut self, end: u64) {
        let text = std::mem::take(&mut self.text);
        let start = end - text.len() as u64;
        let host = self.at.take().map_or(0, |at| at + 1);
        // `docker://alpine:3.20@sha256:…` is no user at a host.
        if host > 0 && !text[host..].starts_with(b"sha256:") {
            let [user, password] = telling(&text[..host - 1]);
            for (from, to) in user.into_iter().chain(password) {
                self.hide(start + from as u64, start + to as u64);
            }
        }
        // The end of one may be the beginning of the next: `a://b://c`.
        self.state = if text.last() == Some(&b':') { State::Colon } else { State::Ground };
        // What might have been a password turned out to be parameters: `next=https://host&token=…`.
        if let Some(len) = memchr::memchr(b'&', &text[host..]) {
            self.state = State::Ground;
            for (at, byte) in text.iter().enumerate().skip(host + len) {
                self.step(*byte, start + at as u64);
            }
        }
    }

    fn hide(&mut self, start: u64, end: u64) {
        match self.hidden.last_mut() {
            Some((_, last)) if *last == start => *last = end,
            _ if start < end => self.hidden.push((start, end)),
            _ => {}
        }
    }
}

/// From where to where a user's name and a password are to be hidden.
fn telling(user_info: &[u8]) -> [Option<(usize, usize)>; 2] {
    let colon = memchr::memchr(b':', user_info).unwrap_or(user_info.len());
    let (user, password) = (&user_info[..colon], user_info.get(colon + 1..).unwrap_or_default());
    let user_tells = is_token(user) || password == b"x-oauth-basic" && !is_placeholder(user);
    let password_tells = !password.is_empty() && !is_placeholder(password);
    [user_tells.then_some((0, colon)), password_tells.then_some((colon + 1, user_info.len()))]
}

/// Whether a user's name is a token: it begins like one, or is a long word of letters and digits.
fn is_token(user: &[u8]) -> bool {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'=' | b'~');
    let long = user.len() >= TOKEN && user.iter().all(word);
    has_prefix(user) || long && user.iter().any(u8::is_ascii_digit) && user.iter().any(u8::is_ascii_alphabetic)
}

/// From where on what was cut off is the beginning of a token, or of a password: a port begins with a digit, an address of
/// IPv6 with a bracket.
fn beginning(authority: &[u8]) -> Option<usize> {
    if has_prefix(authority) {
        return Some(0);
    }
    let password = memchr::memchr(b':', authority)? + 1;
    let port = !authority.get(password).is_some_and(u8::is_ascii_alphabetic) || authority.starts_with(b"[");
    (!port).then_some(password)
}

fn has_prefix(text: &[u8]) -> bool {
    PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

/// Whether something else is meant to be put there: `${NAME}`, `$NAME`, `{name}`, `%s`, `%(name)s`.
fn is_placeholder(text: &[u8]) -> bool {
    let variable = |name: &[u8]| {
        let fits = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
        name.first().is_some_and(|first| !first.is_ascii_digit()) && name.iter().all(fits)
    };
    match text {
        [b'$', b'{', .., b'}'] | [b'{', .., b'}'] | [b'%', b'(', .., b')', b's'] | b"%s" => true,
        [b'$', name @ ..] => variable(name),
        _ => false,
    }
}

/// What no authority holds: blanks, control bytes, quotes, the path, and backslashes, which escape something.
fn ends_authority(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | 0x7f | b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\')
}

/// What no parameter's value holds.
fn ends_value(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | 0x7f | b'&' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\')
}

/// The authority that a text ends in the middle of.
fn last_authority(text: &[u8]) -> Option<&[u8]> {
    let near = &text[text.len().saturating_sub(LONGEST + br":\/\/".len())..];
    let end = near.iter().rposition(|byte| ends_authority(*byte))? + 1;
    let (before, authority) = near.split_at(end);
    let opened = before.ends_with(b"://") || before.ends_with(br":\/\/");
    (opened && authority.len() <= LONGEST).then_some(authority)
}

/// How much of `://` a text ends with.
fn last_opener(text: &[u8]) -> State {
    match text {
        [.., b':'] => State::Colon,
        [.., b':', b'/'] => State::Slash,
        [.., b':', b'\\'] => State::Escape,
        [.., b':', b'\\', b'/'] => State::EscapedSlash,
        [.., b':', b'\\', b'/', b'\\'] => State::SecondEscape,
        _ => State::Ground,
    }
}
