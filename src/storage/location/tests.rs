//! Every spelling of a place, and that no spelling gives away a password.

use std::sync::Arc;

use super::*;
use crate::spec::config;

const CONFIG: &str = "remotes:
  team-box: {type: box, folder: reports}
  minio: {type: s3, bucket: data, prefix: a/b, endpoint: 'https://minio:9000'}
  cloud: {type: webdav, endpoint: 'https://cloud.example.com/dav', user: me}
  lab: {type: sftp, endpoint: 'lab:2222', folder: /srv/out}
  ssh-lab: {type: sftp, endpoint: 'sftp://lab:2222/srv/out', folder: team}
  ssh-own: {type: sftp, endpoint: 'sftp://lab/~/out/'}
  disk: {type: local, folder: /mnt/disk}
";

fn parse(text: &str) -> Result<Location, StorageError> {
    let (config, found) = config::parse("config.yaml", CONFIG.as_bytes());
    assert_eq!(found, []);
    let set = |name: &str| (name == "SOOPERVISOR_CI_BOX_TYPE").then(|| "box".to_owned());
    Location::parse(text, Path::new("/base"), &Remotes::new(config.remotes, Arc::new(set)))
}

#[test]
fn folders_in_every_spelling() {
    for (text, path) in [
        ("local:./artifacts", "/base/artifacts"),
        ("local:/data/x", "/data/x"),
        ("LOCAL:x", "/base/x"),
        ("file:///data/x", "/data/x"),
        ("./box", "/base/box"),
        ("artifacts", "/base/artifacts"),
        ("out/dropbx", "/base/out/dropbx"),
        ("/with space/é", "/with space/é"),
        ("disk", "/mnt/disk"),
        ("disk:x/y", "/mnt/disk/x/y"),
        ("../artifacts", "/artifacts"),
        ("./a/../b/./c/..", "/base/b"),
        ("/../../x", "/x"),
        ("local:..", "/"),
    ] {
        assert_eq!(parse(text).unwrap(), Location::Local(PathBuf::from(path)), "{text}");
    }
}

#[test]
fn every_place_is_told_as_it_would_be_written() {
    for (text, told) in [
        ("box", "box:"),
        ("dropbox:/a//b/", "dropbox:a/b"),
        ("onedrive:x", "onedrive:x"),
        ("gdrive", "gdrive:"),
        ("team-box", "team-box:reports"),
        ("team-box:2026", "team-box:reports/2026"),
        ("ci-box:x", "ci-box:x"),
        ("s3://bucket", "s3://bucket"),
        ("S3://bucket/a/b/", "s3://bucket/a/b"),
        ("minio", "s3://data/a/b"),
        ("minio:c", "s3://data/a/b/c"),
        ("gs://b/x", "gs://b/x"),
        ("gcs://b/x", "gs://b/x"),
        ("az://c/x", "azblob://c/x"),
        ("azblob://c/x", "azblob://c/x"),
        ("webdav://example.com/a é", "webdavs://example.com/a%20%C3%A9"),
        ("webdav://127.0.0.1:1/a", "webdav://127.0.0.1:1/a"),
        ("webdavs://me@example.com", "webdavs://example.com"),
        ("https+webdav://example.com/x", "webdavs://example.com/x"),
        ("cloud:x", "webdavs://cloud.example.com/dav/x"),
        ("sftp://me@host:2222/srv/x", "sftp://me@host:2222/srv/x"),
        ("sftp://host/~/x", "sftp://host/~/x"),
        ("lab:x", "sftp://lab:2222/srv/out/x"),
        ("ssh-lab", "sftp://lab:2222/srv/out/team"),
        ("ssh-lab:x", "sftp://lab:2222/srv/out/team/x"),
        ("ssh-own:x", "sftp://lab/~/out/x"),
    ] {
        assert_eq!(parse(text).unwrap().to_string(), told, "{text}");
    }
}

