//! Lines of environment.yml: slips in what is asked of conda and pip, and what a line installs from the repository.
//!
//! Pure. A line is judged only where both tools refuse it or read something else than what stands there.

/// What ends a version range before its version.
const OPERATORS: [char; 5] = ['=', '<', '>', '!', '~'];

/// Schemes of the addresses that a line for pip may have.
const SCHEMES: [&str; 14] = [
    "https",
    "http",
    "file",
    "ftp",
    "git+https",
    "git+http",
    "git+ssh",
    "git+file",
    "git+git",
    "hg+https",
    "hg+ssh",
    "svn+https",
    "svn+ssh",
    "bzr+https",
];

/// The name in `channel::name[…]>=1`.
pub(super) fn package(line: &str) -> &str {
    let line = line.rsplit("::").next().unwrap_or(line).trim();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))).unwrap_or(line.len());
    &line[..end]
}

/// Slips in lines for conda that are seen in real files, with what was meant.
pub(super) fn conda(line: &str) -> Option<(String, String)> {
    let text = line.trim();
    let name = package(text);
    if text.starts_with('-') {
        return Some((format!("`{text}` is for pip, not for conda"), "move it into the `pip:` section".to_owned()));
    }
    if let Some((before, after)) = text.split_once("=>").or_else(|| text.split_once("=<")) {
        let sign = if text.contains("=>") { ">=" } else { "<=" };
        return Some((format!("`{text}` is not a version range"), format!("did you mean `{before}{sign}{after}`?")));
    }
    if let Some(found) = open_end(text) {
        return Some(found);
    }
    if singles(text) > 2 {
        let message = format!("`{text}` has more than a version and a build");
        return Some((message, format!("write `{name}=VERSION`, or `{name}=VERSION=BUILD`")));
    }
    if text.contains("git+") || text.contains(" @ ") {
        return Some((format!("`{text}` is for pip, not for conda"), "move it into the `pip:` section".to_owned()));
    }
    let bracket = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('['));
    if bracket.is_some_and(|inside| !inside.contains('=')) {
        let help = format!("move `{text}` into the `pip:` section, or write `{name}`");
        return Some((format!("conda has no extras: `{text}`"), help));
    }
    if name.is_empty() && !text.starts_with(['*', '.', '/']) || text.ends_with(';') {
        return Some((
            format!("`{text}` names no package"),
            "write `- name`, `- name=version` or `- name>=version`".to_owned(),
        ));
    }
    None
}

/// Said of a line that ends in an operator.
fn open_end(text: &str) -> Option<(String, String)> {
    let bare = text.trim_end_matches(OPERATORS);
    if bare.len() == text.len() || package(text).is_empty() {
        return None;
    }
    // Without the comma that led to it.
    let bare = bare.trim_end_matches([',', '|', ' ']);
    let message = format!("`{text}` ends where the version should stand");
    Some((message, format!("write `{bare}`, or add the version")))
}

/// How often `=` stands alone, outside of brackets: `name=version=build` has two.
fn singles(text: &str) -> usize {
    let text = text.split('[').next().unwrap_or(text);
    let bytes = text.as_bytes();
    let operator = |at: Option<&u8>| at.is_some_and(|byte| b"=<>!~".contains(byte));
    let alone = |at: usize| {
        bytes[at] == b'=' && !operator(at.checked_sub(1).and_then(|at| bytes.get(at))) && !operator(bytes.get(at + 1))
    };
    (0..bytes.len()).filter(|at| alone(*at)).count()
}

/// Slips in the version range of a line for pip.
pub(super) fn pip(line: &str) -> Option<(String, String)> {
    let text = line.trim();
    let name = package(text);
    // A variable is filled in later.
    if name.is_empty() || text.contains("${") {
        return None;
    }
    let rest = text[text.find(name)? + name.len()..].trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(inside) => inside.split_once(']').map_or("", |(_, rest)| rest).trim_start(),
        None => rest,
    };
    if rest.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Some(two_words(text, name, rest));
    }
    if !rest.starts_with(OPERATORS) {
        return None;
    }
    let ends = [";", " --", " #"].iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
    let range = rest[..ends].trim_end();
    if let Some(found) = open_end(text[..text.len() - (rest.len() - range.len())].trim_end()) {
        return Some(found);
    }
    let wrong = range.split(',').map(str::trim).find(|part| !is_clause(part))?;
    let help = format!("write it as `{name}==1.2` or `{name}>=1,<2`, with a comma between ranges");
    Some((format!("`{wrong}` in `{text}` is not a version range"), help))
}

