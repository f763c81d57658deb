//! Names as parts of an address.

/// One part of a path or one value of a query: everything is escaped that is not surely harmless there.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.push_str(&hex::encode_upper([byte]));
        }
    }
    escaped
}

/// The parts of a path; empty ones do not count.
pub(super) fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// A folder and what is in it; either may be empty.
pub(super) fn join(folder: &str, name: &str) -> String {
    match (folder, name) {
        ("", name) => name.to_owned(),
        (folder, "") => folder.to_owned(),
        (folder, name) => format!("{folder}/{name}"),
    }
}

/// The folder of a path, and its last part.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_mean_something_in_an_address_is_escaped() {
        assert_eq!(escape("été ?#%:'&+.txt"), "%C3%A9t%C3%A9%20%3F%23%25%3A%27%26%2B.txt");
        assert_eq!(escape("a-b._~9"), "a-b._~9");
    }

    #[test]
    fn paths_are_put_together_and_taken_apart() {
        assert_eq!((join("", "a"), join("a", ""), join("a", "b/c")), ("a".into(), "a".into(), "a/b/c".into()));
        assert_eq!((split("a/b/c"), split("a")), (("a/b", "c"), ("", "a")));
        assert_eq!(parts("/a//b/").collect::<Vec<_>>(), ["a", "b"]);
    }
}
