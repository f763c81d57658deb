//! What a module of Python binds its names to, read off its tokens in one pass. Nothing is ever run.

use std::collections::HashMap;
use std::sync::Arc;

use super::python::{self, Assigned, Placed, Token};
use crate::diag::{SourceText, Span};

/// A function found at the left margin of a module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Function {
    /// Parameters with a name, and whether they have a default.
    pub parameters: Vec<(String, bool)>,
    /// A decorator may change what it takes.
    pub decorated: bool,
    /// Whether it takes `*args` or `**kwargs`, which are among its parameters, too.
    pub open: bool,
    /// The names it asks `upstream[…]` for.
    pub upstream: Vec<String>,
}

/// What a module binds a name to.
pub(crate) enum Binding {
    /// `def name(…)`, or a class without bases, which is called as its `__init__` says.
    Function(Function),
    /// `def name(…)` below an `if` or a `try`: Ploomber cannot cut its source out.
    Indented,
    /// A literal: it cannot be called.
    Literal,
    /// A class, an import, an assignment: its shape is not known here.
    Other,
    /// Nothing, as far as can be seen; `true` when `from x import *` or `__getattr__` could still provide it.
    Missing(bool),
}

/// A module's names.
pub(super) struct Module {
    tokens: Vec<Placed>,
    names: HashMap<String, Seen>,
    /// Its functions at the left margin, in order.
    functions: Vec<String>,
    /// Names may come from where they cannot be seen.
    open: bool,
    /// The text, and where it is no Python: a bracket without a partner, or a block without a colon.
    pub broken: Option<(Arc<SourceText>, Span)>,
}

/// Where a name was seen.
#[derive(Default)]
struct Seen {
    /// Where the parameters of the last `def` start, and whether it is decorated; nothing where the name was bound anew.
    def: Option<(usize, bool)>,
    /// Where what follows the name of the last `class` starts, if that is what the name is bound to.
    class: Option<(usize, bool)>,
    /// Whether the last assignment is a literal.
    literal: bool,
    /// `def` below an `if`, a `try` or the like.
    indented: bool,
    /// A class, an import, an assignment.
    other: bool,
}

impl Module {
    /// Reads a module's text; it is shown as `name`.
    pub(super) fn new(name: &str, text: &str) -> Self {
        let tokens = python::tokens(text);
        let is_cut = tokens.iter().any(python::is_cut);
        let unpaired = if is_cut { None } else { python::unpaired(&tokens) };
        let wrong = unpaired.or_else(|| python::without_colon(text, &tokens));
        let broken = wrong.map(|start| {
            let source = SourceText { name: name.to_owned(), text: text.to_owned() };
            (Arc::new(source), Span { start, len: 1 })
        });
        let mut module = Self { tokens, names: HashMap::new(), functions: Vec::new(), open: is_cut, broken };
        let (mut statement, mut block, mut decorated) = (0, String::new(), false);
        for index in 0..module.tokens.len() {
            let placed = &module.tokens[index];
            if placed.token == Token::Newline {
                statement = index + 1;
            } else if placed.top {
                module.first_of_line(index, decorated);
                decorated = module.tokens[index].token == Token::Mark('@');
                if let Token::Name(word) = &module.tokens[index].token {
                    block.clone_from(word);
                }
            } else {
                module.inside_line(index, statement, &block);
            }
        }
        module
    }

    /// The word at `index`, or nothing.
    fn word(&self, index: usize) -> &str {
        match self.tokens.get(index).map(|t| &t.token) {
            Some(Token::Name(word)) => word,
            _ => "",
        }
    }

    fn seen(&mut self, index: usize) -> &mut Seen {
        let name = self.word(index).to_owned();
        self.names.entry(name).or_default()
    }

    /// Takes in a token that starts a line at the left margin.
    fn first_of_line(&mut self, index: usize, decorated: bool) {
        let at = index + usize::from(self.word(index) == "async");
        if self.word(at) == "def" && !self.word(at + 1).is_empty() {
            *self.seen(at + 1) = Seen { def: Some((at + 2, decorated)), ..Seen::default() };
            if at == index {
                self.functions.push(self.word(at + 1).to_owned());
            }
        }
        if self.word(index) == "class" && !self.word(index + 1).is_empty() {
            *self.seen(index + 1) = Seen { class: Some((index + 2, decorated)), ..Seen::default() };
        }
        if let Some(assigned) = python::assignment(&self.tokens, index) {
            let literal = matches!(assigned, Assigned::Literal(_));
            *self.seen(index) = Seen { literal, ..Seen::default() };
        }
        let star = || line(&self.tokens[index..]).iter().any(|t| t.token == Token::Mark('*'));
        // Conditional definitions are indented; they may bind the name.
        self.open |= match self.word(index) {
            "def" => self.word(index + 1) == "__getattr__",
            "from" => star(),
            "if" | "try" | "with" | "for" => true,
            _ => false,
        };
        let bound = index + usize::from(self.word(index) == "class");
        self.seen(index).other = true;
        self.seen(bound).other = true;
    }

