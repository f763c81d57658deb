//! Values of which nothing is known before: in a rehearsal each has whatever a template asks it for, and is written as its
//! own name.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value as Jinja};

/// Lists in lists that it is. What goes through all of a value, to write it as JSON or to compare it, has to end.
const DEEPEST: u8 = 4;

/// It answers every name and every index, and is a list of one.
#[derive(Debug)]
pub(super) struct StandIn {
    name: String,
    depth: u8,
}

impl StandIn {
    /// The value of a name: `p1.json`.
    pub(super) fn value(name: &str) -> Jinja {
        Jinja::from_object(Self { name: name.to_owned(), depth: 0 })
    }

    /// What a loop over it has.
    fn item(&self) -> Jinja {
        let name = format!("{}[0]", self.name);
        if self.depth < DEEPEST {
            Jinja::from_object(Self { name, depth: self.depth + 1 })
        } else {
            Jinja::from(format!("‹{name}›"))
        }
    }
}

impl Object for StandIn {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        let name = match key.as_str() {
            Some(word) => format!("{}.{word}", self.name),
            None => format!("{}[{key}]", self.name),
        };
        Some(Jinja::from_object(Self { name, depth: self.depth }))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(vec![self.item()])
    }

    /// Documents have no methods.
    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, _: &[Jinja]) -> Result<Jinja, Error> {
        Err(Error::new(ErrorKind::UnknownMethod, format!("`{}` cannot be called", self.name)))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "‹{}›", self.name)
    }
}

/// The filter `items`, which goes through the names of a value and what they have.
pub(super) fn items(value: &Jinja) -> Result<Jinja, Error> {
    match value.downcast_object_ref::<StandIn>() {
        Some(unknown) => {
            let name = Jinja::from(format!("‹name in {}›", unknown.name));
            Ok(Jinja::from(vec![Jinja::from(vec![name, unknown.item()])]))
        }
        None => minijinja::filters::items(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Manner, Template};
    use crate::server::action::Verb;
    use crate::server::criterion::Scope;
    use crate::server::event::Kind;

    #[test]
    fn what_is_not_known_before_has_whatever_is_asked_for_and_is_written_as_its_name() {
        let scope = Scope::of(&[Kind::Push]).with("p1", Verb::Http.result());
        for (text, wanted) in [
            ("{{ p1.json }}", "‹p1.json›"),
            ("{{ p1.json.deep }} {{ p1.json.deep.n }}", "‹p1.json.deep› ‹p1.json.deep.n›"),
            ("{{ p1.json.list[0].n }} {{ p1.json['a b'] }}", "‹p1.json.list[0].n› ‹p1.json.a b›"),
            ("{% for one in p1.json.list %}{{ loop.index }}{{ one.n }}{% endfor %}", "1‹p1.json.list[0].n›"),
            ("{{ p1.json.list | first }} {{ p1.json.list | length }}", "‹p1.json.list[0]› 1"),
            ("{{ p1.json.list | join(', ') }} {{ p1.json.x | default('y') }}", "‹p1.json.list[0]› ‹p1.json.x›"),
            ("{% for k, v in p1.json | items %}{{ k }} {{ v }}{% endfor %}", "‹name in p1.json› ‹p1.json[0]›"),
            ("{% if p1.json.ok %}{{ p1.json.text | upper }}{% endif %}", "‹P1.JSON.TEXT›"),
            ("{{ p1.json == event.payload }} {{ p1.json.n == 3 }}", "false false"),
            ("{{ p1.code }}", "‹p1.code›"),
        ] {
            let template = Template::parse(text, &scope, Manner::Plain).unwrap();
            assert_eq!(template.render(&scope.stand_ins()).as_deref(), Ok(wanted), "{text}");
        }
        // It ends.
        let all = Template::parse("{{ p1.json | tojson }}", &scope, Manner::Plain).unwrap();
        assert!(all.render(&scope.stand_ins()).unwrap().contains("‹p1.json[0][0][0][0][0]›"));
        assert!(Template::parse("{{ p1.json.keys() }}", &scope, Manner::Plain).is_err(), "documents have no methods");
        let names = json!({"p1": {"json": {"deep": 5}}});
        let template = Template::parse("{{ p1.json.other }}", &scope, Manner::Plain).unwrap();
        assert!(template.render(&names).is_err(), "what is known is told as it is");
    }
}
