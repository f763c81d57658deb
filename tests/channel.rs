//! Builds a channel, installs environments from it with rattler, and runs them.
//!
//! Needs what `make channel` needs: a CPython (or apt), and a package index that pip can reach. Without them it fails.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use rattler::install::Installer;
use rattler_conda_types::{
    Channel, ChannelConfig, GenericVirtualPackage, MatchSpec, ParseStrictness, RepoDataRecord, Subdir,
};
use rattler_repodata_gateway::Gateway;
use rattler_solve::{SolverImpl as _, SolverTask, resolvo};
use soopervisor::environment::channel::{self, Options, Source, Summary};

/// One channel for all tests: it is built once, and none of them writes to it.
static CHANNEL: LazyLock<(tempfile::TempDir, Summary)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("environment.yml");
    std::fs::write(
        &spec,
        "channels: [conda-forge]\ndependencies: [python, typing_extensions, r-base=4.0.3, pip: [x]]\n",
    )
    .unwrap();
    let summary =
        channel::build(&Options { to: folder.path().join("channel"), specs: vec![spec], ..Options::default() });
    (folder, summary.unwrap_or_else(|error| panic!("{error}")))
});

fn channel_folder() -> &'static Path {
    &CHANNEL.1.channel
}

/// The Pythons of the channel that numpy and pandas were fetched for.
fn pythons_with_pandas() -> Vec<String> {
    let with = |minor: &str| {
        let build = format!("-py{}_0", minor.replace('.', ""));
        CHANNEL.1.packages.iter().any(|name| name.starts_with("pandas-") && name.ends_with(&build))
    };
    let minors = CHANNEL.1.pythons.iter().map(|version| version.rsplit_once('.').unwrap().0.to_owned());
    minors.filter(|minor| with(minor)).collect()
}

async fn solve(channel: &Path, specs: &[&str]) -> Vec<RepoDataRecord> {
    let url = url::Url::from_directory_path(channel).unwrap();
    let config = ChannelConfig::default_with_root_dir(PathBuf::from("/"));
    let channel = Channel::from_str(url.as_str(), &config).unwrap();
    let specs: Vec<MatchSpec> =
        specs.iter().map(|text| MatchSpec::from_str(text, ParseStrictness::Strict).unwrap()).collect();
    let platform = Subdir::current().unwrap();
    let lists =
        Gateway::new().query([channel], [platform, Subdir::NoArch], specs.clone()).recursive(true).execute().await;
    let lists = lists.unwrap();
    let glibc: GenericVirtualPackage = GenericVirtualPackage {
        name: "__glibc".parse().unwrap(),
        version: "2.28".parse().unwrap(),
        build_string: "0".parse().unwrap(),
    };
    let task = SolverTask { specs, virtual_packages: vec![glibc], ..lists.iter().collect() };
    resolvo::Solver.solve(task).unwrap_or_else(|error| panic!("{error}")).records
}

