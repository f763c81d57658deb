//! Where whoever reads a pull request sees the pictures of its runs, if the workflow's author wants that.
//!
//! Pure. Either the outputs are served at an address that is known, by a web server or a public bucket, or the storage is
//! asked for addresses that end by themselves.

use std::time::Duration;

use url::Url;

use crate::web::Endpoint;

/// Addresses of object stores last so many days at the most.
const MOST_DAYS: u64 = 7;
/// The words that a template may hold.
const WORDS: [&str; 3] = ["{project}", "{commit}", "{path}"];

/// What the inputs `preview-url` and `preview-days` say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Previews {
    /// Where outputs are served.
    served: Option<String>,
    /// For how long the storage lends addresses of pictures to whoever has them.
    pub lasts: Option<Duration>,
}

impl Previews {
    /// Reads both inputs.
    ///
    /// # Errors
    /// Which of them cannot be, and what would be taken.
    pub fn read(served: Option<String>, days: Option<&str>) -> Result<Self, (&'static str, String)> {
        let wrong = || "write the `https://` address below which PROJECT/COMMIT/FILE is served, or one with `{project}`, `{commit}` and `{path}` in it";
        if let Some(served) = &served
            && !is_fit(served)
        {
            return Err(("preview-url", wrong().to_owned()));
        }
        let lasts = days.filter(|days| *days != "0").map(|days| {
            let days = days.parse().ok().filter(|days| (1..=MOST_DAYS).contains(days));
            days.map(|days| Duration::from_hours(24 * days))
                .ok_or(("preview-days", format!("write a number of days from 1 to {MOST_DAYS}, or 0 for none")))
        });
        Ok(Self { served, lasts: lasts.transpose()? })
    }

    /// The address of a file by its name in the storage, `project/commit/path`; `None` where none is served.
    pub fn file(&self, name: &str) -> Option<String> {
        let served = self.served.as_ref()?;
        let (project, rest) = name.split_once('/')?;
        let (commit, path) = rest.split_once('/')?;
        if !is_template(served) {
            return Some(format!("{}/{}", served.trim_end_matches('/'), escaped(name)));
        }
        let values = [project, commit, path];
        Some(WORDS.iter().zip(values).fold(served.clone(), |text, (word, value)| text.replace(word, &escaped(value))))
    }

    /// The address of a commit's folder, `project/commit`, where one is served.
    pub fn folder(&self, name: &str) -> Option<String> {
        let served = self.served.as_ref().filter(|served| !is_template(served))?;
        Some(format!("{}/{}/", served.trim_end_matches('/'), escaped(name)))
    }
}

fn is_template(served: &str) -> bool {
    served.contains('{')
}

/// Whether it is an address once the words are filled in, and different for different files.
fn is_fit(served: &str) -> bool {
    let filled = WORDS.iter().fold(served.to_owned(), |text, word| text.replace(word, "x"));
    let Ok(url) = Url::parse(&filled) else { return false };
    let plain = url.username().is_empty() && url.password().is_none() && !filled.contains(['{', '}']);
    let leads = if is_template(served) {
        // The host is nobody else's to choose.
        let host = served.split('/').nth(2).unwrap_or_default();
        WORDS.iter().all(|word| served.contains(word)) && !is_template(host)
    } else {
        url.query().is_none() && url.fragment().is_none()
    };
    plain && leads && Endpoint::is_safe(&url)
}

/// A name fit for an address, its slashes kept.
fn escaped(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(text: &str) -> Previews {
        Previews::read(Some(text.to_owned()), None).unwrap()
    }

    #[test]
    fn a_file_is_below_a_prefix_or_where_a_template_says() {
        let name = "churn/abc-sample/plots/a b#1{path}.png";
        for (given, address) in [
            (
                "https://files.example.org/runs",
                "https://files.example.org/runs/churn/abc-sample/plots/a%20b%231%7Bpath%7D.png",
            ),
            ("https://files.example.org/", "https://files.example.org/churn/abc-sample/plots/a%20b%231%7Bpath%7D.png"),
            (
                "https://x.org/{project}/raw?at={commit}&file={path}",
                "https://x.org/churn/raw?at=abc-sample&file=plots/a%20b%231%7Bpath%7D.png",
            ),
        ] {
            assert_eq!(served(given).file(name).as_deref(), Some(address));
        }
        let folder = |text: &str| served(text).folder("churn/abc");
        assert_eq!(folder("https://x.org/r/").as_deref(), Some("https://x.org/r/churn/abc/"));
        assert_eq!(folder("https://x.org/{project}/{commit}/{path}"), None);
        assert_eq!((Previews::default().file(name), Previews::default().folder("churn/abc")), (None, None));
    }

    #[test]
    fn what_is_no_address_of_the_authors_own_is_refused_with_what_would_be_taken() {
        for bad in [
            "files.example.org",
            "http://files.example.org",
            "https://me:pw@files.example.org",
            "https://files.example.org/?x=1",
            "https://{project}.example.org/{commit}/{path}",
            "https://example.org/{project}/{path}",
            "https://example.org/{project}/{commit}/{path}/{more}",
        ] {
            let (name, why) = Previews::read(Some(bad.to_owned()), None).unwrap_err();
            assert!(name == "preview-url" && why.contains("{path}"), "{bad}");
        }
        for bad in ["8", "-1", "1.5", "a week"] {
            assert_eq!(Previews::read(None, Some(bad)).unwrap_err().0, "preview-days", "{bad}");
        }
        assert_eq!(Previews::read(None, Some("7")).unwrap().lasts, Some(Duration::from_hours(168)));
        assert_eq!(Previews::read(None, Some("0")).unwrap(), Previews::default());
    }
}