#[test]
fn unknown_backends_are_told_from_slips_of_known_ones() {
    for (text, expected) in
        [("dropbx", Some("dropbox")), ("locla:x", Some("local")), ("team-bx:x", Some("team-box")), ("magic:x", None)]
    {
        match parse(text) {
            Err(StorageError::UnknownBackend { near, .. }) => assert_eq!(near.as_deref(), expected, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    for (text, name, near) in [
        ("ftp://host/x", "ftp", "sftp://"),
        ("https://me:hunter2@host/x", "https", "webdavs://"),
        ("HTTP://host", "http", "webdav://"),
        ("htttps://host", "htttps", "webdavs://"),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.to_string(), format!("there is no storage `{name}`"));
        let help = error.help().unwrap();
        assert!(help.starts_with(&format!("did you mean `{near}`?")) && help.contains("`s3://BUCKET`"), "{help}");
    }
    assert!(parse("magic://x").unwrap_err().help().unwrap().starts_with("there are `local:DIR`"));
}

#[test]
fn credentials_in_an_address_are_refused_and_never_repeated() {
    for text in [
        "s5://key:hunter2@bucket",
        "key:hunter2",
        "s3://key:hunter2@bucket",
        "s3://hunter2@bucket",
        "gs://b/x?token=hunter2",
        "az://c?sig=hunter2",
        "webdav://me:hunter2@host/x",
        "sftp://me:hunter2@host/x",
        "sftp://me%3Ahunter2@host/x",
        "https://me:hunter2@host",
        "webdav://me@hunter2:x:y",
    ] {
        let error = parse(text).unwrap_err();
        assert!(!format!("{error} {error:?} {:?}", error.help()).contains("hunter2"), "{text}: {error:?}");
    }
    let help = parse("s3://key:x@bucket").unwrap_err().help().unwrap();
    assert!(help.contains("SOOPERVISOR_S3_SECRET_ACCESS_KEY"), "{help}");
}

#[test]
fn places_that_are_none_are_refused() {
    for text in [
        "s3://",
        "s3",
        "minio:../x",
        "box:a/../b",
        "webdav",
        "sftp://-oProxyCommand=x/y",
        "http+webdav://example.com",
        "box://x",
        "sftp://h:x/y",
    ] {
        assert!(matches!(parse(text), Err(StorageError::Address { .. })), "{text}: {:?}", parse(text));
    }
}

#[test]
fn a_folder_that_a_drive_cannot_have_is_refused_with_the_rule_and_what_to_type() {
    for (text, told, help) in [
        ("onedrive:CON", "OneDrive has no folder called `CON`: ", "`onedrive:FOLDER`"),
        ("onedrive:com1.txt", "OneDrive has no folder called `com1.txt`: ", "`onedrive:FOLDER`"),
        (r"box:a\b", r"Box has no folder called `a\b`: ", "`box:FOLDER`"),
        (r"team-box:x\y", r"Box has no folder called `x\y`: ", "`team-box:FOLDER`"),
        ("dropbox:a/desktop.ini", "Dropbox has no folder called `desktop.ini`: ", "`dropbox:FOLDER`"),
        ("gdrive:id:", "Google Drive has no folder called `id:`: ", "`gdrive:FOLDER`"),
        ("box:\u{1b}[2J", "Box has no folder called `\u{fffd}[2J`: ", "`box:FOLDER`"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.to_string().starts_with(told), "{error}");
        assert!(error.help().unwrap().contains(help), "{error:?}");
    }
}

#[test]
fn a_project_whose_folder_a_drive_cannot_have_is_refused_with_the_rule_and_what_to_type() {
    let taken = |text: &str, project: &str| parse(text).unwrap().takes(&project.parse().unwrap());
    for (text, title, project) in [
        ("onedrive:reports", "OneDrive", "aux"),
        ("onedrive:", "OneDrive", "com1.txt"),
        ("onedrive:", "OneDrive", "a."),
        ("onedrive:", "OneDrive", "x_vti_y"),
        ("dropbox:", "Dropbox", "desktop.ini"),
        ("dropbox:reports", "Dropbox", "Thumbs.db"),
    ] {
        let error = taken(text, project).unwrap_err();
        let told = format!("{title} has no folder called `{project}`, as the project is: ");
        assert!(error.to_string().starts_with(&told), "{error}");
        assert!(error.help().unwrap().contains("`--project NAME`"), "{error:?}");
    }
    for (text, project) in
        [("onedrive:", "console"), ("onedrive:", "a.b"), ("dropbox:", "aux"), ("box:", "a."), ("gdrive:", "aux")]
    {
        taken(text, project).unwrap();
    }
    taken("/results", "com1.txt").unwrap();
}

#[test]
fn a_folder_called_tilde_is_refused_with_the_way_out() {
    let error = parse("local:~/x").unwrap_err();
    assert_eq!(error.help().unwrap(), "write `$HOME/x`");
    assert!(matches!(parse("local:"), Err(StorageError::NoLocation)));
    assert!(matches!(parse(" "), Err(StorageError::NoLocation)));
}

#[test]
fn above_a_link_lies_what_is_above_the_folder_it_leads_to() {
    let here = tempfile::tempdir().unwrap();
    let here = here.path().canonicalize().unwrap();
    fs_err::create_dir_all(here.join("real/deep/project")).unwrap();
    std::os::unix::fs::symlink("real/deep/project", here.join("project")).unwrap();
    std::os::unix::fs::symlink("nowhere", here.join("broken")).unwrap();
    let read = |text: &str| match Location::parse(text, &here.join("project"), &Remotes::none()).unwrap() {
        Location::Local(path) => path,
        other => panic!("{other:?}"),
    };
    assert_eq!(read("../artifacts"), here.join("real/deep/artifacts"));
    assert_eq!(read("made/../artifacts"), here.join("project/artifacts"), "no link is left upwards");
    assert_eq!(read(&format!("{}/broken/../x", here.display())), here.join("broken/../x"));
}
