//! Drive's search: `and`, `or`, `not`, parentheses, and the comparisons that clients make; pages; listings that lag.

use std::time::Instant;

use serde_json::{Value, json};

use super::super::ask::{Answer, Ask, Reply};
use super::super::tree::Node;
use super::super::{Account, Drive, Shared};
use super::{kind, real_id, refuse, show};

enum Test {
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
    Not(Box<Test>),
    /// `field operator value`; for `in` the field is the value.
    Compare(String, String, String),
}

/// Words, quoted texts (with `'` before them), signs.
fn tokens(text: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(&next) = rest.peek() {
        if next.is_whitespace() {
            rest.next();
        } else if next == '\'' {
            rest.next();
            let mut value = String::from("'");
            loop {
                match rest.next()? {
                    '\\' => value.push(rest.next()?),
                    '\'' => break,
                    other => value.push(other),
                }
            }
            found.push(value);
        } else if next == '(' || next == ')' {
            found.push(String::from(next));
            rest.next();
        } else {
            let sign = |c: char| "=!<>".contains(c);
            let mut word = String::new();
            while let Some(&c) = rest.peek() {
                if c.is_whitespace() || "()'".contains(c) || (!word.is_empty() && sign(c) != word.contains(sign)) {
                    break;
                }
                word.push(c);
                rest.next();
            }
            found.push(word);
        }
    }
    Some(found)
}

struct Parser {
    tokens: std::vec::IntoIter<String>,
}

impl Parser {
    fn peek(&self) -> &str {
        self.tokens.as_slice().first().map_or("", String::as_str)
    }

    fn takes(&mut self, word: &str) -> bool {
        let is = self.peek().eq_ignore_ascii_case(word);
        if is {
            self.tokens.next();
        }
        is
    }

    fn any(&mut self) -> Option<Test> {
        let mut left = self.all()?;
        while self.takes("or") {
            left = Test::Or(Box::new(left), Box::new(self.all()?));
        }
        Some(left)
    }

    fn all(&mut self) -> Option<Test> {
        let mut left = self.one()?;
        while self.takes("and") {
            left = Test::And(Box::new(left), Box::new(self.one()?));
        }
        Some(left)
    }

    fn one(&mut self) -> Option<Test> {
        if self.takes("not") {
            return Some(Test::Not(Box::new(self.one()?)));
        }
        if self.takes("(") {
            let inner = self.any()?;
            return self.takes(")").then_some(inner);
        }
        let (field, operator) = (self.tokens.next()?, self.tokens.next()?);
        if operator == "has" {
            // `{ key='…' and value='…' }` is not understood.
            return None;
        }
        Some(Test::Compare(field, operator, self.tokens.next()?))
    }
}

fn parse(text: &str) -> Option<Test> {
    let mut parser = Parser { tokens: tokens(text)?.into_iter() };
    let test = parser.any()?;
    parser.tokens.next().is_none().then_some(test)
}

/// None where the comparison is not known.
fn holds(test: &Test, account: &Account, node: &Node) -> Option<bool> {
    Some(match test {
        Test::And(one, other) => holds(one, account, node)? & holds(other, account, node)?,
        Test::Or(one, other) => holds(one, account, node)? | holds(other, account, node)?,
        Test::Not(inner) => !holds(inner, account, node)?,
        Test::Compare(field, operator, value) => compare(field, operator, value, account, node)?,
    })
}

fn compare(field: &str, operator: &str, value: &str, account: &Account, node: &Node) -> Option<bool> {
    if operator == "in" {
        let wanted = real_id(account, field.strip_prefix('\'')?);
        return match value {
            "parents" => Some(node.parent == wanted),
            "owners" | "writers" | "readers" => Some(true),
            _ => None,
        };
    }
    let text = value.strip_prefix('\'');
    let have = match field {
        "name" => node.name.as_str(),
        "mimeType" => kind(node),
        "modifiedTime" => &node.client_modified,
        "createdTime" => &node.made,
        "trashed" => return Some((account.tree.is_live(&node.id) != (value == "true")) == (operator == "=")),
        "sharedWithMe" | "starred" => return Some((value == "false") == (operator == "=")),
        _ => return None,
    };
    let text = text?;
    Some(match operator {
        // Names are compared without regard to case, and found by their beginning.
        "=" if field == "name" => have.to_lowercase() == text.to_lowercase(),
        "=" => have == text,
        "!=" => have != text,
        "contains" => have.to_lowercase().starts_with(&text.to_lowercase()),
        "<" => have < text,
        "<=" => have <= text,
        ">" => have > text,
        ">=" => have >= text,
        _ => return None,
    })
}

pub fn list(shared: &Shared, ask: &Ask) -> Answer {
    let mut account = shared.account(Drive::GDrive);
    let invalid = |what: &str| refuse(400, "invalid", what);
    let size = ask.query("pageSize").map_or(Some(100), |text| text.parse::<usize>().ok());
    let size = size.filter(|size| (1..=1000).contains(size)).ok_or_else(|| invalid("pageSize"))?.min(account.page);
    let mut shown: Vec<Value> = match ask.query("pageToken").filter(|token| !token.is_empty()) {
        Some(token) => account.cursors.remove(token).ok_or_else(|| invalid("Invalid Value: pageToken"))?,
        None => {
            let test = match ask.query("q").map(str::trim).filter(|text| !text.is_empty()) {
                None => None,
                Some(text) => Some(parse(text).ok_or_else(|| invalid(&format!("Invalid Value: {text}")))?),
            };
            let mut found: Vec<&Node> = Vec::new();
            for node in account.tree.all().filter(|node| node.id != account.tree.root) {
                let fits = test.as_ref().map_or(Some(true), |test| holds(test, &account, node));
                let fits = fits.ok_or_else(|| invalid("Invalid Value: q"))?;
                let is_shown = node.shown.is_none_or(|from| from <= Instant::now());
                if fits && is_shown && ask.stale.is_none_or(|clock| node.born <= clock) {
                    found.push(node);
                }
            }
            // Without `orderBy` there is no order to rely on: the newest first.
            found.sort_by_key(|node| std::cmp::Reverse(node.born));
            match ask.query("orderBy").map(|order| order.split(',').next().unwrap_or_default()) {
                Some("name") => found.sort_by(|one, other| one.name.cmp(&other.name)),
                Some("createdTime") => found.sort_by_key(|node| node.born),
                _ => {}
            }
            found.into_iter().map(|node| show(&account, node)).collect()
        }
    };
    let rest = shown.split_off(shown.len().min(size));
    let mut value = json!({"kind": "drive#fileList", "incompleteSearch": false, "files": shown});
    if !rest.is_empty() {
        value["nextPageToken"] = json!(account.cursor(rest));
    }
    Ok(Reply::json(200, &value))
}
