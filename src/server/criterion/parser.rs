//! Words to a tree, with a bound on its depth: no text can make this overflow.

use super::ast::{Comparison, Expr, Form, Place};
use super::lexer::{Token, tokens};
use super::{Fault, MAX_DEPTH};

/// Words that are no names.
pub(super) const RESERVED: [&str; 8] = ["and", "or", "not", "in", "is", "true", "false", "null"];

pub(super) fn parse(text: &str) -> Result<Expr, Fault> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let expr = parser.any()?;
    match parser.peek() {
        Token::End => Ok(expr),
        Token::Sign("(") => {
            Err(parser.unexpected("`and`, `or` or the end").help("functions are methods: `text.method()`"))
        }
        _ => Err(parser.unexpected("`and`, `or` or the end")),
    }
}

struct Parser {
    tokens: Vec<(Token, Place)>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn place(&self) -> Place {
        self.tokens[self.at].1
    }

    /// The end is never passed.
    fn take(&mut self) -> (Token, Place) {
        let taken = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        taken
    }

    fn eat(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Token::Sign(found) if *found == sign);
        if there {
            self.take();
        }
        there
    }

    fn word(&mut self, word: &str) -> bool {
        let there = matches!(self.peek(), Token::Name(found) if found == word);
        if there {
            self.take();
        }
        there
    }

    fn expect(&mut self, sign: &'static str) -> Result<Place, Fault> {
        let place = self.place();
        if self.eat(sign) { Ok(place) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        let found = match self.peek() {
            Token::Name(name) => format!("`{name}`"),
            Token::Text(_) => "a text".to_owned(),
            Token::Number(number) => format!("`{number}`"),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::End => "the end".to_owned(),
        };
        Fault::new(format!("{wanted} was expected, but here is {found}"), self.place())
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Fault::new(format!("nested more than {MAX_DEPTH} deep"), self.place()));
        }
        let found = read(self);
        self.depth -= 1;
        found
    }

    /// `or` binds weakest.
    fn any(&mut self) -> Result<Expr, Fault> {
        self.chain("or", Self::all, Form::Or)
    }

    fn all(&mut self) -> Result<Expr, Fault> {
        self.chain("and", Self::negated, Form::And)
    }

    fn chain(
        &mut self,
        word: &str,
        part: impl Fn(&mut Self) -> Result<Expr, Fault>,
        form: impl Fn(Vec<Expr>) -> Form,
    ) -> Result<Expr, Fault> {
        let first = part(self)?;
        let mut parts = vec![first];
        while self.word(word) {
            parts.push(part(self)?);
        }
        let place = parts[0].place.to(parts[parts.len() - 1].place);
        match parts.pop() {
            Some(only) if parts.is_empty() => Ok(only),
            Some(last) => {
                parts.push(last);
                Ok(Expr { form: form(parts), place })
            }
            None => Err(self.unexpected("an expression")),
        }
    }

    fn negated(&mut self) -> Result<Expr, Fault> {
        let start = self.place();
        if !self.word("not") {
            return self.compared();
        }
        let inner = self.deeper(Self::negated)?;
        let place = start.to(inner.place);
        Ok(Expr { form: Form::Not(Box::new(inner)), place })
    }

    fn compared(&mut self) -> Result<Expr, Fault> {
        let left = self.value()?;
        let Some(comparison) = self.comparison()? else { return Ok(left) };
        let right = self.value()?;
        let place = left.place.to(right.place);
        let compared = Expr { form: Form::Compare(comparison, Box::new(left), Box::new(right)), place };
        let at = self.place();
        match self.comparison()? {
            None => Ok(compared),
            Some(_) => Err(Fault::new("comparisons do not follow one another", at).help("write `a < b and b < c`")),
        }
    }

    fn comparison(&mut self) -> Result<Option<Comparison>, Fault> {
        let signs = [
            ("==", Comparison::Equal),
            ("!=", Comparison::Different),
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Less),
            (">", Comparison::More),
        ];
        for (sign, comparison) in signs {
            if self.eat(sign) {
                return Ok(Some(comparison));
            }
        }
        if self.word("in") {
            return Ok(Some(Comparison::In));
        }
        if matches!(self.peek(), Token::Name(name) if name == "is") {
            return Err(self.unexpected("a comparison").help("write `==` or `!=`, also with `null`"));
        }
        if self.word("not") {
            return if self.word("in") { Ok(Some(Comparison::NotIn)) } else { Err(self.unexpected("`in`")) };
        }
        Ok(None)
    }

    fn value(&mut self) -> Result<Expr, Fault> {
        let mut value = self.first()?;
        let mut links = 0;
        loop {
            let next = if self.eat(".") {
                self.member(value)?
            } else if matches!(self.peek(), Token::Sign("[")) && !is_literal(&value.form) {
                self.item(value)?
            } else {
                return Ok(value);
            };
            links += 1;
            if links > MAX_DEPTH {
                return Err(Fault::new(format!("more than {MAX_DEPTH} names after one another"), next.place));
            }
            value = next;
        }
    }

    fn member(&mut self, of: Expr) -> Result<Expr, Fault> {
        let (Token::Name(name), place) = self.take() else {
            self.at -= usize::from(self.at > 0 && !matches!(self.peek(), Token::End));
            return Err(self.unexpected("a name"));
        };
        if !self.eat("(") {
            let whole = of.place.to(place);
            return Ok(Expr { form: Form::Field(Box::new(of), name), place: whole });
        }
        let mut arguments = Vec::new();
        if !matches!(self.peek(), Token::Sign(")")) {
            arguments.push(self.literal()?);
            while self.eat(",") {
                arguments.push(self.literal()?);
            }
        }
        let whole = of.place.to(self.expect(")")?);
        Ok(Expr { form: Form::Call { of: Box::new(of), method: name, name: place, arguments }, place: whole })
    }

    fn item(&mut self, of: Expr) -> Result<Expr, Fault> {
        self.expect("[")?;
        let key = self.literal()?;
        let place = of.place.to(self.expect("]")?);
        Ok(Expr { form: Form::Item(Box::new(of), Box::new(key)), place })
    }

    fn first(&mut self) -> Result<Expr, Fault> {
        let start = self.place();
        if self.eat("(") {
            let inner = self.deeper(Self::any)?;
            let place = start.to(self.expect(")")?);
            return Ok(Expr { place, ..inner });
        }
        match self.peek().clone() {
            Token::Name(name) if !RESERVED.contains(&name.as_str()) => {
                self.take();
                Ok(Expr { form: Form::Name(name), place: start })
            }
            _ => self.literal(),
        }
    }

    /// A text, a number, `true`, `false`, `null`, or a list of them.
    fn literal(&mut self) -> Result<Expr, Fault> {
        let start = self.place();
        let simple = |form| Ok(Expr { form, place: start });
        if self.eat("[") {
            let mut items = Vec::new();
            while !matches!(self.peek(), Token::Sign("]")) {
                items.push(self.deeper(Self::literal)?);
                if !self.eat(",") {
                    break;
                }
            }
            let place = start.to(self.expect("]")?);
            return Ok(Expr { form: Form::List(items), place });
        }
        let negative = self.eat("-");
        match self.peek().clone() {
            Token::Number(number) => {
                let place = start.to(self.take().1);
                Ok(Expr { form: Form::Number(if negative { -number } else { number }), place })
            }
            _ if negative => Err(self.unexpected("a number")),
            Token::Text(text) => {
                self.take();
                simple(Form::Text(text))
            }
            Token::Name(name) => {
                let form = match name.as_str() {
                    "true" => Form::Bool(true),
                    "false" => Form::Bool(false),
                    "null" => Form::Null,
                    "None" | "none" => return Err(self.unexpected("a value").help("write `null`")),
                    "True" | "False" => return Err(self.unexpected("a value").help("write `true` or `false`")),
                    word if RESERVED.contains(&word) => return Err(self.unexpected("a value")),
                    _ => {
                        return Err(self
                            .unexpected("a text, a number, `true`, `false` or `null`")
                            .help("put it in quotes"));
                    }
                };
                self.take();
                simple(form)
            }
            _ => Err(self.unexpected("a value")),
        }
    }
}

fn is_literal(form: &Form) -> bool {
    matches!(form, Form::Null | Form::Bool(_) | Form::Number(_) | Form::Text(_) | Form::List(_))
}
