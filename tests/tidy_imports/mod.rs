//! Which rooms and which outside crates a source file names: in `use` trees, in inline paths, and inside macros.
//!
//! Code under `#[cfg(test)]` may use everything.

use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

/// A room that is named.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    /// The room.
    pub(crate) to: String,
    /// Where.
    pub(crate) line: usize,
}

/// The room a file belongs to; `None` for main.rs and lib.rs.
pub(crate) fn room_of(path: &Path) -> Option<String> {
    let mut parts =
        path.with_extension("").iter().skip(1).map(|part| part.to_string_lossy().into_owned()).collect::<Vec<_>>();
    let room = parts.swap_remove(0);
    (!matches!(room.as_str(), "main" | "lib")).then_some(room)
}

/// Modules above a file's own: `src/a/b.rs` is two deep, `src/a/mod.rs` one.
fn depth(path: &Path) -> usize {
    let parts = path.with_extension("").iter().skip(1).filter(|part| *part != "mod").count();
    parts.max(1)
}

/// Every room that the file's own code names.
pub(crate) fn edges(path: &Path, text: &str) -> Vec<Edge> {
    let mut found = Vec::new();
    for (names, line) in paths(text) {
        let supers = names.iter().take_while(|name| *name == "super").count();
        let first = match names.first().map(String::as_str) {
            Some("crate" | "soopervisor") => names.get(1),
            // As many `super` as there are modules lead to the crate's root.
            Some("super") if supers >= depth(path) => names.get(supers),
            _ => None,
        };
        found.extend(first.map(|to| Edge { to: to.clone(), line }));
    }
    found
}

/// The first name of every path: outside crates are among them.
pub(crate) fn outside(text: &str) -> Vec<(String, usize)> {
    paths(text).into_iter().filter_map(|(names, line)| names.into_iter().next().map(|name| (name, line))).collect()
}

/// Names of macros that are called.
pub(crate) fn macros(file: &syn::File) -> Vec<(String, usize)> {
    struct Called(Vec<(String, usize)>);
    impl<'ast> Visit<'ast> for Called {
        fn visit_macro(&mut self, called: &'ast syn::Macro) {
            if let Some(last) = called.path.segments.last() {
                self.0.push((last.ident.to_string(), last.ident.span().start().line));
            }
        }
        fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
            if !only_for_tests(&item.attrs) {
                syn::visit::visit_item_mod(self, item);
            }
        }
    }
    let mut called = Called(Vec::new());
    called.visit_file(file);
    called.0
}

fn only_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
    })
}

type Named = (Vec<String>, usize);

fn paths(text: &str) -> Vec<Named> {
    let file = syn::parse_file(text).expect("sources parse");
    let mut walk = Walk(Vec::new());
    walk.visit_file(&file);
    walk.0
}

struct Walk(Vec<Named>);

impl Walk {
    fn tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |ident: &syn::Ident| before.iter().cloned().chain([ident.to_string()]).collect::<Vec<_>>();
        match tree {
            syn::UseTree::Path(path) => self.tree(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) => self.0.push((with(&name.ident), name.ident.span().start().line)),
            syn::UseTree::Rename(name) => self.0.push((with(&name.ident), name.ident.span().start().line)),
            syn::UseTree::Glob(glob) => self.0.push((before.to_vec(), glob.star_token.spans[0].start().line)),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(tree, before)),
        }
    }

    /// Macros hold tokens, not syntax: `a :: b` is a path there too.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let colon = |place: usize| matches!(tokens.get(place), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
        let mut place = 0;
        while place < tokens.len() {
            match &tokens[place] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let mut names = vec![first.to_string()];
                    while let (true, true, Some(TokenTree::Ident(next))) =
                        (colon(place + 1), colon(place + 2), tokens.get(place + 3))
                    {
                        names.push(next.to_string());
                        place += 3;
                    }
                    if names.len() > 1 {
                        self.0.push((names, first.span().start().line));
                    }
                }
                _ => {}
            }
            place += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        if !only_for_tests(attributes) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            self.0.push((names, path.segments[0].ident.span().start().line));
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
        syn::visit::visit_attribute(self, attribute);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        self.tokens(called.tokens.clone());
    }
}

#[test]
fn finds_rooms_in_groups_inline_paths_supers_and_macros() {
    let text = r#"
        use crate::{diag::{self, Severity}, id::RunId};
        use super::super::engine::Stream;
        use super::sibling::Thing;
        fn f() { let _ = crate::spec::read(); println!("{}", crate::plan::Mode::Full); }
        #[serde(with = "x", default = crate::logs::f)]
        struct S;
        #[cfg(test)]
        mod tests { use crate::cli::x; fn g() { crate::server::x(); } }
    "#;
    let mut rooms: Vec<String> = edges(Path::new("src/repo/git.rs"), text).into_iter().map(|edge| edge.to).collect();
    rooms.dedup();
    assert_eq!(rooms, ["diag", "id", "engine", "spec", "plan", "logs"]);
}

#[test]
fn a_super_inside_the_room_is_no_edge() {
    let text = "use super::super::deep::X; use super::y::Z;";
    assert!(edges(Path::new("src/engine/docker/exec.rs"), text).is_empty());
    assert_eq!(edges(Path::new("src/engine/mod.rs"), "use super::id::X;").len(), 1);
    assert_eq!(edges(Path::new("src/id.rs"), "use super::cli::X;").len(), 1);
}
