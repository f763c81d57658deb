//! Docker over TLS, with certificates of both sides, over ssh, and through contexts of the `docker` command.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::keeper::{Keeper, done, free_port, needs, suite};
use super::{docker, one_at_a_time, runs_an_example};

/// A second daemon that sees our files; an authority that signs for it and for its clients.
const TLS: &str = r#"
port=$1 bridge=$2 subnet=$3
cd "$scratch"
sign() { openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile "$1.ext" -out "$1.pem"; }
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -days 2 -subj /CN=soopervisor-test-ca
for who in server client; do
    openssl req -newkey rsa:2048 -nodes -keyout "$who-key.pem" -out "$who.csr" -subj "/CN=$who"
done
printf 'subjectAltName = IP:127.0.0.1\nextendedKeyUsage = serverAuth\n' >server.ext
printf 'extendedKeyUsage = clientAuth\n' >client.ext
sign server; sign client
mkdir certificates
cp ca.pem certificates/ca.pem; cp client.pem certificates/cert.pem; cp client-key.pem certificates/key.pem
chmod 755 "$scratch" certificates; chmod 644 certificates/*
ip link add "$bridge" type bridge
ip addr add "$subnet.1/24" dev "$bridge"
ip link set "$bridge" up
unshare --mount --pid --fork --kill-child --mount-proc sh -c '
    set -eu
    mount --make-rprivate /
    for folder in /run/docker /run/containerd; do [ ! -d "$folder" ] || mount -t tmpfs tmpfs "$folder"; done
    exec dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" --host "tcp://127.0.0.1:$2" \
        --tlsverify --tlscacert "$1/ca.pem" --tlscert "$1/server.pem" --tlskey "$1/server-key.pem" \
        --bridge "$3" --iptables=false --ip-forward=false --ip-masq=false --userland-proxy=false
' sh "$scratch" "$port" "$bridge" </dev/null &
daemon=$!
read -r _ || true
kill -9 "$daemon" 2>/dev/null || true
wait "$daemon" 2>/dev/null || true
ip link del "$bridge" 2>/dev/null || true
for attempt in 1 2 3 4 5; do rm -rf "$scratch" && break; sleep 1; done
"#;

/// A server that takes one key.
const SSH: &str = r#"
port=$1 user=$2
mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N '' -f "$scratch/host"
ssh-keygen -q -t ed25519 -N '' -f "$scratch/key"
chmod 755 "$scratch"
chown "$user" "$scratch/key"
printf '%s\n' "Port $port" "ListenAddress 127.0.0.1" "HostKey $scratch/host" "PidFile none" "UsePAM yes" "StrictModes no" \
    "AuthorizedKeysFile $scratch/key.pub" "PasswordAuthentication no" "PermitRootLogin prohibit-password" \
    "MaxStartups 200" "MaxSessions 200" "PrintMotd no" >"$scratch/sshd_config"
mkdir "$scratch/bin"
printf '%s\n' "Host *" "Port $port" "IdentityFile $scratch/key" "IdentitiesOnly yes" "UserKnownHostsFile /dev/null" \
    "StrictHostKeyChecking no" "LogLevel ERROR" >"$scratch/ssh_config"
printf '#!/bin/sh\nexec /usr/bin/ssh -F %s/ssh_config "$@"\n' "$scratch" >"$scratch/bin/ssh"
chmod 755 "$scratch/bin" "$scratch/bin/ssh"
/usr/sbin/sshd -D -e -f "$scratch/sshd_config" </dev/null &
server=$!
read -r _ || true
kill "$server" 2>/dev/null || true
wait "$server" 2>/dev/null || true
rm -rf "$scratch"
"#;

fn tls() -> (Keeper, String, String) {
    needs(&["dockerd", "openssl", "ip"]);
    let port = free_port();
    let number = std::process::id() ^ u32::from(port);
    let (bridge, subnet) = (format!("svt{number:08x}"), format!("10.{}.{}", 64 + number % 128, number / 128 % 256));
    let mut daemon = Keeper::start(TLS, &[&port.to_string(), &bridge, &subnet]);
    let address = format!("tcp://127.0.0.1:{port}");
    let certificates = daemon.folder.join("certificates").to_str().unwrap().to_owned();
    let setting = [("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", certificates.as_str())];
    daemon.wait_for_engine("Docker with TLS", &address, &setting);
    (daemon, address, certificates)
}

#[test]
fn docker_over_tls_keeps_its_promises_runs_an_example_and_is_found_through_a_context() {
    let _turn = one_at_a_time();
    let (daemon, address, certificates) = tls();
    let setting =
        [("DOCKER_HOST", address.as_str()), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", certificates.as_str())];
    let mut command = Command::new("env");
    command.args(setting.map(|(name, value)| format!("{name}={value}")));
    suite(&std::env::current_exe().unwrap(), &["promises::", "output::", "hardening::"], &[], command);
    runs_an_example(&setting, &[]);

    let config = daemon.folder.join("config");
    std::fs::create_dir(&config).unwrap();
    let endpoint =
        format!("host={address},ca={certificates}/ca.pem,cert={certificates}/cert.pem,key={certificates}/key.pem");
    let create = ["context", "create", "far-away", "--docker", &endpoint];
    done(
        &Command::new("docker").args(create).env("DOCKER_CONFIG", &config).env_remove("DOCKER_HOST").output().unwrap(),
    );
    let found = |context: Option<&str>| {
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
        doctor.args(["doctor", "--offline"]).env("DOCKER_CONFIG", &config).env_remove("DOCKER_HOST");
        doctor.envs(context.map(|context| ("DOCKER_CONTEXT", context)));
        String::from_utf8(doctor.output().unwrap().stdout).unwrap()
    };
    assert!(found(Some("far-away")).contains(&address), "{}", found(Some("far-away")));
    done(&Command::new("docker").args(["context", "use", "far-away"]).env("DOCKER_CONFIG", &config).output().unwrap());
    assert!(found(None).contains(&address), "{}", found(None));
}

#[test]
fn without_a_certificate_the_daemon_is_told_as_one_that_does_not_answer() {
    let _turn = one_at_a_time();
    let (daemon, address, _) = tls();
    let without = daemon.folder.join("none");
    std::fs::create_dir(&without).unwrap();
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
    doctor.args(["doctor", "--offline"]).env("DOCKER_HOST", &address).env("DOCKER_TLS_VERIFY", "1");
    let doctor = doctor.env("DOCKER_CERT_PATH", &without).output().unwrap();
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert_eq!(doctor.status.code(), Some(5), "{said}");
    assert!(said.contains("ca.pem") && said.contains("DOCKER_HOST"), "{said}");
}

#[test]
fn docker_over_ssh_keeps_its_promises_and_runs_an_example() {
    let _turn = one_at_a_time();
    needs(&["sshd", "ssh", "ssh-keygen"]);
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    let port = free_port();
    let mut server = Keeper::start(SSH, &[&port.to_string(), &user]);
    let shim = server.folder.join("bin/ssh");
    let executable = |path: &Path| path.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0);
    let (destination, path) =
        (format!("{user}@127.0.0.1"), format!("{}/bin:{}", server.folder.display(), std::env::var("PATH").unwrap()));
    let says_hello = || {
        let said = executable(&shim).then(|| Command::new(&shim).args([&destination, "docker", "version"]).output());
        said.is_some_and(|output| output.is_ok_and(|output| output.status.success()))
    };
    server.wait("the ssh server", says_hello);
    // The port is said in both places; here the address has the word.
    let address = format!("ssh://{destination}:{port}");
    let mut command = Command::new("env");
    command.args([format!("DOCKER_HOST={address}"), format!("PATH={path}")]);
    // It looks at its container within two seconds; each look over ssh may take one.
    let quick = ["secrets_of_any_bytes"];
    // The suite has a runtime for each test, some of which end while a connection is being made.
    server.sees_all_gone_after(|| {
        suite(&std::env::current_exe().unwrap(), &["promises::", "output::"], &quick, command);
        runs_an_example(&[("DOCKER_HOST", &address), ("PATH", &path)], &[]);
    });
}

#[test]
fn a_context_of_this_machines_own_engine_is_followed() {
    let config = tempfile::tempdir().unwrap();
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let folder = config.path().to_str().unwrap();
    docker(&["--config", folder, "context", "create", "here", "--docker", &format!("host={host}")]);
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
    doctor
        .args(["doctor", "--offline"])
        .env("DOCKER_CONFIG", folder)
        .env("DOCKER_CONTEXT", "here")
        .env_remove("DOCKER_HOST");
    let said = String::from_utf8(doctor.output().unwrap().stdout).unwrap();
    assert!(said.contains(&host), "{said}");
}
