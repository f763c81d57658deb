//! Where an item is asked for: by its path below the root or the application's own folder, or by its id. Pure.

use url::Url;

use crate::storage::drive::escape::{escape, join, parts};
use crate::web::Endpoint;

/// The application's own folder, when a root begins with this.
const OWN: &str = "approot";

/// The place that everything lies below.
#[derive(Debug, Clone)]
pub(super) struct Address {
    api: Endpoint,
    /// `/v1.0/me/drive/root` or `/v1.0/me/drive/special/approot`.
    top: &'static str,
    root: String,
}

impl Address {
    pub(super) fn new(api: Endpoint, root: &str) -> Self {
        let mut names: Vec<&str> = parts(root).collect();
        let own = names.first() == Some(&OWN);
        if own {
            names.remove(0);
        }
        let top = if own { "/v1.0/me/drive/special/approot" } else { "/v1.0/me/drive/root" };
        Self { api, top, root: names.join("/") }
    }

    /// Characters that a whole path has before a key.
    pub(super) fn length(&self) -> usize {
        self.root.chars().count() + 1
    }

    /// The path of a key below the top.
    pub(super) fn path(&self, key: &str) -> String {
        join(&self.root, key)
    }

    /// The item of a path below the top, or with an action what is done with it.
    pub(super) fn at(&self, path: &str, action: &str) -> String {
        let names: Vec<String> = parts(path).map(escape).collect();
        let start = self.api.at(self.top);
        match (names.is_empty(), action) {
            (true, "") => start,
            (true, action) => format!("{start}/{action}"),
            (false, "") => format!("{start}:/{}", names.join("/")),
            (false, action) => format!("{start}:/{}:/{action}", names.join("/")),
        }
    }

    /// The item of a key, or what is done with it.
    pub(super) fn of(&self, key: &str, action: &str) -> String {
        self.at(&self.path(key), action)
    }

    /// The item with that id, or what is done with it.
    pub(super) fn id(&self, id: &str, action: &str) -> String {
        let slash = if action.is_empty() { "" } else { "/" };
        self.api.at(&format!("/v1.0/me/drive/items/{}{slash}{action}", escape(id)))
    }

    /// The whole drive.
    pub(super) fn drive(&self) -> String {
        self.api.at("/v1.0/me/drive")
    }

    /// Whether an address that the service handed out is its own, so that it may be told the token.
    pub(super) fn is_own(&self, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| self.api.is_of(&url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(root: &str) -> Address {
        Address::new("https://graph.microsoft.com".parse().unwrap(), root)
    }

    #[test]
    fn items_are_addressed_by_path_with_every_part_escaped() {
        let start = "https://graph.microsoft.com/v1.0/me/drive";
        let at = address("reports/été");
        assert_eq!(
            at.of("p/a%20#1.txt", "content"),
            format!("{start}/root:/reports/%C3%A9t%C3%A9/p/a%2520%231.txt:/content")
        );
        assert_eq!(at.of("", ""), format!("{start}/root:/reports/%C3%A9t%C3%A9"));
        assert_eq!(address("").of("", "children"), format!("{start}/root/children"));
        assert_eq!(address("approot").of("p", ""), format!("{start}/special/approot:/p"));
        assert_eq!(address("/approot/x").of("", "children"), format!("{start}/special/approot:/x:/children"));
        assert_eq!(at.id("F00D!1", "children"), format!("{start}/items/F00D%211/children"));
    }

    #[test]
    fn a_listing_that_leads_elsewhere_is_not_told_the_token() {
        assert!(address("").is_own("https://graph.microsoft.com/v1.0/x?$skiptoken=1"));
        assert!(address("").is_own("https://graph.microsoft.com:443/beta/x"), "the same server by another path");
        for other in [
            "https://graph.microsoft.com.example.com/v1.0",
            "https://graph.microsoft.com@example.com/v1.0",
            "https://graph.microsoft.com:8443/v1.0",
            "http://graph.microsoft.com/v1.0",
            "https://example.com/",
            "/v1.0",
        ] {
            assert!(!address("").is_own(other), "{other}");
        }
        let here = Address::new("http://127.0.0.1:8080/onedrive".parse().unwrap(), "");
        for own in ["http://127.0.0.1:8080/onedrive/v1.0", "http://localhost:8080/v1.0", "http://[::1]:8080/x"] {
            assert!(here.is_own(own), "{own}");
        }
        for other in ["http://127.0.0.1:8081/v1.0", "https://127.0.0.1:8080/", "http://example.com:8080/"] {
            assert!(!here.is_own(other), "{other}");
        }
    }
}
