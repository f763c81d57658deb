//! The answer to PROPFIND, read: which paths there are, which of them are folders, and how long files are.

use jiff::Timestamp;
use quick_xml::XmlVersion;
use quick_xml::events::Event;
use quick_xml::name::QName;

use crate::storage::backend::entity_tag;
use crate::web::Fault;

/// One path of an answer.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// As the server wrote it: a path or an address, escaped.
    pub(super) href: String,
    pub(super) folder: bool,
    pub(super) size: u64,
    /// Bytes that are free there.
    pub(super) free: Option<u64>,
    pub(super) modified: Option<Timestamp>,
    /// Its entity tag, as [`crate::storage::backend::Meta::tag`] has it.
    pub(super) tag: Option<String>,
}

/// Every path of a multi-status answer.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Found>, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::Form("it is no text".to_owned()))?;
    let mut reader = quick_xml::Reader::from_str(text);
    let wrong = |error: &dyn std::fmt::Display| Fault::Form(error.to_string());
    let (mut all, mut one, mut within, mut word) = (Vec::new(), None::<Found>, String::new(), String::new());
    loop {
        match reader.read_event().map_err(|error| wrong(&error))? {
            Event::Start(start) => {
                within = local(start.name());
                word.clear();
                open(&within, &mut one);
            }
            Event::Empty(empty) => open(&local(empty.name()), &mut one),
            Event::Text(text) => word.push_str(&text.xml_content(XmlVersion::Implicit1_0)),
            Event::GeneralRef(reference) => {
                let known = match &*reference {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => reference.resolve_char_ref().map_err(|error| wrong(&error))?,
                };
                word.extend(known);
            }
            Event::End(end) => {
                let name = local(end.name());
                if name == "response" {
                    all.extend(one.take());
                } else if let (Some(found), true) = (&mut one, name == within) {
                    close(&name, word.trim(), found);
                }
                within.clear();
            }
            Event::Eof => return Ok(all),
            _ => {}
        }
    }
}

fn open(name: &str, one: &mut Option<Found>) {
    match (name, one) {
        ("response", one) => *one = Some(Found::default()),
        ("collection", Some(found)) => found.folder = true,
        _ => {}
    }
}

fn close(name: &str, word: &str, found: &mut Found) {
    match name {
        "href" if found.href.is_empty() => word.clone_into(&mut found.href),
        "getcontentlength" => found.size = word.parse().unwrap_or(found.size),
        "getlastmodified" => found.modified = jiff::fmt::rfc2822::parse(word).ok().map(|at| at.timestamp()),
        "getetag" => found.tag = entity_tag(word),
        "quota-available-bytes" => found.free = word.parse().ok(),
        _ => {}
    }
}

/// The name without its namespace's prefix, which every server chooses for itself.
fn local(name: QName<'_>) -> String {
    name.local_name().into_inner().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_entities_and_missing_properties_are_no_obstacle() {
        let text = r#"<?xml version="1.0"?><d:multistatus xmlns:d="DAV:"><d:response><d:href>/a%20b/</d:href><d:propstat>
            <d:prop><d:resourcetype><d:collection/></d:resourcetype><d:quota-available-bytes>12</d:quota-available-bytes></d:prop>
            </d:propstat></d:response><d:response><d:href>/a%20b/x&amp;y</d:href><d:propstat><d:prop><d:resourcetype/>
            <d:getcontentlength>7</d:getcontentlength><d:getetag>W/"3f"</d:getetag><d:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</d:getlastmodified></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>
            <d:propstat><d:prop><d:quota-available-bytes/></d:prop></d:propstat></d:response></d:multistatus>"#;
        let folder = Found { href: "/a%20b/".to_owned(), folder: true, free: Some(12), ..Found::default() };
        let modified = "1994-11-06T08:49:37Z".parse().ok();
        let tag = Some("3f".to_owned());
        let file = Found { href: "/a%20b/x&y".to_owned(), size: 7, modified, tag, ..Found::default() };
        assert_eq!(read(text.as_bytes()).unwrap(), [folder, file]);
        assert!(read(b"<a><b></a>").is_err());
    }
}
