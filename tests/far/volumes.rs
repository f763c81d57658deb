//! Volumes of an engine that does not see our files.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use soopervisor::archive::Load;
use soopervisor::engine::volume::VolumeSpec;
use soopervisor::engine::{Carried, Engine, EngineError, GuestPath, HostPath, Mount, VolumeMount, Volumes};

use crate::kit::{docker, image, run, script, spec};

fn open(path: &Path) -> Dir {
    Dir::open_ambient_dir(path, ambient_authority()).unwrap()
}

/// A volume of a name that nothing else has.
async fn volume(volumes: &dyn Volumes, kept: Option<&str>) -> String {
    let folder = tempfile::Builder::new().prefix("soopervisor-test-").tempdir().unwrap();
    let name = folder.path().file_name().unwrap().to_str().unwrap().replace('.', "");
    let spec = VolumeSpec {
        name: name.clone(),
        run: "far-tests".parse().unwrap(),
        kept: kept.map(str::to_owned),
        overlay: None,
    };
    volumes.create(&spec).await.unwrap();
    name
}

#[tokio::test]
async fn our_files_are_not_seen() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!docker().await.shares_files(folder.path(), &image()).await.unwrap());
}

#[tokio::test]
async fn a_folder_goes_there_and_comes_back_with_what_a_script_made_of_it() {
    let docker = docker().await;
    let volumes = docker.volumes().unwrap();
    let name = volume(volumes, None).await;
    let (from, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(from.path().join("deep")).unwrap();
    std::fs::write(from.path().join("deep/in.txt"), "there").unwrap();
    std::fs::write(from.path().join("gone"), "").unwrap();
    std::fs::write(from.path().join("run"), "#!/bin/bash\ncat deep/in.txt").unwrap();
    std::fs::set_permissions(from.path().join("run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("deep/in.txt", from.path().join("link")).unwrap();

    let mut hold = volumes.hold(&"far-tests".parse().unwrap(), &image(), std::slice::from_ref(&name)).await.unwrap();
    hold.put(vec![Load { from: Some(open(from.path())), below: name.clone(), owner: (10001, 10001) }]).await.unwrap();
    let mut there = spec();
    let guest = GuestPath("/work".to_owned());
    there.carried.volumes = vec![VolumeMount { volume: name.clone(), guest, writable: true }];
    there.workdir = "/work".to_owned();
    let text = "stat -c '%u %a' . ; ./run && cat link && rm gone && ln -s /etc/passwd out && ln run twin && \
                echo back > deep/new && mkdir empty && chmod 700 . && mkfifo pipe";
    let (exit, heard) = run(&docker, there, script(text)).await;
    assert_eq!((exit.unwrap().code, heard.stdout()), (0, "10001 755\ntherethere"), "{}", heard.stderr());
    hold.fetch(&name, open(into.path()), &[]).await.unwrap();
    let refused = volumes.remove(&name).await;
    assert!(matches!(refused, Err(EngineError::Refused { .. })), "it is in use: {refused:?}");
    hold.close().await.unwrap();
    volumes.remove(&name).await.unwrap();
    volumes.remove(&name).await.unwrap();
    assert!(!volumes.exists(&name).await.unwrap());

    let at = |name: &str| into.path().join(name);
    assert_eq!(std::fs::read_to_string(at("deep/new")).unwrap(), "back\n");
    assert_eq!(std::fs::read_to_string(at("deep/in.txt")).unwrap(), "there");
    assert_eq!(std::fs::read_link(at("out")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(std::fs::read_to_string(at("twin")).unwrap(), "#!/bin/bash\ncat deep/in.txt");
    assert!(!at("gone").exists() && at("empty").is_dir() && at("pipe").exists());
}

#[tokio::test]
async fn single_files_are_in_place_before_the_script_starts() {
    let docker = docker().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "as sent").unwrap();
    let show = |guest: &str| Mount {
        host: HostPath(file.path().to_owned()),
        guest: GuestPath(guest.to_owned()),
        writable: false,
    };
    let mut there = spec();
    let files =
        vec![show("/soopervisor/activate.sh"), show("/soopervisor/bin/uv"), show("/etc/ssl/certs/ca-certificates.crt")];
    there.carried = Carried { volumes: Vec::new(), files };
    let text = "cat /soopervisor/activate.sh /soopervisor/bin/uv /etc/ssl/certs/ca-certificates.crt; \
                stat -c ' %u:%g' /soopervisor/bin; echo no > /soopervisor/activate.sh";
    let (exit, heard) = run(&docker, there, script(text)).await;
    assert_eq!((exit.unwrap().code, heard.stdout()), (1, "as sentas sentas sent 0:0\n"), "{}", heard.stderr());
}

#[tokio::test]
async fn a_refusal_in_the_middle_is_told_in_the_engines_words() {
    let docker = docker().await;
    let volumes = docker.volumes().unwrap();
    let name = volume(volumes, None).await;
    let mut hold = volumes.hold(&"far-tests".parse().unwrap(), &image(), std::slice::from_ref(&name)).await.unwrap();
    let into = tempfile::tempdir().unwrap();
    let absent = hold.fetch("no-such-volume", open(into.path()), &[]).await.unwrap_err();
    assert!(matches!(&absent, EngineError::Refused { reason, .. } if reason.contains("no-such-volume")), "{absent:?}");
    hold.close().await.unwrap();
    volumes.remove(&name).await.unwrap();
    let missing =
        volumes.hold(&"far-tests".parse().unwrap(), "soopervisor-no-such-image:2", &[name]).await.err().unwrap();
    assert!(missing.to_string().contains("no-such-image"), "{missing}");
}

#[tokio::test]
async fn the_sweep_spares_volumes_of_the_living_and_kept_ones() {
    let docker = docker().await;
    let volumes = docker.volumes().unwrap();
    let (ours, kept) = (volume(volumes, None).await, volume(volumes, Some("test:1")).await);
    let label = |name: &str| {
        let format = format!("{{{{index .Labels \"soopervisor.{name}\"}}}}");
        crate::daemon::says(&["volume", "inspect", "-f", &format, &ours]).trim().to_owned()
    };
    let dead = format!("{ours}-dead");
    let owner =
        [("host", label("host")), ("boot", label("boot")), ("pid", label("pid")), ("pid-start", "1".to_owned())];
    let mut arguments = vec!["volume".to_owned(), "create".to_owned()];
    for (name, value) in owner {
        arguments.extend(["--label".to_owned(), format!("soopervisor.{name}={value}")]);
    }
    arguments.push(dead.clone());
    crate::daemon::says(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let swept = docker.sweep().await.unwrap();
    assert!(swept.iter().any(|swept| swept.name == dead), "{swept:?}");
    let there = [&ours, &kept, &dead].map(|name| crate::daemon::says(&["volume", "ls", "-q"]).contains(&**name));
    // `dead` begins with `ours`, which is there.
    assert_eq!(there[..2], [true, true]);
    assert!(!volumes.exists(&dead).await.unwrap());
    let found = volumes.kept().await.unwrap();
    assert!(
        found.iter().any(|volume| volume.name == kept && volume.kept == "test:1" && !volume.abandoned),
        "{found:?}"
    );
    for name in [ours, kept] {
        volumes.remove(&name).await.unwrap();
    }
}
