//! The uv program: a static binary out of its wheel, fetched once from the configured index and checked by sha256.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use url::Url;

use super::error::chain;
use super::network::without_credentials;
use super::{Config, EnvironmentError};

/// The version that is pinned. Raise it together with `LAYOUT` in `inputs`.
pub(super) const VERSION: &str = "0.13.8";

/// Wheels with a static musl build, by conda platform.
const WHEELS: &[(&str, &str, &str)] = &[
    (
        "linux-64",
        "uv-0.13.8-py3-none-musllinux_1_1_x86_64.whl",
        "29451c60f5e8b07403e0a175d5229efc36b0289b34143ff4aaa499a5dd52553a",
    ),
    (
        "linux-aarch64",
        "uv-0.13.8-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d",
    ),
];

/// Where the pinned program is, or will be.
pub(super) fn path(config: &Config) -> PathBuf {
    config.root.join("bin").join(format!("uv-{VERSION}-{}", config.platform))
}

/// The program on the host, fetched when it is not there yet.
pub(super) async fn program(
    config: &Config,
    progress: &mut (dyn FnMut(String) + Send),
) -> Result<PathBuf, EnvironmentError> {
    if let Some(path) = &config.uv {
        return match path.canonicalize() {
            Ok(path) if path.is_file() => Ok(path),
            _ => Err(failed(config, format!("SOOPERVISOR_UV names `{}`, which is no file", path.display()))),
        };
    }
    let target = path(config);
    if target.is_file() {
        return Ok(target);
    }
    let wheel = WHEELS.iter().find(|(platform, ..)| *platform == config.platform);
    let (_, name, sha256) =
        wheel.ok_or_else(|| failed(config, format!("there is no pinned build for {}", config.platform)))?;
    progress(format!("fetching uv {VERSION} from {}", without_credentials(config.index_url())));
    let bytes = fetch(config, name).await.map_err(|reason| failed(config, reason))?;
    let found = hex::encode(Sha256::digest(&bytes));
    if found != *sha256 {
        return Err(failed(config, format!("{name} has sha256 {found}, not {sha256}")));
    }
    let to = target.clone();
    let unpacked = tokio::task::spawn_blocking(move || unpack(bytes, &to)).await;
    match unpacked {
        Ok(result) => result.map_err(|error| EnvironmentError::io(&target, "unpacking uv", error)).map(|()| target),
        Err(_) => Err(EnvironmentError::Cancelled),
    }
}

fn failed(config: &Config, reason: String) -> EnvironmentError {
    EnvironmentError::Uv { version: VERSION, index: without_credentials(config.index_url()), reason }
}

/// Finds the wheel on the index's page for `uv` and reads it.
async fn fetch(config: &Config, name: &str) -> Result<Vec<u8>, String> {
    let client = super::client::plain(config)?;
    let page = format!("{}/uv/", config.index_url().trim_end_matches('/'));
    let page = Url::parse(&page).map_err(|error| format!("`{}`: {error}", without_credentials(&page)))?;
    let text = get(&client, page.clone()).await?;
    let text = String::from_utf8(text).map_err(|_| "the index page is not text".to_owned())?;
    let href = link_to(&text, name).ok_or_else(|| format!("the index has no {name}"))?;
    let mut url = page.join(&href).map_err(|error| format!("`{}`: {error}", without_credentials(&href)))?;
    url.set_fragment(None);
    if url.host_str() == page.host_str() && url.username().is_empty() {
        // Links on a page that needs a password need the same one.
        let _ = url.set_username(page.username());
        let _ = url.set_password(page.password());
    }
    get(&client, url).await
}

async fn get(client: &reqwest::Client, url: Url) -> Result<Vec<u8>, String> {
    let request =
        client.get(url).header(reqwest::header::ACCEPT, "text/html, application/octet-stream;q=0.9, */*;q=0.1");
    let answer = request.send().await.and_then(reqwest::Response::error_for_status);
    let bytes = match answer {
        Ok(answer) => answer.bytes().await,
        Err(error) => Err(error),
    };
    bytes.map(|bytes| bytes.to_vec()).map_err(|error| without_credentials(&chain(&error)))
}

/// The `href` of the link to a file on a simple-index page.
fn link_to(page: &str, file: &str) -> Option<String> {
    page.split("href=").skip(1).find_map(|rest| {
        let quote = rest.chars().next().filter(|c| "\"'".contains(*c))?;
        let href = rest[1..].split(quote).next()?;
        let path = href.split(['#', '?']).next().unwrap_or(href);
        path.rsplit('/').next().is_some_and(|last| last == file).then(|| href.replace("&amp;", "&"))
    })
}

/// Takes the program out of the wheel; appears under its name only when it is whole.
fn unpack(wheel: Vec<u8>, target: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(wheel)).map_err(std::io::Error::other)?;
    let inside = format!("uv-{VERSION}.data/scripts/uv");
    let mut entry = archive.by_name(&inside).map_err(std::io::Error::other)?;
    let mut program = Vec::new();
    entry.read_to_end(&mut program)?;
    let folder = target.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, &program)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o755))?;
    file.as_file().sync_all()?;
    file.persist(target).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::link_to;

    #[test]
    fn finds_the_wheel_on_pages_of_different_indexes() {
        let page = r#"<a href="https://h/packages/ab/uv-1.whl#sha256=aa" data-x="1">uv-1.whl</a>
            <a data-y="2" href='../../uv/2/uv-2.whl?a=1&amp;b=2'>x</a>"#;
        assert_eq!(link_to(page, "uv-1.whl").as_deref(), Some("https://h/packages/ab/uv-1.whl#sha256=aa"));
        assert_eq!(link_to(page, "uv-2.whl").as_deref(), Some("../../uv/2/uv-2.whl?a=1&b=2"));
        assert_eq!(link_to(page, "v-1.whl"), None);
    }
}