/// Said of a line with a second word behind the name.
fn two_words(text: &str, name: &str, rest: &str) -> (String, String) {
    let second = rest.split_whitespace().next().unwrap_or(rest);
    let help = if second.starts_with(|c: char| c.is_ascii_digit()) {
        format!("write `{name}=={second}`")
    } else {
        format!("one line has one package: write `- {name}` and `- {second}`")
    };
    (format!("`{second}` in `{text}` is not a version range"), help)
}

/// Slips in the address of a line for pip: a scheme that nothing understands, one slash where there are two, a blank.
pub(super) fn address(line: &str) -> Option<(String, String)> {
    let text = line.trim();
    let Some((before, address)) = text.split_once("://") else { return one_slash(text) };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-');
    let front = before.trim_end_matches(plain);
    let scheme = &before[front.len()..];
    // Behind anything but `name @` it is no address of the line's own; what a variable begins with is not known.
    if !(front.trim_end().is_empty() || front.trim_end().ends_with('@')) || scheme.is_empty() {
        return None;
    }
    let lower = scheme.to_ascii_lowercase();
    if !SCHEMES.contains(&lower.as_str()) && !lower.starts_with("hg+") && !lower.starts_with("svn+") {
        let near = SCHEMES.into_iter().min_by_key(|known| strsim::osa_distance(known, &lower));
        let help = match near.filter(|known| strsim::osa_distance(known, &lower) <= 2) {
            Some(known) => format!("did you mean `{known}://`?"),
            None => "a file is at `https://…`, a repository at `git+https://…` or `git+ssh://…`".to_owned(),
        };
        return Some((format!("pip knows no addresses that begin with `{scheme}://`"), help));
    }
    let (_, behind) = address.split_once(char::is_whitespace)?;
    let behind = behind.trim_start();
    if behind.is_empty() || behind.starts_with([';', '-', '#']) {
        return None;
    }
    let help = "write `%20` for a blank in an address; a second package has a line of its own";
    Some((format!("there is a blank in the address of `{text}`"), help.to_owned()))
}

/// `https:/example.com`, which pip takes for a folder of that name.
fn one_slash(text: &str) -> Option<(String, String)> {
    let (before, _) = text.split_once(":/")?;
    let scheme = before.rsplit(['@', ' ']).next().unwrap_or(before);
    let known = scheme != "file" && SCHEMES.contains(&scheme);
    known.then(|| (format!("`{text}` lacks a slash"), format!("did you mean `{scheme}://`?")))
}

/// Whether it is an operator with a version; nothing is what stands behind a last comma.
fn is_clause(part: &str) -> bool {
    let version = part.trim_start_matches(OPERATORS);
    let operator = &part[..part.len() - version.len()];
    let version = version.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || ".*+!-_".contains(c);
    part.is_empty()
        || operator == "==="
        || (matches!(operator, "==" | ">=" | "<=" | "!=" | "~=" | ">" | "<")
            && !version.is_empty()
            && version.chars().all(plain))
}

