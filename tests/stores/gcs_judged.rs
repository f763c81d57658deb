//! Google's own library uses the Google Cloud Storage in small of `tests/fake_gcs`, and finds nothing that Google's does
//! otherwise: conditions on generations, checksums, sessions, parts, pages, copies, batches.

use std::path::{Path, PathBuf};

use crate::fake_gcs::Gcs;
use crate::servers::folder_of_servers;

#[tokio::test(flavor = "multi_thread")]
async fn googles_own_library_takes_the_fake_for_google_cloud_storage() {
    let fake = Gcs::start().await;
    let judges = std::env::var_os("SOOPERVISOR_JUDGES").map(PathBuf::from);
    let judges = judges.unwrap_or_else(|| folder_of_servers().with_file_name("judges"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_gcs/judge.py");
    let mut command = tokio::process::Command::new(judges.join("venv/bin/python"));
    command.arg(script).arg(fake.url()).env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "*");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        command.env_remove(name);
    }
    let output = command.kill_on_drop(true).output().await.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let flows = "small\nresumable\nempty\nparts\nlisting\ncopies\nbatch\n";
    assert_eq!(told, flows, "{}", String::from_utf8_lossy(&output.stderr));
}
