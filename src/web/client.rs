//! How this machine reaches the network: proxies, the CA bundle, time limits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Certificate;

use super::{Fault, roots};

/// What a machine is set to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Certificates to trust besides the system's.
    pub ca_bundle: Option<PathBuf>,
    /// `HTTPS_PROXY`, `NO_PROXY` and their like, in both spellings.
    pub proxies: BTreeMap<String, String>,
}

/// How long an answer may be silent.
pub(super) const STILL: Duration = Duration::from_mins(2);

/// A client for everything that this machine talks to.
///
/// # Errors
/// When the CA bundle cannot be read or a proxy's address is none.
pub fn client(reach: &Reach) -> Result<reqwest::Client, Fault> {
    built(reach, reqwest::Client::builder().read_timeout(STILL))
}

/// A client for files, which take as long as the line needs: the limit of [`client`] counts from the first byte that is
/// sent, so that whatever takes longer to send would never be answered. Who uses it bounds by itself how long it waits
/// ([`super::Web`] does, and [`super::chunk`]); that the line is dead the system notices.
///
/// # Errors
/// As [`client`].
pub fn client_for_files(reach: &Reach) -> Result<reqwest::Client, Fault> {
    let builder = reqwest::Client::builder();
    // A server may be busy with what it got before it takes more.
    #[cfg(target_os = "linux")]
    let builder = builder.tcp_user_timeout(STILL);
    built(reach, builder)
}

fn built(reach: &Reach, builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Fault> {
    let mut builder = builder
        .user_agent(concat!("soopervisor/", env!("CARGO_PKG_VERSION")))
        .referer(false)
        // Drives answer some uploads with 308, which is no redirect there; downloads that are redirected must not take
        // the token along, so every redirect is followed by hand.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(20))
        .no_proxy();
    if let Some(bundle) = &reach.ca_bundle {
        builder = trusting(builder, bundle)?;
    }
    for (scheme, names) in [("http", ["HTTP_PROXY", "http_proxy"]), ("https", ["HTTPS_PROXY", "https_proxy"])] {
        let set = |names: [&str; 2]| names.iter().find_map(|name| reach.proxies.get(*name).filter(|v| !v.is_empty()));
        let Some(address) = set(names).or_else(|| set(["ALL_PROXY", "all_proxy"])) else { continue };
        let proxy = if scheme == "http" { reqwest::Proxy::http(address) } else { reqwest::Proxy::https(address) };
        let except = set(["NO_PROXY", "no_proxy"]).and_then(|list| reqwest::NoProxy::from_string(list.as_str()));
        // The address may hold a password, which reqwest's words would repeat.
        let proxy = proxy.map_err(|_| Fault::Setting(format!("the {scheme} proxy's address is none")))?;
        builder = builder.proxy(proxy.no_proxy(except));
    }
    builder.build().map_err(Fault::network)
}

/// A client that will trust the certificates of a bundle besides those of the system.
///
/// # Errors
/// When the bundle cannot be read, or holds no certificate.
pub fn trusting(builder: reqwest::ClientBuilder, bundle: &Path) -> Result<reqwest::ClientBuilder, Fault> {
    let wrong = |error: &dyn std::fmt::Display| Fault::Setting(format!("`{}`: {error}", bundle.display()));
    let pem = std::fs::read(bundle).map_err(|error| wrong(&error))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(&error))?;
    if certificates.is_empty() {
        return Err(wrong(&"there is no certificate in it, or it is not PEM"));
    }
    // Whoever sets these has most often a company's root in mind; the verifier would read them in place of the system's.
    let hidden = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| std::env::var_os(name).is_some());
    let usual = if hidden { usable(&roots::lacking(&pem)) } else { Vec::new() };
    Ok(builder.tls_certs_merge(certificates.into_iter().chain(usual)))
}

/// The certificates that can be verified with: one that the verifier does not understand would spoil all of them. What a
/// system has is not its user's to mend.
fn usable(pem: &[u8]) -> Vec<Certificate> {
    let all = Certificate::from_pem_bundle(pem).unwrap_or_default();
    let understood = |certificates: &[Certificate]| {
        reqwest::Client::builder().no_proxy().tls_certs_only(certificates.to_vec()).build().is_ok()
    };
    if all.is_empty() || understood(&all) {
        return all;
    }
    all.into_iter().filter(|certificate| understood(std::slice::from_ref(certificate))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ISRG Root X2, which is public.
    const ROOT: &str = "-----BEGIN CERTIFICATE-----
MIICGzCCAaGgAwIBAgIQQdKd0XLq7qeAwSxs6S+HUjAKBggqhkjOPQQDAzBPMQsw
CQYDVQQGEwJVUzEpMCcGA1UEChMgSW50ZXJuZXQgU2VjdXJpdHkgUmVzZWFyY2gg
R3JvdXAxFTATBgNVBAMTDElTUkcgUm9vdCBYMjAeFw0yMDA5MDQwMDAwMDBaFw00
MDA5MTcxNjAwMDBaME8xCzAJBgNVBAYTAlVTMSkwJwYDVQQKEyBJbnRlcm5ldCBT
ZWN1cml0eSBSZXNlYXJjaCBHcm91cDEVMBMGA1UEAxMMSVNSRyBSb290IFgyMHYw
EAYHKoZIzj0CAQYFK4EEACIDYgAEzZvVn4CDCuwJSvMWSj5cz3es3mcFDR0HttwW
+1qLFNvicWDEukWVEYmO6gbf9yoWHKS5xcUy4APgHoIYOIvXRdgKam7mAHf7AlF9
ItgKbppbd9/w+kHsOdx1ymgHDB/qo0IwQDAOBgNVHQ8BAf8EBAMCAQYwDwYDVR0T
AQH/BAUwAwEB/zAdBgNVHQ4EFgQUfEKWrt5LSDv6kviejM9ti6lyN5UwCgYIKoZI
zj0EAwMDaAAwZQIwe3lORlCEwkSHRhtFcP9Ymd70/aTSVaYgLXTWNLxBo1BfASdW
tL4ndQavEi51mI38AjEAi/V3bNTIZargCyzuFJ0nN6T5U6VR5CmD1/iQMVtCnwr1
/q4AaOeMSQ+2b1tbFfLn
-----END CERTIFICATE-----
";

    #[test]
    fn a_bundle_without_certificates_is_told_by_its_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let reach = Reach { ca_bundle: Some(file.path().into()), ..Reach::default() };
        for text in ["", "a certificate"] {
            std::fs::write(file.path(), text).unwrap();
            let told = client(&reach).unwrap_err().to_string();
            assert!(told.contains(&*file.path().to_string_lossy()) && told.contains("no certificate in it"), "{told}");
        }
        std::fs::write(file.path(), ROOT).unwrap();
        client(&reach).unwrap();
        client_for_files(&reach).unwrap();
    }

    #[test]
    fn a_certificate_that_nobody_understands_spoils_no_other() {
        let strange = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n";
        assert_eq!(usable(ROOT.as_bytes()).len(), 1);
        assert_eq!(usable(format!("{strange}{ROOT}{strange}").as_bytes()).len(), 1);
        assert!(usable(b"").is_empty());
    }
}