async fn install(channel: &Path, specs: &[&str], prefix: &Path, cache: &Path) {
    let records = solve(channel, specs).await;
    Installer::new()
        .with_package_cache(rattler::package_cache::PackageCache::new(cache))
        .with_target_platform(Subdir::current().unwrap())
        .install(prefix, records)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Runs a program of the prefix with nothing of this machine's environment.
fn run(prefix: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(prefix.join("bin").join(program))
        .args(arguments)
        .env_clear()
        .env("HOME", prefix)
        .env("PATH", prefix.join("bin"))
        .current_dir("/")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {out}{err}");
    out.into_owned()
}

const EVERY_LIBRARY: &str = "
import bz2, ctypes, decimal, hashlib, json, lzma, readline, sqlite3, ssl, sys, sysconfig, uuid, zlib, pandas
assert pandas.DataFrame({'a': [1, 2]}).a.sum() == 3
assert sqlite3.connect(':memory:').execute('select 2 + 2').fetchone() == (4,)
hashlib.new('sha256', b'x'); ssl.create_default_context()
loaded = {line.split()[-1] for line in open('/proc/self/maps') if '.so' in line}
glibc = ('ld-linux', 'libc.so', 'libm.so', 'libdl.so', 'libpthread', 'librt.so', 'libutil.so', 'libresolv', 'libgcc_s', 'libstdc++')
foreign = sorted(p for p in loaded if not p.startswith(sys.prefix) and not p.split('/')[-1].startswith(glibc))
print(json.dumps({'foreign': foreign, 'prefix': sys.prefix, 'site': sysconfig.get_path('purelib'),
                  'ldlibrary': sysconfig.get_config_var('LIBDIR'), 'version': sys.version.split()[0]}))
";

/// Runs what an environment with pandas must be able to, and looks where its libraries come from.
fn check(prefix: &Path, minor: &str) {
    let told: serde_json::Value = serde_json::from_str(&run(prefix, "python", &["-c", EVERY_LIBRARY])).unwrap();
    assert_eq!(told["foreign"], serde_json::json!([]), "Python {minor} takes libraries from outside its prefix");
    assert_eq!(told["prefix"], prefix.to_str().unwrap());
    assert_eq!(told["site"], prefix.join(format!("lib/python{minor}/site-packages")).to_str().unwrap());
    if !told["ldlibrary"].as_str().unwrap().starts_with("/usr/lib") {
        assert_eq!(told["ldlibrary"], prefix.join("lib").to_str().unwrap(), "the prefix is not put into sysconfig");
    }
    assert!(told["version"].as_str().unwrap().starts_with(minor));
    let pip = run(prefix, "pip", &["--version"]);
    assert!(pip.contains(prefix.to_str().unwrap()) && pip.contains(&format!("(python {minor})")), "{pip}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_distributions_python_runs_pandas_too() {
    let scratch = tempfile::tempdir().unwrap();
    let options = Options { to: scratch.path().join("channel"), source: Source::Distribution, ..Options::default() };
    let summary = channel::build(&options).unwrap_or_else(|error| panic!("{error}"));
    let minor = summary.pythons[0].rsplit_once('.').unwrap().0;
    let prefix = scratch.path().join("prefix");
    install(&options.to, &["python", "pip", "pandas"], &prefix, &scratch.path().join("cache")).await;
    check(&prefix, minor);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_python_runs_pandas_with_no_library_of_the_machine() {
    let pythons = pythons_with_pandas();
    assert!(!pythons.is_empty(), "{:?}", CHANNEL.1);
    let scratch = tempfile::tempdir().unwrap();
    for minor in pythons {
        let prefix = scratch.path().join(&minor);
        install(
            channel_folder(),
            &[&format!("python={minor}"), "pip", "pandas"],
            &prefix,
            &scratch.path().join("cache"),
        )
        .await;
        check(&prefix, &minor);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_file_adds_its_packages_under_condas_names() {
    let records = solve(channel_folder(), &["python", "typing_extensions"]).await;
    let names: Vec<&str> = records.iter().map(|record| record.package_record.name.as_normalized()).collect();
    assert!(names.contains(&"typing_extensions") && names.contains(&"typing-extensions"), "{names:?}");
    let notes = CHANNEL.1.notes.join("\n");
    assert!(notes.contains("`r-base` is not a Python package"), "{notes}");
}

#[test]
fn the_same_inputs_are_not_built_twice_and_a_damaged_channel_is() {
    let folder = tempfile::tempdir().unwrap();
    let minor = pythons_with_pandas().remove(0);
    let options = Options {
        to: folder.path().join("c"),
        pythons: vec![minor],
        source: if CHANNEL.1.pythons.len() == 1 { Source::Any } else { Source::Installed },
        ..Options::default()
    };
    let first = channel::build(&options).unwrap();
    assert!(!first.reused);
    assert!(channel::build(&options).unwrap().reused);

    let list = options.to.join("noarch/repodata.json");
    let before = std::fs::read(&list).unwrap();
    std::fs::remove_file(options.to.join("noarch").join(format!("{}.conda", pure_package(&first)))).unwrap();
    let mended = channel::build(&options).unwrap();
    assert!(!mended.reused);
    assert_eq!(mended.packages, first.packages);
    assert_eq!(std::fs::read(&list).unwrap(), before, "the same wheel gave another package");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "only the channel and its lock are left: {left:?}");
}

fn pure_package(summary: &Summary) -> &str {
    summary.packages.iter().find(|name| name.starts_with("six-")).unwrap()
}

#[test]
fn a_python_that_is_not_there_is_named_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { to: folder.path().join("c"), pythons: vec!["3.99".into()], ..Options::default() };
    let text = channel::build(&options).unwrap_err().to_string();
    assert!(text.starts_with("no CPython 3.99 to package (found: 3."), "{text}");
    assert!(!options.to.exists());
}

#[test]
fn packages_are_listed_with_hashes_that_match() {
    use sha2::Digest as _;

    let mut seen = 0;
    for subdir in [Subdir::current().unwrap().to_string(), "noarch".to_owned()] {
        let folder = channel_folder().join(subdir);
        let list: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("repodata.json")).unwrap()).unwrap();
        for (file, record) in list["packages.conda"].as_object().unwrap() {
            let bytes = std::fs::read(folder.join(file)).unwrap();
            assert_eq!(record["sha256"], hex::encode(sha2::Sha256::digest(&bytes)), "{file}");
            assert_eq!(record["size"], bytes.len(), "{file}");
            seen += 1;
        }
    }
    assert_eq!(seen, CHANNEL.1.packages.len());
}

#[test]
fn what_an_earlier_build_was_asked_for_stays_when_more_is_added() {
    let folder = tempfile::tempdir().unwrap();
    let python = CHANNEL.1.pythons.last().unwrap().rsplit_once('.').unwrap().0.to_owned();
    let build = |name: &str| {
        let spec = folder.path().join(format!("{name}.yml"));
        std::fs::write(&spec, format!("dependencies: [{name}]\n")).unwrap();
        let pythons = vec![python.clone()];
        channel::build(&Options { to: folder.path().join("channel"), pythons, specs: vec![spec], ..Options::default() })
            .unwrap()
    };
    build("six");
    let both = build("toolz");
    let has = |name: &str| both.packages.iter().any(|package| package.starts_with(name));
    assert!(has("six-") && has("toolz-"), "{:?}", both.packages);
    assert!(build("six").reused, "nothing new was asked for");
}
