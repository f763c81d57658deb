//! Checks of the network: the conda channel, the package index, and, from their answers, this machine's clock.

use std::time::Duration;

use jiff::Timestamp;

use super::super::exit::Exit;
use super::{Check, Level};
use crate::environment::{self, Config, Place};
use crate::web;

/// The channel that environments use most.
const CONDA_FORGE: &str = "conda-forge";
const CHANNEL: &str = "conda channel";
const INDEX: &str = "package index";
const CLOCK: &str = "clock";
const PATIENCE: Duration = Duration::from_secs(5);
/// TLS and signed requests start to fail somewhere beyond this.
const SKEW: i64 = 60;

/// What is said when nothing may be asked.
pub(super) fn skipped(why: &str) -> Vec<Check> {
    [CHANNEL, INDEX, CLOCK].map(|name| Check::new(name, Level::Skipped, why)).into()
}

/// Asks the places that packages come from, both at once.
pub(super) fn all(config: &Config) -> Vec<Check> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![Check::fail(CHANNEL, Exit::Internal, error.to_string(), "free some memory")],
    };
    let index = config.index_url();
    let asking = async { tokio::join!(channel(config), ask(index, config)) };
    let ((channel, theirs), packages) = runtime.block_on(asking);
    let date = theirs.or(packages.as_ref().ok().copied().flatten());
    let mend = "a proxy (HTTPS_PROXY), or a mirror (PIP_INDEX_URL)";
    let named = ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"];
    let named = named.into_iter().find(|name| config.host_env.contains_key(*name));
    let named = named.map_or_else(|| "the usual one".to_owned(), |name| format!("named by {name}"));
    let index = place(INDEX, index, &packages, mend).looking_at(named).looking_at(reach(config));
    let now = Timestamp::now();
    let clock = clock(date, now);
    let clock = match date {
        Some(theirs) => clock.looking_at(format!("theirs {theirs:.0}, ours {now:.0}")),
        None => clock,
    };
    // A folder in its place is asked nothing.
    let channel = if channel.looked_at.is_empty() { channel } else { channel.looking_at(reach(config)) };
    vec![channel, index, clock]
}

/// How the places are reached: by which variables' proxies, and whose certificates are trusted besides the system's.
fn reach(config: &Config) -> String {
    let is_proxy = |name: &&str| matches!(&*name.to_ascii_lowercase(), "https_proxy" | "http_proxy" | "all_proxy");
    let proxies: Vec<&str> = config.host_env.keys().map(String::as_str).filter(is_proxy).collect();
    let by = if proxies.is_empty() { "without a proxy".to_owned() } else { format!("by {}", proxies.join(", ")) };
    match &config.ca_bundle {
        Some(bundle) => format!("{by}; the certificates of {} are trusted, too", bundle.display()),
        None => by,
    }
}

/// The first place that stands for conda-forge and has an answer.
async fn channel(config: &Config) -> (Check, Option<Timestamp>) {
    let mend = "a proxy (HTTPS_PROXY), or a local one: soopervisor channel build --to DIR, soopervisor channel use DIR";
    let mut last = Check::warn(CHANNEL, format!("`{CONDA_FORGE}` names no channel"), mend);
    for source in environment::places(CONDA_FORGE, config) {
        let answer = match source {
            Place::Folder(folder) => {
                let is_channel = |name: &str| folder.join(name).join("repodata.json").is_file();
                let folder = folder.display();
                if ["noarch", &config.platform].into_iter().any(is_channel) {
                    return (Check::ok(CHANNEL, format!("{folder} stands for {CONDA_FORGE}")), None);
                }
                Check::warn(CHANNEL, format!("{folder} stands for {CONDA_FORGE} and is no channel"), mend)
            }
            Place::Address(url) => {
                let address = format!("{url}noarch/repodata_shards.msgpack.zst");
                let answer = ask(&address, config).await;
                let check = place(CHANNEL, &address, &answer, mend);
                if let Ok(date) = answer {
                    return (check, date);
                }
                check
            }
        };
        last = answer;
    }
    (last, None)
}

/// The server's idea of the time, if it answers.
async fn ask(address: &str, config: &Config) -> Result<Option<Timestamp>, String> {
    let mut builder = reqwest::Client::builder().timeout(PATIENCE);
    if let Some(bundle) = &config.ca_bundle {
        builder = web::trusting(builder, bundle).map_err(|fault| fault.to_string())?;
    }
    let client = builder.build().map_err(|error| cause(&error))?;
    // The address may hold a password: it is not repeated.
    let answer = client.head(address).send().await.map_err(|error| cause(&error.without_url()))?;
    let status = answer.status();
    if status.is_server_error() || status == reqwest::StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return Err(format!("answered {status}"));
    }
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
    Ok(date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|time| time.timestamp()))
}