/// The path that a line installs from, where it is one below a folder of the repository.
pub(super) fn path(line: &str) -> Option<&str> {
    let text = line.trim();
    let text = text.strip_prefix("-e ").unwrap_or(text).split(" ;").next().unwrap_or_default();
    let text = text.split([';', '#']).next().unwrap_or_default().trim();
    let named = text.contains(" @ ") || text.contains("${") || text.contains(" --");
    if named || text.starts_with(['/', '~']) || text.starts_with("file:") {
        return None;
    }
    let path = match text.rsplit_once('[') {
        Some((path, extras)) if extras.ends_with(']') => path.trim_end(),
        _ => text,
    };
    (!path.is_empty()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_conda_reads_is_left_alone_and_slips_are_told_with_what_to_write() {
        for line in
            ["numpy", "pandas=1.*=py311*", "c::numpy>=1.2,<2", "a==1.0", "a =1", "a[version='>=1',build=x]", "a 1 b"]
        {
            assert_eq!(conda(line), None, "{line}");
        }
        for (line, help) in [
            ("numpy>=1,<", "write `numpy>=1`, or add the version"),
            ("numpy>=", "write `numpy`, or add the version"),
            ("pandas = 1 = 2 = 3", "write `pandas=VERSION`, or `pandas=VERSION=BUILD`"),
            ("python=>3.9", "did you mean `python>=3.9`?"),
        ] {
            assert_eq!(conda(line).unwrap_or_else(|| panic!("{line}")).1, help);
        }
    }

    #[test]
    fn what_pip_reads_is_left_alone_and_a_range_that_is_none_is_refused() {
        for line in [
            "ploomber",
            "pandas ==1.0",
            "pandas[all]>=1 , <2.0.dev1 ; python_version >= '3.8'",
            "numpy~=1.4",
            "a===any thing",
            "a==1.*",
            "a!=1!2.0+local-1,",
            "a (>=1.0)",
            "a @ https://h/a.whl",
            "git+https://h/y.git#egg=y==1==",
            "a==1.0 --hash=sha256:00==",
            "a>=${VERSION} ==",
            "a --hash=sha256:00",
            "a; python_version < '3'",
        ] {
            assert_eq!(pip(line), None, "{line}");
        }
        let told = |line: &str| pip(line).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(told("pandas ==1.0 ==").1, "write `pandas ==1.0`, or add the version");
        assert_eq!(told("numpy>=1,<").1, "write `numpy>=1`, or add the version");
        assert_eq!(told("numpy>=1,<; python_version>'3'").1, "write `numpy>=1`, or add the version");
        assert_eq!(told("pandas 1.0").1, "write `pandas==1.0`");
        assert_eq!(told("dask[all] numpy").1, "one line has one package: write `- dask` and `- numpy`");
        for (line, part) in [
            ("pandas=1.0", "`=1.0` in"),
            ("pandas = 1 = 2", "`= 1 = 2` in"),
            ("a>=1 <2", "`>=1 <2` in"),
            ("a==1,>>2", "`>>2` in"),
            ("a==1, ==,<2", "`==` in"),
        ] {
            assert!(told(line).0.starts_with(part), "{line}: {:?}", told(line));
        }
    }

    #[test]
    fn an_address_that_pip_can_ask_is_left_alone_and_a_slip_in_it_is_told() {
        for line in [
            "pandas",
            "https://h/a.whl",
            "HTTPS://h/a.whl --hash=sha256:00",
            "https://h/a.whl ; python_version > '3'",
            "git+https://h/y.git@v1#egg=y",
            "git+ssh://git@h/y.git",
            "git+${WHERE}://h/y.git",
            "${WHERE}://h/y.git",
            "https://${TOKEN}@h/a.whl",
            "a @ https://h/a.whl",
            "a@git+https://h/y.git",
            "hg+static-http://h/y",
            "file:///srv/a",
            "file:/srv/a",
            "./a:/b",
        ] {
            assert_eq!(address(line), None, "{line}");
        }
        let told = |line: &str| address(line).unwrap_or_else(|| panic!("{line}"));
        for (line, near) in [
            ("git+htps://h/y.git", "git+https"),
            ("htps://h/a.whl", "https"),
            ("gti+ssh://git@h/y.git", "git+ssh"),
            ("a @ git+htps://h/y.git", "git+https"),
            ("a@htttps://h/a.whl", "https"),
            ("https:/h/a.whl", "https"),
            ("a @ git+https:/h/y.git", "git+https"),
        ] {
            assert_eq!(told(line).1, format!("did you mean `{near}://`?"), "{line}");
        }
        assert_eq!(told("git+htps://h/y").0, "pip knows no addresses that begin with `git+htps://`");
        assert!(told("s3://bucket/a.whl").1.contains("git+https://"), "nothing is near");
        assert_eq!(told("https://x y").0, "there is a blank in the address of `https://x y`");
        assert!(told("a @ https://h/my wheel.whl").1.contains("%20"));
    }

    #[test]
    fn the_path_of_a_line_is_what_pip_would_look_for() {
        for (line, expected) in [
            ("-e ./nope", Some("./nope")),
            ("./nope.whl", Some("./nope.whl")),
            (".[dev]", Some(".")),
            ("-e ../lib[a,b]", Some("../lib")),
            ("./my pkg ; python_version>'3'", Some("./my pkg")),
            ("./a#egg=a", Some("./a")),
            ("/srv/a", None),
            ("file:///srv/a", None),
            ("name @ ./a", None),
            ("./${WHERE}/a", None),
        ] {
            assert_eq!(path(line), expected, "{line}");
        }
    }
}
