//! What can be asked of values: a closed list, each with the types that it takes and gives.

use crate::server::event::schema::Shape;

/// A method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    StartsWith,
    EndsWith,
    Contains,
    Matches,
    Glob,
    Lower,
    Upper,
    Length,
    Any,
    All,
    Known,
}

/// What a method's argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Nothing,
    /// One text.
    Text,
    /// A regular expression.
    Regex,
    /// One glob.
    Glob,
    /// Globs, at least one.
    Globs,
}

impl Method {
    const ALL: [(&'static str, Self); 11] = [
        ("startswith", Self::StartsWith),
        ("endswith", Self::EndsWith),
        ("contains", Self::Contains),
        ("matches", Self::Matches),
        ("glob", Self::Glob),
        ("lower", Self::Lower),
        ("upper", Self::Upper),
        ("length", Self::Length),
        ("any", Self::Any),
        ("all", Self::All),
        ("known", Self::Known),
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, method)| method)
    }

    pub(super) fn names_for(shape: Shape) -> Vec<&'static str> {
        Self::ALL.into_iter().filter(|(_, method)| method.takes(shape)).map(|(name, _)| name).collect()
    }

    pub(super) fn takes(self, shape: Shape) -> bool {
        let text = matches!(shape, Shape::Text | Shape::Any);
        let list = matches!(shape, Shape::Texts | Shape::Paths | Shape::Any);
        match self {
            Self::StartsWith | Self::EndsWith | Self::Matches | Self::Glob | Self::Lower | Self::Upper => text,
            Self::Contains | Self::Length => text || list,
            Self::Any | Self::All => list,
            Self::Known => shape == Shape::Paths,
        }
    }

    pub(super) const fn gives(self) -> Shape {
        match self {
            Self::Lower | Self::Upper => Shape::Text,
            Self::Length => Shape::Number,
            _ => Shape::Bool,
        }
    }

    pub(super) const fn wants(self) -> Wants {
        match self {
            Self::StartsWith | Self::EndsWith | Self::Contains => Wants::Text,
            Self::Matches => Wants::Regex,
            Self::Glob => Wants::Glob,
            Self::Any | Self::All => Wants::Globs,
            Self::Lower | Self::Upper | Self::Length | Self::Known => Wants::Nothing,
        }
    }
}
