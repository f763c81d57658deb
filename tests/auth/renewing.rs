//! Renewing tokens that work once, by several who do not know of each other, and by some who die.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use soopervisor::auth::{Endpoints, Login, Provider};
use soopervisor::secret::Secret;
use soopervisor::web::{Bearer, Fault, Reach, client};

use crate::fake::{self, Drive, When};
use crate::place::{Place, Talk, finished};

fn open(place: &Place) -> Result<Arc<Login>, Fault> {
    open_on(place, Drive::Box)
}

fn open_on(place: &Place, drive: Drive) -> Result<Arc<Login>, Fault> {
    let provider = Provider::ALL.into_iter().find(|provider| provider.name() == drive.prefix()).unwrap();
    let (base, wanted) = (place.fake.base(drive), format!("SOOPERVISOR_{}_BASE_URL", drive.prefix().to_uppercase()));
    let set = move |name: &str| (name == wanted).then(|| base.clone());
    let endpoints = Endpoints::of(provider, drive.prefix(), set).unwrap();
    let client = client(&Reach::default()).unwrap();
    Login::open(drive.prefix(), provider, endpoints, client, |_| None, place.folder())
}

fn refreshes(place: &Place) -> usize {
    place.fake.count(Drive::Box, "POST", "/oauth2/token")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_renew_one_single_use_token_at_once_all_succeed() {
    let place = Place::new().await;
    place.keep(Drive::Box, &place.fake.tokens(Drive::Box), 0);
    let children: Vec<_> =
        (0..4).map(|_| place.command(&["auth", "status", "box", "--json"]).spawn().unwrap()).collect();
    for child in children {
        let said = finished(child.wait_with_output().unwrap());
        place.search(&said);
        assert!(said.code == 0 && said.out.contains("\"logged_in\":true"), "{} {}", said.out, said.err);
    }
    assert_eq!(refreshes(&place), 1, "one renews, the others take what it kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_whose_token_the_service_no_longer_takes_renew_it_once() {
    let place = Place::new().await;
    let pair = place.fake.tokens(Drive::Box);
    place.keep(Drive::Box, &pair, i64::MAX);
    let handles: Vec<_> = (0..8).map(|_| open(&place).unwrap()).collect();
    let stale = handles[0].token().await.unwrap();
    assert_eq!(stale.expose(), pair.access.as_bytes());
    place.fake.expire_tokens(Drive::Box);
    let renewed = futures::future::join_all(handles.iter().map(|handle| handle.renew(&stale))).await;
    let renewed: Vec<Secret> = renewed.into_iter().map(Result::unwrap).collect();
    assert!(renewed.iter().all(|token| token.expose() == renewed[0].expose() && token.expose() != stale.expose()));
    assert_eq!(refreshes(&place), 1);
    // What is in use is known to the masker, before and after.
    assert!(handles[0].secrets().iter().any(|secret| secret.expose() == renewed[0].expose()));
    assert!(open(&place).unwrap().secrets().iter().any(|secret| secret.expose() == renewed[0].expose()));
    assert!(!crate::place::tells(&format!("{handles:?} {:?} {:?}", handles[0].account(), handles[0].notes())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_renewing_and_using_the_new_pair_is_there_for_the_next() {
    let place = Place::new().await;
    place.keep(Drive::Box, &place.fake.tokens(Drive::Box), 0);
    place.fake.fault(Drive::Box, When::path("/users/me"), fake::Fault::Slow(Duration::from_mins(1)));
    let mut child = place.command(&["auth", "status", "box", "--json"]).spawn().unwrap();
    while place.fake.count(Drive::Box, "GET", "/users/me") == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(place.status(Drive::Box)["logged_in"], true);
    assert_eq!(refreshes(&place), 1, "the pair of the dead process is used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_ends_soon_is_told_of_by_status_and_by_the_doctor_and_one_that_lasts_is_not() {
    const DAY: i64 = 24 * 60 * 60;
    let (place, now) = (Place::new().await, jiff::Timestamp::now().as_second());
    for drive in Drive::ALL {
        let name = drive.prefix();
        // What is used lasts, but for Google's apps that are being tried out.
        let why = if drive == Drive::GDrive { "Testing mode: 7 days; publish it" } else { "unless it is used" };
        let (of, again) = (format!("the login of `{name}`"), format!("soopervisor auth login {name}"));
        for (left, told) in [(3 * DAY + 60, Some("ends in 3 days")), (-DAY, Some("has ended")), (15 * DAY, None)] {
            let pair = place.fake.tokens(drive);
            place.keep_until(drive, &pair, i64::MAX, Some(now + left));
            for words in [&["auth", "status", name][..], &["doctor", "--storage", name]] {
                let said = place.run(words);
                let all = said.out + &said.err;
                let line = all.lines().find(|line| line.contains(&of));
                assert_eq!(line.is_some(), told.is_some(), "{words:?}, {left} s: {all}");
                let right = line
                    .zip(told)
                    .is_none_or(|(line, told)| line.contains(told) && line.contains(why) && line.contains(&again));
                assert!(right, "{words:?}: {line:?}");
            }
        }
    }
    // A token that works once, in a variable, dies with the machine's files.
    let token = place.fake.tokens(Drive::Box).refresh;
    std::fs::remove_file(place.tokens()).unwrap();
    let output = place.command(&["auth", "status", "box"]).env("SOOPERVISOR_BOX_REFRESH_TOKEN", &token).output();
    let said = finished(output.unwrap());
    place.search(&said);
    assert!((said.out + &said.err).contains("takes each refresh token once"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_up_waiting_does_not_lose_the_pair() {
    let place = Place::new().await;
    place.keep(Drive::Box, &place.fake.tokens(Drive::Box), 0);
    let slow = fake::Fault::Slow(Duration::from_millis(500));
    place.fake.fault(Drive::Box, When::path("/oauth2/token"), slow);
    let login = open(&place).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), login.token()).await.is_err());
    assert!(!login.token().await.unwrap().expose().is_empty());
    assert_eq!(refreshes(&place), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_token_that_is_refused_too_says_what_to_type() {
    for drive in Drive::ALL {
        let place = Place::new().await;
        place.keep(drive, &place.fake.tokens(drive), i64::MAX);
        let asked = match drive {
            Drive::Box | Drive::Dropbox => "/users/",
            Drive::OneDrive => "/me/drive",
            Drive::GDrive => "/about",
        };
        place.fake.fault(drive, When::path(asked).times(10), fake::Fault::Code(401, "authError"));
        let fault = open_on(&place, drive).unwrap().who().await.unwrap_err();
        let again = format!("a fresh token was refused too: `soopervisor auth login {}`", drive.prefix());
        assert!(matches!(&fault, Fault::Login(words) if words.ends_with(&again)), "{drive:?}: {fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_was_taken_back_says_what_to_type() {
    for drive in Drive::ALL {
        let place = Place::new().await;
        place.keep(drive, &place.fake.tokens(drive), 0);
        place.fake.revoke_tokens(drive);
        let again = format!("soopervisor auth login {}", drive.prefix());
        let fault = open_on(&place, drive).unwrap().token().await.unwrap_err();
        let told = matches!(&fault, Fault::Login(words) if words.contains(&format!("`{again}`")));
        assert!(told, "{drive:?}: {fault}");
        let said = place.run(&["auth", "status", drive.prefix()]);
        assert!(said.code == 7 && said.err.contains(&again), "{drive:?}: {}", said.err);
        assert!(said.out.contains("no longer logged in"), "{drive:?}: {}", said.out);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_taken_no_longer_is_told_by_the_variable_that_holds_it() {
    let place = Place::new().await;
    for drive in Drive::ALL {
        let (name, token) = (drive.prefix(), place.fake.tokens(drive).refresh);
        place.fake.revoke_tokens(drive);
        let variable = format!("SOOPERVISOR_{}_REFRESH_TOKEN", name.to_uppercase());
        let said = finished(place.command(&["auth", "status", name]).env(&variable, &token).output().unwrap());
        place.search(&said);
        assert_eq!(said.code, 7, "{name}: {}", said.err);
        assert!(said.err.contains(&format!("no longer takes {variable}")), "{name}: {}", said.err);
        assert!(said.err.contains(&format!("`soopervisor auth export {name}`")), "{name}: {}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_somebody_else_put_there_meanwhile_is_taken() {
    let place = Place::new().await;
    place.keep(Drive::Box, &place.fake.tokens(Drive::Box), 0);
    let login = open(&place).unwrap();
    place.fake.revoke_tokens(Drive::Box);
    let slow = fake::Fault::Slow(Duration::from_millis(500));
    place.fake.fault(Drive::Box, When::path("/oauth2/token"), slow);
    let asked = tokio::spawn(async move { login.token().await });
    while refreshes(&place) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // As a program would that knows of no lock.
    let pair = place.fake.tokens(Drive::Box);
    place.keep(Drive::Box, &pair, i64::MAX);
    assert_eq!(asked.await.unwrap().unwrap().expose(), pair.access.as_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_others_can_read_is_refused_by_every_verb() {
    let place = Place::new().await;
    place.keep(Drive::Box, &place.fake.tokens(Drive::Box), i64::MAX);
    for mode in [0o644, 0o640, 0o604] {
        std::fs::set_permissions(place.tokens(), PermissionsExt::from_mode(mode)).unwrap();
        let fault = open(&place).unwrap_err().to_string();
        assert!(fault.contains("others can read") && fault.contains("chmod 600"), "{fault}");
        for words in [&["auth", "status", "box"][..], &["auth", "logout", "box"], &["auth", "export", "box"]] {
            let said = place.run(words);
            assert!(said.code != 0 && (said.err.contains("chmod 600")), "{words:?}: {} {}", said.out, said.err);
        }
    }
    assert_eq!(place.fake.requests().len(), 0, "nothing of it was used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_waited_for_and_a_half_written_file_is_swept() {
    let place = Place::new().await;
    place.keep(Drive::Box, &place.fake.tokens(Drive::Box), 0);
    let rest = place.folder().join(".tokens-left");
    std::fs::write(&rest, "half").unwrap();
    let lock = std::fs::File::create(place.folder().join("tokens.lock")).unwrap();
    lock.lock().unwrap();
    let talk = Talk::new(&mut place.command(&["auth", "status", "box", "--json"]));
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(refreshes(&place), 0, "nobody renews while another does");
    drop(lock);
    let said = talk.end();
    assert!(said.code == 0 && said.out.contains("\"logged_in\":true"), "{} {}", said.out, said.err);
    assert!(!rest.exists());
}
