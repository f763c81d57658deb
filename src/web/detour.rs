//! Addresses that a vendor hands out, led to whatever was put in that vendor's place: what is asked through a gateway, or
//! of a fake on this machine, stays there.

use url::Url;

use super::Endpoint;

/// Which addresses are asked elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detours(Vec<Detour>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Detour {
    host: String,
    /// Whether hosts below it are meant too.
    below: bool,
    path: String,
    instead: Endpoint,
}

impl Detours {
    /// What is on `host` and whose path begins with `path` is asked below `instead`. The first that fits counts.
    pub fn lead(&mut self, host: &str, path: &str, instead: &Endpoint) {
        self.push(host, false, path, instead);
    }

    /// Whatever is on `domain` or below it is asked below `instead`.
    pub fn lead_all(&mut self, domain: &str, instead: &Endpoint) {
        self.push(domain, true, "/", instead);
    }

    fn push(&mut self, host: &str, below: bool, path: &str, instead: &Endpoint) {
        let (host, path) = (host.to_owned(), path.to_owned());
        self.0.push(Detour { host, below, path, instead: instead.clone() });
    }

    /// Where that address is asked instead; `None` where it is asked itself.
    pub fn of(&self, url: &Url) -> Option<Url> {
        let host = url.host_str()?;
        let fits = |detour: &&Detour| {
            let is_below = || host.strip_suffix(&*detour.host).is_some_and(|rest| rest.ends_with('.'));
            (host == detour.host || detour.below && is_below()) && url.path().starts_with(&*detour.path)
        };
        let instead = &self.0.iter().find(fits)?.instead;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        instead.at(&format!("{}{query}", url.path())).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_the_vendors_is_led_elsewhere_and_the_first_that_fits_counts() {
        let (api, upload): (Endpoint, Endpoint) =
            ("http://127.0.0.1:1/x".parse().unwrap(), "http://127.0.0.1:2".parse().unwrap());
        let mut detours = Detours::default();
        detours.lead("www.example.com", "/upload/", &upload);
        detours.lead("www.example.com", "/", &api);
        detours.lead_all("example.net", &upload);
        let of = |url: &str| detours.of(&url.parse().unwrap()).map(|url| url.to_string());
        assert_eq!(of("https://www.example.com/upload/a?b=c%20d").unwrap(), "http://127.0.0.1:2/upload/a?b=c%20d");
        assert_eq!(of("https://www.example.com/v1/%C3%A9").unwrap(), "http://127.0.0.1:1/x/v1/%C3%A9");
        assert_eq!(of("https://a.b.example.net/up").unwrap(), "http://127.0.0.1:2/up");
        for other in ["https://example.com/", "https://badexample.net/", "https://www.example.com.example.org/"] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(Detours::default().of(&"https://www.example.com/".parse().unwrap()), None);
    }
}
