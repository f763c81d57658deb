//! Scopes: which names code gives a value, in which order, and where each that it looks up is looked for.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization as _;

use super::Undefined;
use crate::spec::suggest;

/// Words that are no names.
static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    words(
        "False None True and as assert async await break class continue def del elif else except finally for \
                     from global if import in is lambda nonlocal not or pass raise return try while with yield",
    )
});

/// Names that have a value everywhere, in any Python from 3.8 to 3.13; and those that are also words of a statement.
static BUILTINS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    words(
        "ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError \
    BrokenPipeError BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionError \
    ConnectionRefusedError ConnectionResetError DeprecationWarning EOFError Ellipsis EncodingWarning EnvironmentError \
    Exception ExceptionGroup FileExistsError FileNotFoundError FloatingPointError FutureWarning GeneratorExit IOError \
    ImportError ImportWarning IndentationError IndexError InterruptedError IsADirectoryError KeyError \
    KeyboardInterrupt LookupError MemoryError ModuleNotFoundError NameError NotADirectoryError NotImplemented \
    NotImplementedError OSError OverflowError PendingDeprecationWarning PermissionError ProcessLookupError \
    PythonFinalizationError RecursionError ReferenceError ResourceWarning RuntimeError RuntimeWarning StopAsyncIteration \
    StopIteration SyntaxError SyntaxWarning SystemError SystemExit TabError TimeoutError TypeError UnboundLocalError \
    UnicodeDecodeError UnicodeEncodeError UnicodeError UnicodeTranslateError UnicodeWarning UserWarning ValueError \
    Warning WindowsError ZeroDivisionError abs aiter all anext any ascii bin bool breakpoint bytearray bytes callable chr \
    classmethod compile complex copyright credits delattr dict dir divmod enumerate eval exec exit filter float format \
    frozenset getattr globals hasattr hash help hex id input int isinstance issubclass iter len license list locals map \
    max memoryview min next object oct open ord pow print property quit range repr reversed round set setattr slice \
    sorted staticmethod str sum super tuple type vars zip match case type _",
    )
});

/// What a scope belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The notebook itself.
    Module,
    /// A function or a `lambda`: it runs later.
    Function,
    /// A class: functions inside do not see its names.
    Class,
    /// What stands in brackets with a `for`.
    Comprehension,
}

/// Where code stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Its scope.
    pub scope: usize,
    /// Whether it may run after what stands below it.
    pub late: bool,
    /// Whether somebody catches the lack of a name.
    pub guarded: bool,
    /// Whether a loop of the same function or class goes round it.
    pub looped: bool,
}

#[derive(Debug)]
struct Scope {
    kind: Kind,
    parent: Option<usize>,
    /// Each name with the moment at which it first gets a value.
    names: HashMap<String, usize>,
    /// Those of them that first get it by an assignment, not by an `import`, a `def` or the like.
    assigned: HashSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Lost,
    Given,
}

#[derive(Debug)]
struct Use {
    name: String,
    at: usize,
    place: Place,
    moment: usize,
}

/// All names of a text.
#[derive(Debug)]
pub(super) struct Names {
    scopes: Vec<Scope>,
    uses: Vec<Use>,
    moment: usize,
    /// Names that `global` or `nonlocal` gives a value elsewhere.
    elsewhere: HashSet<String>,
    /// Names of the notebook itself that lost their value, with the moments of that and of each new value.
    turns: HashMap<String, Vec<(usize, Turn)>>,
}

impl Names {
    /// No names but those that are given.
    pub(super) fn new(given: &[String]) -> Self {
        let names = given.iter().map(|name| (folded(name), 0)).collect();
        let module = Scope { kind: Kind::Module, parent: None, names, assigned: HashSet::new() };
        Self { scopes: vec![module], uses: Vec::new(), moment: 0, elsewhere: HashSet::new(), turns: HashMap::new() }
    }

    /// A new scope inside `parent`.
    pub(super) fn open(&mut self, kind: Kind, parent: usize) -> usize {
        self.scopes.push(Scope { kind, parent: Some(parent), names: HashMap::new(), assigned: HashSet::new() });
        self.scopes.len() - 1
    }

    /// The name gets a value.
    pub(super) fn bind(&mut self, scope: usize, name: &str) {
        if is_word(name) {
            return;
        }
        self.moment += 1;
        let name = folded(name);
        if scope == 0
            && let Some(turns) = self.turns.get_mut(&name)
        {
            turns.push((self.moment, Turn::Given));
        }
        self.scopes[scope].names.entry(name).or_insert(self.moment);
    }

    /// The name gets a value by an assignment.
    pub(super) fn assign(&mut self, scope: usize, name: &str) {
        let (name, known) = (folded(name), &mut self.scopes[scope]);
        if !known.names.contains_key(&name) {
            known.assigned.insert(name.clone());
        }
        self.bind(scope, &name);
    }

    /// The name of the notebook itself, if any, loses its value. What is given from elsewhere may be given again.
    pub(super) fn unbind(&mut self, name: Option<&str>) {
        let Some(name) = name.map(folded) else { return };
        self.moment += 1;
        if self.scopes[0].names.get(&name).is_some_and(|given| *given > 0) {
            self.turns.entry(name).or_default().push((self.moment, Turn::Lost));
        }
    }

