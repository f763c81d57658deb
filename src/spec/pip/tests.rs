//! Lines as they stand in real environment.yml and requirements files.

use super::*;

fn none(_: &str) -> Result<String, String> {
    Err("no such file".to_owned())
}

fn split_all(lines: &[&str]) -> PipLines {
    split(lines, "", &mut none).unwrap()
}

#[test]
fn sorts_each_line_where_it_belongs() {
    let cases: &[(&str, char)] = &[
        ("ploomber", 'r'),
        ("ploomber[all]>=0.20", 'r'),
        ("pandas==2.1.0 ; python_version < '3.12'", 'r'),
        ("git+https://github.com/ploomber/ploomber@dev", 'r'),
        ("ploomber @ git+https://github.com/ploomber/ploomber", 'r'),
        ("https://example.com/a/b-1.0-py3-none-any.whl", 'r'),
        (".", 'l'),
        ("-e .", 'l'),
        ("-e .[dev]", 'l'),
        ("--editable=./lib", 'l'),
        ("-e.", 'l'),
        ("./lib", 'l'),
        ("../shared", 'l'),
        ("lib/", 'l'),
        ("wheels/a-1.0-py3-none-any.whl", 'l'),
        ("a-1.0-py3-none-any.whl", 'l'),
        ("file:///srv/a", 'l'),
        ("name @ file:./a", 'l'),
        (".[dev]", 'l'),
        ("--extra-index-url https://download.pytorch.org/whl/cpu", 'o'),
        ("-i https://example.com/simple", 'o'),
        ("--pre", 'o'),
        ("# only a comment", '-'),
        ("", '-'),
    ];
    for (line, kind) in cases {
        let out = split_all(&[line]);
        let got = match (out.remote.len(), out.local.len(), out.options.len()) {
            (1, 0, 0) => 'r',
            (0, 1, 0) => 'l',
            (0, 0, 1) => 'o',
            (0, 0, 0) => '-',
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(got, *kind, "{line}");
    }
}

#[test]
fn reads_requirements_relative_to_the_file_that_names_them() {
    let mut read = |file: &str| match file {
        "requirements.txt" => Ok("pandas\n-r sub/more.txt\n-e .\n".to_owned()),
        "sub/more.txt" => Ok("\u{feff}numpy \\\n  >=1.20\n-r deeper.txt # next\n-c ../limits.txt".to_owned()),
        "sub/deeper.txt" => Ok("scipy".to_owned()),
        "limits.txt" => Ok("scipy<1.14".to_owned()),
        other => Err(format!("asked for {other}")),
    };
    let out = split(&["-r requirements.txt", "-r requirements.txt"], "", &mut read).unwrap();
    assert_eq!(out.remote, ["pandas", "numpy   >=1.20", "scipy"]);
    assert_eq!(out.constraints, ["scipy<1.14"]);
    assert_eq!(out.local, ["-e ."]);
}

#[test]
fn reads_a_file_beside_the_folder_of_environment_yml_but_none_outside_of_the_repository() {
    let mut read = |file: &str| match file {
        "requirements.txt" => Ok("pandas".to_owned()),
        other => Err(format!("asked for {other}")),
    };
    assert_eq!(split(&["-r ../requirements.txt"], "pipelines", &mut read).unwrap().remote, ["pandas"]);
    let outside = split(&["-r ../../requirements.txt"], "pipelines", &mut read);
    assert!(matches!(outside, Err(PipError::Outside { .. })), "{outside:?}");
}

#[test]
fn refuses_circles_escapes_and_addresses() {
    let mut circle = |file: &str| Ok(if file == "a.txt" { "-r b.txt" } else { "-r a.txt" }.to_owned());
    assert_eq!(split(&["-r a.txt"], "", &mut circle).unwrap_err(), PipError::Circle { file: "a.txt".to_owned() });
    for line in ["-r ../x.txt", "-r /etc/passwd", "-r sub/../../x"] {
        assert!(matches!(split(&[line], "", &mut none), Err(PipError::Outside { .. })), "{line}");
    }
    assert!(matches!(split(&["-r https://example.com/r.txt"], "", &mut none), Err(PipError::Unsupported { .. })));
    assert!(matches!(split(&["-f ./wheels"], "", &mut none), Err(PipError::Unsupported { .. })));
    assert!(matches!(split(&["--install-option x"], "", &mut none), Err(PipError::Unsupported { .. })));
    assert!(matches!(split(&["-r"], "", &mut none), Err(PipError::NoValue { .. })));
    assert!(matches!(split(&["-r gone.txt"], "", &mut none), Err(PipError::Unreadable { .. })));
}

#[test]
fn installs_remote_editables_plainly_and_says_so() {
    let out = split_all(&["-e git+https://github.com/x/y.git#egg=y"]);
    assert_eq!(out.remote, ["git+https://github.com/x/y.git#egg=y"]);
    assert_eq!(out.notes.len(), 1);
}

#[test]
fn keeps_fragments_and_drops_comments() {
    let out = split_all(&["git+https://h/y.git#egg=y  # why", "a # b"]);
    assert_eq!(out.remote, ["git+https://h/y.git#egg=y", "a"]);
}

#[test]
fn finds_project_names() {
    let cases: &[(&str, Option<&str>)] = &[
        ("Ploomber", Some("ploomber")),
        ("scikit_learn>=1", Some("scikit-learn")),
        ("ploomber[all]==0.23", Some("ploomber")),
        ("ploomber @ git+https://h/x", Some("ploomber")),
        ("git+https://github.com/ploomber/ploomber.git@master", Some("ploomber")),
        ("git+https://github.com/ploomber/x#egg=Ploomber[all]&subdirectory=a", Some("ploomber")),
        ("https://h/soorgeon-0.1-py3-none-any.whl", Some("soorgeon")),
        ("pkg;python_version<'3'", Some("pkg")),
        ("ploomber-engine", Some("ploomber-engine")),
        ("", None),
    ];
    for (line, name) in cases {
        assert_eq!(name_of(line).as_deref(), *name, "{line}");
    }
}
