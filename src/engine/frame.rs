//! The length frame in which a script, its secrets and its nonce travel to `boot.sh`.
//!
//! Pure: it never talks to an engine. It refuses what bash or the kernel would refuse later, with a clearer message.

use zeroize::Zeroizing;

use super::{EngineError, ExecSpec};

/// What runs as the container's first program; reads the frame.
pub(super) const BOOT: &str = include_str!("boot.sh");

/// The kernel takes no single `NAME=value` longer than this (`MAX_ARG_STRLEN`, its NUL included).
const LONGEST_VARIABLE: usize = 128 * 1024 - 1;

/// Writes the frame; its layout is told in `boot.sh`. The word is what `boot.sh` says something to us with.
pub(super) fn encode(spec: &ExecSpec, word: &str) -> Result<Zeroizing<Vec<u8>>, EngineError> {
    let room = spec.script.len() + spec.secrets.iter().map(|s| s.expose().len() + 64).sum::<usize>() + word.len() + 128;
    // Sized before, because a growing vector would leave copies of the secrets behind.
    let mut frame = Zeroizing::new(Vec::with_capacity(room));
    frame.extend_from_slice(format!("{}\n", spec.secrets.len()).as_bytes());
    for secret in &spec.secrets {
        check_secret(secret.name(), secret.expose())?;
        push(&mut frame, secret.name().as_bytes());
        push(&mut frame, secret.expose());
    }
    push(&mut frame, word.as_bytes());
    if !spec.nonce.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(refuse("the nonce of step markers holds more than letters and digits".into()));
    }
    push(&mut frame, spec.nonce.as_bytes());
    if spec.script.contains('\0') {
        return Err(refuse("the script holds a NUL byte, which bash drops".into()));
    }
    push(&mut frame, spec.script.as_bytes());
    Ok(frame)
}

fn push(frame: &mut Vec<u8>, bytes: &[u8]) {
    frame.extend_from_slice(format!("{}\n", bytes.len()).as_bytes());
    frame.extend_from_slice(bytes);
}

fn check_secret(name: &str, value: &[u8]) -> Result<(), EngineError> {
    let starts = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !starts || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(refuse(format!(
            "the secret `{}` cannot be an environment variable: use letters, digits and `_`, not starting with a digit",
            name.escape_debug()
        )));
    }
    if value.contains(&0) {
        return Err(refuse(format!("the secret `{name}` holds a NUL byte, which no environment variable can")));
    }
    if name.len() + 1 + value.len() > LONGEST_VARIABLE {
        return Err(refuse(format!(
            "the secret `{name}` has {} bytes; an environment variable takes {} at most: hand it over as a file",
            value.len(),
            LONGEST_VARIABLE - name.len() - 1
        )));
    }
    Ok(())
}

fn refuse(reason: String) -> EngineError {
    EngineError::Refused { action: "deliver the script", reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn spec(secrets: Vec<Secret>) -> ExecSpec {
        ExecSpec { script: "echo é\n".into(), secrets, nonce: "a1".into() }
    }

    #[test]
    fn counts_bytes_not_characters() {
        let frame = encode(&spec(vec![Secret::new("A", b"x\ny".to_vec())]), "w0").unwrap();
        assert_eq!(&frame[..], "1\n1\nA3\nx\ny2\nw02\na18\necho é\n".as_bytes());
    }

    #[test]
    fn never_grows_the_buffer_that_holds_secrets() {
        let secrets = (0..50).map(|i| Secret::new(format!("NAME_{i}"), vec![b'x'; 4000])).collect();
        let spec = spec(secrets);
        let room = spec.script.len() + spec.secrets.iter().map(|s| s.expose().len() + 64).sum::<usize>() + 128;
        assert!(encode(&spec, "").unwrap().len() <= room);
    }

    #[test]
    fn refuses_what_cannot_be_a_variable_and_shows_no_value() {
        for (name, value) in [
            ("", "hunter2".to_owned()),
            ("1A", "hunter2".to_owned()),
            ("A-B", "hunter2".to_owned()),
            ("A\nB", "hunter2".to_owned()),
            ("A", "hunter2\0".to_owned()),
            ("A", "hunter2".repeat(20_000)),
        ] {
            let error = encode(&spec(vec![Secret::new(name, value.into_bytes())]), "").unwrap_err().to_string();
            assert!(error.contains("secret") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn refuses_nul_in_the_script_and_a_nonce_that_could_break_out() {
        let nul = ExecSpec { script: "a\0b".into(), secrets: vec![], nonce: String::new() };
        assert!(encode(&nul, "").is_err());
        let nonce = ExecSpec { script: String::new(), secrets: vec![], nonce: "a\nb".into() };
        assert!(encode(&nonce, "").is_err());
    }
}
