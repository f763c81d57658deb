//! Actions: what a handler may do, as data. Each has a word, arguments and a result; all are declared in one table.
//!
//! This room decides nothing about when something is done. What each action does to the world is behind
//! [`Effects`], one method an action.

use serde_json::{Map, Value};

use super::template::{RenderError, Template};

pub mod arguments;
pub mod chat;
mod connect;
pub mod dispatch;
mod effects;
pub mod http;
pub mod mail;
pub mod reach;
pub mod scripts;
pub mod table;

pub use effects::{Answer, Call, EffectFault, Effects};
pub(crate) use effects::{perform, read};
pub use table::Verb;

/// One action with its arguments as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// What is done.
    pub verb: Verb,
    /// How; names are those of [`Verb::arguments`].
    pub arguments: Vec<(String, Argument)>,
}

/// An argument as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// A value without anything to fill in.
    Plain(Value),
    /// A text to fill in.
    Template(Template),
    /// A list.
    List(Vec<Self>),
    /// Names with arguments.
    Map(Vec<(String, Self)>),
}

impl Action {
    /// The arguments, filled in.
    ///
    /// # Errors
    /// When a template names what is not there.
    pub fn render(&self, names: &Value) -> Result<Value, RenderError> {
        object(&self.arguments, names)
    }
}

impl Argument {
    fn render(&self, names: &Value) -> Result<Value, RenderError> {
        Ok(match self {
            Self::Plain(value) => value.clone(),
            Self::Template(template) => Value::String(template.render(names)?),
            Self::List(items) => Value::Array(items.iter().map(|item| item.render(names)).collect::<Result<_, _>>()?),
            Self::Map(pairs) => object(pairs, names)?,
        })
    }

    /// All templates in it.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Plain(_) => Vec::new(),
            Self::Template(template) => vec![template],
            Self::List(items) => items.iter().flat_map(Self::templates).collect(),
            Self::Map(pairs) => pairs.iter().flat_map(|(_, value)| value.templates()).collect(),
        }
    }
}

fn object(pairs: &[(String, Argument)], names: &Value) -> Result<Value, RenderError> {
    let mut map = Map::new();
    for (name, argument) in pairs {
        map.insert(name.clone(), argument.render(names)?);
    }
    Ok(Value::Object(map))
}

/// A short name for a text that says nothing about it: 32 hexadecimal digits.
pub(crate) fn digest(text: &str) -> String {
    use sha2::Digest;
    hex::encode(&sha2::Sha256::digest(text.as_bytes())[..16])
}
