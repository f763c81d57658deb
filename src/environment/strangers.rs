//! What code of strangers does not get where its environment is built: channels of this machine and its network, and, where
//! that is asked for, a build in which anything of its own choosing is executed.

use std::path::Path;

use url::{Host, Url};

use super::error::Problem;
use super::network::without_credentials;
use super::{Config, EnvironmentError};

/// What to do where a package has no wheel.
const WHEELS_ONLY: &str = "code of a fork is installed from wheels only, so that none of it runs while its environment is \
     built: pin a version that has a wheel, take the package from conda, or let the workflow allow builds \
     (`fork-builds: true`)";

/// Whether files of the repository may name this channel: what this machine is set to, anybody may.
pub(super) fn may_name(channel: &str, config: &Config) -> bool {
    let same = |known: &String| known.trim_end_matches('/') == channel.trim_end_matches('/');
    let set = config.default_channels.iter().chain(&config.no_channels).chain(config.mirrors.keys()).any(same);
    !config.strangers || set || is_elsewhere(channel)
}

pub(super) fn refused(channel: &str) -> Problem {
    Problem {
        entry: without_credentials(channel),
        message: "is on this machine or in its network, where code of a fork chooses nothing".to_owned(),
        help: Some("write a name such as `conda-forge`, or an address of the internet".to_owned()),
    }
}

/// Why there is nothing to build from source, where no code may run.
pub(super) fn no_builds(step: &'static str, tail: String) -> EnvironmentError {
    EnvironmentError::Pip { step, tail, hint: Some(WHEELS_ONLY) }
}

/// Whether a channel is a name, or at an address of the internet as far as it tells: what a name in it stands for is not
/// asked.
fn is_elsewhere(channel: &str) -> bool {
    if Path::new(channel).is_absolute() {
        return false;
    }
    if !channel.contains("://") && !channel.starts_with("file:") {
        return true;
    }
    let Ok(url) = Url::parse(channel) else { return true };
    matches!(url.scheme(), "http" | "https") && is_public(url.host().as_ref())
}

fn is_public(host: Option<&Host<&str>>) -> bool {
    match host {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let own = ["localhost", "local", "internal", "lan", "home.arpa"];
            let below = |own: &&str| name == **own || name.ends_with(&format!(".{own}"));
            name.contains('.') && !own.iter().any(below)
        }
        Some(Host::Ipv4(address)) => {
            let [a, b, ..] = address.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let special = a == 0 || a >= 224 || shared;
            !(special || address.is_private() || address.is_loopback() || address.is_link_local())
        }
        Some(Host::Ipv6(address)) => match address.to_ipv4_mapped() {
            Some(inside) => is_public(Some(&Host::Ipv4(inside))),
            // What is given out to networks of the world begins with 2 or 3.
            None => address.segments()[0] & 0xe000 == 0x2000,
        },
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_name_channels_of_the_internet_and_those_that_this_machine_is_set_to() {
        let mut config = Config::new("/nowhere".into());
        config.default_channels.push("https://conda.corp/main".to_owned());
        config.mirrors.insert("file:///channel".to_owned(), Vec::new());
        let here = [
            "/etc",
            "file:///etc",
            "file:/etc",
            "http://localhost:8000/x",
            "https://intranet/x",
            "https://build.internal/x",
            "https://127.0.0.1/x",
            "http://169.254.169.254/latest",
            "http://10.1.2.3/x",
            "http://100.64.0.1/x",
            "http://[::1]/x",
            "http://[fd00::1]/x",
            "http://[::ffff:10.0.0.1]/x",
            "http://0x7f000001/x",
            "s3://bucket/x",
        ];
        let elsewhere =
            ["conda-forge", "https://conda.anaconda.org/x", "https://8.8.8.8/x", "https://[2606:4700::1]/x"];
        let set = ["https://conda.corp/main/", "file:///channel"];
        for strangers in [false, true] {
            config.strangers = strangers;
            for channel in here {
                assert_eq!(may_name(channel, &config), !strangers, "{channel}");
            }
            assert!(elsewhere.iter().chain(&set).all(|channel| may_name(channel, &config)));
        }
    }
}
