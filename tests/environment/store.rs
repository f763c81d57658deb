//! Store behaviour with a folder channel and an engine that plays the builder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use soopervisor::engine::Engine;
use soopervisor::environment::{
    Config, EnvironmentError, Inputs, Prepared, RawEnvironment, Request, Room, Store, Wish,
};
use soopervisor::id::RunId;
use soopervisor::spec::pip;
use tokio_util::sync::CancellationToken;

use crate::channel::{self, PLACEHOLDER, Package};
use crate::engines::{Builder, Play, Untouchable};

/// A user with a store, a channel and no engine.
pub(crate) struct Fixture {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) config: Config,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("#!{PLACEHOLDER}/bin/sh\necho {PLACEHOLDER}\n");
        channel::write(
            &folder.path().join("channel"),
            &[
                Package {
                    name: "python",
                    version: "3.11.7",
                    depends: &["__glibc >=2.17"],
                    files: &[("bin/python", &script)],
                },
                Package { name: "pip", version: "24.0", depends: &["python"], files: &[("bin/pip", &script)] },
                Package {
                    name: "activates",
                    version: "1",
                    depends: &[],
                    files: &[("etc/conda/activate.d/a.sh", "export ACTIVATED=1\n")],
                },
                Package {
                    name: "posts",
                    version: "1",
                    depends: &[],
                    files: &[("bin/.posts-post-link.sh", "touch \"$PREFIX/posted\"\n")],
                },
            ],
        );
        let mut config = Config::new(folder.path().join("store"));
        "linux-64".clone_into(&mut config.platform);
        let uv = folder.path().join("uv");
        fs::write(&uv, "never run").unwrap();
        config.uv = Some(uv);
        config.mirrors.insert("conda-forge".to_owned(), vec![folder.path().join("channel").display().to_string()]);
        Self { folder, config }
    }

    pub(crate) fn inputs(&self, conda: &[&str], lines: &[&str]) -> Inputs {
        let raw = RawEnvironment {
            channels: Some(vec!["conda-forge".to_owned()]),
            conda: conda.iter().map(|text| (*text).to_owned()).collect(),
            pip: pip::split(lines, "", &mut |_| Err("none".to_owned())).lines,
            ..RawEnvironment::default()
        };
        Inputs::new(&raw, &self.config, &|_| None).unwrap()
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.config.root).unwrap()
    }

    pub(crate) async fn ensure(&self, inputs: &Inputs, engine: &dyn Engine) -> Result<Prepared, EnvironmentError> {
        self.ensure_until(inputs, engine, &CancellationToken::new()).await
    }

    /// The environment with the packages that are wished for, and what was told on the way.
    pub(crate) async fn wish(
        &self,
        inputs: &Inputs,
        engine: &dyn Engine,
        wish: Wish<'_>,
    ) -> (Result<Prepared, EnvironmentError>, String) {
        let run: RunId = "20260101-000000-aaaaaaaa-test".parse().unwrap();
        let request = Request { inputs, config: &self.config, engine, image: "image", run: &run, wish };
        let mut told = String::new();
        let mut tell = |line: String| told = format!("{told}{line}\n");
        let result = self.store().ensure(&request, &mut tell, &CancellationToken::new()).await;
        (result, told)
    }

    async fn ensure_until(
        &self,
        inputs: &Inputs,
        engine: &dyn Engine,
        cancel: &CancellationToken,
    ) -> Result<Prepared, EnvironmentError> {
        let run: RunId = "20260101-000000-aaaaaaaa-test".parse().unwrap();
        let wish = Wish::AsKept;
        let request = Request { inputs, config: &self.config, engine, image: "image", run: &run, wish };
        self.store().ensure(&request, &mut |_| {}, cancel).await
    }

    pub(crate) async fn ensure_in(
        &self,
        store: &Store,
        inputs: &Inputs,
        engine: &dyn Engine,
    ) -> Result<Prepared, EnvironmentError> {
        let run: RunId = "20260101-000000-aaaaaaaa-test".parse().unwrap();
        let request = Request { inputs, config: &self.config, engine, image: "image", run: &run, wish: Wish::AsKept };
        store.ensure(&request, &mut |_| {}, &CancellationToken::new()).await
    }

    /// Everything below `e/` and `bench/` that is a prefix or belongs to one.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        let root = self.config.root.canonicalize().unwrap();
        let bench = root.join("bench");
        let mut found = entries(&root.join("e"));
        found.extend(entries(&bench.join("shared/e")));
        found.extend(entries(&bench.join("shared/build")));
        found.extend(entries(&bench).into_iter().filter(|path| !path.ends_with("shared")));
        found
    }
}

pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_once_then_answers_offline_without_the_engine() {
    let mut fixture = Fixture::new();
    let inputs = fixture.inputs(&["python=3.11", "activates"], &["ploomber"]);
    let built = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    assert!(!built.reused);
    assert_eq!(built.ploomber, "0.23.3");
    assert!(built.guest_prefix.starts_with("/opt/sv/e/") && built.guest_prefix.len() < 127);
    let pip = fs::read_to_string(built.host_prefix.join("bin/pip")).unwrap();
    assert_eq!(pip, format!("#!{0}/bin/sh\necho {0}\n", built.guest_prefix));
    let activation = fs::read_to_string(&built.activation).unwrap();
    assert!(activation.contains(&format!("{}/etc/conda/activate.d/a.sh", built.guest_prefix)));
    assert_eq!(built.lock["python"], "3.11.7");
    assert_eq!(built.lock["pip"][0]["hashes"][0], "sha256:ab");
    let url = built.lock["conda"][0]["url"].as_str().unwrap();
    assert!(url.starts_with("https://conda.anaconda.org/conda-forge/linux-64/"), "{url}");

    fs::remove_dir_all(fixture.folder.path().join("channel")).unwrap();
    fixture.config.uv = None;
    let again = fixture.ensure(&inputs, &Untouchable).await.unwrap();
    assert!(again.reused);
    assert_eq!((again.host_prefix, again.lock, again.notes), (built.host_prefix, built.lock, built.notes));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_an_environment_that_is_there_are_had_without_any_connection() {
    let mut fixture = Fixture::new();
    let built =
        fixture.ensure(&fixture.inputs(&["python"], &["ploomber"]), &Builder::new(Play::Install)).await.unwrap();
    // Whatever could be asked leads here: channels, mirrors, proxies, indexes.
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let address = format!("http://{}", trap.local_addr().unwrap());
    fixture.config.mirrors.insert("conda-forge".to_owned(), vec![address.clone()]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "PIP_INDEX_URL", "UV_DEFAULT_INDEX"] {
        fixture.config.host_env.insert(name.to_owned(), address.clone());
    }
    fixture.config.uv = None;
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    assert_eq!(inputs.key(&fixture.config), built.key);
    assert!(fixture.ensure(&inputs, &Untouchable).await.unwrap().reused);
    let tried = trap.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(tried, Err(std::io::ErrorKind::WouldBlock), "somebody connected");
    let other = fixture.inputs(&["python", "new"], &["ploomber"]);
    let asked = fixture.ensure(&other, &Untouchable);
    assert!(tokio::time::timeout(Duration::from_secs(2), asked).await.map_or(true, |result| result.is_err()));
    assert!(trap.accept().is_ok(), "the trap is where a solve would go");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_build_one_environment() {
    let fixture = Fixture::new();
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let engine = Builder::new(Play::Install);
    let (a, b) = tokio::join!(fixture.ensure(&inputs, &engine), fixture.ensure(&inputs, &engine));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.host_prefix, b.host_prefix);
    assert!(a.reused != b.reused);
    assert_eq!(engine.started.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_removes_the_container_and_the_half_built_prefix() {
    let fixture = Fixture::new();
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let engine = Builder::new(Play::Hang);
    let cancel = CancellationToken::new();
    let stopper = async {
        while engine.started.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(fixture.ensure_until(&inputs, &engine, &cancel), stopper);
    assert!(matches!(result, Err(EnvironmentError::Cancelled)), "{result:?}");
    assert_eq!(engine.closed.load(Ordering::SeqCst), 1);
    assert_eq!(fixture.leftovers(), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_died_is_built_anew_and_its_rest_is_swept() {
    let fixture = Fixture::new();
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let hanging = Builder::new(Play::Hang);
    let died = tokio::time::timeout(Duration::from_secs(3), fixture.ensure(&inputs, &hanging)).await;
    assert!(died.is_err() && hanging.started.load(Ordering::SeqCst) == 1);
    assert!(!fixture.leftovers().is_empty(), "dropping in the middle leaves the folder, as a kill would");

    let other = fixture.inputs(&["python", "activates"], &["ploomber"]);
    let other = fixture.ensure(&other, &Builder::new(Play::Install)).await.unwrap();
    assert!(fixture.store().sweep().unwrap().is_empty(), "nothing is old enough");
    assert!(fixture.leftovers().len() > 2, "another key's build leaves it alone");
    let built = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    assert!(!built.reused);
    let mut left = fixture.leftovers();
    left.sort();
    let mut expected = [&built, &other].map(|one| [one.host_prefix.clone(), one.activation.clone()]).concat();
    expected.sort();
    assert_eq!(left, expected, "the next build of the key clears away what the dead one left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_build_left_is_swept_after_a_day() {
    let fixture = Fixture::new();
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let hanging = Builder::new(Play::Hang);
    let died = tokio::time::timeout(Duration::from_secs(3), fixture.ensure(&inputs, &hanging)).await;
    assert!(died.is_err());
    let day_ago = std::time::SystemTime::now() - Duration::from_secs(100_000);
    for path in fixture.leftovers() {
        fs::File::open(path).unwrap().set_modified(day_ago).unwrap();
    }
    assert!(!fixture.store().sweep().unwrap().is_empty());
    assert_eq!(fixture.leftovers(), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_spares_what_is_being_built() {
    let fixture = Fixture::new();
    fixture.store();
    let lock = fs::File::create(fixture.config.root.join("locks/0123456789abcdef")).unwrap();
    lock.lock().unwrap();
    let prefix = fixture.config.root.join("e/0123456789abcdef-00000000");
    fs::create_dir(&prefix).unwrap();
    let day_ago = std::time::SystemTime::now() - Duration::from_secs(100_000);
    fs::File::open(&prefix).unwrap().set_modified(day_ago).unwrap();
    assert!(fixture.store().sweep().unwrap().is_empty());
    drop(lock);
    assert_eq!(fixture.store().sweep().unwrap().len(), 1);
    assert!(!prefix.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn source_builds_never_see_the_shared_cache_or_the_package_cache() {
    use std::os::unix::fs::MetadataExt;
    let fixture = Fixture::new();
    let inputs = fixture.inputs(&["python", "activates"], &["ploomber"]);
    let engine = Builder::new(Play::NeedsSource);
    let built = fixture.ensure(&inputs, &engine).await.unwrap();
    let writable = engine.writable.lock().unwrap().clone();
    let root = fixture.config.root.canonicalize().unwrap();
    let id = built.host_prefix.file_name().unwrap();
    let (shared, own) = (root.join("bench/shared"), root.join("bench").join(id));
    // Wheels alone; versions; wheels of these; everything, since not even that was possible.
    assert_eq!(writable, [&shared, &own, &shared, &own].map(|root| vec![(root.clone(), "/opt/sv".to_owned())]));
    let scripts = engine.scripts.lock().unwrap().clone();
    assert_eq!(
        scripts.iter().map(|text| text.contains("--only-binary :all:")).collect::<Vec<_>>(),
        [true, false, true, false]
    );
    let links = |prefix: &Path| fs::metadata(prefix.join("etc/conda/activate.d/a.sh")).unwrap().nlink();
    assert_eq!(links(&built.host_prefix), 1, "files are copies: foreign code may write in place");
    let wheels = fixture.ensure(&fixture.inputs(&["activates"], &["ploomber"]), &Builder::new(Play::Install)).await;
    assert_eq!(links(&wheels.unwrap().host_prefix), 2, "files are links into the package cache");
    for line in ["git+https://github.com/a/ploomber", "https://h/ploomber-1.tar.gz"] {
        let engine = Builder::new(Play::Install);
        fixture.ensure(&fixture.inputs(&["python"], &[line]), &engine).await.unwrap();
        let (writable, scripts) = (engine.writable.lock().unwrap().clone(), engine.scripts.lock().unwrap().clone());
        for (mounts, script) in writable.iter().zip(&scripts) {
            let wheels_alone = script.contains("--only-binary :all:");
            assert!(wheels_alone || !mounts[0].0.ends_with("shared"), "{line}: {writable:?}");
        }
        assert!(!scripts.last().unwrap().contains("--only-binary :all:"), "{line} is built");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_a_wheel_comes_from_the_shared_cache_though_another_line_is_built_from_source() {
    use std::os::unix::fs::MetadataExt;
    let fixture = Fixture::new();
    let inputs = fixture.inputs(&["python", "activates"], &["ploomber", "builds"]);
    let engine = Builder::new(Play::Mixed);
    let built = fixture.ensure(&inputs, &engine).await.unwrap();
    let root = fixture.config.root.canonicalize().unwrap();
    let (shared, own) = (root.join("bench/shared"), root.join("bench").join(built.host_prefix.file_name().unwrap()));
    let benches = |engine: &Builder| -> Vec<PathBuf> {
        engine.writable.lock().unwrap().iter().map(|mounts| mounts[0].0.clone()).collect()
    };
    assert_eq!(benches(&engine), [&shared, &own, &shared, &own].map(Clone::clone));
    let scripts = engine.scripts.lock().unwrap().clone();
    assert!(scripts[1].contains("pip compile") && !scripts[1].contains("pip install"), "{}", scripts[1]);
    for words in ["--only-binary :all:", "UV_LINK_MODE=copy", "--offline"] {
        assert!(scripts[2].contains(words) && !scripts[2].contains("pip compile"), "{}", scripts[2]);
    }
    assert!(scripts[3].contains("pip install") && !scripts[3].contains("--only-binary"), "{}", scripts[3]);
    assert!(!built.host_prefix.join("planted").exists(), "what ran before the wheels came left nothing");
    assert_eq!(fs::metadata(built.host_prefix.join("etc/conda/activate.d/a.sh")).unwrap().nlink(), 1);
    let rows = built.lock["pip"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    assert!(row("builds")["source"] == true && row("ploomber")["source"].is_null(), "{rows:?}");
    assert_eq!(row("ploomber")["hashes"][0], "sha256:ab");
    assert_eq!(fixture.leftovers().len(), 2, "{:?}", fixture.leftovers());

    // Its lock says which line that was.
    let lock = built.lock.clone();
    drop(built);
    fixture.store().retire(Duration::ZERO).unwrap();
    let engine = Builder::new(Play::Mixed);
    let again = fixture.ensure(&inputs, &engine).await.unwrap();
    assert_eq!(again.lock, lock);
    let own = root.join("bench").join(again.host_prefix.file_name().unwrap());
    assert_eq!(benches(&engine), [shared, own]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_says_nothing_stops_no_build_and_nothing_is_swept_while_it_is_there() {
    let fixture = Fixture::new();
    let (ours, other) = (fixture.inputs(&["python"], &["ploomber"]), fixture.inputs(&["activates"], &["ploomber"]));
    let first = fixture.ensure(&other, &Builder::new(Play::Install)).await.unwrap();
    let (key, prefix) = (fixture.config.root.join(format!("keys/{}.json", first.key)), first.host_prefix.clone());
    drop(first);
    let whole = fs::read(&key).unwrap();
    fs::write(&key, &whole[..whole.len() / 2]).unwrap();
    let built = fixture.ensure(&ours, &Builder::new(Play::Install)).await.unwrap();
    let store = fixture.store();
    let listing = store.list().unwrap();
    assert_eq!((listing.environments.len(), listing.unreadable.len()), (1, 1));
    assert!(listing.unreadable[0].path.ends_with(key.file_name().unwrap()), "{:?}", listing.unreadable);
    let old = std::time::SystemTime::now() - Duration::from_secs(100_000);
    fs::File::open(&prefix).unwrap().set_modified(old).unwrap();
    assert!(store.sweep().is_err() && prefix.exists(), "it may be what the file names");
    drop(built);
    let pruned = store.prune(Room { all: true, ..Room::default() }, &[]).unwrap();
    assert_eq!((pruned.environments.len(), pruned.unreadable, prefix.exists()), (1, listing.unreadable, true));
    // Its own key is built again.
    let again = fixture.ensure(&other, &Builder::new(Play::Install)).await.unwrap();
    assert!(!again.reused && again.host_prefix != prefix);
    assert_eq!(store.list().unwrap().unreadable, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_an_earlier_version_wrote_into_notes_are_neither_shown_nor_kept() {
    let fixture = Fixture::new();
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let built = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    let key = fixture.config.root.join(format!("keys/{}.json", built.key));
    let mut entry: serde_json::Value = serde_json::from_slice(&fs::read(&key).unwrap()).unwrap();
    entry["notes"] = serde_json::json!(["`-e git+https://s3cr3t@github.com/a/b` is installed without `-e`"]);
    fs::write(&key, entry.to_string()).unwrap();
    let found = fixture.ensure(&inputs, &Untouchable).await.unwrap();
    assert_eq!(found.notes, ["`-e git+https://github.com/a/b` is installed without `-e`"]);
    assert!(!fs::read_to_string(&key).unwrap().contains("s3cr3t"));
    assert_eq!(fixture.ensure(&inputs, &Untouchable).await.unwrap().host_prefix, built.host_prefix);
}

#[tokio::test(flavor = "multi_thread")]
async fn post_link_scripts_run_in_a_container_that_sees_one_prefix() {
    use std::os::unix::fs::MetadataExt;
    let fixture = Fixture::new();
    let engine = Builder::new(Play::Hang);
    let cancel = CancellationToken::new();
    let inputs = fixture.inputs(&["python", "posts", "activates"], &["ploomber"]);
    let root = fixture.config.root.clone();
    let looked = async {
        while engine.started.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let prefix = entries(&root.join("bench/shared/e")).remove(0);
        let links = fs::metadata(prefix.join("etc/conda/activate.d/a.sh")).unwrap().nlink();
        cancel.cancel();
        links
    };
    let (_, links) = tokio::join!(fixture.ensure_until(&inputs, &engine, &cancel), looked);
    assert_eq!(links, 1, "files are copies: a script may write in place");
    let writable = engine.writable.lock().unwrap().clone();
    assert!(writable[0].len() == 1 && writable[0][0].1.starts_with("/opt/sv/e/"), "{writable:?}");
    assert!(!fixture.config.root.join("e/posted").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_faults_apart_and_leaves_nothing() {
    let fixture = Fixture::new();
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let error = fixture.ensure(&inputs, &Builder::new(Play::Unresolvable)).await.unwrap_err();
    assert!(error.is_user_fault() && error.to_string().contains("nosuch"), "{error}");
    assert!(!error.to_string().contains("pw"), "{error}");
    let error = fixture.ensure(&inputs, &Builder::new(Play::DiskFull)).await.unwrap_err();
    assert!(!error.is_user_fault() && matches!(error, EnvironmentError::NoSpace { .. }), "{error}");
    let error =
        fixture.ensure(&fixture.inputs(&["python", "pywin32"], &[]), &Builder::new(Play::Install)).await.unwrap_err();
    assert!(error.is_user_fault() && error.to_string().contains("Windows only"), "{error}");
    assert_eq!(fixture.leftovers(), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_not_there_is_named_with_a_way_out() {
    let mut fixture = Fixture::new();
    fixture.config.mirrors.insert("conda-forge".to_owned(), vec!["file:///nowhere/at/all".to_owned()]);
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let error = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap_err();
    assert!(matches!(error, EnvironmentError::ChannelUnreachable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("https://conda.anaconda.org/conda-forge") && text.contains("make channel"), "{text}");
    assert!(!error.is_user_fault());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_uses_is_never_retired_and_what_nobody_uses_is() {
    let fixture = Fixture::new();
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let built = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    let found = fixture.ensure(&inputs, &Untouchable).await.unwrap();
    let store = fixture.store();
    drop(built);
    assert!(store.retire(Duration::ZERO).unwrap().is_empty(), "a run still uses it");
    assert!(found.host_prefix.join("bin/python").is_file());
    let prefix = found.host_prefix.clone();
    drop(found);
    assert!(store.retire(Duration::from_hours(1)).unwrap().is_empty(), "it was used just now");
    assert_eq!(store.retire(Duration::ZERO).unwrap().len(), 1);
    assert!(!prefix.exists() && fixture.leftovers().is_empty(), "{:?}", fixture.leftovers());
    assert!(entries(&fixture.config.root.join("locks")).iter().all(|path| !path.to_string_lossy().ends_with(".use")));
    let again = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    assert!(!again.reused && again.host_prefix != prefix);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_spares_a_prefix_that_lost_its_key_while_a_run_uses_it() {
    let fixture = Fixture::new();
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let built = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    for key in entries(&fixture.config.root.join("keys")) {
        fs::remove_file(key).unwrap();
    }
    let day_ago = std::time::SystemTime::now() - Duration::from_secs(100_000);
    for path in fixture.leftovers() {
        fs::File::open(path).unwrap().set_modified(day_ago).unwrap();
    }
    assert!(fixture.store().sweep().unwrap().is_empty());
    drop(built);
    assert_eq!(fixture.store().sweep().unwrap().len(), 2, "the prefix and its activation");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rootless_engine_is_given_folders_that_stay_ours() {
    use std::os::unix::fs::MetadataExt;
    let mut fixture = Fixture::new();
    fixture.config.container_user = (0, 0);
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let built = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    let ours = fs::metadata(fixture.folder.path()).unwrap().uid();
    assert_eq!(fs::metadata(built.host_prefix.join("bin")).unwrap().uid(), ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_version_of_python_names_those_that_there_are() {
    let fixture = Fixture::new();
    let inputs = fixture.inputs(&["python=3.14"], &["ploomber"]);
    let error = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap_err();
    let text = error.to_string();
    assert!(error.is_user_fault() && text.contains("available: 3.11") && text.contains("3.14"), "{text}");
    assert!(!text.contains("PyPI"), "{text}");
}