    /// Whether the notebook itself has given the name a value, which it still has.
    pub(super) fn has_now(&self, name: &str) -> bool {
        let name = folded(name);
        self.scopes[0].names.contains_key(&name) && !self.is_lost(&name, self.moment + 1)
    }

    fn is_lost(&self, name: &str, moment: usize) -> bool {
        let turns = self.turns.get(name).map(Vec::as_slice).unwrap_or_default();
        turns.iter().rev().find(|(at, _)| *at < moment).is_some_and(|(_, turn)| *turn == Turn::Lost)
    }

    /// Whether code of a scope runs where it is written, and in no function.
    pub(super) fn is_outside(&self, scope: usize) -> bool {
        matches!(self.scopes[scope].kind, Kind::Module | Kind::Class)
    }

    /// The name is looked up.
    pub(super) fn look_up(&mut self, place: Place, name: &str, at: usize) {
        if is_word(name) {
            return;
        }
        self.moment += 1;
        self.uses.push(Use { name: folded(name), at, place, moment: self.moment });
    }

    /// The name is one of a scope outside.
    pub(super) fn declare(&mut self, name: &str) {
        self.elsewhere.insert(folded(name));
    }

    /// Where `:=` binds: not in a comprehension.
    pub(super) fn home(&self, scope: usize) -> usize {
        let mut at = scope;
        while let Scope { kind: Kind::Comprehension, parent: Some(parent), .. } = &self.scopes[at] {
            at = *parent;
        }
        at
    }

    /// Names that are looked up and have no value, each where it first is.
    pub(super) fn undefined(&self) -> Vec<Undefined> {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut found: Vec<&Use> = self.uses.iter().filter(|one| !self.is_defined(one) || self.is_below(one)).collect();
        found.sort_by_key(|one| one.at);
        found.retain(|one| seen.insert(one.name.as_str()));
        // In one order, so that of two that are as near the same one is meant each time.
        let known: BTreeSet<&str> =
            self.scopes.iter().flat_map(|scope| scope.names.keys()).map(String::as_str).collect();
        let near = |one: &Use| suggest::closest(&one.name, known.iter().copied()).map(str::to_owned);
        let told = |one: &Use| {
            let is_below = self.is_below(one);
            Undefined { name: one.name.clone(), at: one.at, near: near(one), is_below }
        };
        found.into_iter().map(told).collect()
    }

    /// Whether a function looks the name up and gives it a value only further down, so that no other scope's is meant. pyflakes
    /// goes by the text, and so do we, but not in loops.
    fn is_below(&self, one: &Use) -> bool {
        let (scope, name) = (&self.scopes[one.place.scope], one.name.as_str());
        let Some(given) = scope.names.get(name).copied().filter(|given| *given > one.moment) else { return false };
        let is_plain = scope.kind == Kind::Function && !one.place.late && !one.place.guarded;
        let is_special = name.starts_with("__") && name.ends_with("__");
        if !is_plain || is_special || self.elsewhere.contains(name) || self.turns.contains_key(name) {
            return false;
        }
        // It remembers the last one that looked it up only.
        let between = |other: &&Use| other.moment > one.moment && other.moment < given && other.name == name;
        if self.uses.iter().filter(between).any(|other| other.place.scope != one.place.scope) {
            return false;
        }
        let outer = std::iter::successors(scope.parent, |at| self.scopes[*at].parent);
        match outer.map(|at| &self.scopes[at]).find(|outer| outer.names.contains_key(name)) {
            Some(outer) => matches!(outer.kind, Kind::Function | Kind::Module) && scope.assigned.contains(name),
            None => !BUILTINS.contains(name),
        }
    }

    fn is_defined(&self, one: &Use) -> bool {
        let name = one.name.as_str();
        let is_special = name.starts_with("__") && name.ends_with("__");
        if one.place.guarded || is_special || self.elsewhere.contains(name) {
            return true;
        }
        let (mut late, mut sees_classes) = (one.place.late, true);
        let mut next = Some(one.place.scope);
        while let Some(at) = next {
            let scope = &self.scopes[at];
            let given = scope.names.get(name).copied();
            match scope.kind {
                Kind::Function => {
                    if given.is_some() {
                        return true;
                    }
                    (late, sees_classes) = (true, false);
                }
                Kind::Class if !sees_classes => {}
                Kind::Class | Kind::Module | Kind::Comprehension => {
                    let is_kept = at > 0 || !self.is_lost(name, one.moment);
                    if given.is_some_and(|given| late || (given < one.moment && is_kept)) {
                        return true;
                    }
                }
            }
            next = scope.parent;
        }
        BUILTINS.contains(name)
    }
}

/// Whether it is a word of the language.
pub(super) fn is_word(name: &str) -> bool {
    WORDS.contains(name)
}

/// The name as Python knows it: however its letters are written, it is one name.
pub(super) fn folded(name: &str) -> String {
    if name.is_ascii() { name.to_owned() } else { name.nfkc().collect() }
}

fn words(list: &'static str) -> HashSet<&'static str> {
    list.split_ascii_whitespace().collect()
}
