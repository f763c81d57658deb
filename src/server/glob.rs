//! Globs over names with slashes: refs, repositories, paths. `*` and `?` stay within a part, `**` crosses parts.
//!
//! A pattern matches the whole name. Time is proportional to pattern × name, whatever both are.

/// A parsed glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`
    One,
    /// `*`
    Star,
    /// `**`
    Deep,
    /// The beginning of `**/`, which may be nothing at all.
    Enter,
    /// Within `**/`: characters up to a slash, any number of times.
    Inside,
    /// `[a-z]`, `[!a-z]`
    Set(bool, Vec<(char, char)>),
}

/// Bytes of one glob.
const MAX_BYTES: usize = 1024;

impl Glob {
    /// Parses a glob.
    ///
    /// # Errors
    /// Why it is none, as one sentence without a full stop.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the pattern is empty".to_owned());
        }
        if text.len() > MAX_BYTES {
            return Err(format!("the pattern is longer than {MAX_BYTES} bytes"));
        }
        let chars: Vec<char> = text.chars().collect();
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(c) = chars.get(at) {
            at += 1;
            let next = |offset: usize| chars.get(at + offset).copied();
            match c {
                '*' if next(0) == Some('*') => {
                    let begins = at == 1 || chars[at - 2] == '/';
                    at += 1;
                    if begins && chars.get(at) == Some(&'/') {
                        at += 1;
                        tokens.extend([Token::Enter, Token::Inside]);
                    } else {
                        tokens.push(Token::Deep);
                    }
                }
                '*' => tokens.push(Token::Star),
                '?' => tokens.push(Token::One),
                '[' => {
                    let (set, used) = set(&chars[at..]).ok_or("a `[` is never closed")?;
                    tokens.push(set);
                    at += used;
                }
                '\\' => {
                    tokens.push(Token::Char(next(0).ok_or("it ends with a lonely backslash")?));
                    at += 1;
                }
                c => tokens.push(Token::Char(*c)),
            }
        }
        Ok(Self { text: text.to_owned(), tokens })
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is a name without any pattern in it.
    pub fn is_plain(&self) -> bool {
        self.tokens.iter().all(|token| matches!(token, Token::Char(_)))
    }

    /// Whether it matches the whole name.
    pub fn matches(&self, name: &str) -> bool {
        // `open[i]`: the first i tokens can have used up the characters so far.
        let count = self.tokens.len();
        let mut open = vec![false; count + 1];
        open[0] = true;
        self.close(&mut open);
        for c in name.chars() {
            let mut next = vec![false; count + 1];
            for (place, token) in self.tokens.iter().enumerate().filter(|(place, _)| open[*place]) {
                match token {
                    Token::Deep => next[place] = true,
                    Token::Star => next[place] |= c != '/',
                    Token::Enter => {}
                    Token::Inside => {
                        next[place] = true;
                        next[place + 1] |= c == '/';
                    }
                    Token::One => next[place + 1] |= c != '/',
                    Token::Char(wanted) => next[place + 1] |= c == *wanted,
                    Token::Set(negated, ranges) => {
                        let inside = ranges.iter().any(|(from, to)| (*from..=*to).contains(&c));
                        next[place + 1] |= c != '/' && inside != *negated;
                    }
                }
            }
            self.close(&mut next);
            open = next;
        }
        open[count]
    }

    /// Adds what can be reached without reading a character.
    fn close(&self, open: &mut [bool]) {
        for (place, token) in self.tokens.iter().enumerate() {
            if open[place] {
                open[place + 1] |= matches!(token, Token::Star | Token::Deep | Token::Enter);
                if *token == Token::Enter {
                    open[place + 2] = true;
                }
            }
        }
    }
}

fn set(chars: &[char]) -> Option<(Token, usize)> {
    let negated = matches!(chars.first(), Some('!' | '^'));
    let start = usize::from(negated);
    // A `]` that stands first is a member.
    let end = start + 1 + chars.get(start + 1..)?.iter().position(|c| *c == ']')?;
    let body = &chars[start..end];
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < body.len() {
        if body.get(at + 1) == Some(&'-') && at + 2 < body.len() {
            ranges.push((body[at], body[at + 2]));
            at += 3;
        } else {
            ranges.push((body[at], body[at]));
            at += 1;
        }
    }
    Some((Token::Set(negated, ranges), end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        Glob::parse(pattern).unwrap().matches(name)
    }

    #[test]
    fn stars_stay_within_a_part_and_double_stars_do_not() {
        for (pattern, good, bad) in [
            ("main", "main", "main2"),
            ("feat/*", "feat/x", "feat/x/y"),
            ("feat/**", "feat/x/y", "feature"),
            ("**", "a/b/c", ""),
            ("src/**/x", "src/m/x", "src/mx"),
            ("src/**/*.py", "src/a/b/c.py", "src/a/b/c.pyc"),
            ("src/**/*.py", "src/c.py", "srcc.py"),
            ("**/test.py", "test.py", "mytest.py"),
            ("**/test.py", "a/b/test.py", "a/b/mytest.py"),
            ("v[0-9].?", "v1.x", "vx.x"),
            ("[!a]b", "cb", "ab"),
            ("a\\*", "a*", "ab"),
            ("*-x", "a-x", "a/b-x"),
            ("a/**/**/b", "a/b", "a/c"),
        ] {
            assert!(fits(pattern, good), "{pattern} takes {good}");
            assert!(bad.is_empty() || !fits(pattern, bad), "{pattern} does not take {bad}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_and_long_names_cost_little() {
        for wrong in ["", "[a", "a\\", &"x".repeat(2000)] {
            assert!(Glob::parse(wrong).is_err(), "{wrong}");
        }
        // A matcher that tries one way after another would not come to an end here.
        assert!(!fits(&"*a".repeat(60), &"a".repeat(3000).replace("aa", "ab")));
    }
}
