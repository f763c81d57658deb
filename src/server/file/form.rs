//! How the server's file is declared: tables of keys with the form of their values. The reader and the published JSON
//! Schema are made from the same tables, so they cannot differ.

/// What a value has to look like.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// A text that is not empty.
    Text,
    /// A text of letters, digits, `.`, `_`, `-` and `/`.
    Name,
    /// True or false.
    Flag,
    /// A whole number within bounds, both included.
    Count(u64, u64),
    /// `90s`, `30m`, `2h`.
    Duration,
    /// `512M`, `4G`.
    Size,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `env:NAME` or `file:PATH`; never a value.
    Secret,
    /// A glob over names with slashes.
    Glob,
    /// Five fields of a cron line.
    Cron,
    /// A time zone: `Europe/Vienna`.
    Zone,
    /// An address with one of these schemes, without a user and a password.
    Url(&'static [&'static str]),
    /// A repository: an address with a scheme, or `git@host:path`.
    Repository,
    /// `127.0.0.1:8080`.
    Bind,
    /// A mail address.
    Mail,
    /// A text that may have something to fill in.
    Template,
    /// The same in Markdown: what is filled in is shown and never obeyed.
    Markdown,
    /// The same as a message, which goes to one chat or another, or in a mail.
    Message,
    /// The same as an address: what is filled in is one part of it.
    Address,
    /// Anything; texts in it may have something to fill in.
    Json,
    /// A text that is executed, and never filled in.
    Script,
    /// A list; one item alone counts as a list of one.
    List(&'static Self),
    /// Names of the user's own choice.
    Map(&'static Self),
    /// Known keys.
    Object(&'static Table),
    /// Either a word or a list.
    WordOr(&'static str, &'static Self),
}

/// Known keys.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// What it is, for messages: `a repository`.
    pub what: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// What stands there.
    pub form: Form,
    /// Whether it has to stand there.
    pub required: bool,
    /// One line for people.
    pub about: &'static str,
}

impl Table {
    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// A key that may be left out.
pub const fn may(name: &'static str, form: Form, about: &'static str) -> Key {
    Key { name, form, required: false, about }
}

/// A key that has to be there.
pub const fn must(name: &'static str, form: Form, about: &'static str) -> Key {
    Key { name, form, required: true, about }
}
