//! Entries as they stand in real environment.yml files, and what they must mean.

use super::*;

fn config() -> Config {
    let mut config = Config::new("/nowhere".into());
    config.platform = "linux-64".to_owned();
    config
}

fn raw(channels: Option<&[&str]>, conda: &[&str], pip: &[&str]) -> RawEnvironment {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    RawEnvironment {
        channels: channels.map(owned),
        conda: owned(conda),
        pip: pip::split(pip, "", &mut |_| Err("none".to_owned())).lines,
        variables: BTreeMap::new(),
    }
}

fn inputs(raw: &RawEnvironment) -> Inputs {
    Inputs::new(raw, &config(), &|_| None).unwrap()
}

fn channels(written: Option<&[&str]>) -> Vec<String> {
    inputs(&raw(written, &["python", "pip", "ploomber"], &[])).sources.iter().map(|s| s.canonical.clone()).collect()
}

const FORGE: &str = "https://conda.anaconda.org/conda-forge";

#[test]
fn channels_mean_what_conda_users_expect() {
    assert_eq!(channels(None), [FORGE]);
    assert_eq!(channels(Some(&[])), [FORGE]);
    assert_eq!(channels(Some(&["nodefaults"])), [FORGE]);
    assert_eq!(channels(Some(&["defaults", "conda-forge"])), [FORGE]);
    assert_eq!(channels(Some(&["conda-forge", "nodefaults"])), [FORGE]);
    assert_eq!(channels(Some(&["https://conda.anaconda.org/conda-forge/"])), [FORGE]);
    assert_eq!(
        channels(Some(&["pytorch", "conda-forge", "conda-forge/label/dev", "file:///srv/chan"])),
        [
            "https://conda.anaconda.org/pytorch",
            FORGE,
            "https://conda.anaconda.org/conda-forge/label/dev",
            "file:///srv/chan"
        ]
    );
}

#[test]
fn says_what_it_replaced_and_added() {
    let notes = inputs(&raw(Some(&["defaults"]), &[], &["pandas"])).notes().join("\n");
    for words in ["`defaults` was read as conda-forge", "python", "`pip` was added", "ploomber==0.23.3"] {
        assert!(notes.contains(words), "{words} is not in {notes}");
    }
    let quiet = inputs(&raw(Some(&["conda-forge"]), &["python=3.10", "pip"], &["ploomber"]));
    assert!(quiet.notes().is_empty(), "{:?}", quiet.notes());
}

#[test]
fn adds_ploomber_only_where_nothing_names_it() {
    for (conda, pip) in [
        (&["ploomber"][..], &[][..]),
        (&["conda-forge::ploomber>=0.20"], &[]),
        (&[], &["ploomber[all]>=0.20"]),
        (&[], &["git+https://github.com/ploomber/ploomber.git@dev"]),
        (&[], &["Ploomber @ https://h/ploomber-0.1-py3-none-any.whl"]),
    ] {
        let inputs = inputs(&raw(None, conda, pip));
        assert!(!inputs.pip.contains(&"ploomber==0.23.3".to_owned()), "{conda:?} {pip:?}");
    }
    let near = inputs(&raw(None, &[], &["ploomber-engine", "soorgeon"]));
    assert!(near.pip.contains(&"ploomber==0.23.3".to_owned()));
}

