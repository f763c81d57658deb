//! Everything that is found in real environment.yml files, and the slips in them: what each comes to, from the bytes of
//! the file to what would be built, through the same rules that a run goes through.

use std::fmt::Write as _;
use std::fs;

use soopervisor::diag::Severity;
use soopervisor::environment::{Config, EnvironmentError, Inputs, RawEnvironment};
use soopervisor::id::RelPath;
use soopervisor::repo::Folder;
use soopervisor::validate::{Options, check};

/// What a file comes to.
enum Comes {
    /// Built from all of these (or, behind a `-`, without this).
    To(&'static [&'static str]),
    /// Refused with all of these words.
    Refused(&'static [&'static str]),
}

use Comes::{Refused, To};

const FORGE: &str = "https://conda.anaconda.org/conda-forge";

/// Name, file, and what it comes to. `{…}` below `dependencies:` keeps the cases short.
const CASES: &[(&str, &str, Comes)] = &[
    // Channels, as 419 public files write them; a third of them writes none.
    ("no channels at all", "dependencies: [python]", To(&[FORGE, "note: no `channels` are named"])),
    ("channels that are null", "channels:\ndependencies: [python]", To(&[FORGE])),
    ("an empty list of channels", "channels: []\ndependencies: [python]", To(&[FORGE])),
    ("conda-forge", "channels: [conda-forge]\ndependencies: [python]", To(&[FORGE, "- names no channel"])),
    ("defaults", "channels: [defaults]\ndependencies: [python]", To(&[FORGE, "`defaults` was read as conda-forge"])),
    ("nodefaults alone", "channels: [nodefaults]\ndependencies: [python]", To(&[FORGE, "- nodefaults"])),
    (
        "several, with defaults and nodefaults among them",
        "channels: [pytorch, bioconda, defaults, nodefaults]\ndependencies: [python]",
        To(&["conda.anaconda.org/pytorch", "conda.anaconda.org/bioconda", FORGE, "- /nodefaults", "- /defaults"]),
    ),
    ("a text instead of a list", "channels: conda-forge\ndependencies: [python]", To(&[FORGE, "should be a list"])),
    ("a label", "channels: [conda-forge/label/dev]\ndependencies: [python]", To(&["conda-forge/label/dev"])),
    ("a folder's address", "channels: ['file:///srv/chan']\ndependencies: [python]", To(&["file:///srv/chan"])),
    ("a folder of one machine", "channels: [./local]\ndependencies: [python]", Refused(&["`./local`", "file:///"])),
    (
        "a variable that was handed over",
        "channels: ['https://conda.example.com/t/${TOKEN}/team']\ndependencies: [python]",
        To(&["https://conda.example.com/team", "- s3cret"]),
    ),
    (
        "a variable that was not",
        "channels: ['https://h/${NOBODY}/team']\ndependencies: [python]",
        Refused(&["NOBODY", "--secret NOBODY"]),
    ),
    // conda's packages, in every form of pin that was counted.
    (
        "all pins",
        "dependencies: [pandas, python=3.10, 'numpy>=1.20,<2', pip==23.1, 'scipy 1.10.*', openssl=1.1.1k=h7f98852_0]",
        To(&["pandas", "python", "3.10", "numpy", ">=1.20", "<2", "pip", "23.1", "scipy", "h7f98852_0"]),
    ),
    (
        "a channel's package",
        "dependencies: ['bioconda::samtools', python]",
        To(&["conda.anaconda.org/bioconda", "samtools"]),
    ),
    ("brackets with a meaning", "dependencies: ['numpy[version=\">=1.20\"]', python]", To(&["numpy", ">=1.20"])),
    (
        "a package's address",
        "dependencies: ['https://conda.anaconda.org/conda-forge/noarch/tiny-1.0-0.conda', python]",
        To(&["tiny-1.0-0.conda"]),
    ),
    ("one thing twice", "dependencies: [python, pandas, pandas]", To(&["pandas"])),
    (
        "what `conda env export` writes",
        "name: base2\nchannels:\n  - conda-forge\ndependencies:\n  - _libgcc_mutex=0.1=conda_forge\n  - python=3.10.4=h2660328_0_cpython\nprefix: /home/me/miniconda3/envs/x\n",
        To(&["_libgcc_mutex", "conda_forge", "3.10.4", "- miniconda3"]),
    ),
    ("extras, which conda has not", "dependencies: ['nbconvert[webpdf]']", Refused(&["nbconvert[webpdf]", "`pip:`"])),
    ("a semicolon", "dependencies: ['pygraphviz;']", Refused(&["`pygraphviz;`"])),
    ("a pip line among conda's", "dependencies: ['-e ..']", Refused(&["`-e ..`", "pip"])),
    ("git among conda's", "dependencies: ['git+https://me:s3cret@h/x']", Refused(&["pip"])),
    (
        "an arrow",
        "dependencies: ['networkx=>3.0.4']",
        Refused(&["`networkx=>3.0.4`", "did you mean `networkx>=3.0.4`?"]),
    ),
    ("the other arrow", "dependencies: ['networkx=<3']", Refused(&["did you mean `networkx<=3`?"])),
    ("a glob", "dependencies: ['py*']", Refused(&["`py*`", "full name"])),
    ("a number", "dependencies: [3.10]", Refused(&["must be a text", "a number"])),
    ("a package of Windows", "dependencies: [python, pywin32]  # [win]", To(&["pywin32"])),
    // Sections.
    ("no pip of its own", "dependencies: [python, {pip: [pandas]}]", To(&["pandas", "`pip` is no dependency"])),
    ("an empty pip section", "dependencies: [python, {pip: }]", To(&["python"])),
    ("a pip section with nothing in it", "dependencies: [python, {pip: []}]", To(&["python"])),
    (
        "several pip sections",
        "dependencies: [{pip: [first]}, python, {pip: [second]}, pip, {pip: [third]}]",
        To(&["first", "second", "third"]),
    ),
    ("a pip section that is a number", "dependencies: [python, {pip: 1}]", Refused(&["`pip` must be a list"])),
    ("a mapping inside pip", "dependencies: [{pip: [{a: b}]}]", Refused(&["a line for pip must be a text"])),
    ("npm", "dependencies: [python, {npm: [left-pad]}]", Refused(&["does not know the section `npm`"])),
    ("a selector with a list", "dependencies: [{'sel(linux)': [python]}]", Refused(&["sel(linux)", "no selectors"])),
    ("a selector with a text", "dependencies: [{'sel(linux)': python}]", Refused(&["sel(linux)", "no selectors"])),
    ("a section with two keys", "dependencies: [{pip: [a], npm: [b]}]", Refused(&["`npm`"])),
    // pip's lines.
    (
        "pip's forms",
        "dependencies: [pip, {pip: [plain, 'extra[all]>=1', 'git+https://github.com/a/b@v1', 'https://h/c-1-py3-none-any.whl', '-e git+https://h/d.git#egg=d']}]",
        To(&[
            "plain",
            "extra[all]>=1",
            "git+https://github.com/a/b@v1",
            "c-1-py3-none-any.whl",
            "h/d.git",
            "without `-e`",
        ]),
    ),
    (
        "installs of the repository itself stay out of the shared environment",
        "dependencies: [pip, {pip: [-e ., ./lib, '.[dev]']}]",
        To(&["local: -e . ./lib .[dev]", "setuptools"]),
    ),
    (
        "a requirements file that names another and the repository",
        "dependencies: [pip, {pip: [-r requirements.txt]}]",
        To(&["from-requirements", "from-deeper", "local: -e .", "constraints: limited<2"]),
    ),
    ("a requirements file that is not there", "dependencies: [pip, {pip: [-r gone.txt]}]", Refused(&["gone.txt"])),
    ("one outside of the repository", "dependencies: [pip, {pip: [-r ../x.txt]}]", Refused(&["outside"])),
    (
        "options",
        "dependencies: [pip, {pip: ['--extra-index-url https://h/simple', --pre, torch]}]",
        To(&["options: --extra-index-url https://h/simple --pre", "torch"]),
    ),
    ("an option that means nothing here", "dependencies: [pip, {pip: [--user]}]", Refused(&["--user"])),
    (
        "a token in a pip line",
        "dependencies: [pip, {pip: ['git+https://${TOKEN}@github.com/a/b']}]",
        To(&["github.com/a/b", "- s3cret"]),
    ),
    (
        "a token nobody gave",
        "dependencies: [pip, {pip: ['git+https://${NOBODY}@h/b']}]",
        Refused(&["NOBODY", "--secret"]),
    ),
    // The rest of the file.
    ("variables", "dependencies: [python]\nvariables: {A: 1, b_C: 'x y'}", To(&["variables: A=1 b_C=x y"])),
    ("a variable that is none", "dependencies: [python]\nvariables: {'a-b': x}", Refused(&["`a-b`"])),
    ("a name that is a number", "name: 3\ndependencies: [python]", To(&["python"])),
    ("a name conda keeps", "name: base\ndependencies: [python]", Refused(&["`base`"])),
    ("keys of other tools", "platforms: [linux-64]\ncategory: main\ndependencies: [python]", To(&["- does not know"])),
    ("a key nobody knows", "dependences: []\ndependencies: [python]", To(&["does not know the key `dependences`"])),
    ("a mark at the beginning", "\u{feff}dependencies: [python=3.9]", To(&["3.9"])),
    ("lines of Windows", "channels:\r\n  - conda-forge\r\ndependencies:\r\n  - python=3.9\r\n", To(&["3.9", FORGE])),
    ("anchors", "x: &p python=3.9\ndependencies: [*p]", To(&["3.9"])),
    ("an empty file", "", Refused(&["environment.yml"])),
    ("nothing to depend on", "name: a\n", Refused(&["no `dependencies`"])),
    ("an empty list", "dependencies: []\n", Refused(&["asks for nothing"])),
    ("one key twice", "dependencies: [python]\ndependencies: [pandas]", To(&["a second time", "pandas"])),
    ("two documents", "dependencies: [python]\n---\ndependencies: [pandas]", Refused(&["environment.yml"])),
    ("tabs", "dependencies:\n\t- python\n", Refused(&["environment.yml"])),
    (
        "a template's placeholder",
        "name: {{ cookiecutter.name }}\ndependencies: [python]",
        Refused(&["environment.yml"]),
    ),
    ("broken YAML", "dependencies: [python\n", Refused(&["environment.yml"])),
];

