//! What stands before every request: where nobody is asked for a token, none gets in that another site made in a reader's
//! browser.
//!
//! Such a server trusts whoever reaches it, and every page that a browser on this machine opens reaches it, too: by a form, or
//! under a name of its own that it lets lead here.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::{Auth, Server};

/// Turns away what another site made.
pub(super) async fn guard(State(server): State<Server>, request: Request, next: Next) -> Response {
    // Deliveries are signed, and come under whatever name a forge has for us.
    if server.auth == Auth::Nobody && !request.uri().path().starts_with("/hooks/") {
        let file = server.standing.file();
        let public = file.as_ref().and_then(|file| file.server.public_url.as_deref());
        if let Some(problem) = refusal(request.method(), request.headers(), public) {
            return problem.into_response();
        }
    }
    next.run(request).await
}

/// Why a request that shows no token is not answered. `public` is the address under which a proxy lets people in.
fn refusal(method: &Method, headers: &HeaderMap, public: Option<&str>) -> Option<Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text("host").unwrap_or_default();
    let public = public.map(authority);
    if !is_own(host) && public != Some(host) {
        let help = "ask 127.0.0.1 or localhost; behind a proxy, write `public_url` into the server's file";
        return Some(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "a server that asks for no token answers under this machine's own names only",
            help,
        ));
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return None;
    }
    let foreign = match text("sec-fetch-site") {
        Some(site) => !matches!(site, "same-origin" | "none"),
        None => text("origin").map(authority).is_some_and(|origin| origin != host && public != Some(origin)),
    };
    foreign.then(|| Problem::new(StatusCode::FORBIDDEN, "the request comes from another site", "ask for it here"))
}

/// Whether a page of ours made a request, as a browser says of a form. `public` is the address under which a proxy lets
/// people in. Who says nothing of it is no browser, and needs no form.
pub(super) fn is_from_here(headers: &HeaderMap, public: Option<&str>) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let host = text("host").filter(|host| !host.is_empty());
    text("origin").map(authority).is_some_and(|origin| host == Some(origin) || public.map(authority) == Some(origin))
}

/// Host and port of an address.
fn authority(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// Whether a host is no name that somebody else could let lead here. Who names none is no browser.
fn is_own(host: &str) -> bool {
    let in_brackets = host.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name);
    let name = in_brackets.unwrap_or_else(|| host.rsplit_once(':').map_or(host, |(name, _)| name));
    let name = name.to_ascii_lowercase();
    name.is_empty() || name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &Method, headers: &[(&'static str, &str)], public: Option<&str>) -> Option<StatusCode> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        refusal(method, &headers, public).map(|problem| problem.into_response().status())
    }

    #[test]
    fn another_sites_name_leads_nowhere_and_its_forms_do_nothing() {
        let public = Some("https://ci.acme.example/ci");
        for host in ["127.0.0.1:8080", "localhost", "[::1]:8080", "soop.localhost:1", "10.1.2.3", "ci.acme.example"] {
            assert_eq!(status(&Method::GET, &[("host", host)], public), None, "{host}");
        }
        for host in
            ["evil.example", "127.0.0.1.evil.example:8080", "localhost.evil.example", "ci.acme.example.evil", "a b"]
        {
            assert_eq!(
                status(&Method::GET, &[("host", host)], public),
                Some(StatusCode::MISDIRECTED_REQUEST),
                "{host}"
            );
        }
        let own = ("host", "127.0.0.1:8080");
        for (header, refused) in [
            (("sec-fetch-site", "cross-site"), true),
            (("sec-fetch-site", "same-site"), true),
            (("sec-fetch-site", "same-origin"), false),
            (("sec-fetch-site", "none"), false),
            (("origin", "https://evil.example"), true),
            (("origin", "null"), true),
            (("origin", "http://127.0.0.1:8080"), false),
            (("origin", "https://ci.acme.example"), false),
            (("accept", "*/*"), false),
        ] {
            let found = status(&Method::POST, &[own, header], public);
            assert_eq!(found, refused.then_some(StatusCode::FORBIDDEN), "{header:?}");
            assert_eq!(status(&Method::GET, &[own, header], public), None, "{header:?}: it is only looked at");
        }
        assert_eq!(status(&Method::POST, &[], None), None, "no browser");
    }

    #[test]
    fn a_form_comes_from_a_page_under_the_name_that_is_asked_and_from_no_other() {
        let is_ours = |headers: &[(&str, &str)]| {
            let all = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            is_from_here(&all, Some("https://ci.acme.example/ci"))
        };
        let own = ("host", "h:1");
        assert!(is_ours(&[own, ("sec-fetch-site", "same-origin")]));
        assert!(!is_ours(&[own, ("sec-fetch-site", "same-site"), ("origin", "http://h:1")]));
        assert!(!is_ours(&[own, ("sec-fetch-site", "none")]));
        assert!(is_ours(&[own, ("origin", "http://h:1")]));
        assert!(!is_ours(&[own, ("origin", "http://h:2")]));
        assert!(is_ours(&[("host", "inside:1"), ("origin", "https://ci.acme.example")]));
        assert!(!is_ours(&[own, ("origin", "null")]));
        assert!(!is_ours(&[("host", ""), ("origin", "")]));
        assert!(!is_ours(&[own]), "no browser");
    }
}
