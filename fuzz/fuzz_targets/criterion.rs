//! Criteria and templates take any text: they are refused, or they are read back as they print and evaluate to an end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use soopervisor::server::criterion::{Criterion, Scope, parse};
use soopervisor::server::event::{Event, Kind, Source};
use soopervisor::server::template::{Manner, Template};

fuzz_target!(|text: &str| {
    if let Ok(expr) = parse(text) {
        let printed = expr.to_string();
        // Printing may add parentheses and escapes, and so pass the bound on length.
        if let Ok(again) = parse(&printed) {
            assert_eq!(again, expr, "{printed}");
        }
    }
    let Ok(at) = "2026-11-28T12:00:00Z".parse() else { return };
    let event = Event::new(Kind::Push, "acme/churn", at, Source::Poll);
    let names = serde_json::json!({"event": event.view()});
    let scope = Scope::of(&[]);
    if let Ok(criterion) = Criterion::compile(text, &scope) {
        let _ = criterion.holds(&names);
        let _ = criterion.explain(&names);
    }
    if let Ok(template) = Template::parse(text, &scope, Manner::Markdown) {
        let _ = template.render(&names);
    }
});
