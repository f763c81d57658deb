//! A large file that was on its way to an SSH server when we were killed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use soopervisor::storage::backend::{Created, Sessions as _, Shared};

use crate::servers::{self, free_port};
use crate::suite::{Remembered, source};
use crate::way::Way;
use crate::{assert_nothing_unfinished, opened};

const MIB: u64 = 1024 * 1024;
const SIZE: u64 = 40 * MIB;
/// So much goes out before the line is dead.
const SENT: u64 = 24 * MIB;
const KEY: &str = "p/large";

/// Bytes of which no megabyte is like another.
fn bytes() -> Vec<u8> {
    (0..SIZE / 8).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
}

fn over(place: &Path, port: u16) -> Shared {
    let file = |name: &str| place.join(name).to_str().unwrap().to_owned();
    let set = vec![
        ("SOOPERVISOR_SFTP_KEY", file("user")),
        ("SOOPERVISOR_SFTP_KNOWN_HOSTS", file("known_hosts")),
        ("SOOPERVISOR_SFTP_SSH_CONFIG", "/dev/null".to_owned()),
    ];
    opened(&format!("sftp://127.0.0.1:{port}{}", file("root")), set)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_had_arrived_when_we_were_killed_is_not_sent_again() {
    let (port, place) = (free_port(), tempfile::tempdir().unwrap());
    let _daemon = servers::sshd(place.path(), port);
    let way = Way::to(port, SENT).await;
    let host = std::fs::read_to_string(place.path().join("host.pub")).unwrap();
    std::fs::write(place.path().join("known_hosts"), format!("[127.0.0.1]:{} {host}", way.port)).unwrap();
    let (content, known) = (Arc::new(bytes()), Arc::new(Remembered::default()));

    let first = over(place.path(), way.port);
    let (all, kept) = (Arc::clone(&content), Arc::clone(&known));
    let dying = tokio::spawn(async move {
        let mut source = source(&first, &all);
        first.create(KEY, &mut source, &*kept).await.map(drop)
    });
    let sent = async {
        while way.sent(0) < SENT {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // It lands.
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    tokio::time::timeout(Duration::from_mins(1), sent).await.unwrap();
    dying.abort();
    assert!(dying.await.is_err(), "it was under way");
    let left = known.recall(KEY).unwrap();
    let arrived = std::fs::metadata(place.path().join("root").join(&left)).unwrap().len();
    assert!(arrived > 16 * MIB && arrived < SIZE, "{arrived}");

    let second = over(place.path(), way.port);
    let mut again = source(&second, &content);
    let created = second.create(KEY, &mut again, &*known).await.unwrap();
    assert!(matches!(created, Created::Ours(_)), "{created:?}");
    assert!(std::fs::read(place.path().join("root").join(KEY)).unwrap() == *content);
    // The end of what had arrived is sent again; ssh's own words are few.
    let most = SIZE - arrived + 4 * MIB;
    assert!(way.sent(1) < most, "{} bytes were sent, at most {most}", way.sent(1));
    assert_eq!(known.recall(KEY), None);
    assert_nothing_unfinished(place.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_another_file_is_not_gone_on_with() {
    let (port, place) = (free_port(), tempfile::tempdir().unwrap());
    let _daemon = servers::sshd(place.path(), port);
    let (service, content) = (over(place.path(), port), bytes());
    let folder = place.path().join("root/p");
    std::fs::create_dir_all(&folder).unwrap();
    let half = usize::try_from(SIZE / 2).unwrap();
    let mut spoilt = content[..half].to_vec();
    spoilt[half / 2] ^= 1;
    let longer = [&content[..], b"more"].concat();
    for (number, left) in [spoilt, longer, vec![7; half], content[..100].to_vec()].into_iter().enumerate() {
        let name = format!("p/.soopervisor-part-{number}");
        std::fs::write(place.path().join("root").join(&name), left).unwrap();
        let known = Remembered::default();
        known.remember(KEY, &name);
        let mut file = source(&service, &content);
        let created = service.create(KEY, &mut file, &known).await.unwrap();
        assert!(matches!(created, Created::Ours(_)), "{number}: {created:?}");
        assert!(std::fs::read(place.path().join("root").join(KEY)).unwrap() == content, "{number}");
        assert_nothing_unfinished(place.path());
        service.remove(KEY).await.unwrap();
    }
}
