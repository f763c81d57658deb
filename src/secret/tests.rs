//! Specs, sources and addresses, the refusals first.

use super::*;

fn spec(text: &str) -> Result<SecretSpec, SecretError> {
    text.parse()
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), bytes).unwrap();
    file
}

fn from_file(bytes: &[u8]) -> Result<Secret, SecretError> {
    resolve("TOKEN", &SecretFile(file(bytes).path().to_owned()))
}

#[test]
fn names_that_no_variable_can_have_are_refused() {
    for name in ["", "1A", "A-B", "A B", "ü", "=x", "A.B=env:C"] {
        assert!(matches!(spec(name), Err(SecretError::Name { .. })), "{name}");
    }
}

#[test]
fn names_that_would_change_the_run_are_refused() {
    for name in
        ["PATH", "HOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "SOOPERVISOR_NONCE", "BASH_ENV", "BASH_FUNC_ls", "IFS"]
    {
        assert!(matches!(spec(name), Err(SecretError::Reserved { .. })), "{name}");
    }
}

#[test]
fn a_value_given_as_a_source_is_never_repeated() {
    for text in ["TOKEN=hunter2hunter2", "TOKEN=env:not a name", "TOKEN=file:", "TOKEN="] {
        let error = spec(text).unwrap_err();
        assert!(matches!(error, SecretError::Source { .. }), "{text}");
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn a_spec_names_its_source() {
    let env = |name: &str| Origin::Env(name.to_owned());
    assert_eq!(spec("TOKEN").unwrap().origin, env("TOKEN"));
    assert_eq!(spec("TOKEN=env:OTHER").unwrap().origin, env("OTHER"));
    assert_eq!(spec("TOKEN=file:/a:b=c").unwrap().origin, Origin::File("/a:b=c".into()));
    assert_eq!(spec("TOKEN=env:PATH").unwrap().origin, env("PATH"));
}

#[test]
fn a_missing_variable_or_file_says_where_it_was_looked_for() {
    let error = spec("TOKEN=env:NO_SUCH_VARIABLE_AT_ALL").unwrap().resolve().unwrap_err();
    assert!(error.to_string().contains("`NO_SUCH_VARIABLE_AT_ALL` is not set"));
    let error = spec("TOKEN=file:/no/such/file").unwrap().resolve().unwrap_err();
    assert!(error.to_string().contains("/no/such/file"));
}

#[test]
fn a_file_loses_one_newline_and_nothing_else() {
    assert_eq!(from_file(b" value\n\n").unwrap().expose(), b" value\n");
    assert_eq!(from_file(b"value\r\n").unwrap().expose(), b"value");
    assert_eq!(from_file(b"\xff\xfe\xfd\xfc").unwrap().expose(), b"\xff\xfe\xfd\xfc");
}

#[test]
fn empty_short_huge_and_nul_values_are_refused() {
    assert!(matches!(from_file(b""), Err(SecretError::Empty { .. })));
    assert!(matches!(from_file(b" \n\n"), Err(SecretError::Empty { .. })));
    assert!(matches!(from_file(b"abc\n"), Err(SecretError::TooShort { .. })));
    assert!(matches!(from_file(b"ab\0cdef"), Err(SecretError::Nul { .. })));
    assert!(matches!(from_file(&vec![b'x'; 1024 * 1024 + 1]), Err(SecretError::TooLarge { .. })));
    assert!(from_file(&vec![b'x'; 1024 * 1024]).is_ok());
}

#[test]
fn one_name_twice_is_refused_and_short_values_are_told() {
    let short = file(b"abcd");
    let one = SecretSpec { name: "A".to_owned(), origin: Origin::File(short.path().to_owned()) };
    assert!(matches!(SecretSet::resolve(&[one.clone(), one.clone()]), Err(SecretError::Twice { .. })));
    assert_eq!(SecretSet::resolve(&[one]).unwrap().short(), ["A"]);
}

#[test]
fn credentials_in_addresses_are_hidden() {
    for (text, hidden) in [
        ("https://user:p%40ss-word@host/x", &["p%40ss-word", "p@ss-word"][..]),
        ("https://ghp_0123456789abcdef@github.com/a/b.git", &["ghp_0123456789abcdef"]),
        ("https://ghp_0123456789abcdef:x-oauth-basic@github.com/", &["ghp_0123456789abcdef"]),
        ("clone 'http://u:pa@ss@host/' failed", &["pa@ss"]),
        ("see https://h/x?a=1&access_token=abc+def&sig=zz99#f", &["abc+def", "zz99"]),
        ("https://git@github.com/a and https://h/x?q=token", &[]),
        ("http://user:1234@proxy http://u:true@p", &[]),
    ] {
        let mut set = SecretSet::default();
        set.hide_in_urls("address", text);
        set.hide_in_urls("address", text);
        let values: Vec<_> = set.mask_only.iter().map(|s| String::from_utf8_lossy(s.expose()).into_owned()).collect();
        assert_eq!(values, hidden, "{text}");
    }
}

#[test]
fn debug_shows_names_only() {
    let mut set = SecretSet { env: vec![Secret::new("A", b"hunter2hunter2".to_vec())], mask_only: vec![] };
    set.hide("B", b"zebra-zebra");
    let shown = format!("{set:?}");
    assert!(shown.contains("Secret(A)") && shown.contains("Secret(B)"), "{shown}");
    assert!(!shown.contains("hunter") && !shown.contains("zebra"));
}