/// What is at the bottom of an error; what stands above it says only that something was asked.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.last().unwrap_or(error).to_string()
}

/// A host without credentials, for people.
fn host(address: &str) -> String {
    url::Url::parse(address).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or("an address".to_owned())
}

fn place(name: &'static str, address: &str, answer: &Result<Option<Timestamp>, String>, mend: &str) -> Check {
    let host = host(address);
    let check = match answer {
        Ok(_) => Check::ok(name, format!("{host} answers")),
        // Environments that are built already need no network.
        Err(why) => Check::warn(name, format!("{host} does not answer: {why}"), mend),
    };
    match origin(address) {
        Some(origin) => check.looking_at(format!("asked {origin}")),
        None => check,
    }
}

/// Scheme, host and port, for people: passwords stand in front of the host, tokens in paths behind it.
fn origin(address: &str) -> Option<String> {
    Some(url::Url::parse(address).ok()?.origin().ascii_serialization())
}

fn clock(theirs: Option<Timestamp>, ours: Timestamp) -> Check {
    let Some(theirs) = theirs else { return Check::new(CLOCK, Level::Skipped, "no server said what time it is") };
    let skew = ours.duration_since(theirs).as_secs();
    let direction = if skew < 0 { "behind" } else { "ahead" };
    if skew.abs() <= SKEW {
        Check::ok(CLOCK, format!("within {} s of the servers'", skew.abs().max(1)))
    } else {
        let found = format!("{} s {direction}", skew.abs());
        Check::warn(CLOCK, found, "set it: sudo timedatectl set-ntp true")
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_clock_that_is_off_is_a_warning_and_an_unknown_one_is_not_called_right() {
        let now = at("2026-11-21T09:30:00Z");
        assert_eq!(clock(Some(at("2026-11-21T09:29:30Z")), now).level, Level::Ok);
        let late = clock(Some(at("2026-11-21T09:35:00Z")), now);
        assert_eq!((late.level, late.found.as_str()), (Level::Warn, "300 s behind"));
        assert_eq!(clock(None, now).level, Level::Skipped);
    }

    #[test]
    fn passwords_in_addresses_are_not_repeated() {
        let address = "https://ann:hunter2@index.example/simple";
        let check = place(INDEX, address, &Err("refused".to_owned()), "mend");
        assert_eq!(check.found, "index.example does not answer: refused");
        assert_eq!(check.looked_at, ["asked https://index.example"]);
    }

    #[test]
    fn proxies_are_told_by_the_names_of_their_variables() {
        let mut config = Config::new("/dev/null/env".into());
        config.host_env.clear();
        assert_eq!(reach(&config), "without a proxy");
        config.host_env.insert("https_proxy".to_owned(), "http://ann:hunter2@proxy.example".to_owned());
        config.host_env.insert("NO_PROXY".to_owned(), "localhost".to_owned());
        config.ca_bundle = Some("/etc/company.pem".into());
        assert_eq!(reach(&config), "by https_proxy; the certificates of /etc/company.pem are trusted, too");
    }

    #[test]
    fn a_folder_that_stands_for_the_channel_is_looked_at_instead_of_the_network() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("env"));
        config.mirrors.insert(CONDA_FORGE.to_owned(), vec![dir.path().display().to_string()]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (check, _) = runtime.block_on(channel(&config));
        assert_eq!(check.level, Level::Warn, "{check:?}");
        assert!(check.mend.unwrap().contains("soopervisor channel use"));
        std::fs::create_dir(dir.path().join("noarch")).unwrap();
        std::fs::write(dir.path().join("noarch/repodata.json"), "{}").unwrap();
        assert_eq!(runtime.block_on(channel(&config)).0.level, Level::Ok);
    }

    #[test]
    fn an_answer_gives_the_servers_time_and_silence_a_reason() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nDate: Sat, 21 Nov 2026 09:30:00 GMT\r\n\r\n").unwrap();
        });
        let config = Config::new("/dev/null/env".into());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(runtime.block_on(ask(&address, &config)), Ok(Some(at("2026-11-21T09:30:00Z"))));
        server.join().unwrap();
        assert!(runtime.block_on(ask(&address, &config)).is_err());
        // A bundle that cannot be used is said to be that, and no fault of the server.
        let config = Config { ca_bundle: Some("/dev/null/company.pem".into()), ..config };
        assert!(runtime.block_on(ask(&address, &config)).unwrap_err().contains("company.pem"));
    }
}
