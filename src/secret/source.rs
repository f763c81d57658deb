//! Where a value comes from: the environment of this process, or a file.
//!
//! Nothing is cached, and a value is never written anywhere.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::SecretError;

/// A file with more is no secret.
const LARGEST: u64 = 1024 * 1024;

/// Something that hands out one value.
pub trait Source: Send + Sync {
    /// Reads the value of the secret `name`.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    fn read(&self, name: &str) -> Result<Vec<u8>, SecretError>;

    /// Where it comes from, for people.
    fn describe(&self) -> String;
}

/// A variable of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvVar(pub String);

impl Source for EnvVar {
    fn read(&self, name: &str) -> Result<Vec<u8>, SecretError> {
        let missing = || SecretError::Missing { name: name.to_owned(), variable: self.0.clone() };
        std::env::var_os(&self.0).map(OsStringExt::into_vec).ok_or_else(missing)
    }

    fn describe(&self) -> String {
        format!("the environment variable `{}`", self.0)
    }
}

/// A file; one newline at its end is none of the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile(pub PathBuf);

impl Source for SecretFile {
    fn read(&self, name: &str) -> Result<Vec<u8>, SecretError> {
        let unreadable = |source| SecretError::Unreadable { name: name.to_owned(), path: self.0.clone(), source };
        let mut value = Vec::new();
        File::open(&self.0).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut value)).map_err(unreadable)?;
        if value.len() as u64 > LARGEST {
            return Err(SecretError::TooLarge { name: name.to_owned(), path: self.0.clone() });
        }
        if value.pop_if(|last| *last == b'\n').is_some() {
            value.pop_if(|last| *last == b'\r');
        }
        Ok(value)
    }

    fn describe(&self) -> String {
        format!("the file `{}`", self.0.display())
    }
}
