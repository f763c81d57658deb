//! Whether names, methods, types and patterns are right; all that is wrong is said at once.

use std::collections::BTreeMap;

use super::ast::{Comparison, Expr, Form, Place};
use super::matcher::Matcher;
use super::method::{Method, Wants};
use super::{Fault, Scope};
use crate::server::event::schema::Shape;
use crate::spec::suggest;

/// Patterns of one criterion; each is compiled and kept.
const MAX_PATTERNS: usize = 64;

/// The shape of an expression; null fits everywhere.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Type {
    Of(Shape),
    Null,
    /// A list of literals, all of one shape where it has items.
    List(Option<Shape>),
    /// Wrong, and said already.
    Wrong,
}

pub(super) fn check(expr: &Expr, scope: &Scope) -> Result<BTreeMap<usize, Matcher>, Vec<Fault>> {
    let mut checker = Checker { scope, faults: Vec::new(), matchers: BTreeMap::new() };
    checker.truth(expr);
    if checker.faults.is_empty() { Ok(checker.matchers) } else { Err(checker.faults) }
}

struct Checker<'a> {
    scope: &'a Scope,
    faults: Vec<Fault>,
    matchers: BTreeMap<usize, Matcher>,
}

impl Checker<'_> {
    fn wrong(&mut self, fault: Fault) -> Type {
        self.faults.push(fault);
        Type::Wrong
    }

    /// It has to be true or false.
    fn truth(&mut self, expr: &Expr) {
        match self.shape(expr) {
            Type::Of(Shape::Bool | Shape::Any) | Type::Wrong => {}
            other => {
                let fault = Fault::new(format!("`{expr}` is {}, not true or false", name(other)), expr.place);
                self.faults.push(fault.help(format!("ask something about it, for example `{expr} != null`")));
            }
        }
    }

    fn shape(&mut self, expr: &Expr) -> Type {
        match &expr.form {
            Form::Null => Type::Null,
            Form::Bool(_) => Type::Of(Shape::Bool),
            Form::Number(_) => Type::Of(Shape::Number),
            Form::Text(_) => Type::Of(Shape::Text),
            Form::List(items) => self.list(items),
            Form::Name(name) => match self.scope.name(name, expr.place) {
                Ok(shape) => Type::Of(shape),
                Err(fault) => self.wrong(fault),
            },
            Form::Field(of, name) => self.field(expr, of, name),
            Form::Item(of, key) => self.item(of, key),
            Form::Call { of, method, name, arguments } => self.call(of, method, *name, arguments),
            Form::Not(inner) => {
                self.truth(inner);
                Type::Of(Shape::Bool)
            }
            Form::And(parts) | Form::Or(parts) => {
                for part in parts {
                    self.truth(part);
                }
                Type::Of(Shape::Bool)
            }
            Form::Compare(how, left, right) => {
                let types = (self.shape(left), self.shape(right));
                if let Some(fault) = comparable(*how, types, expr, right.place) {
                    self.faults.push(fault);
                }
                Type::Of(Shape::Bool)
            }
        }
    }

    fn list(&mut self, items: &[Expr]) -> Type {
        let mut shape = None;
        for item in items {
            let Type::Of(found) = self.shape(item) else {
                return self.wrong(Fault::new("a list holds texts or numbers", item.place));
            };
            if shape.is_some_and(|shape| shape != found) {
                return self.wrong(Fault::new("the items of a list are all of one kind", item.place));
            }
            shape = Some(found);
        }
        Type::List(shape)
    }

    fn field(&mut self, expr: &Expr, of: &Expr, name: &str) -> Type {
        let Type::Of(shape) = self.shape(of) else { return Type::Wrong };
        let place = Place { start: expr.place.start + expr.place.len - name.len(), len: name.len() };
        match self.scope.field(shape, &of.to_string(), name, place) {
            Ok(shape) => Type::Of(shape),
            Err(fault) => self.wrong(fault),
        }
    }

    fn item(&mut self, of: &Expr, key: &Expr) -> Type {
        let found = self.shape(of);
        match (found, &key.form) {
            (Type::Wrong, _) => Type::Wrong,
            (Type::Of(Shape::Any), Form::Text(_) | Form::Number(_)) => Type::Of(Shape::Any),
            (Type::Of(Shape::Texts | Shape::Paths), Form::Number(_)) => Type::Of(Shape::Text),
            (Type::Of(Shape::Any), _) => self.wrong(Fault::new("`[…]` holds a text or a number", key.place)),
            _ => {
                let message = format!("`{of}` is {}, which has no items", name(found));
                self.wrong(Fault::new(message, of.place).help("`[…]` is for payloads and lists"))
            }
        }
    }

    fn call(&mut self, of: &Expr, method: &str, place: Place, arguments: &[Expr]) -> Type {
        let found = self.shape(of);
        let shape = match found {
            Type::Wrong => return Type::Wrong,
            Type::Of(shape) => shape,
            other => return self.wrong(Fault::new(format!("{} has no methods", name(other)), of.place)),
        };
        let known = Method::names_for(shape);
        let Some(one) = Method::named(method).filter(|one| one.takes(shape)) else {
            let message = format!("`{of}` is {}, which has no method `{method}`", shape.kind());
            let fault = Fault::new(message, place);
            let fault = if known.is_empty() { fault } else { fault.help(suggest::help(method, known)) };
            return self.wrong(fault);
        };
        self.arguments(one, method, place, arguments);
        Type::Of(one.gives())
    }

    fn arguments(&mut self, method: Method, word: &str, place: Place, arguments: &[Expr]) {
        let wants = method.wants();
        let fits = match wants {
            Wants::Nothing => arguments.is_empty(),
            Wants::Text | Wants::Regex | Wants::Glob => arguments.len() == 1,
            Wants::Globs => !arguments.is_empty(),
        };
        if !fits {
            let (message, help) = match wants {
                Wants::Nothing => (format!("`{word}` takes nothing"), format!("write `{word}()`")),
                Wants::Globs => (format!("`{word}` takes at least one pattern"), format!("write `{word}(\"src/**\")`")),
                _ => (format!("`{word}` takes one text"), format!("write `{word}(\"…\")`")),
            };
            self.faults.push(Fault::new(message, place).help(help));
            return;
        }
        for argument in arguments {
            let Form::Text(text) = &argument.form else {
                self.faults.push(Fault::new(format!("`{word}` takes texts"), argument.place).help("put it in quotes"));
                continue;
            };
            self.pattern(wants, text, argument.place);
        }
    }

    fn pattern(&mut self, wants: Wants, text: &str, place: Place) {
        let built = match wants {
            Wants::Nothing | Wants::Text => return,
            Wants::Regex => Matcher::regex(text),
            Wants::Glob | Wants::Globs => Matcher::glob(text),
        };
        match built {
            Ok(_) if self.matchers.len() >= MAX_PATTERNS => {
                self.faults.push(Fault::new(format!("more than {MAX_PATTERNS} patterns"), place));
            }
            Ok(matcher) => drop(self.matchers.insert(place.start, matcher)),
            Err(message) => self.faults.push(Fault::new(message, place)),
        }
    }
}

