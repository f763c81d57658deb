//! Where a Docker-compatible engine may answer: `DOCKER_HOST`, the context, then the usual sockets.
//!
//! Reads the client's configuration files; never opens a connection.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::engine::EngineError;

/// One place to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `unix:///…`, `tcp://…`, `ssh://…`.
    pub url: String,
    /// Files for mutual TLS, for `tcp` only.
    pub tls: Option<Tls>,
    /// Who says so, for messages: `DOCKER_HOST`, ``context `x` ``; empty for the usual places.
    pub source: String,
}

/// The files of mutual TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The authority that signed the daemon's certificate.
    pub ca: PathBuf,
    /// Our certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Tls {
    fn below(folder: &Path) -> Self {
        Self { ca: folder.join("ca.pem"), cert: folder.join("cert.pem"), key: folder.join("key.pem") }
    }
}

impl Address {
    /// The path of a unix socket.
    pub fn socket(&self) -> Option<&Path> {
        self.url.strip_prefix("unix://").map(Path::new)
    }
}

/// The places to try, in order. What the user named is tried alone: falling back to another engine would surprise.
///
/// # Errors
/// When the named context cannot be read.
pub fn candidates(env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Address>, EngineError> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let home = set("HOME").map(PathBuf::from);
    let config = set("DOCKER_CONFIG").map(PathBuf::from).or_else(|| home.as_ref().map(|h| h.join(".docker")));

    if let Some(url) = set("DOCKER_HOST") {
        let folder = set("DOCKER_CERT_PATH").map(PathBuf::from).or_else(|| config.clone());
        let tls = set("DOCKER_TLS_VERIFY").and(folder).filter(|_| url.starts_with("tcp://"));
        return Ok(vec![Address { url, tls: tls.as_deref().map(Tls::below), source: "DOCKER_HOST".into() }]);
    }
    let asked = set("DOCKER_CONTEXT").map(|name| (name, "DOCKER_CONTEXT"));
    let current = || Some((current_context(config.as_deref()?)?, "currentContext"));
    match asked.or_else(current) {
        Some((name, by)) if name != "default" => Ok(vec![context(config.as_deref(), &name, by)?]),
        _ => Ok(usual(home.as_deref(), set("XDG_RUNTIME_DIR").map(PathBuf::from).as_deref())),
    }
}

fn current_context(config: &Path) -> Option<String> {
    let text = fs_err::read_to_string(config.join("config.json")).ok()?;
    let value: Value = serde_json::from_str(&text).ok()?;
    Some(value.get("currentContext")?.as_str()?.to_owned()).filter(|name| !name.is_empty())
}

fn context(config: Option<&Path>, name: &str, by: &str) -> Result<Address, EngineError> {
    let unusable = |why: String| EngineError::Unavailable {
        tried: format!("context `{name}` (from {by}): {why}; see `docker context ls`"),
    };
    let config = config.ok_or_else(|| unusable("neither DOCKER_CONFIG nor HOME is set".into()))?;
    let digest = hex::encode(Sha256::digest(name.as_bytes()));
    let path = config.join("contexts/meta").join(&digest).join("meta.json");
    let text = fs_err::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let meta: Value = serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
    let url = meta.pointer("/Endpoints/docker/Host").and_then(Value::as_str).filter(|host| !host.is_empty());
    let url = url.ok_or_else(|| unusable("it names no Docker endpoint".into()))?.to_owned();
    let folder = config.join("contexts/tls").join(&digest).join("docker");
    let tls = (url.starts_with("tcp://") && folder.join("ca.pem").exists()).then(|| Tls::below(&folder));
    Ok(Address { url, tls, source: format!("context `{name}`") })
}

