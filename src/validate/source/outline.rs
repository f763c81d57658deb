//! A Python module cut into the statements at its left margin, to tell which functions differ between two versions.
//!
//! Nothing is run, and nothing is guessed: a text that cannot be cut for certain has no outline.

use super::python::{self, Placed, Token};

/// A statement at the left margin with everything that is indented below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The name that `def` binds; `None` for anything else.
    pub name: Option<String>,
    /// Decorators and the signature of a function; the whole text of anything else.
    pub head: String,
    /// The body of a function.
    pub body: String,
}

/// The blocks of a module, in order; `None` where the cuts are not certain.
pub fn outline(text: &str) -> Option<Vec<Block>> {
    if python::unbalanced(text).is_some() {
        return None;
    }
    let tokens = python::tokens(text);
    let starts = starts(&tokens);
    let Some(first) = starts.first() else { return Some(Vec::new()) };
    let mut blocks = Vec::new();
    if *first > 0 {
        let head = text[..tokens[*first].at].to_owned();
        blocks.push(Block { name: None, head, body: String::new() });
    }
    for (number, start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(tokens.len());
        let until = tokens.get(end).map_or(text.len(), |token| token.at);
        let block = block(text, &tokens[*start..end], until)?;
        blocks.push(block);
    }
    Some(blocks)
}

/// Where statements start. A decorator belongs to what it decorates, `else` and `except` to what they continue.
fn starts(tokens: &[Placed]) -> Vec<usize> {
    let (mut starts, mut decorated) = (Vec::new(), false);
    for (index, placed) in tokens.iter().enumerate().filter(|(_, placed)| placed.top) {
        let goes_on = match &placed.token {
            Token::Name(word) => matches!(word.as_str(), "else" | "elif" | "except" | "finally"),
            Token::Mark(')' | ']' | '}') => true,
            _ => false,
        };
        if !goes_on && !decorated {
            starts.push(index);
        }
        decorated = placed.token == Token::Mark('@');
    }
    starts
}

fn block(text: &str, tokens: &[Placed], until: usize) -> Option<Block> {
    let from = tokens.first()?.at;
    let whole = &text[from..until];
    let def = tokens.iter().position(|placed| placed.top && placed.token == Token::Name("def".to_owned()));
    let name = def.and_then(|def| match &tokens.get(def + 1)?.token {
        Token::Name(name) => Some((def, name.clone())),
        _ => None,
    });
    let Some((def, name)) = name else {
        return Some(Block { name: None, head: whole.to_owned(), body: String::new() });
    };
    let colon = from + end_of_signature(&tokens[def..])?.checked_sub(from)? + 1;
    let (head, body) = (&text[from..colon], &text[colon..until]);
    // Statements at the margin inside what is taken for a body mean that a text or a bracket was read wrongly.
    let margin = ["def ", "async ", "class ", "@", "import ", "from ", "if ", "for ", "while ", "with ", "try:"];
    let torn = body.lines().skip(1).any(|line| margin.iter().any(|word| line.starts_with(word)));
    (!torn).then(|| Block { name: Some(name), head: head.to_owned(), body: body.to_owned() })
}

/// Where the colon of `def name(…) -> …:` stands.
fn end_of_signature(tokens: &[Placed]) -> Option<usize> {
    let mut depth = 0_usize;
    for placed in tokens {
        match placed.token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => depth = depth.checked_sub(1)?,
            Token::Mark(':') if depth == 0 => return Some(placed.at),
            Token::Newline => return None,
            _ => {}
        }
    }
    None
}

/// Whether code refers to `name`: as a name, an attribute or a keyword, or in a text that may be evaluated.
pub fn refers(code: &str, name: &str) -> bool {
    let tokens = python::tokens(code);
    let reflects = tokens.iter().any(|placed| match &placed.token {
        Token::Name(word) => {
            matches!(
                word.as_str(),
                "getattr" | "globals" | "locals" | "vars" | "eval" | "exec" | "setattr" | "__dict__"
            )
        }
        _ => false,
    });
    tokens.iter().any(|placed| match &placed.token {
        Token::Name(word) => word == name,
        // An f-string holds code, and so does what is evaluated.
        Token::Text(text) | Token::Format(text) => (reflects || text.contains('{')) && has_word(text, name),
        _ => false,
    })
}

/// Whether the word stands in the text by itself.
pub fn has_word(text: &str, word: &str) -> bool {
    let joins = |c: char| c == '_' || c.is_alphanumeric();
    !word.is_empty()
        && memchr::memmem::find_iter(text.as_bytes(), word.as_bytes()).any(|at| {
            // A match of one UTF-8 text in another starts and ends between characters.
            let (before, after) = (&text[..at], &text[at + word.len()..]);
            !before.ends_with(joins) && !after.starts_with(joins)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Option<Vec<String>> {
        Some(outline(text)?.into_iter().map(|block| block.name.unwrap_or_else(|| "-".to_owned())).collect())
    }

    #[test]
    fn a_module_is_cut_at_its_margin_and_nothing_is_lost() {
        let text = "'''doc\ndef no(): pass\n'''\nimport os\nX = [\n1,\n]\n\n@cache\n@other(1)\ndef first(product, a={1: 2},\n  b=3) -> 'x[1:2]':\n    if a:\n        pass\n\n    # end\n\ndef second(): return 1\nif X:\n    def third(): pass\nelse:\n    pass\nclass A:\n    def m(self): pass\n";
        assert_eq!(names(text).unwrap(), ["-", "-", "-", "first", "second", "-", "-"]);
        let blocks = outline(text).unwrap();
        let joined: String = blocks.iter().flat_map(|block| [block.head.as_str(), block.body.as_str()]).collect();
        assert_eq!(joined, text);
        let first = blocks.iter().find(|block| block.name.as_deref() == Some("first")).unwrap();
        assert!(first.head.starts_with("@cache") && first.head.ends_with("-> 'x[1:2]':"), "{first:?}");
    }

    #[test]
    fn what_cannot_be_cut_for_certain_is_not_cut() {
        for text in
            ["def f(:\n  pass\n", "def f()\n  pass\n", "x = (1\n", "def f():\n    x = '''\ndef g(): pass\n'''\n"]
        {
            assert_eq!(outline(text), None, "{text}");
        }
        assert_eq!(outline(""), Some(Vec::new()));
        assert_eq!(outline("# only words\n"), Some(Vec::new()));
    }

    #[test]
    fn references_are_names_and_texts_that_may_be_code() {
        assert!(refers("first(1)", "first") && refers("x.first", "first") && refers("f(first=1)", "first"));
        assert!(refers("f'{first()}'", "first") && refers("globals()['first']", "first"));
        assert!(
            !refers("upstream['first']", "first") && !refers("first_one()", "first") && !refers("# first", "first")
        );
    }

    #[test]
    fn words_stand_by_themselves() {
        assert!(has_word("a fit.", "fit") && has_word("fit", "fit") && has_word("refit fit", "fit"));
        assert!(
            !has_word("refit", "fit") && !has_word("fit_it", "fit") && !has_word("éfit", "fit") && !has_word("x", "")
        );
    }
}
