//! The tree of an expression.

/// Where a part stands in the text, in bytes.
#[derive(Debug, Clone, Copy, Eq, Default)]
pub struct Place {
    /// First byte.
    pub start: usize,
    /// Bytes.
    pub len: usize,
}

/// All places are equal: where something stands does not change what it means.
impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Place {
    /// From the start of one to the end of another.
    pub(super) fn to(self, other: Self) -> Self {
        Self { start: self.start, len: (other.start + other.len).saturating_sub(self.start) }
    }
}

/// A part of an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub form: Form,
    /// Where it stands.
    pub place: Place,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    Different,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `in`
    In,
    /// `not in`
    NotIn,
}

impl Comparison {
    /// As written.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Different => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
            Self::In => "in",
            Self::NotIn => "not in",
        }
    }
}

/// What a part is.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A finite number.
    Number(f64),
    /// A text.
    Text(String),
    /// `["a", "b"]`, of literals.
    List(Vec<Expr>),
    /// `event`
    Name(String),
    /// `event.branch`
    Field(Box<Expr>, String),
    /// `event.payload["head commit"]`, `event.payload.commits[0]`
    Item(Box<Expr>, Box<Expr>),
    /// `event.branch.startswith("feat/")`
    Call {
        /// Of what.
        of: Box<Expr>,
        /// The method's name.
        method: String,
        /// Where the name stands.
        name: Place,
        /// What is handed in.
        arguments: Vec<Expr>,
    },
    /// `not x`
    Not(Box<Expr>),
    /// `a and b and c`
    And(Vec<Expr>),
    /// `a or b or c`
    Or(Vec<Expr>),
    /// `a == b`
    Compare(Comparison, Box<Expr>, Box<Expr>),
}

impl Expr {
    /// The first names in it, in the order written.
    pub(super) fn names(&self) -> Vec<&str> {
        match &self.form {
            Form::Name(name) => vec![name],
            Form::Field(of, _) | Form::Not(of) | Form::Call { of, .. } => of.names(),
            Form::Item(of, key) | Form::Compare(_, of, key) => [of.names(), key.names()].concat(),
            Form::And(parts) | Form::Or(parts) | Form::List(parts) => parts.iter().flat_map(Self::names).collect(),
            Form::Null | Form::Bool(_) | Form::Number(_) | Form::Text(_) => Vec::new(),
        }
    }
}
