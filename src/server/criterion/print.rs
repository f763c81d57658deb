//! A tree as text again; reading that gives the same tree.

use std::fmt::{self, Write as _};

use super::ast::{Expr, Form};

/// How strongly a part holds together, weakest first.
fn strength(form: &Form) -> u8 {
    match form {
        Form::Or(_) => 0,
        Form::And(_) => 1,
        Form::Not(_) => 2,
        Form::Compare(..) => 3,
        _ => 4,
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.form {
            Form::Null => f.write_str("null"),
            Form::Bool(value) => write!(f, "{value}"),
            Form::Number(number) => write!(f, "{number}"),
            Form::Text(text) => quote(text, f),
            Form::List(items) => {
                f.write_char('[')?;
                list(items, f)?;
                f.write_char(']')
            }
            Form::Name(name) => f.write_str(name),
            Form::Field(of, name) => write!(f, "{}.{name}", At(of, 4)),
            Form::Item(of, key) => write!(f, "{}[{key}]", At(of, 4)),
            Form::Call { of, method, arguments, .. } => {
                write!(f, "{}.{method}(", At(of, 4))?;
                list(arguments, f)?;
                f.write_char(')')
            }
            Form::Not(inner) => write!(f, "not {}", At(inner, 2)),
            Form::And(parts) => joined(parts, " and ", 2, f),
            Form::Or(parts) => joined(parts, " or ", 1, f),
            Form::Compare(how, left, right) => write!(f, "{} {} {}", At(left, 4), how.sign(), At(right, 4)),
        }
    }
}

/// A part, in parentheses where it holds together less than it has to.
struct At<'a>(&'a Expr, u8);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if strength(&self.0.form) < self.1 { write!(f, "({})", self.0) } else { write!(f, "{}", self.0) }
    }
}

fn joined(parts: &[Expr], word: &str, least: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            f.write_str(word)?;
        }
        write!(f, "{}", At(part, least))?;
    }
    Ok(())
}

fn list(items: &[Expr], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    joined(items, ", ", 0, f)
}

fn quote(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}
