//! Statements and headers of blocks.

use super::super::python::{Placed, Token};
use super::Lost;
use super::scope::{Kind, Names, Place};
use super::slip::{self, Slip};
use super::walk::{close, colon, comma, first, is_assignment, is_augmented, is_mark, mark, opens, word};

/// Reads code statement by statement.
#[derive(Debug)]
pub(super) struct Reader {
    /// What was read.
    pub names: Names,
    /// Whether letters are written by their names (`\N{DASH}`): then braces in a text may be no code.
    pub has_named_letters: bool,
    /// How deep it is in an expression.
    pub depth: usize,
    /// Whether the statement stands in no block.
    pub is_top: bool,
    /// The name that has a value only in the block that was begun: that of an exception.
    pub held: Option<String>,
    /// The first `return`, `yield` or `await` in no function, `break` in no loop, or parameter that is there twice.
    pub outside: Option<(usize, Slip)>,
}

impl Reader {
    /// Begins, with names that have a value already.
    pub(super) fn new(given: &[String], has_named_letters: bool) -> Self {
        Self { names: Names::new(given), has_named_letters, depth: 0, is_top: true, held: None, outside: None }
    }

    /// Reads a statement, or the header of a block; returns where the block stands, where that is on lines of its own.
    pub(super) fn line(&mut self, place: Place, line: &[Placed], is_guarded: bool) -> Result<Option<Place>, Lost> {
        let tokens = if word(line, 0) == "async" { &line[1..] } else { line };
        if is_mark(tokens, 0, '@') {
            self.walruses(place, tokens);
            self.expression(place, &tokens[1..])?;
            return Ok(None);
        }
        let keyword = word(tokens, 0);
        if !is_header(tokens)? {
            self.statements(place, tokens)?;
            return Ok(None);
        }
        let end = colon(tokens, 1)?.ok_or(Lost)?;
        let head = &tokens[1..end];
        self.walruses(place, head);
        let inside = match keyword {
            "def" => self.function(place, head)?,
            "class" => self.class(place, head)?,
            _ => self.block(place, keyword, head, is_guarded)?,
        };
        if end + 1 < tokens.len() {
            self.is_top = false;
            self.statements(inside, &tokens[end + 1..])?;
            return Ok(None);
        }
        Ok(Some(inside))
    }

    /// A block that is no scope of its own.
    fn block(&mut self, place: Place, keyword: &str, head: &[Placed], is_guarded: bool) -> Result<Place, Lost> {
        let at = |wanted: &'static str| first(head, 0, move |at| word(head, at) == wanted);
        // What a loop gives a value below may be looked up above when it comes round.
        let in_loop = Place { late: true, looped: true, ..place };
        match keyword {
            "while" => {
                self.expression(in_loop, head)?;
                return Ok(in_loop);
            }
            "for" => {
                let found = at("in")?.ok_or(Lost)?;
                self.expression(place, &head[found + 1..])?;
                self.target(place, &head[..found])?;
                return Ok(in_loop);
            }
            "try" => return Ok(Place { guarded: place.guarded || is_guarded, ..place }),
            "with" => self.with(place, head)?,
            "except" => {
                let named = at("as")?;
                let star = usize::from(is_mark(head, 0, '*'));
                self.expression(place, &head[star..named.unwrap_or(head.len())])?;
                if let Some(named) = named {
                    let name = word(head, named + 1);
                    let is_new = place.scope == 0 && !self.names.has_now(name);
                    self.held = is_new.then(|| name.to_owned());
                    self.target(place, &head[named + 1..])?;
                }
            }
            "case" => {
                let guard = at("if")?;
                for at in 0..guard.unwrap_or(head.len()) {
                    if !word(head, at).is_empty() {
                        self.names.bind(place.scope, word(head, at));
                    }
                }
                if let Some(guard) = guard {
                    self.expression(place, &head[guard + 1..])?;
                }
            }
            _ => self.expression(place, head)?,
        }
        Ok(place)
    }

    fn function(&mut self, place: Place, head: &[Placed]) -> Result<Place, Lost> {
        if word(head, 0).is_empty() || !is_mark(head, 1, '(') {
            return Err(Lost);
        }
        let end = close(head, 1)?;
        let scope = self.names.open(Kind::Function, place.scope);
        self.parameters(place, &head[2..end], scope)?;
        // `-> type`
        if let Some(returns) = head.get(end + 3..) {
            self.expression(Place { late: true, ..place }, returns)?;
        }
        self.names.bind(place.scope, word(head, 0));
        Ok(Place { scope, late: false, looped: false, ..place })
    }

    fn class(&mut self, place: Place, head: &[Placed]) -> Result<Place, Lost> {
        if word(head, 0).is_empty() {
            return Err(Lost);
        }
        // Types of its own (`class A[T]`) are names only inside.
        if is_mark(head, 1, '[') {
            return Err(Lost);
        }
        self.expression(place, &head[1..])?;
        let scope = self.names.open(Kind::Class, place.scope);
        self.names.bind(place.scope, word(head, 0));
        Ok(Place { scope, looped: false, ..place })
    }

