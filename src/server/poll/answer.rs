//! What a Git server says about its refs, in every form that one may say it: `ls-refs` of protocol 2, the advertisement
//! of protocols 0 and 1, the file of a server that only serves files, and what `git ls-remote` prints. Pure.
//!
//! Servers are not trusted: names that are no refs and ids that are none are refused, not stored.

use std::collections::BTreeMap;

use thiserror::Error;

use super::pktline::{FramingError, Packet, Packets};

/// All that a server told, ref by ref.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refs {
    /// Ids by whole names. A tag that is an object of its own stands for the commit behind it.
    pub heads: BTreeMap<String, String>,
    /// What HEAD points to: `refs/heads/main`.
    pub head: Option<String>,
}

/// An answer to `GET info/refs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advertised {
    /// The server speaks protocol 2 and wants to be asked.
    Version2,
    /// The server told everything.
    Everything(Refs),
}

/// An answer that is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// Not even framed as one.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The server says what is wrong.
    #[error("the server says: {0}")]
    Refused(String),
    /// Something else than refs.
    #[error("the answer is no list of refs")]
    Content,
}

/// Reads the answer to `ls-refs`.
///
/// # Errors
/// When it is not a whole list of refs, ended as one.
pub fn ls_refs(bytes: &[u8]) -> Result<Refs, AnswerError> {
    let mut refs = Refs::default();
    let mut packets = Packets::of(bytes);
    loop {
        match packets.next().ok_or(FramingError::Cut)?? {
            Packet::Line(line) => refs.take_line(line)?,
            // Nothing may follow: two answers in one are none.
            Packet::Flush if packets.next().is_none() => return Ok(refs),
            _ => return Err(AnswerError::Content),
        }
    }
}

/// Reads the answer to `GET info/refs`, framed or plain.
///
/// # Errors
/// When it is neither.
pub fn info_refs(bytes: &[u8]) -> Result<Advertised, AnswerError> {
    if bytes.first_chunk::<41>().is_some_and(|head| is_id(&head[..40]) && head[40] == b'\t') {
        return listed(bytes).map(Advertised::Everything);
    }
    let mut refs = Refs::default();
    let mut first = true;
    for packet in Packets::of(bytes) {
        let Packet::Line(line) = packet? else { continue };
        if line.starts_with(b"# service=") {
            continue;
        }
        if first && line == b"version 2" {
            return Ok(Advertised::Version2);
        }
        if first && line == b"version 1" {
            continue;
        }
        let (line, capabilities) = match line.iter().position(|&byte| byte == 0) {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &b""[..]),
        };
        refs.take_capabilities(capabilities);
        // A repository without refs has one line that says only what the server can do.
        if !line.ends_with(b" capabilities^{}") {
            refs.take_line(line)?;
        }
        first = false;
    }
    if first { Err(AnswerError::Content) } else { Ok(Advertised::Everything(refs)) }
}

/// Reads lines of `ID TAB NAME`, as `git ls-remote --symref` prints them and plain files have them.
///
/// # Errors
/// When a line is something else.
pub fn listed(bytes: &[u8]) -> Result<Refs, AnswerError> {
    let mut refs = Refs::default();
    for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let tab = line.iter().position(|&byte| byte == b'\t').ok_or(AnswerError::Content)?;
        let (id, name) = (&line[..tab], &line[tab + 1..]);
        if let Some(target) = id.strip_prefix(b"ref: ") {
            if name == b"HEAD" {
                refs.head = text(target).ok().filter(|target| is_ref(target)).map(str::to_owned);
            }
            continue;
        }
        refs.take(id, name)?;
    }
    Ok(refs)
}

impl Refs {
    /// `ID NAME`, and in protocol 2 more words behind it.
    fn take_line(&mut self, line: &[u8]) -> Result<(), AnswerError> {
        if let Some(words) = line.strip_prefix(b"ERR ") {
            return Err(AnswerError::Refused(shown(words)));
        }
        let mut words = line.split(|&byte| byte == b' ');
        let (id, name) = (words.next().unwrap_or_default(), words.next().ok_or(AnswerError::Content)?);
        // HEAD of an empty repository.
        if id != b"unborn" {
            self.take(id, name)?;
        }
        for word in words {
            if let Some(target) = word.strip_prefix(b"symref-target:")
                && name == b"HEAD"
            {
                self.head = text(target).ok().filter(|target| is_ref(target)).map(str::to_owned);
            }
            if let Some(commit) = word.strip_prefix(b"peeled:") {
                self.take(commit, &[name, b"^{}"].concat())?;
            }
        }
        Ok(())
    }

    fn take(&mut self, id: &[u8], name: &[u8]) -> Result<(), AnswerError> {
        if !is_id(id) {
            return Err(AnswerError::Content);
        }
        let (id, name) = (text(id)?, text(name)?);
        let name = name.strip_suffix("^{}").unwrap_or(name);
        // HEAD is told too, and names that a server made up are of no use to anybody.
        if is_ref(name) {
            // The commit behind a tag comes after the tag, and replaces it.
            self.heads.insert(name.to_owned(), id.to_owned());
        }
        Ok(())
    }

