//! Whether a setup.py only declares: nothing but `setup(…)` with values that stand in it or in files beside it.
//!
//! Never executes or guesses: what is not one of the few forms below makes it a program, and the answer is no.

use std::collections::HashSet;

/// What may be declared: keywords by which setuptools fetches, imports or runs nothing.
const KEYWORDS: [&str; 33] = [
    "author",
    "author_email",
    "classifiers",
    "data_files",
    "dependency_links",
    "description",
    "download_url",
    "entry_points",
    "exclude_package_data",
    "extras_require",
    "include_package_data",
    "install_requires",
    "keywords",
    "license",
    "license_files",
    "long_description",
    "long_description_content_type",
    "maintainer",
    "maintainer_email",
    "name",
    "namespace_packages",
    "obsoletes",
    "package_data",
    "package_dir",
    "packages",
    "platforms",
    "project_urls",
    "py_modules",
    "python_requires",
    "scripts",
    "url",
    "version",
    "zip_safe",
];

/// What setuptools offers for looking at the project's own folders.
const FINDERS: [&str; 2] = ["find_packages", "find_namespace_packages"];

/// Deeper values are nobody's declaration.
const DEEPEST: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a str),
    Text(&'a str),
    Number,
    Sign(char),
}

/// Whether the text declares one package and does nothing else.
pub(super) fn only_declares(text: &str) -> bool {
    let Some(tokens) = tokens(text) else { return false };
    let mut reader = Reader { tokens: &tokens, at: 0, known: HashSet::new(), offered: HashSet::new() };
    reader.file().is_some()
}

/// Words, texts and signs; `None` where something else stands. Comments and line ends are passed over: whatever that
/// takes for Python and Python does not, fails to build.
fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            c if c.is_ascii_whitespace() => 1,
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' => {
                let fence = if rest.starts_with(&rest[..1].repeat(3)) { 3 } else { 1 };
                let inside = &rest[fence..];
                let end = inside.find(&rest[..fence])?;
                if fence == 1 && inside[..end].contains('\n') {
                    return None;
                }
                found.push(Token::Text(&inside[..end]));
                end + 2 * fence
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                // Prefixes of texts mean that they are no plain ones.
                if rest[end..].starts_with(['"', '\'']) {
                    return None;
                }
                found.push(Token::Name(&rest[..end]));
                end
            }
            c if c.is_ascii_digit() => {
                found.push(Token::Number);
                rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len())
            }
            '(' | ')' | '[' | ']' | '{' | '}' | ',' | ':' | '=' | '.' | '+' => {
                found.push(Token::Sign(first));
                1
            }
            _ => return None,
        };
        rest = &rest[length..];
    }
    Some(found)
}