    /// Takes in a token of the statement that starts at `statement`, below the last line that is not indented.
    fn inside_line(&mut self, index: usize, statement: usize, block: &str) {
        if self.word(index).is_empty() {
            return;
        }
        let conditional =
            matches!(block, "if" | "elif" | "else" | "try" | "except" | "finally" | "with" | "for" | "while");
        if conditional && self.word(index) == "def" && !self.word(index + 1).is_empty() {
            self.seen(index + 1).indented = true;
        }
        if self.tokens[statement].top && matches!(self.word(statement), "from" | "import") {
            self.seen(index).other = true;
        }
    }

    /// Names of the functions at the left margin.
    pub(super) fn functions(&self) -> Vec<String> {
        self.functions.clone()
    }

    /// What `name` is bound to; the last `def`, `class` or assignment counts.
    pub(super) fn binding(&self, name: &str) -> Binding {
        match self.names.get(name) {
            Some(Seen { def: Some((at, decorated)), .. }) => {
                Binding::Function(signature(&self.tokens[*at..], *decorated))
            }
            Some(Seen { class: Some((at, false)), .. }) => {
                class(&self.tokens[*at..]).map_or(Binding::Other, Binding::Function)
            }
            Some(Seen { literal: true, .. }) => Binding::Literal,
            Some(Seen { indented: true, .. }) => Binding::Indented,
            Some(Seen { other: true, .. }) => Binding::Other,
            _ => Binding::Missing(self.open),
        }
    }
}

fn line(tokens: &[Placed]) -> &[Placed] {
    let end = tokens.iter().position(|t| t.token == Token::Newline).unwrap_or(tokens.len());
    &tokens[..end]
}

/// Reads `(a, b=1, *args, **kwargs): body`.
fn signature(tokens: &[Placed], decorated: bool) -> Function {
    let mut function = Function { decorated, ..Function::default() };
    let (mut depth, mut fresh, mut starred, mut end) = (0_usize, true, false, tokens.len());
    for (index, placed) in tokens.iter().enumerate() {
        match &placed.token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    end = index;
                    break;
                }
            }
            Token::Mark(',') if depth == 1 => (fresh, starred) = (true, false),
            Token::Mark('*') if depth == 1 && fresh => starred = true,
            Token::Mark('=') if depth == 1 => {
                if let Some(last) = function.parameters.last_mut() {
                    last.1 = true;
                }
            }
            Token::Name(name) if depth == 1 && fresh => {
                // Ploomber asks for `*args` and `**kwargs` by name, too.
                function.parameters.push((name.clone(), false));
                function.open |= starred;
                fresh = false;
            }
            _ => {}
        }
    }
    let body = &tokens[end..];
    let stop = body.iter().position(|t| t.top).unwrap_or(body.len());
    function.upstream = upstream_keys(&body[..stop]);
    function
}

/// What a class takes that has no bases, by its own `__init__`; `tokens` begin behind its name. `None` where anything else
/// may have a say in that.
fn class(tokens: &[Placed]) -> Option<Function> {
    let is_name = |placed: &Placed, name: &str| matches!(&placed.token, Token::Name(word) if word == name);
    let colon = tokens.iter().position(|placed| placed.token == Token::Mark(':'))?;
    let has_bases = tokens[..colon].iter().any(|placed| match &placed.token {
        Token::Mark('(' | ')') => false,
        Token::Name(word) => word != "object",
        _ => true,
    });
    let body = &tokens[colon..];
    let body = &body[..body.iter().position(|placed| placed.top).unwrap_or(body.len())];
    let unclear = ["class", "__new__", "__call__", "__signature__", "exec", "locals", "vars"];
    let is_unclear =
        body.iter().any(|placed| placed.token == Token::Mark('@') || unclear.iter().any(|name| is_name(placed, name)));
    if has_bases || is_unclear {
        return None;
    }
    let bound: Vec<usize> = (1..body.len())
        .filter(|at| is_name(&body[*at], "__init__") && body[*at - 1].token != Token::Mark('.'))
        .collect();
    let mut function = match bound[..] {
        [] => Function::default(),
        [at] if is_name(&body[at - 1], "def") => {
            let before = &body[..at];
            let conditions = ["if", "try", "with", "for", "while"];
            if before.iter().any(|placed| conditions.iter().any(|word| is_name(placed, word))) {
                return None;
            }
            let mut function = signature(&body[at + 1..], false);
            if function.parameters.first().is_none_or(|(name, _)| name != "self") {
                return None;
            }
            function.parameters.remove(0);
            function
        }
        _ => return None,
    };
    function.upstream = upstream_keys(body);
    Some(function)
}

fn upstream_keys(tokens: &[Placed]) -> Vec<String> {
    let mut keys: Vec<String> = tokens
        .windows(4)
        .filter_map(|w| match (&w[0].token, &w[1].token, &w[2].token, &w[3].token) {
            (Token::Name(name), Token::Mark('['), Token::Text(key), Token::Mark(']')) if name == "upstream" => {
                Some(key.clone())
            }
            _ => None,
        })
        .collect();
    keys.sort();
    keys.dedup();
    keys
}