/// Rootful Docker, rootless Docker, Podman, then what desktop programs put into the home folder.
fn usual(home: Option<&Path>, runtime: Option<&Path>) -> Vec<Address> {
    let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
    sockets.extend(runtime.map(|r| r.join("docker.sock")));
    sockets.extend(runtime.map(|r| r.join("podman/podman.sock")));
    sockets.push(PathBuf::from("/run/podman/podman.sock"));
    for below in
        [".docker/run/docker.sock", ".colima/default/docker.sock", ".orbstack/run/docker.sock", ".rd/docker.sock"]
    {
        sockets.extend(home.map(|h| h.join(below)));
    }
    let address =
        |path: PathBuf| Address { url: format!("unix://{}", path.display()), tls: None, source: String::new() };
    sockets.into_iter().map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    fn with_context(name: &str, host: &str, tls: bool) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let digest = hex::encode(Sha256::digest(name.as_bytes()));
        let meta = folder.path().join("contexts/meta").join(&digest);
        fs_err::create_dir_all(&meta).unwrap();
        let text = serde_json::json!({"Name": name, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": false}}});
        fs_err::write(meta.join("meta.json"), text.to_string()).unwrap();
        fs_err::write(folder.path().join("config.json"), serde_json::json!({"currentContext": name}).to_string())
            .unwrap();
        if tls {
            let files = folder.path().join("contexts/tls").join(&digest).join("docker");
            fs_err::create_dir_all(&files).unwrap();
            fs_err::write(files.join("ca.pem"), "").unwrap();
        }
        folder
    }

    #[test]
    fn docker_host_is_tried_alone_and_beats_the_context() {
        let folder = with_context("far", "ssh://far", false);
        let config = folder.path().to_str().unwrap();
        let pairs = [("DOCKER_HOST", "unix:///x.sock"), ("DOCKER_CONTEXT", "far"), ("DOCKER_CONFIG", config)];
        let found = candidates(&env(&pairs)).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].socket(), Some(Path::new("/x.sock")));
        assert_eq!(found[0].source, "DOCKER_HOST");
    }

    #[test]
    fn an_empty_docker_host_counts_as_unset() {
        assert!(candidates(&env(&[("DOCKER_HOST", "")])).unwrap().len() > 1);
    }

    #[test]
    fn tls_needs_a_filled_docker_tls_verify() {
        let on = [("DOCKER_HOST", "tcp://h:2376"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certs")];
        assert_eq!(candidates(&env(&on)).unwrap()[0].tls, Some(Tls::below(Path::new("/certs"))));
        let off = [("DOCKER_HOST", "tcp://h:2375"), ("DOCKER_TLS_VERIFY", ""), ("DOCKER_CERT_PATH", "/certs")];
        assert_eq!(candidates(&env(&off)).unwrap()[0].tls, None);
    }

    #[test]
    fn follows_the_current_context_with_its_tls_files() {
        let folder = with_context("far", "tcp://far:2376", true);
        let found = candidates(&env(&[("DOCKER_CONFIG", folder.path().to_str().unwrap())])).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].url, "tcp://far:2376");
        assert!(found[0].tls.as_ref().unwrap().ca.exists());
    }

    #[test]
    fn docker_context_beats_the_current_one_and_default_means_the_usual_places() {
        let folder = with_context("far", "ssh://far", false);
        let pairs = [("DOCKER_CONTEXT", "default"), ("DOCKER_CONFIG", folder.path().to_str().unwrap())];
        assert_eq!(candidates(&env(&pairs)).unwrap()[0].url, "unix:///var/run/docker.sock");
    }

    #[test]
    fn a_context_that_is_not_there_is_an_error_not_another_engine() {
        let folder = tempfile::tempdir().unwrap();
        let pairs = [("DOCKER_CONTEXT", "gone"), ("DOCKER_CONFIG", folder.path().to_str().unwrap())];
        let error = candidates(&env(&pairs)).unwrap_err().to_string();
        assert!(error.contains("context `gone`") && error.contains("docker context ls"), "{error}");
    }

    #[test]
    fn tries_rootless_podman_and_desktop_sockets() {
        let found = candidates(&env(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r")])).unwrap();
        let urls: Vec<_> = found.iter().map(|a| a.url.as_str()).collect();
        assert_eq!(
            urls[..4],
            [
                "unix:///var/run/docker.sock",
                "unix:///r/docker.sock",
                "unix:///r/podman/podman.sock",
                "unix:///run/podman/podman.sock",
            ]
        );
        assert!(urls.contains(&"unix:///h/.colima/default/docker.sock"), "{urls:?}");
    }

    #[test]
    fn a_broken_config_file_is_no_reason_to_stop() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("config.json"), "{").unwrap();
        assert!(candidates(&env(&[("DOCKER_CONFIG", folder.path().to_str().unwrap())])).unwrap().len() >= 2);
    }
}
