//! What is set for a storage, by its name: in config.yaml, and over that by `SOOPERVISOR_<REMOTE>_<KEY>`.
//!
//! A storage's own name (`s3`, `box`) is a remote too, with nothing in config.yaml. Secrets are read when they are asked
//! for, from where the reference says, and are never kept.

use std::fmt;
use std::sync::Arc;

use super::StorageError;
use crate::auth::variable;
use crate::secret::{Origin, Secret, SecretSpec};
use crate::spec::remotes::{Remote, RemoteKind, SECRETS, TEXTS, is_name};
use crate::spec::settings::SecretSource;
use crate::web::Fault;

/// Looks a variable of this process up.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Every storage that has a name on this machine.
#[derive(Clone)]
pub struct Remotes {
    written: Vec<Remote>,
    variables: Variables,
}

impl fmt::Debug for Remotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remotes").field("written", &self.written).finish_non_exhaustive()
    }
}

impl Remotes {
    /// Those of a config.yaml, and what variables make of them.
    pub fn new(written: Vec<Remote>, variables: Variables) -> Self {
        Self { written, variables }
    }

    /// None, and no variables.
    pub fn none() -> Self {
        Self::new(Vec::new(), Arc::new(|_| None))
    }

    /// What a name stands for; `None` where nobody gave it a meaning.
    ///
    /// # Errors
    /// When a variable names a kind that there is not.
    pub fn kind(&self, name: &str) -> Result<Option<RemoteKind>, StorageError> {
        if let Some(kind) = RemoteKind::named(name) {
            return Ok(Some(kind));
        }
        if !is_name(name) {
            return Ok(None);
        }
        let set = format!("{}_TYPE", variable(name));
        match self.lookup(&set) {
            Some(kind) => RemoteKind::named(kind.trim()).map(Some).ok_or(StorageError::RemoteType { variable: set }),
            None => Ok(self.of(name).map(|remote| remote.kind)),
        }
    }

    /// What is set for a key of [`crate::spec::remotes::TEXTS`].
    pub fn text(&self, name: &str, key: &str) -> Option<String> {
        let set = self.lookup(&variable_of(name, key));
        set.or_else(|| self.of(name)?.texts.get(key).map(|text| text.value.clone()))
    }

    /// The value of a key of [`crate::spec::remotes::SECRETS`].
    ///
    /// # Errors
    /// When it is set by a reference that leads nowhere.
    pub fn secret(&self, name: &str, key: &str) -> Result<Option<Secret>, Fault> {
        let variable = variable_of(name, key);
        if let Some(value) = self.lookup(&variable) {
            return Ok(Some(Secret::new(variable, value.into_bytes())));
        }
        let Some(source) = self.of(name).and_then(|remote| remote.secrets.get(key)) else { return Ok(None) };
        let label = format!("{name}: {key}");
        match source {
            SecretSource::Env(from) => match self.lookup(from) {
                Some(value) => Ok(Some(Secret::new(label, value.into_bytes()))),
                None => Err(Fault::Setting(format!("`{key}` of `{name}`: the variable `{from}` is not set"))),
            },
            SecretSource::File(path) => {
                let spec = SecretSpec { name: label, origin: Origin::File(path.into()) };
                spec.resolve().map(Some).map_err(|error| Fault::Setting(error.to_string()))
            }
        }
    }

    /// What a variable of a remote is set to, or what config.yaml says in its place: `SOOPERVISOR_TEAM_BOX_CLIENT_ID` is
    /// `client-id` of `team-box`. A reference that leads nowhere counts as nothing.
    pub fn resolved(&self, name: &str, variable: &str) -> Option<String> {
        if let Some(value) = self.lookup(variable) {
            return Some(value);
        }
        if let Some(key) = TEXTS.iter().find(|key| variable_of(name, key) == variable) {
            return self.text(name, key);
        }
        let key = SECRETS.iter().find(|key| variable_of(name, key) == variable)?;
        let secret = self.secret(name, key).ok().flatten()?;
        String::from_utf8(secret.expose().to_vec()).ok()
    }

    /// Names in config.yaml.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(|remote| remote.name.as_str())
    }

    /// Looks a variable up that is no part of any remote: a vendor's own.
    pub fn lookup(&self, variable: &str) -> Option<String> {
        (self.variables)(variable).filter(|value| !value.is_empty())
    }

    fn of(&self, name: &str) -> Option<&Remote> {
        self.written.iter().find(|remote| remote.name.as_str() == name)
    }
}

/// `team-box`, `client-id`: `SOOPERVISOR_TEAM_BOX_CLIENT_ID`.
pub fn variable_of(name: &str, key: &str) -> String {
    format!("{}_{}", variable(name), key.to_ascii_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::config::parse;

    fn remotes(text: &str, set: &'static [(&'static str, &'static str)]) -> Remotes {
        let (config, found) = parse("config.yaml", text.as_bytes());
        assert_eq!(found, []);
        let lookup = move |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Remotes::new(config.remotes, Arc::new(lookup))
    }

    #[test]
    fn variables_go_before_the_file_and_make_remotes_of_their_own() {
        let text = "remotes: {team-box: {type: box, folder: a, client-secret: env:BOX}}";
        let set = &[
            ("SOOPERVISOR_TEAM_BOX_FOLDER", "b"),
            ("BOX", "hidden"),
            ("SOOPERVISOR_LAB_TYPE", "s3"),
            ("SOOPERVISOR_LAB_SECRET_ACCESS_KEY", "hidden too"),
            ("SOOPERVISOR_BAD_TYPE", "s4"),
        ];
        let remotes = remotes(text, set);
        assert_eq!(remotes.kind("team-box").unwrap(), Some(RemoteKind::Box));
        assert_eq!(remotes.kind("lab").unwrap(), Some(RemoteKind::S3));
        assert_eq!(remotes.kind("elsewhere").unwrap(), None);
        assert!(
            matches!(remotes.kind("bad"), Err(StorageError::RemoteType { variable }) if variable == "SOOPERVISOR_BAD_TYPE")
        );
        assert_eq!(remotes.text("team-box", "folder").unwrap(), "b");
        let of = |name, key| remotes.secret(name, key).unwrap().unwrap().expose().to_vec();
        assert_eq!(
            (of("team-box", "client-secret"), of("lab", "secret-access-key")),
            (b"hidden".into(), b"hidden too".into())
        );
        assert!(!format!("{remotes:?}").contains("hidden"));
    }

    #[test]
    fn a_reference_that_leads_nowhere_says_so() {
        let remotes = remotes("remotes: {lab: {type: s3, secret-access-key: env:NOT_SET}}", &[]);
        let told = remotes.secret("lab", "secret-access-key").unwrap_err().to_string();
        assert_eq!(told, "`secret-access-key` of `lab`: the variable `NOT_SET` is not set");
    }
}