#[test]
fn adds_build_tools_only_for_local_installs() {
    let names = |pip: &[&str]| {
        let inputs = inputs(&raw(None, &["python"], pip));
        inputs.specs.iter().filter_map(name_of).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(names(&["-e ."]).contains(&"setuptools".to_owned()));
    assert!(!names(&["pandas"]).contains(&"setuptools".to_owned()));
}

#[test]
fn channel_packages_bring_their_channel() {
    let inputs = inputs(&raw(Some(&["conda-forge"]), &["bioconda::samtools", "conda-forge::python"], &[]));
    let urls: Vec<&str> = inputs.sources.iter().map(|s| s.canonical.as_str()).collect();
    assert_eq!(urls, [FORGE, "https://conda.anaconda.org/bioconda"]);
}

#[test]
fn plain_names_follow_the_alias() {
    let mut config = config();
    config.channel_alias = "https://conda.example.com/api".to_owned();
    let inputs = Inputs::new(&raw(Some(&["team"]), &["team::x"], &[]), &config, &|_| None).unwrap();
    let urls: Vec<&str> = inputs.sources.iter().map(|s| s.canonical.as_str()).collect();
    assert_eq!(urls, ["https://conda.example.com/api/team"]);
    assert_eq!(inputs.specs[0].channel.as_ref().unwrap().base_url, inputs.sources[0].channel.base_url);
}

#[test]
fn refuses_what_conda_refuses_and_says_what_was_meant() {
    let cases = [
        ("nbconvert[webpdf]", "pip"),
        ("pygraphviz;", "`pygraphviz`"),
        ("networkx=>3.0.4", "`networkx>=3.0.4`"),
        ("-e ..", "pip"),
        ("git+https://user:secret@h/x", "pip"),
        ("py*", "full name"),
    ];
    for (entry, words) in cases {
        let Err(EnvironmentError::Inputs(problems)) = Inputs::new(&raw(None, &[entry], &[]), &config(), &|_| None)
        else {
            panic!("{entry} was accepted");
        };
        let help = problems[0].help.clone().unwrap_or_default();
        assert!(help.contains(words), "{entry}: {help}");
        assert!(!format!("{problems:?}").contains("secret"));
    }
}

#[test]
fn accepts_the_pins_of_real_files() {
    for entry in [
        "python=3.10",
        "python==3.10.4",
        "python 3.10.*",
        "numpy>=1.20,<2",
        "r-base=4.0.3",
        "openssl=1.1.1k=h7f98852_0",
        "scikit-learn",
        "_libgcc_mutex=0.1=conda_forge",
        "conda-forge::pandas=1.5",
        "pip>=22",
        "Pandas",
        "blas=*=mkl",
    ] {
        assert!(Inputs::new(&raw(None, &[entry], &[]), &config(), &|_| None).is_ok(), "{entry}");
    }
}

#[test]
fn the_key_follows_meaning_not_spelling() {
    let key = |raw: &RawEnvironment| inputs(raw).key(&config());
    let base = key(&raw(Some(&["conda-forge"]), &["python=3.10", "pip", "pandas"], &["ploomber", "scipy"]));
    for same in [
        raw(Some(&["conda-forge"]), &["pandas", "pip", "python=3.10"], &["scipy", "ploomber"]),
        raw(Some(&["conda-forge", "nodefaults"]), &["python=3.10", "pip", "pandas"], &["ploomber", "scipy"]),
        raw(Some(&[FORGE]), &["python=3.10", "Pandas", "pip"], &["ploomber # why", "scipy"]),
        raw(None, &["python=3.10", "pandas"], &["ploomber", "scipy"]),
    ] {
        assert_eq!(key(&same), base, "{same:?}");
    }
    let mut variables = raw(None, &["python=3.10", "pandas"], &["ploomber", "scipy"]);
    variables.variables.insert("A".to_owned(), "1".to_owned());
    for other in [
        raw(Some(&["bioconda", "conda-forge"]), &["python=3.10", "pip", "pandas"], &["ploomber", "scipy"]),
        raw(None, &["python=3.11", "pandas"], &["ploomber", "scipy"]),
        raw(None, &["python=3.10", "pandas"], &["ploomber", "scipy", "--pre"]),
        raw(None, &["python=3.10", "pandas", "ploomber"], &["scipy"]),
        variables,
    ] {
        assert_ne!(key(&other), base, "{other:?}");
    }
    let mut arm = config();
    arm.platform = "linux-aarch64".to_owned();
    let same_file = raw(None, &["python=3.10", "pandas"], &["ploomber", "scipy"]);
    assert_ne!(inputs(&same_file).key(&arm), base);
}

#[test]
fn the_key_knows_no_credential_mirror_or_path() {
    let with = |user: &str| {
        raw(
            Some(&[&format!("https://{user}conda.example.com/t/TOK{}/team", user.len())]),
            &["python"],
            &[&format!("git+https://{user}github.com/a/b@v1"), &format!("--index-url https://{user}pypi.example.com")],
        )
    };
    let (a, b) = (inputs(&with("me:hunter2@")), inputs(&with("ghp_token@")));
    assert_eq!(a.key(&config()), b.key(&config()));
    let mut elsewhere = config();
    elsewhere.root = "/other".into();
    elsewhere.mirrors.insert("conda-forge".to_owned(), vec!["file:///m".to_owned()]);
    elsewhere.host_env.insert("PIP_INDEX_URL".to_owned(), "https://mirror/simple".to_owned());
    assert_eq!(a.key(&config()), a.key(&elsewhere));
    let shown = format!("{a:?} {}", a.material(&config()));
    assert!(!shown.contains("hunter2") && !shown.contains("TOK"), "{shown}");
    let secrets: Vec<Vec<u8>> = a.secrets().iter().map(|s| s.expose().to_vec()).collect();
    assert!(secrets.contains(&b"hunter2".to_vec()) && secrets.contains(&b"TOK11".to_vec()), "{secrets:?}");
}

#[test]
fn expands_only_variables_that_were_handed_over() {
    let file = raw(Some(&["https://conda.example.com/t/${TOKEN}/team", "$NAME"]), &[], &[]);
    let given = |name: &str| match name {
        "TOKEN" => Some("s3cret".to_owned()),
        "NAME" => Some("conda-forge".to_owned()),
        _ => None,
    };
    let inputs = Inputs::new(&file, &config(), &given).unwrap();
    assert_eq!(inputs.sources[0].canonical, "https://conda.example.com/team");
    assert_eq!(inputs.sources[1].canonical, FORGE);
    assert_eq!(inputs.sources[0].channel.base_url.as_str(), "https://conda.example.com/team/");
    assert!(inputs.sources[0].written.as_ref().unwrap().as_str().contains("/t/s3cret/"));
    let garbage = |name: &str| Some(if name == "TOKEN" { "s3c ret/.." } else { "~s3cret~" }.to_owned());
    let told = Inputs::new(&raw(Some(&["$NAME"]), &[], &[]), &config(), &garbage).unwrap_err().to_string();
    assert!(told.contains("`$NAME`") && !told.contains("s3cret"), "{told}");
    let refused = Inputs::new(&file, &config(), &|_| None).unwrap_err();
    assert!(refused.is_user_fault() && refused.to_string().contains("TOKEN"), "{refused}");
}

#[test]
fn variables_in_pip_lines_are_handed_to_the_builder_and_to_nothing_else() {
    let file = raw(None, &[], &["git+https://${USER}:${TOKEN}@github.com/a/b@v1", "x @ https://h/x.whl?key=${TOKEN}"]);
    let given = |name: &str| Some(format!("value-of-{name}"));
    let inputs = Inputs::new(&file, &config(), &given).unwrap();
    assert_eq!(inputs.pip_variables.iter().map(Secret::name).collect::<Vec<_>>(), ["USER", "TOKEN"]);
    let shown = format!("{inputs:?} {}", inputs.material(&config()));
    assert!(!shown.contains("value-of"), "{shown}");
    assert!(inputs.secrets().iter().any(|secret| secret.expose() == b"value-of-TOKEN"));
    let other = Inputs::new(&file, &config(), &|_| Some("other".to_owned())).unwrap();
    assert_eq!(inputs.key(&config()), other.key(&config()));
    let refused = Inputs::new(&file, &config(), &|_| None).unwrap_err().to_string();
    assert!(refused.contains("`TOKEN`") && refused.contains("--secret TOKEN"), "{refused}");
    let lower = raw(None, &[], &["x @ https://h/${lower}.whl"]);
    assert!(Inputs::new(&lower, &config(), &|_| None).is_ok(), "pip leaves it as it is");
}

#[test]
fn what_is_assumed_of_the_machine_is_part_of_the_key() {
    let file = raw(None, &["python"], &["ploomber"]);
    let base = inputs(&file).key(&config());
    let mut keys = vec![base];
    for (name, version) in [("cuda", "12.4"), ("cuda", "11.8"), ("glibc", "2.35")] {
        let mut config = config();
        config.virtual_packages.insert(name.to_owned(), version.to_owned());
        keys.push(Inputs::new(&file, &config, &|_| None).unwrap().key(&config));
    }
    keys.sort_by_key(|key| key.0);
    keys.dedup();
    assert_eq!(keys.len(), 4);
    let mut wrong = config();
    wrong.virtual_packages.insert("cuda".to_owned(), "newest!".to_owned());
    let refused = Inputs::new(&file, &wrong, &|_| None).unwrap_err().to_string();
    assert!(refused.contains("cuda=newest!") && refused.contains("CONDA_OVERRIDE_CUDA"), "{refused}");
}

#[test]
fn channels_of_a_condarc_lie_where_it_says() {
    let mut config = config();
    config.custom_channels = BTreeMap::from([
        ("team".to_owned(), "https://me:hunter2@conda.example.com/api/".to_owned()),
        ("team/secret".to_owned(), "https://other.example.com".to_owned()),
    ]);
    config.default_channels = vec!["https://repo.example.com/t/TOK/main".to_owned()];
    let file = raw(Some(&["team", "team/label/dev", "team/secret", "teams", "defaults"]), &["team::x"], &[]);
    let inputs = Inputs::new(&file, &config, &|_| None).unwrap();
    let urls: Vec<&str> = inputs.sources.iter().map(|s| s.canonical.as_str()).collect();
    let expected = [
        "https://conda.example.com/api/team",
        "https://conda.example.com/api/team/label/dev",
        "https://other.example.com/team/secret",
        "https://conda.anaconda.org/teams",
        "https://repo.example.com/main",
    ];
    assert_eq!(urls, expected);
    let shown = format!("{inputs:?} {} {:?}", inputs.material(&config), inputs.notes());
    assert!(!shown.contains("hunter2") && !shown.contains("TOK"), "{shown}");
    let written = sources::written(&inputs.sources);
    assert_eq!(written.len(), 3);
    assert_eq!(written[0].0, "https://conda.example.com/api/team/");
    assert_eq!(written[2].1.as_str(), "https://repo.example.com/t/TOK/main/");
    assert_eq!(inputs.specs[0].channel.as_ref().unwrap().base_url.as_str(), "https://conda.example.com/api/team/");
}

#[test]
fn a_token_in_an_editable_checkout_stands_in_no_note() {
    for line in [
        "-e git+https://s3cr3t-token@github.com/a/ploomber.git@main#egg=ploomber",
        "-e git+https://me:s3cr3t-token@github.com/a/ploomber.git",
    ] {
        let inputs = inputs(&raw(Some(&["conda-forge"]), &["python=3.10", "pip"], &[line]));
        let notes = inputs.notes().join("\n");
        assert!(notes.contains("git+https://github.com/a/ploomber.git"), "{notes}");
        assert!(!notes.contains("s3cr3t"), "{notes}");
    }
}