const REQUIREMENTS: &str = "\u{feff}from-requirements>=1  # why\n-r sub/deeper.txt\n-c limits.txt\n-e .\n";

/// The file through the rules and into inputs: what would be built, or why nothing is.
fn come(text: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("environment.yml", text);
    put("requirements.txt", REQUIREMENTS);
    put("sub/deeper.txt", "from-deeper\n");
    put("limits.txt", "limited<2\n");
    put("lib/setup.py", "");
    put("pipeline.yaml", "tasks:\n  - source: tasks.first\n    product: output/first.txt\n");
    put("tasks.py", "def first(product):\n    pass\n");
    let outcome = check(&Folder::open(folder.path()).unwrap(), &RelPath::root(), &Options::default());
    let mut told = String::new();
    for finding in &outcome.diagnostics {
        let severity = format!("{:?}", finding.severity).to_lowercase();
        let file = finding.place.as_ref().map(|(source, _)| source.name.clone()).unwrap_or_default();
        let help = finding.help.clone().unwrap_or_default();
        writeln!(told, "{severity}: {} ({file}) {help}", finding.message).unwrap();
    }
    let refused = outcome.diagnostics.iter().any(|finding| finding.severity == Severity::Error);
    let Some(project) = outcome.project.filter(|_| !refused) else { return Err(told) };
    let mut config = Config::new("/nowhere".into());
    "linux-64".clone_into(&mut config.platform);
    let raw = RawEnvironment::of(&project.environment, project.pip);
    let given = |name: &str| (name == "TOKEN").then(|| "s3cret".to_owned());
    let inputs = Inputs::new(&raw, &config, &given).map_err(|error| match error {
        EnvironmentError::Inputs(problems) => problems.iter().fold(told.clone(), |told, problem| {
            format!(
                "{told}error: `{}` {} {}\n",
                problem.entry,
                problem.message,
                problem.help.clone().unwrap_or_default()
            )
        }),
        other => other.to_string(),
    })?;
    let variables: Vec<String> = raw.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let line = |what: &str, list: &[String]| format!("{what}: {}\n", list.join(" "));
    told += &format!("{inputs:?}\n");
    told += &line("options", &raw.pip.options);
    told += &line("constraints", &raw.pip.constraints);
    told += &line("local", &raw.pip.local);
    told += &line("variables", &variables);
    Ok(told + &inputs.notes().join("\n"))
}

#[test]
fn every_form_and_every_slip_of_real_files_comes_to_what_its_author_meant() {
    let mut wrong = String::new();
    for (name, text, comes) in CASES {
        let came = come(text);
        let (said, words, fits) = match (&came, comes) {
            (Ok(said), To(words)) | (Err(said), Refused(words)) => (said, *words, true),
            (Ok(said) | Err(said), To(words) | Refused(words)) => (said, *words, false),
        };
        let missing = words.iter().find(|word| match word.strip_prefix("- ") {
            Some(absent) => said.contains(absent),
            None => !said.contains(*word),
        });
        if !fits || missing.is_some() {
            writeln!(wrong, "{name}: taken: {}, not as expected: {missing:?}\n{said}", came.is_ok()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