    fn with(&mut self, place: Place, head: &[Placed]) -> Result<(), Lost> {
        let mut items = head;
        if is_mark(head, 0, '(') && close(head, 0)? + 1 == head.len() {
            let inner = &head[1..head.len() - 1];
            if first(inner, 0, |at| word(inner, at) == "as")?.is_some() {
                items = inner;
            }
        }
        let mut at = 0;
        while at < items.len() {
            let end = comma(items, at)?;
            let item = &items[at..end];
            let named = first(item, 0, |at| word(item, at) == "as")?;
            self.expression(place, &item[..named.unwrap_or(item.len())])?;
            if let Some(named) = named {
                self.target(place, &item[named + 1..])?;
            }
            at = end + 1;
        }
        Ok(())
    }

    /// Statements with `;` between them.
    fn statements(&mut self, place: Place, tokens: &[Placed]) -> Result<(), Lost> {
        let mut at = 0;
        while at < tokens.len() {
            let end = first(tokens, at, |here| is_mark(tokens, here, ';'))?.unwrap_or(tokens.len());
            self.statement(place, &tokens[at..end])?;
            at = end + 1;
        }
        Ok(())
    }

    fn statement(&mut self, place: Place, tokens: &[Placed]) -> Result<(), Lost> {
        self.walruses(place, tokens);
        if self.outside.is_none() && self.names.is_outside(place.scope) {
            self.outside = slip::outside(tokens);
        }
        if self.outside.is_none() && !place.looped {
            self.outside = slip::unlooped(tokens);
        }
        match word(tokens, 0) {
            "import" => self.imports(place, &tokens[1..]),
            "from" => {
                let import = (0..tokens.len()).find(|at| word(tokens, *at) == "import").ok_or(Lost)?;
                self.imports(place, &tokens[import + 1..])
            }
            "global" | "nonlocal" => {
                for at in 1..tokens.len() {
                    self.names.declare(word(tokens, at));
                }
                Ok(())
            }
            "del" if self.is_top => self.deletion(place, &tokens[1..]),
            // In a block, what is gone may be there all the same: who knows which way the code went.
            "pass" | "break" | "continue" | "del" => Ok(()),
            "return" | "raise" | "assert" => self.expression(place, &tokens[1..]),
            _ => self.assignment(place, tokens),
        }
    }

    /// `del`, without the word.
    fn deletion(&mut self, place: Place, tokens: &[Placed]) -> Result<(), Lost> {
        let mut at = 0;
        while at < tokens.len() {
            let end = comma(tokens, at)?;
            let name = word(tokens, at);
            if end == at + 1 && !name.is_empty() {
                self.names.look_up(place, name, tokens[at].at);
                self.names.unbind(Some(name));
            }
            at = end + 1;
        }
        Ok(())
    }

    /// `from … import` and `import`, without these words.
    fn imports(&mut self, place: Place, tokens: &[Placed]) -> Result<(), Lost> {
        for part in tokens.split(|placed| placed.token == Token::Mark(',')) {
            if part.iter().any(|placed| placed.token == Token::Mark('*')) {
                return Err(Lost);
            }
            let names: Vec<&str> = (0..part.len()).map(|at| word(part, at)).filter(|word| !word.is_empty()).collect();
            let named = if names.contains(&"as") { names.last() } else { names.first() };
            if let Some(name) = named {
                self.names.bind(place.scope, name);
            }
        }
        Ok(())
    }

    /// Assignments of every kind, and expressions.
    fn assignment(&mut self, place: Place, tokens: &[Placed]) -> Result<(), Lost> {
        let (mut equals, mut annotation, mut at) = (Vec::new(), None, 0);
        while at < tokens.len() && word(tokens, at) != "lambda" {
            if opens(tokens, at) {
                at = close(tokens, at)?;
            } else if is_assignment(tokens, at) {
                equals.push(at);
            } else if is_augmented(tokens, at) {
                self.expression(place, tokens)?;
                return self.target(place, &tokens[..at]);
            } else if mark(tokens, at) == ':' && !is_mark(tokens, at + 1, '=') && equals.is_empty() {
                annotation = annotation.or(Some(at));
            }
            at += 1;
        }
        let Some(last) = equals.last().copied().or(annotation) else { return self.expression(place, tokens) };
        if let Some(annotation) = annotation {
            let end = equals.first().copied().unwrap_or(tokens.len());
            self.expression(Place { late: true, ..place }, &tokens[annotation + 1..end])?;
            if !equals.is_empty() {
                self.expression(place, &tokens[end + 1..])?;
            }
            return self.target(place, &tokens[..annotation]);
        }
        self.expression(place, &tokens[last + 1..])?;
        let mut begin = 0;
        for equal in equals {
            self.target(place, &tokens[begin..equal])?;
            begin = equal + 1;
        }
        Ok(())
    }
}

/// Whether a line is the header of a block. `match` and `case` are names, too.
fn is_header(tokens: &[Placed]) -> Result<bool, Lost> {
    match word(tokens, 0) {
        "if" | "elif" | "else" | "while" | "for" | "try" | "except" | "finally" | "with" | "def" | "class" => Ok(true),
        keyword @ ("match" | "case") if tokens.len() > 2 && !"=.,):]".contains(mark(tokens, 1)) => {
            let end = colon(tokens, 1)?;
            Ok(end.is_some_and(|end| end + 1 == tokens.len() || keyword == "case"))
        }
        _ => Ok(false),
    }
}
