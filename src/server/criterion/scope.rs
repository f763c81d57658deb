//! Which names an expression or a template may use: the event, and the results of steps that came before.

use super::Fault;
use super::ast::Place;
use crate::server::event::Kind;
use crate::server::event::schema::{self, Field, Shape};
use crate::spec::suggest;

/// Names with their shapes, and the kinds of events that are handled.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    kinds: Vec<Kind>,
    roots: Vec<(String, Shape)>,
}

impl Scope {
    /// `event` alone, as events of these kinds have it; no kinds are all kinds.
    pub fn of(kinds: &[Kind]) -> Self {
        Self { kinds: kinds.to_vec(), roots: vec![("event".to_owned(), *schema::event())] }
    }

    /// The kinds of events that are handled; empty for all.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Adds a name; a later one hides an earlier one.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, shape: Shape) -> Self {
        let name = name.into();
        self.roots.retain(|(known, _)| *known != name);
        self.roots.push((name, shape));
        self
    }

    /// What a name is.
    pub fn root(&self, name: &str) -> Option<Shape> {
        self.roots.iter().find(|(known, _)| known == name).map(|(_, shape)| *shape)
    }

    /// All first names.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.roots.iter().map(|(name, _)| name.as_str())
    }

    /// A stand-in for every name.
    pub fn stand_ins(&self) -> serde_json::Value {
        let pairs = self.roots.iter().map(|(name, shape)| (name.clone(), shape.stand_in(name)));
        serde_json::Value::Object(pairs.collect())
    }

    pub(super) fn name(&self, name: &str, place: Place) -> Result<Shape, Fault> {
        self.root(name).ok_or_else(|| {
            let fault = Fault::new(format!("there is no name `{name}`"), place);
            // `branch` alone is meant as `event.branch` more often than as anything else.
            match schema::event().field(name) {
                Some(_) => fault.help(format!("did you mean `event.{name}`?")),
                None => fault.help(suggest::help(name, self.names())),
            }
        })
    }

    /// The shape of a field, or why there is none.
    pub(super) fn field(&self, of: Shape, shown: &str, name: &str, place: Place) -> Result<Shape, Fault> {
        if of == Shape::Any {
            return Ok(Shape::Any);
        }
        match of.field(name) {
            Some(field) if field.is_of(&self.kinds) => Ok(field.shape),
            Some(field) => Err(self.of_other_kinds(field, shown, place)),
            None => {
                let fault = Fault::new(format!("`{shown}` has no name `{name}`"), place);
                Err(match of {
                    Shape::Object(_) => fault.help(suggest::help(name, of.names())),
                    _ => fault.help(format!("it is {}; a method needs parentheses: `{name}()`", of.kind())),
                })
            }
        }
    }

    fn of_other_kinds(&self, field: &Field, shown: &str, place: Place) -> Fault {
        let list = |kinds: &[Kind]| kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ");
        let handled = list(&self.kinds);
        Fault::new(format!("`{shown}.{}` is never there for {handled}", field.name), place)
            .help(format!("it belongs to {}", list(field.kinds)))
    }

    /// Follows a dotted path, as templates name it; says the first wrong part.
    ///
    /// # Errors
    /// Which part of the path is unknown; the place counts from the start of the path.
    pub fn path(&self, path: &str) -> Result<Shape, Fault> {
        let mut parts = path.split('.');
        let root = parts.next().unwrap_or_default();
        let mut shape = self.name(root, Place { start: 0, len: root.len() })?;
        let mut done = root.len();
        for part in parts {
            let place = Place { start: done + 1, len: part.len() };
            shape = self.field(shape, &path[..done], part, place)?;
            done += 1 + part.len();
        }
        Ok(shape)
    }
}