fn comparable(how: Comparison, types: (Type, Type), whole: &Expr, right: Place) -> Option<Fault> {
    let (left, other) = types;
    if left == Type::Wrong || other == Type::Wrong {
        return None;
    }
    match how {
        Comparison::In | Comparison::NotIn => membership(left, other, right),
        Comparison::Equal | Comparison::Different => match (left, other) {
            (Type::List(_), _) | (_, Type::List(_)) => {
                Some(Fault::new("lists are not compared", whole.place).help("write `x in [\"a\", \"b\"]`"))
            }
            (Type::Of(a), Type::Of(b)) if a != b && a != Shape::Any && b != Shape::Any => {
                Some(Fault::new(format!("{} is never equal to {}", a.kind(), b.kind()), whole.place))
            }
            _ => None,
        },
        _ => {
            let number = |one| matches!(one, Type::Of(Shape::Number | Shape::Any));
            if number(left) && number(other) {
                return None;
            }
            let message = format!("`{}` compares numbers, not {} and {}", how.sign(), name(left), name(other));
            Some(Fault::new(message, whole.place))
        }
    }
}

fn membership(left: Type, right: Type, place: Place) -> Option<Fault> {
    let Type::Of(item @ (Shape::Text | Shape::Number | Shape::Any)) = left else {
        return Some(Fault::new(format!("{} is in no list", name(left)), place));
    };
    let held = match right {
        Type::List(shape) => shape,
        Type::Of(Shape::Texts | Shape::Paths) => Some(Shape::Text),
        Type::Of(Shape::Any) => None,
        other => {
            let fault = Fault::new(format!("`in` wants a list, not {}", name(other)), place);
            return Some(fault.help("write `[\"a\", \"b\"]`, or `text.contains(\"…\")` for a part of a text"));
        }
    };
    let fits = held.is_none_or(|held| held == item || item == Shape::Any);
    (!fits).then(|| Fault::new(format!("{} is never in this list", item.kind()), place))
}

fn name(of: Type) -> &'static str {
    match of {
        Type::Of(shape) => shape.kind(),
        Type::Null => "null",
        Type::List(_) => "a list",
        Type::Wrong => "nothing",
    }
}
