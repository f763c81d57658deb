//! Enough of HTML to see what a browser would make of a page that is written as ours are: tags with attributes in double
//! quotes. Anything else that begins like a tag fails.

/// A tag that opens.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) name: &'a str,
    pub(crate) attributes: Vec<(&'a str, &'a str)>,
}

impl Found<'_> {
    /// An attribute's value; empty where there is none.
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(found, _)| *found == name).map_or("", |(_, value)| value)
    }
}

/// Every tag of the page that opens.
pub(crate) fn tags(page: &str) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('/').or(rest.strip_prefix("!doctype")) {
            let end = tail.find('>').expect("an end of the tag");
            assert!(tail[..end].chars().all(|c| c.is_ascii_alphanumeric() || c == ' '), "{:?}", &tail[..end]);
            rest = &tail[end..];
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).expect("an end of the name");
        assert!(end > 0, "a bare < before {:?}", rest.chars().take(30).collect::<String>());
        let mut tag = Found { name: &rest[..end], attributes: Vec::new() };
        rest = &rest[end..];
        loop {
            rest = rest.trim_start();
            if let Some(tail) = rest.strip_prefix('>') {
                rest = tail;
                break;
            }
            let end = rest.find(['=', '>', ' ']).expect("an attribute");
            let name = &rest[..end];
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "an attribute {name:?}");
            rest = &rest[end..];
            let Some(value) = rest.strip_prefix("=\"") else {
                tag.attributes.push((name, ""));
                continue;
            };
            let end = value.find('"').expect("an end of the value");
            tag.attributes.push((name, &value[..end]));
            rest = &value[end + 1..];
        }
        found.push(tag);
    }
    found
}

/// Fails where the page could execute or fetch anything.
pub(crate) fn assert_harmless(page: &str, tags: &[Found<'_>]) {
    use base64::Engine as _;
    use sha2::Digest as _;
    const KNOWN: [&str; 32] = [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "div",
        "b",
        "code",
        "br",
        "span",
        "section",
        "header",
        "table",
        "tr",
        "th",
        "td",
        "label",
        "input",
        "figure",
        "figcaption",
        "img",
        "small",
        "ul",
        "li",
        "details",
        "summary",
        "p",
        "footer",
        "!",
    ];
    for tag in tags {
        assert!(KNOWN.contains(&tag.name), "a tag <{}>", tag.name);
        for (name, value) in &tag.attributes {
            let fine = match *name {
                "class" | "title" | "alt" | "charset" | "content" | "http-equiv" | "name" | "lang" | "checked"
                | "open" => true,
                "type" => *value == "radio",
                "src" => tag.name == "img" && value.starts_with("data:image/"),
                _ => false,
            };
            assert!(fine, "<{} {name}={value:?}>", tag.name);
        }
    }
    let policy = tags.iter().find(|tag| tag.attribute("http-equiv") == "Content-Security-Policy").expect("a policy");
    let style = page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style");
    let digest = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(style));
    let expected =
        format!("default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'");
    assert_eq!(policy.attribute("content"), expected);
}
