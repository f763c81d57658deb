//! File patterns over bytes: `*` and `?` stay within a path part, `**` crosses any number of them, `[…]` is a set.
//!
//! A pattern without `/` matches a name at any depth; one with a `/` starts at the folder it is written for. A
//! pattern that matches a folder matches everything below it. Matching takes time proportional to pattern × path, so
//! that no pattern of a repository can hang a run.

use super::OutputsError;
use crate::id::RelPath;

/// One parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `**`
    Any,
    Name(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`: one character, which may be several bytes.
    One,
    /// `*`
    Star,
    Set {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
}

impl Pattern {
    /// Parses one pattern; a leading `./` and a trailing `/` mean nothing.
    ///
    /// # Errors
    /// When it is empty, climbs, or has an open `[`.
    pub fn parse(text: &str) -> Result<Self, OutputsError> {
        let refuse = |reason| OutputsError::Pattern { pattern: text.to_owned(), reason };
        let trimmed = text.strip_prefix("./").unwrap_or(text);
        let anchored = trimmed.strip_prefix('/');
        let plain = anchored.unwrap_or(trimmed).trim_end_matches('/');
        if plain.is_empty() {
            return Err(refuse("it is empty"));
        }
        let mut parts = Vec::new();
        if anchored.is_none() && !plain.contains('/') {
            parts.push(Part::Any);
        }
        for part in plain.split('/').filter(|part| !part.is_empty() && *part != ".") {
            parts.push(match part {
                ".." => return Err(refuse("it leads out of its folder")),
                "**" => Part::Any,
                name => Part::Name(tokens(name.as_bytes()).ok_or_else(|| refuse("a `[` is never closed"))?),
            });
        }
        Ok(Self { parts })
    }

    /// Whether it matches `path` or a folder above it.
    pub fn matches(&self, path: &RelPath) -> bool {
        let names: Vec<&[u8]> = path.as_bytes().split(|b| *b == b'/').collect();
        // `open` holds every number of pattern parts that can have been used up by the names so far.
        let mut open = vec![false; self.parts.len() + 1];
        open[0] = true;
        self.skip_any(&mut open);
        for name in names {
            let mut next = vec![false; self.parts.len() + 1];
            for (used, part) in self.parts.iter().enumerate().filter(|(used, _)| open[*used]) {
                match part {
                    Part::Any => {
                        next[used] = true;
                        next[used + 1] |= used + 1 == self.parts.len();
                    }
                    Part::Name(tokens) => next[used + 1] |= name_matches(tokens, name),
                }
            }
            self.skip_any(&mut next);
            open = next;
            if open[self.parts.len()] {
                return true;
            }
        }
        false
    }

    fn skip_any(&self, open: &mut [bool]) {
        for (used, part) in self.parts.iter().enumerate() {
            // A closing `**` asks for something below its folder, so it is not skipped.
            if open[used] && *part == Part::Any && used + 1 < self.parts.len() {
                open[used + 1] = true;
            }
        }
    }
}

fn tokens(name: &[u8]) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = name;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'*' if tokens.last() == Some(&Token::Star) => {}
            b'*' => tokens.push(Token::Star),
            b'?' => tokens.push(Token::One),
            b'\\' if !tail.is_empty() => {
                tokens.push(Token::Byte(tail[0]));
                rest = &tail[1..];
            }
            b'[' => {
                let negated = matches!(tail.first(), Some(b'!' | b'^'));
                let body = &tail[usize::from(negated)..];
                // A `]` that stands first is a member.
                let end = 1 + body.get(1..)?.iter().position(|b| *b == b']')?;
                tokens.push(Token::Set { negated, ranges: ranges(&body[..end]) });
                rest = &body[end + 1..];
            }
            byte => tokens.push(Token::Byte(*byte)),
        }
    }
    Some(tokens)
}

fn ranges(body: &[u8]) -> Vec<(u8, u8)> {
    let mut ranges = Vec::new();
    let mut rest = body;
    while let [first, tail @ ..] = rest {
        if let [b'-', last, more @ ..] = tail {
            ranges.push((*first, *last));
            rest = more;
        } else {
            ranges.push((*first, *first));
            rest = tail;
        }
    }
    ranges
}

/// Greedy matching that goes back to the last `*` only: linear in practice, quadratic at worst.
fn name_matches(tokens: &[Token], name: &[u8]) -> bool {
    let (mut t, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match tokens.get(t) {
            Some(Token::Star) => {
                star = Some((t, n));
                t += 1;
                continue;
            }
            Some(Token::Byte(byte)) => usize::from(name[n] == *byte),
            Some(Token::One) => character(&name[n..]),
            Some(Token::Set { negated, ranges }) => {
                let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&name[n]));
                usize::from(inside != *negated)
            }
            None => 0,
        };
        if step > 0 {
            t += 1;
            n += step;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            t = at + 1;
            n = from + 1;
        } else {
            return false;
        }
    }
    tokens[t..].iter().all(|token| *token == Token::Star)
}

/// Length of the first character; a byte that is no UTF-8 counts as one.
fn character(bytes: &[u8]) -> usize {
    (1..=4.min(bytes.len())).find(|len| std::str::from_utf8(&bytes[..*len]).is_ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &[u8]) -> bool {
        Pattern::parse(pattern).unwrap().matches(&RelPath::from_bytes(path).unwrap())
    }

    #[test]
    fn a_bare_name_matches_at_any_depth_and_a_path_only_where_it_says() {
        assert!(matches("*.csv", b"a.csv"));
        assert!(matches("*.csv", b"deep/er/a.csv"));
        assert!(!matches("data/*.csv", b"x/data/a.csv"));
        assert!(matches("data/*.csv", b"data/a.csv"));
        assert!(!matches("data/*.csv", b"data/more/a.csv"));
        assert!(!matches("/*.csv", b"data/a.csv"));
        assert!(matches("./plots/x.png", b"plots/x.png"));
    }

    #[test]
    fn double_star_crosses_folders_and_a_folder_takes_all_below() {
        assert!(matches("data/**/x", b"data/x"));
        assert!(matches("data/**/x", b"data/a/b/x"));
        assert!(matches("**", b"a/b"));
        assert!(matches("data/**", b"data/a/b"));
        assert!(!matches("data/**", b"data"));
        assert!(matches("data/", b"data/a/b"));
        assert!(matches("**/cache/**", b"x/cache/y"));
        assert!(!matches("data", b"database/x"));
    }

    #[test]
    fn sets_escapes_and_broken_utf8() {
        assert!(matches("[a-c]?.txt", b"b1.txt"));
        assert!(!matches("[!a-c]?.txt", b"b1.txt"));
        assert!(matches("[]]", b"]"));
        assert!(matches("\\*", b"*"));
        assert!(!matches("\\*", b"a"));
        assert!(matches("?.txt", "é.txt".as_bytes()));
        assert!(matches("*.txt", b"\xff\n.txt"));
        assert!(matches("a?b", b"a\xffb"));
    }

    #[test]
    fn refuses_what_is_no_pattern() {
        for bad in ["", "/", "../x", "a/../b", "[abc", "["] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_of_stars_does_not_hang() {
        let name = "a".repeat(4000);
        assert!(!matches(&"*a".repeat(200).replace("aa", "a"), format!("{name}b").as_bytes()));
        let path = vec!["a"; 1000].join("/");
        assert!(!matches(&format!("{}b", "**/a/".repeat(100)), path.as_bytes()));
    }
}
