//! Lines as they stand in real environment.yml and requirements files.

use super::*;

fn none(_: &str) -> Result<String, String> {
    Err("no such file".to_owned())
}

fn split_all(lines: &[&str]) -> PipLines {
    let out = split(lines, "", &mut none);
    assert_eq!(out.refused, [], "{lines:?}");
    out.lines
}

/// Why the one line among them that cannot be used is not.
fn refused(lines: &[&str], folder: &str, read: &mut dyn FnMut(&str) -> Result<String, String>) -> PipError {
    let mut out = split(lines, folder, read);
    assert_eq!(out.refused.len(), 1, "{lines:?}: {:?}", out.refused);
    out.refused.remove(0).error
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
    let out = split(&["-r requirements.txt", "-r requirements.txt"], "", &mut read).lines;
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
    assert_eq!(split(&["-r ../requirements.txt"], "pipelines", &mut read).lines.remote, ["pandas"]);
    let outside = refused(&["-r ../../requirements.txt"], "pipelines", &mut read);
    assert!(matches!(outside, PipError::Outside { .. }), "{outside:?}");
}

#[test]
fn refuses_circles_escapes_and_addresses() {
    let mut circle = |file: &str| Ok(if file == "a.txt" { "-r b.txt" } else { "-r a.txt" }.to_owned());
    assert_eq!(refused(&["-r a.txt"], "", &mut circle), PipError::Circle { file: "a.txt".to_owned() });
    for line in ["-r ../x.txt", "-r /etc/passwd", "-r sub/../../x"] {
        assert!(matches!(refused(&[line], "", &mut none), PipError::Outside { .. }), "{line}");
    }
    for line in ["-r https://example.com/r.txt", "-f ./wheels", "--install-option x", "--instal", "-x"] {
        assert!(matches!(refused(&[line], "", &mut none), PipError::Unsupported { .. }), "{line}");
    }
    assert!(matches!(refused(&["-r"], "", &mut none), PipError::NoValue { .. }));
    assert!(matches!(refused(&["-r gone.txt"], "", &mut none), PipError::Unreadable { .. }));
}

#[test]
fn what_cannot_be_used_hides_nothing_of_the_rest_and_everything_knows_the_line_it_came_by() {
    let mut read = |file: &str| match file {
        "r.txt" => Ok("-r gone.txt\nscipy=1\n--bar\n-r r.txt\n-e .\n".to_owned()),
        other => Err(format!("no {other}")),
    };
    let out = split(&["-r missing.txt", "pandas", "-r r.txt", "-i", "numpy"], "", &mut read);
    let refused: Vec<(usize, String)> = out.refused.iter().map(|one| (one.at, one.error.to_string())).collect();
    assert_eq!(refused.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 2, 2, 2, 3], "{refused:?}");
    assert_eq!(out.lines.remote, ["pandas", "scipy=1", "numpy"]);
    let from: Vec<(usize, &str)> = out.from.iter().map(|(at, line)| (*at, line.as_str())).collect();
    assert_eq!(from, [(1, "pandas"), (2, "scipy=1"), (2, "-e ."), (4, "numpy")]);
}

#[test]
fn every_refusal_says_what_to_do() {
    let help = |line: &str| refused(&[line], "", &mut none).help();
    assert_eq!(help("--extra-index-ulr https://example.com"), "did you mean `--extra-index-url`?");
    assert_eq!(help("--quite-another-thing"), "remove the line, or do without the option");
    assert!(help("-f ./wheels").starts_with("remove the line"));
    assert!(help("-r gone.txt").contains("`gone.txt`") && help("-r ../x").contains("move the file"));
    assert!(help("-r").contains("the value"));
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
