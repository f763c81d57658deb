//! Lock documents as they are written, and as somebody might forge them.

use super::*;

const SHA: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn conda(url: &str) -> Value {
    json!({"name": "python", "version": "3.11.7", "build": "h1_0", "url": url, "sha256": SHA})
}

fn document(conda: &[Value], pip: &[Value]) -> Value {
    json!({"schema": 1, "python": "3.11.7", "conda": conda, "pip": pip})
}

const URL: &str = "https://conda.anaconda.org/conda-forge/linux-64/python-3.11.7-h1_0.conda";

#[test]
fn a_lock_is_read_into_records_and_lines_with_hashes() {
    let git = format!("git+https://h/p.git@{COMMIT}#subdirectory=x");
    let pip = [
        json!({"name": "click", "version": "8.1.7", "hashes": ["sha256:aa", "sha256:bb"]}),
        json!({"name": "ploomber", "version": "0.23.3", "hashes": [], "url": git, "commit": COMMIT}),
        json!({"name": "tiny", "version": "1", "hashes": ["sha256:cc"], "url": "https://h/tiny-1-py3-none-any.whl"}),
    ];
    let lock = Lock::parse(&document(&[conda(URL)], &pip)).unwrap();
    assert_eq!(lock.packages(), 1);
    assert_eq!(lock.conda[0].record.sha256.map(hex::encode).as_deref(), Some(SHA));
    assert_eq!(
        lock.pip,
        [
            "click==8.1.7 --hash=sha256:aa --hash=sha256:bb".to_owned(),
            format!("ploomber @ {git}"),
            "tiny @ https://h/tiny-1-py3-none-any.whl --hash=sha256:cc".to_owned(),
        ]
    );
}

#[test]
fn what_no_build_would_have_written_is_refused() {
    let other = "https://conda.anaconda.org/conda-forge/linux-64/numpy-1.0-0.conda";
    for url in [other, "ftp://h/linux-64/python-3.11.7-h1_0.conda", "https://u:p@h/python-3.11.7-h1_0.conda", "x", ""] {
        assert!(Lock::parse(&document(&[conda(url)], &[])).is_err(), "{url}");
    }
    let mut bare = conda(URL);
    bare["sha256"] = Value::Null;
    assert!(Lock::parse(&document(&[bare], &[])).unwrap_err().to_string().contains("no sha256"));
    for (field, value) in [
        ("name", "-r /etc/passwd"),
        ("name", "a\n--index-url http://evil"),
        ("version", "1 --no-verify-hashes"),
        ("url", "file:///etc/passwd"),
        ("url", "git+https://h/p.git@main"),
        ("url", "https://h/a b"),
        ("url", "https://h/${HOME}"),
    ] {
        let mut row = json!({"name": "a", "version": "1", "hashes": ["sha256:aa"]});
        row[field] = json!(value);
        assert!(Lock::parse(&document(&[], &[row])).is_err(), "{field}: {value}");
    }
    let row = json!({"name": "a", "version": "1", "hashes": ["sha256:aa --pre"]});
    assert!(Lock::parse(&document(&[], &[row])).is_err());
    assert!(Lock::parse(&json!({"schema": 2, "conda": []})).unwrap_err().to_string().contains("schema 2"));
    assert!(Lock::parse(&json!(null)).is_err());
}

#[test]
fn a_branch_gives_way_to_the_commit_that_was_built() {
    let built = pinned("git+https://h/p.git@main#egg=p", Some(COMMIT));
    assert_eq!(built, Some(format!("git+https://h/p.git@{COMMIT}#egg=p")));
    assert_eq!(pinned("git+ssh://git@h/p.git", Some(COMMIT)), Some(format!("git+ssh://git@h/p.git@{COMMIT}")));
    assert_eq!(pinned("git+ssh://git@h/p.git", None), None);
}

#[test]
fn credentials_come_back_from_the_line_that_names_the_same_address() {
    let known: Vec<_> = ["git+https://${USER}:${TOKEN}@github.com/a/b@v1#egg=b", "ploomber>=0.20 ; python_version<'4'"]
        .iter()
        .filter_map(|line| address(line))
        .collect();
    let line = format!("b @ git+https://github.com/a/b@{COMMIT}");
    assert_eq!(
        with_credentials(&line, &known),
        format!("b @ git+https://${{USER}}:${{TOKEN}}@github.com/a/b@{COMMIT}")
    );
    let other = format!("c @ git+https://github.com/a/bc@{COMMIT}");
    assert_eq!(with_credentials(&other, &known), other, "another repository gets nobody's password");
    assert_eq!(with_credentials("click==8 --hash=sha256:aa", &known), "click==8 --hash=sha256:aa");
}

#[test]
fn packages_of_channels_that_nobody_names_are_refused() {
    let config = Config::new("/nowhere".into());
    let inputs = Inputs::new(&super::super::RawEnvironment::default(), &config, &|_| None).unwrap();
    let lock = |url: &str| Lock::parse(&document(&[conda(url)], &[])).unwrap();
    assert!(lock(URL).check(&inputs, &config).is_ok() && lock(URL).is_curated(&config));
    for url in [
        "https://evil.example.com/linux-64/python-3.11.7-h1_0.conda",
        "file:///etc/python-3.11.7-h1_0.conda",
        "https://conda.anaconda.org/conda-forge-evil/linux-64/python-3.11.7-h1_0.conda",
    ] {
        let error = lock(url).check(&inputs, &config).unwrap_err().to_string();
        assert!(error.contains("`python`") && error.contains("channels:"), "{error}");
        assert!(!lock(url).is_curated(&config));
    }
}

#[test]
fn the_key_is_that_of_the_packages_and_variables() {
    let config = Config::new("/nowhere".into());
    let mut inputs = Inputs::new(&super::super::RawEnvironment::default(), &config, &|_| None).unwrap();
    let lock = Lock::parse(&document(&[conda(URL)], &[])).unwrap();
    let key = lock.key(&inputs, &config);
    assert_ne!(key, inputs.key(&config));
    inputs.variables.insert("A".to_owned(), "1".to_owned());
    assert_ne!(lock.key(&inputs, &config), key);
}
