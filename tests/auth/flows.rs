//! The ways in which a person agrees, each to its end and each declined.

use std::io::Write;
use std::process::Stdio;

use crate::fake::Drive;
use crate::place::{Place, Talk, mode};

fn plain_client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typed_code_logs_in_once_the_person_agrees() {
    for (drive, title) in [(Drive::OneDrive, "OneDrive"), (Drive::GDrive, "Google Drive")] {
        let place = Place::new().await;
        let mut talk = Talk::new(&mut place.command(&["auth", "login", drive.prefix()]));
        assert!(talk.line_with("enter the code").contains("open https://example.invalid/device"));
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", talk.child.id())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned();
        assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
        place.fake.approve_devices(drive);
        let said = talk.end();
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(said.out.starts_with(&format!("logged in to {title} as Fake User")), "{}", said.out);
        place.search(&said);
        assert_eq!((mode(&place.tokens()), mode(&place.folder())), (0o600, 0o700));
        let status = place.status(drive);
        assert_eq!((&status["logged_in"], &status["source"]), (&true.into(), &"tokens.json".into()), "{status}");
        assert!(status["total"].as_u64().is_some() && status["scope"].as_str().is_some(), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typed_code_that_is_declined_says_so_and_keeps_nothing() {
    for drive in [Drive::OneDrive, Drive::GDrive] {
        let place = Place::new().await;
        let mut talk = Talk::new(&mut place.command(&["auth", "login", drive.prefix()]));
        talk.line_with("enter the code");
        place.fake.deny_devices(drive);
        let said = talk.end();
        assert_eq!(said.code, 7, "{}", said.err);
        assert!(said.err.contains("declined; once more: `soopervisor auth login "), "{}", said.err);
        assert!(!place.tokens().exists());
        place.search(&said);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_brings_the_code_of_box_and_only_the_right_state_is_heard() {
    let place = Place::new().await;
    let mut talk = Talk::new(&mut place.command(&["auth", "login", "box"]));
    let page = talk.line_with("/api/oauth2/authorize?");
    let client = plain_client();
    let answer = client.get(&page).send().await.unwrap();
    let back: url::Url = answer.headers()["location"].to_str().unwrap().parse().unwrap();
    assert_eq!(back.host_str(), Some("127.0.0.1"));
    let mut forged = back.clone();
    forged.set_query(Some("code=of-somebody-else&state=guessed"));
    assert_eq!(client.get(forged).send().await.unwrap().status(), 400);
    assert_eq!(client.get(back.join("/favicon.ico").unwrap()).send().await.unwrap().status(), 404);
    let shown = client.get(back).send().await.unwrap();
    assert_eq!(shown.headers()["cache-control"], "no-store");
    assert!(shown.text().await.unwrap().contains("close this window"));
    let said = talk.end();
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.starts_with("logged in to Box as Fake User (fake@example.com); "), "{}", said.out);
    place.search(&said);
    assert_eq!(place.status(Drive::Box)["account"], "Fake User (fake@example.com)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_brings_a_refusal_ends_the_login() {
    let place = Place::new().await;
    let mut talk = Talk::new(&mut place.command(&["auth", "login", "box"]));
    let page: url::Url = talk.line_with("/api/oauth2/authorize?").parse().unwrap();
    let of = |name: &str| page.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    let back = format!("{}?error=access_denied&state={}", of("redirect_uri"), of("state"));
    assert_eq!(plain_client().get(back).send().await.unwrap().status(), 200);
    let said = talk.end();
    assert!(said.code == 7 && said.err.contains("declined (access_denied)"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropbox_takes_a_pasted_code_where_there_is_no_browser() {
    let place = Place::new().await;
    let mut talk = Talk::new(place.command(&["auth", "login", "dropbox"]).stdin(Stdio::piped()));
    let page = talk.line_with("/oauth2/authorize?");
    assert!(page.contains("code_challenge_method=S256") && !page.contains("redirect_uri"), "{page}");
    assert!(page.contains("token_access_type=offline"), "{page}");
    let code = plain_client().get(&page).send().await.unwrap().text().await.unwrap();
    let mut stdin = talk.child.stdin.take().unwrap();
    stdin.write_all(format!("  {code}\n").as_bytes()).unwrap();
    let said = talk.end();
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(!said.err.contains(&code) && !said.out.contains(&code));
    place.search(&said);
    assert_eq!(place.status(Drive::Dropbox)["logged_in"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropbox_takes_the_code_that_a_browser_brings() {
    use soopervisor::auth::{App, Endpoints, Issuer, Loopback, Provider};
    let place = Place::new().await;
    let base = place.fake.base(Drive::Dropbox);
    let set = |name: &str| name.ends_with("DROPBOX_BASE_URL").then(|| base.clone());
    let endpoints = Endpoints::of(Provider::Dropbox, "dropbox", set).unwrap();
    let client = soopervisor::web::client(&soopervisor::web::Reach::default()).unwrap();
    let app = App { id: "id".to_owned(), secret: None };
    let issuer = Issuer::new(Provider::Dropbox, "dropbox", endpoints, client, app, |_| None);
    let server = Loopback::open(Provider::Dropbox, Some(0)).await.unwrap();
    let consent = issuer.consent(Some(server.redirect())).unwrap();
    let browser = async {
        let answer = plain_client().get(&consent.url).send().await.unwrap();
        let back = answer.headers()["location"].to_str().unwrap().to_owned();
        plain_client().get(back).send().await.unwrap()
    };
    let (grant, _) = tokio::join!(server.wait(&issuer, &consent), browser);
    let grant = grant.unwrap();
    assert!(grant.refresh.is_some());
    assert!(!crate::place::tells(&format!("{grant:?} {issuer:?} {consent:?}")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_app_it_is_said_what_to_register_and_what_to_set() {
    let place = Place::new().await;
    for (drive, page) in [
        ("box", "app.box.com/developers"),
        ("dropbox", "dropbox.com/developers"),
        ("onedrive", "entra.microsoft.com"),
        ("gdrive", "console.cloud.google.com"),
    ] {
        let said = crate::place::finished(place.bare(&["auth", "login", drive]).output().unwrap());
        assert_eq!(said.code, 2, "{}", said.err);
        let variable = format!("SOOPERVISOR_{}_CLIENT_ID", drive.to_uppercase());
        assert!(said.err.contains(page) && said.err.contains(&variable), "{}", said.err);
    }
    let said = place.run(&["auth", "login", "floppy"]);
    assert!(said.code == 2 && said.err.contains("`onedrive`"), "{}", said.err);
}
