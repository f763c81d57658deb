//! Whose certificates are trusted: those of the system's authorities and, besides them, those of a bundle that somebody
//! names. A bundle never takes their place: who names a company's own root still reaches what is not behind its proxy.

use std::collections::HashSet;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Where systems keep the authorities that they trust in one file (Debian and most others, Fedora, SUSE, BSD); the first
/// that can be read counts.
const USUAL: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// The length of a line in PEM.
const LINE: usize = 64;

/// For programs that take one file in place of the system's: the bundle as it is, and behind it what the system trusts
/// besides. Where the system keeps no such file, or the bundle holds all of it, that is the bundle alone.
///
/// # Errors
/// When the bundle cannot be read.
pub fn authorities(bundle: &Path) -> io::Result<Vec<u8>> {
    Ok(joined(std::fs::read(bundle)?, &usual()))
}

/// [`authorities`] as a file in a folder, which is made if need be. Its name tells its bytes: an update of the bundle does
/// not reach who uses it already.
///
/// # Errors
/// When the bundle cannot be read or the file cannot be written.
pub fn keep_authorities(bundle: &Path, folder: &Path) -> io::Result<PathBuf> {
    let bytes = authorities(bundle)?;
    let file = folder.join(format!("{}.pem", &hex::encode(Sha256::digest(&bytes))[..32]));
    if !file.is_file() {
        std::fs::create_dir_all(folder)?;
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(&bytes)?;
        new.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        new.persist(&file).map_err(|error| error.error)?;
    }
    file.canonicalize()
}

/// What the system trusts and a bundle lacks, as PEM.
pub(super) fn lacking(bundle: &[u8]) -> Vec<u8> {
    missing(&usual(), bundle)
}

fn usual() -> Vec<u8> {
    USUAL.iter().find_map(|file| std::fs::read(file).ok()).unwrap_or_default()
}

fn joined(mut bundle: Vec<u8>, usual: &[u8]) -> Vec<u8> {
    let missing = missing(usual, &bundle);
    if !missing.is_empty() && !bundle.is_empty() && !bundle.ends_with(b"\n") {
        bundle.push(b'\n');
    }
    bundle.extend(missing);
    bundle
}

/// Certificates of one file that another does not have. None is said twice: old programs take a repeated one for an error.
fn missing(usual: &[u8], bundle: &[u8]) -> Vec<u8> {
    let known: HashSet<String> = certificates(bundle).into_iter().collect();
    let mut pem = Vec::new();
    for certificate in certificates(usual).iter().filter(|certificate| !known.contains(*certificate)) {
        pem.extend_from_slice(BEGIN.as_bytes());
        for line in certificate.as_bytes().chunks(LINE) {
            pem.push(b'\n');
            pem.extend_from_slice(line);
        }
        pem.push(b'\n');
        pem.extend_from_slice(END.as_bytes());
        pem.push(b'\n');
    }
    pem
}

/// The certificates of a file, each in base64 without white space: lines are ended and broken in several ways.
fn certificates(pem: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(pem);
    let bodies = text.split(BEGIN).skip(1).filter_map(|rest| rest.split_once(END));
    bodies.map(|(body, _)| body.split_ascii_whitespace().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(body: &str) -> String {
        format!("{BEGIN}\n{body}\n{END}\n")
    }

    fn with(bundle: &str, usual: &str) -> String {
        String::from_utf8(joined(bundle.as_bytes().to_vec(), usual.as_bytes())).unwrap()
    }

    #[test]
    fn a_bundle_is_followed_by_what_the_system_trusts_besides() {
        let (company, first, second) = (pem("Q29tcGFueQ=="), pem("Rmlyc3Q="), pem("U2Vjb25k"));
        let usual = format!("# Ünïque Root\n{first}\n{second}");
        assert_eq!(with(&company, &usual), format!("{company}{first}{second}"));
        // What stands between certificates stays as it is, and what both have is there once.
        let both = format!("# ours\n{company}\n# everybody's\n{second}# end\n");
        assert_eq!(with(&both, &usual), format!("{both}{first}"));
        assert_eq!(with("", &usual), format!("{first}{second}"));
    }

    #[test]
    fn a_bundle_that_holds_all_of_them_stays_as_it_is_however_its_lines_are_broken() {
        let long = "QUJD".repeat(32);
        let lines = format!("{}\n{}", &long[..64], &long[64..]);
        let usual = format!("{}{}", pem(&lines), pem("Rmlyc3Q="));
        let bundle = format!("{}{}{}", pem("Rmlyc3Q="), pem("Q29tcGFueQ=="), pem(&long));
        for bundle in [bundle.replace('\n', "\r\n"), bundle.trim_end().to_owned(), bundle] {
            assert_eq!(with(&bundle, &usual), bundle);
        }
        // Long ones are added in lines of the usual length.
        assert_eq!(with(&pem("Rmlyc3Q="), &usual), format!("{}{}", pem("Rmlyc3Q="), pem(&lines)));
    }

    #[test]
    fn the_last_line_of_a_bundle_may_lack_its_end_and_lines_may_end_as_on_windows() {
        let (company, first) = (pem("Q29tcGFueQ=="), pem("Rmlyc3Q="));
        assert_eq!(with(company.trim_end(), &first), format!("{company}{first}"));
        let windows = company.replace('\n', "\r\n");
        assert_eq!(with(&windows, &first), format!("{windows}{first}"));
        assert_eq!(with(windows.trim_end(), &first.replace('\n', "\r\n")), format!("{}\n{first}", windows.trim_end()));
    }

    #[test]
    fn where_the_system_has_no_file_the_bundle_is_all() {
        for bundle in ["", "no certificate", &pem("Q29tcGFueQ==")] {
            assert_eq!(with(bundle, ""), bundle);
        }
    }

    #[test]
    fn what_is_kept_has_the_bundle_and_everything_of_this_system_once() {
        let dir = tempfile::tempdir().unwrap();
        let (bundle, folder) = (dir.path().join("company.pem"), dir.path().join("new/ca"));
        assert!(keep_authorities(&bundle, &folder).is_err() && !folder.exists());
        std::fs::write(&bundle, pem("Q29tcGFueQ==")).unwrap();
        let first = keep_authorities(&bundle, &folder).unwrap();
        let bytes = std::fs::read(&first).unwrap();
        assert!(bytes.starts_with(pem("Q29tcGFueQ==").as_bytes()));
        assert!(lacking(&bytes).is_empty(), "a root of the system is not in it");
        assert_eq!(first.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(keep_authorities(&bundle, &folder).unwrap(), first);
        // What is complete already is kept as it is.
        assert_eq!(keep_authorities(&first, &folder).unwrap(), first);
        std::fs::write(&bundle, pem("QW5vdGhlcg==")).unwrap();
        assert_ne!(keep_authorities(&bundle, &folder).unwrap(), first);
        assert_eq!(std::fs::read(&first).unwrap(), bytes);
    }
}
