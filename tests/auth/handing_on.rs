//! Logins that go elsewhere, and logins that end.

use std::io::Write;
use std::process::Stdio;

use crate::fake::Drive;
use crate::place::{Place, Said, Talk, finished, tells};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desktop_hands_a_login_to_a_machine_without_a_browser() {
    let desktop = Place::new().await;
    let mut talk = Talk::new(&mut desktop.command(&["auth", "login", "box", "--on-desktop"]));
    let page = talk.line_with("/api/oauth2/authorize?");
    // Follows the redirect to the waiting program.
    reqwest::Client::builder().no_proxy().build().unwrap().get(&page).send().await.unwrap();
    let said = talk.end();
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.starts_with("SOOPERVISOR_TOKEN_BOX=") && said.out.lines().count() == 1);
    assert!(!desktop.tokens().exists(), "two machines with one single-use token take it from each other");
    let headless = desktop.dir.path().join("headless");
    let mut command = desktop.bare(&["auth", "login", "box", "--token-stdin"]);
    command.env("SOOPERVISOR_HOME", &headless).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(said.out.as_bytes()).unwrap();
    let taken = finished(child.wait_with_output().unwrap());
    assert!(taken.code == 0 && taken.out.starts_with("logged in to Box as Fake User"), "{} {}", taken.out, taken.err);
    assert!(!tells(&taken.out) && !tells(&taken.err));
    let mut wrong = desktop.bare(&["auth", "login", "dropbox", "--token-stdin"]);
    let mut child = wrong.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(said.out.as_bytes()).unwrap();
    let refused = finished(child.wait_with_output().unwrap());
    assert!(refused.code == 2 && refused.err.contains("a login of `box`, not of `dropbox`"), "{}", refused.err);
    let blob = said.out.trim().split_once('=').unwrap().1;
    assert!(!refused.err.contains(blob));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logging_out_ends_the_login_there_and_here() {
    for drive in [Drive::Box, Drive::Dropbox, Drive::GDrive, Drive::OneDrive] {
        let place = Place::new().await;
        place.keep(drive, &place.fake.tokens(drive), i64::MAX);
        let said = place.run(&["auth", "logout", drive.prefix()]);
        assert_eq!(said.code, 0, "{}", said.err);
        assert_eq!(place.kept()["remotes"].as_object().unwrap().len(), 0);
        let revoked = place.fake.count(drive, "POST", "revoke");
        assert_eq!(revoked, usize::from(drive != Drive::OneDrive), "{}", said.out);
        assert!(said.out.starts_with("logged out of") || drive == Drive::OneDrive, "{}", said.out);
        let again = place.run(&["auth", "logout", drive.prefix()]);
        assert!(again.code == 0 && again.err.contains("nobody was logged in"), "{}", again.err);
        assert!(!place.fake.requests().iter().any(|line| tells(line)), "no token in an address");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ci_needs_is_named_and_handed_over_unseen() {
    let place = Place::new().await;
    let pair = place.fake.tokens(Drive::Dropbox);
    place.keep(Drive::Dropbox, &pair, i64::MAX);
    let github = place.run(&["auth", "export", "dropbox", "--github"]);
    let line = "soopervisor auth export dropbox --value SOOPERVISOR_DROPBOX_REFRESH_TOKEN | gh secret set \
                SOOPERVISOR_DROPBOX_REFRESH_TOKEN\n";
    assert!(github.out.contains(line), "{}", github.out);
    let named = place.run(&["auth", "export", "dropbox"]);
    assert!(named.out.contains("SOOPERVISOR_DROPBOX_REFRESH_TOKEN  #") && named.err.contains("--reveal"));
    let ask = |words: &[&str], ci: bool| -> Said {
        let mut command = place.command(&[&["auth", "export", "dropbox"], words].concat());
        if ci {
            command.env("CI", "true");
        }
        finished(command.output().unwrap())
    };
    let value = ["--value", "SOOPERVISOR_DROPBOX_REFRESH_TOKEN"];
    assert_eq!(ask(&value, false).out, pair.refresh, "one value, and nothing else, for a pipe");
    let refused = ask(&value, true);
    assert!(refused.code == 2 && !tells(&refused.out) && refused.err.contains("would be seen"), "{}", refused.err);
    assert_eq!(ask(&[&value[..], &["--reveal"]].concat(), true).out, pair.refresh);
    let revealed = ask(&["--reveal"], false).out;
    assert!(revealed.contains(&format!("SOOPERVISOR_DROPBOX_REFRESH_TOKEN='{}'\n", pair.refresh)), "{revealed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn box_and_onedrive_say_why_their_tokens_die_in_ci() {
    let place = Place::new().await;
    let said = place.run(&["auth", "export", "box", "--github"]);
    assert!(said.code == 0 && said.out.contains("dies at its second run"), "{}", said.out);
    assert!(said.out.contains("gh secret set SOOPERVISOR_BOX_SUBJECT_ID  # asks"), "{}", said.out);
    assert!(said.out.contains("_JWT_CONFIG") && !said.out.contains("REFRESH_TOKEN"), "{}", said.out);
    place.keep(Drive::OneDrive, &place.fake.tokens(Drive::OneDrive), i64::MAX);
    let said = place.run(&["auth", "export", "onedrive", "--github"]);
    assert!(said.out.contains("90 days") && said.out.contains("CCG and JWT"), "{}", said.out);
    let nobody = place.run(&["auth", "export", "gdrive"]);
    assert!(nobody.code == 7 && nobody.err.contains("help: soopervisor auth login gdrive"), "{}", nobody.err);
}
