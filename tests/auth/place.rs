//! A home, a fake, and the program with nothing of this machine's environment; all that the program says is searched.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::fake::{Drive, Fake, Pair};

pub(crate) const SECRET: &str = "the-secret-of-the-app";

pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) fake: Fake,
}

/// What the program said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) async fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), fake: Fake::start().await }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join("home/state")
    }

    pub(crate) fn tokens(&self) -> PathBuf {
        self.folder().join("tokens.json")
    }

    /// The program without an app.
    pub(crate) fn bare(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
        command.args(words).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("SOOPERVISOR_HOME", self.dir.path().join("home")).current_dir(self.dir.path());
        for drive in Drive::ALL {
            command.env(format!("SOOPERVISOR_{}_BASE_URL", drive.prefix().to_uppercase()), self.fake.base(drive));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.bare(words);
        for drive in Drive::ALL {
            let prefix = format!("SOOPERVISOR_{}", drive.prefix().to_uppercase());
            command.env(format!("{prefix}_CLIENT_ID"), "id").env(format!("{prefix}_REDIRECT_PORT"), "0");
        }
        command.env("SOOPERVISOR_BOX_CLIENT_SECRET", SECRET).env("SOOPERVISOR_GDRIVE_CLIENT_SECRET", SECRET);
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Said {
        let said = finished(self.command(words).output().unwrap());
        self.search(&said);
        said
    }

    /// Neither what was said nor any file but the one of tokens holds a value.
    pub(crate) fn search(&self, said: &Said) {
        for text in [&said.out, &said.err] {
            assert!(!tells(text), "{text}");
        }
        let mut waiting = vec![self.dir.path().to_path_buf()];
        while let Some(folder) = waiting.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    waiting.push(entry.path());
                } else if entry.path() != self.tokens() {
                    assert!(!tells(&String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap())), "{entry:?}");
                }
            }
        }
    }

    /// A login as an earlier process kept it.
    pub(crate) fn keep(&self, drive: Drive, pair: &Pair, expires_at: i64) {
        self.keep_until(drive, pair, expires_at, None);
    }

    /// The same; the refresh token ends too.
    pub(crate) fn keep_until(&self, drive: Drive, pair: &Pair, expires_at: i64, refresh_expires_at: Option<i64>) {
        let entry = json!({
            "provider": drive.prefix(), "client_id": "id", "client_secret": SECRET, "access": pair.access,
            "refresh": pair.refresh, "expires_at": expires_at, "refresh_expires_at": refresh_expires_at,
        });
        let text = json!({"schema": 1, "remotes": {drive.prefix(): entry}}).to_string();
        std::fs::create_dir_all(self.folder()).unwrap();
        std::fs::write(self.tokens(), text).unwrap();
        std::fs::set_permissions(self.tokens(), PermissionsExt::from_mode(0o600)).unwrap();
    }

    pub(crate) fn kept(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.tokens()).unwrap()).unwrap()
    }

    pub(crate) fn status(&self, drive: Drive) -> Value {
        let said = self.run(&["auth", "status", drive.prefix(), "--json"]);
        serde_json::from_str::<Value>(&said.out).unwrap()["remotes"][0].clone()
    }
}

pub(crate) fn tells(text: &str) -> bool {
    ["-access-0", "-refresh-0", "-device-0", SECRET].iter().any(|part| text.contains(part))
}

pub(crate) fn finished(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A program that talks and waits.
pub(crate) struct Talk {
    pub(crate) child: Child,
    err: BufReader<std::process::ChildStderr>,
    said: String,
}

impl Talk {
    pub(crate) fn new(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let err = BufReader::new(child.stderr.take().unwrap());
        Self { child, err, said: String::new() }
    }

    /// The next line of stderr that holds this.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.err.read_line(&mut line).unwrap(), 0, "it ended before `{text}`: {}", self.said);
            self.said += &line;
            if line.contains(text) {
                return line.trim().to_owned();
            }
        }
    }

    pub(crate) fn end(mut self) -> Said {
        let (mut out, mut err) = (String::new(), self.said);
        self.err.read_to_string(&mut err).unwrap();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        Said { code: self.child.wait().unwrap().code().unwrap_or(-1), out, err }
    }
}

pub(crate) fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