    fn take_capabilities(&mut self, capabilities: &[u8]) {
        let heads = capabilities.split(|&byte| byte == b' ').find_map(|word| word.strip_prefix(b"symref=HEAD:"));
        if let Some(Ok(target)) = heads.map(text) {
            self.head = is_ref(target).then(|| target.to_owned());
        }
    }
}

fn text(bytes: &[u8]) -> Result<&str, AnswerError> {
    std::str::from_utf8(bytes).map_err(|_| AnswerError::Content)
}

/// An id of SHA-1 or SHA-256, written as git writes it.
fn is_id(bytes: &[u8]) -> bool {
    matches!(bytes.len(), 40 | 64) && bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What git takes for a ref's name, as far as it matters here: no name of another file, no control character.
fn is_ref(name: &str) -> bool {
    name.strip_prefix("refs/").is_some_and(|rest| !rest.is_empty())
        && name.len() <= 1_000
        && !name.contains("..")
        && !name.contains("//")
        && !name.ends_with('/')
        && !name.chars().any(|c| c.is_control() || c == ' ' || "~^:?*[\\".contains(c))
}

/// A server's words, fit to be shown.
fn shown(words: &[u8]) -> String {
    let words = String::from_utf8_lossy(words);
    words.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pktline::put;
    use super::*;

    fn id(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    fn message(lines: &[String]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in lines {
            put(&mut bytes, line);
        }
        bytes.extend_from_slice(b"0000");
        bytes
    }

    #[test]
    fn ls_refs_gives_heads_the_commits_behind_tags_and_the_default_branch() {
        let lines = [
            format!("{} HEAD symref-target:refs/heads/main", id('a')),
            format!("{} refs/heads/main", id('a')),
            format!("{} refs/tags/v1 peeled:{}", id('b'), id('c')),
            "unborn refs/heads/none".to_owned(),
        ];
        let refs = ls_refs(&message(&lines)).unwrap();
        assert_eq!(refs.head.as_deref(), Some("refs/heads/main"));
        let heads: Vec<_> = refs.heads.into_iter().collect();
        assert_eq!(heads, [("refs/heads/main".to_owned(), id('a')), ("refs/tags/v1".to_owned(), id('c'))]);
    }

    #[test]
    fn an_answer_that_is_cut_off_is_no_answer_at_all() {
        let whole = message(&[format!("{} refs/heads/a", id('a')), format!("{} refs/heads/b", id('b'))]);
        for length in 0..whole.len() {
            assert!(ls_refs(&whole[..length]).is_err(), "{length} bytes");
        }
        assert!(ls_refs(&[&whole[..], &whole[..]].concat()).is_err());
    }

    #[test]
    fn older_servers_tell_everything_when_they_are_asked_what_they_speak() {
        let first = format!("{} HEAD\0multi_ack symref=HEAD:refs/heads/dev agent=git/1", id('a'));
        let lines = [first, format!("{} refs/heads/dev", id('a')), format!("{} refs/tags/t^{{}}", id('b'))];
        let bytes = [&b"001e# service=git-upload-pack\n0000"[..], &message(&lines)].concat();
        let Advertised::Everything(refs) = info_refs(&bytes).unwrap() else { panic!() };
        assert_eq!((refs.head.as_deref(), refs.heads.len()), (Some("refs/heads/dev"), 2));
        assert_eq!(refs.heads["refs/tags/t"], id('b'));
        let empty = message(&[format!("{} capabilities^{{}}\0agent=git/1", "0".repeat(40))]);
        assert_eq!(info_refs(&empty).unwrap(), Advertised::Everything(Refs::default()));
        let second = [&b"001e# service=git-upload-pack\n0000"[..], &message(&["version 2".to_owned()])].concat();
        assert_eq!(info_refs(&second).unwrap(), Advertised::Version2);
        let plain = format!("{}\trefs/heads/main\n{}\trefs/tags/v\n{}\trefs/tags/v^{{}}\n", id('a'), id('b'), id('c'));
        let Advertised::Everything(refs) = info_refs(plain.as_bytes()).unwrap() else { panic!() };
        assert_eq!(refs.heads["refs/tags/v"], id('c'));
    }

    #[test]
    fn pages_refusals_and_names_that_are_none_are_told_apart() {
        assert_eq!(info_refs(b"<!doctype html>"), Err(FramingError::Length.into()));
        assert_eq!(info_refs(b""), Err(AnswerError::Content));
        let refused = message(&["ERR access denied\u{1b}[31m or repository not exported".to_owned()]);
        let words = "access denied[31m or repository not exported".to_owned();
        assert_eq!(ls_refs(&refused), Err(AnswerError::Refused(words)));
        for name in ["refs/heads/../../etc", "refs/", "HEAD", "refs/heads/a\u{7}", "refs/heads/a*", "refs/heads//b"] {
            assert_eq!(ls_refs(&message(&[format!("{} {name}", id('a'))])).unwrap().heads.len(), 0, "{name}");
        }
        assert_eq!(ls_refs(&message(&["XYZ refs/heads/main".to_owned()])), Err(AnswerError::Content));
    }

    proptest! {
        #[test]
        fn any_bytes_give_refs_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for refs in [ls_refs(&bytes).ok(), listed(&bytes).ok()].into_iter().flatten() {
                prop_assert!(refs.heads.iter().all(|(name, sha)| is_ref(name) && is_id(sha.as_bytes())));
            }
            let _ = info_refs(&bytes);
        }
    }
}