/// Reads the forms one after the other; `None` anywhere means that there is another one.
struct Reader<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    /// Names that stand for values.
    known: HashSet<&'a str>,
    /// Names that were imported from setuptools.
    offered: HashSet<&'a str>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.tokens.get(self.at).copied();
        self.at += 1;
        token
    }

    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    fn takes(&mut self, token: Token<'_>) -> bool {
        let fits = self.peek() == Some(token);
        self.at += usize::from(fits);
        fits
    }

    fn must(&mut self, token: Token<'_>) -> Option<()> {
        self.takes(token).then_some(())
    }

    fn sign(&mut self, sign: char) -> Option<()> {
        self.must(Token::Sign(sign))
    }

    fn file(&mut self) -> Option<()> {
        while let Token::Text(_) = self.peek()? {
            self.at += 1;
        }
        loop {
            match self.next()? {
                Token::Name("import") => {
                    self.must(Token::Name("setuptools"))?;
                    self.offered.insert("setuptools");
                }
                Token::Name("from") => self.imported()?,
                Token::Name("if") => {
                    for token in [Token::Name("__name__"), Token::Sign('='), Token::Sign('=')] {
                        self.must(token)?;
                    }
                    self.must(Token::Text("__main__"))?;
                    self.sign(':')?;
                    let first = self.next()?;
                    self.setup(first)?;
                    break;
                }
                Token::Name(name) if self.peek() == Some(Token::Sign('=')) && !self.offered.contains(name) => {
                    self.at += 1;
                    self.value(0)?;
                    self.known.insert(name);
                }
                first => {
                    self.setup(first)?;
                    break;
                }
            }
        }
        // Nothing may come after it.
        self.peek().is_none().then_some(())
    }

    /// `from setuptools import setup, find_packages`.
    fn imported(&mut self) -> Option<()> {
        self.must(Token::Name("setuptools"))?;
        self.must(Token::Name("import"))?;
        loop {
            let Token::Name(name) = self.next()? else { return None };
            if name != "setup" && !FINDERS.contains(&name) {
                return None;
            }
            self.offered.insert(name);
            if !self.takes(Token::Sign(',')) {
                return Some(());
            }
        }
    }

    /// A name of setuptools, as it was imported; `first` was read.
    fn offer(&mut self, first: &'a str) -> Option<&'a str> {
        if !self.offered.contains(first) {
            return None;
        }
        if first != "setuptools" {
            return Some(first);
        }
        self.sign('.')?;
        let Token::Name(name) = self.next()? else { return None };
        Some(name)
    }

    fn setup(&mut self, first: Token<'a>) -> Option<()> {
        let Token::Name(first) = first else { return None };
        if self.offer(first)? != "setup" {
            return None;
        }
        self.sign('(')?;
        while !self.takes(Token::Sign(')')) {
            let Token::Name(keyword) = self.next()? else { return None };
            if !KEYWORDS.contains(&keyword) {
                return None;
            }
            self.sign('=')?;
            self.value(0)?;
            if !self.takes(Token::Sign(',')) {
                self.sign(')')?;
                return Some(());
            }
        }
        Some(())
    }

    /// Values, joined by `+`.
    fn value(&mut self, depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        loop {
            match self.next()? {
                Token::Text(_) => {
                    while matches!(self.peek(), Some(Token::Text(_))) {
                        self.at += 1;
                    }
                }
                Token::Number | Token::Name("True" | "False" | "None") => {}
                Token::Sign('[') => self.values(']', depth)?,
                Token::Sign('(') => self.values(')', depth)?,
                Token::Sign('{') => self.values('}', depth)?,
                Token::Name("open") => self.content()?,
                Token::Name(name) if self.known.contains(name) => {}
                Token::Name(name) => {
                    if !FINDERS.contains(&self.offer(name)?) {
                        return None;
                    }
                    self.sign('(')?;
                    self.arguments(depth)?;
                }
                Token::Sign(_) => return None,
            }
            if !self.takes(Token::Sign('+')) {
                return Some(());
            }
        }
    }

    /// Elements of a list, or of a dictionary with their keys.
    fn values(&mut self, end: char, depth: usize) -> Option<()> {
        while !self.takes(Token::Sign(end)) {
            self.value(depth + 1)?;
            if end == '}' && self.takes(Token::Sign(':')) {
                self.value(depth + 1)?;
            }
            if !self.takes(Token::Sign(',')) {
                return self.sign(end);
            }
        }
        Some(())
    }

    /// `where="src", exclude=["tests"])`.
    fn arguments(&mut self, depth: usize) -> Option<()> {
        while !self.takes(Token::Sign(')')) {
            if let (Some(Token::Name(_)), Some(Token::Sign('='))) = (self.peek(), self.tokens.get(self.at + 1)) {
                self.at += 2;
            }
            self.value(depth + 1)?;
            if !self.takes(Token::Sign(',')) {
                return self.sign(')');
            }
        }
        Some(())
    }

    /// `("README.md", encoding="utf-8").read()`: a file of the project's own.
    fn content(&mut self) -> Option<()> {
        self.sign('(')?;
        let Token::Text(path) = self.next()? else { return None };
        if path.starts_with(['/', '~']) {
            return None;
        }
        if self.takes(Token::Sign(',')) {
            self.must(Token::Name("encoding"))?;
            self.sign('=')?;
            let Token::Text(_) = self.next()? else { return None };
        }
        for token in [Token::Sign(')'), Token::Sign('.'), Token::Name("read"), Token::Sign('('), Token::Sign(')')] {
            self.must(token)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_in_the_forms_that_people_write_are_understood() {
        for text in [
            "from setuptools import setup\nsetup()\n",
            "import setuptools\n\nsetuptools.setup(name='a', version='1', packages=setuptools.find_packages('src'))",
            "#!/usr/bin/env python\n\"\"\"A package.\"\"\"\nfrom setuptools import setup, find_packages\n\nNAME = 'a'\nREQUIRES = [\n    \
             'pandas>=1',  # data\n    'ploomber',\n]\nDEV = REQUIRES + ['pytest']\n\nsetup(\n    name=NAME,\n    version='0.1dev',\n    \
             packages=find_packages(where='src', exclude=['tests']),\n    package_dir={'': 'src'},\n    install_requires=REQUIRES,\n    \
             extras_require={'dev': DEV},\n    long_description=open('README.md', encoding='utf-8').read(),\n    zip_safe=False,\n)\n",
            "from setuptools import setup\nif __name__ == '__main__':\n    setup(name='a', version='1', py_modules=['a'])\n",
            "from setuptools import setup\nsetup(name='a', description='one '\n      'and two', data_files=[('x', ['y'])])",
        ] {
            assert!(only_declares(text), "{text}");
        }
    }

    #[test]
    fn whatever_does_more_than_declare_is_a_program() {
        let declared = |value: &str| format!("from setuptools import setup\nsetup(name='a', version={value})\n");
        for value in ["os.environ['V']", "str(1)", "f'{x}'", "open('/etc/hostname').read()", "eval('1')", "VERSION"] {
            assert!(!only_declares(&declared(value)), "{value}");
        }
        for text in [
            "",
            "x = 1\n",
            "import os\nfrom setuptools import setup\nsetup(name='a')\n",
            "from setuptools import setup, Command\nsetup(name='a')\n",
            "from setuptools import setup\nsetup(name='a', cmdclass={})\n",
            "from setuptools import setup\nsetup(name='a', setup_requires=['x'])\n",
            "from setuptools import setup\nsetup(**{'name': 'a'})\n",
            "from setuptools import setup\nsetup(name='a')\nprint(1)\n",
            "from setuptools import setup\nsetup = 1\nsetup(name='a')\n",
            "setup(name='a')\n",
            "from distutils.core import setup\nsetup(name='a')\n",
            "from setuptools import setup\nsetup(name='a', version=[x for x in '1'])\n",
            "from setuptools import setup\nsetup(name='a', packages=setup(name='b'))\n",
            "from setuptools import setup\nsetup(name='never ended\n",
            "from setuptools import setup\nsetup(name='a', version='1' if 1 else '2')\n",
            "from setuptools import setup\nsetup(name=(((((((((((((((((((((((('a'))))))))))))))))))))))))\n",
        ] {
            assert!(!only_declares(text), "{text}");
        }
    }
}
