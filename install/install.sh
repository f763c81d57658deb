#!/usr/bin/env bash
# Puts the program on the runner and says where, for action.yml. A release is taken only with its checksum out of
# checksums.txt beside this file: who pins the action by its commit pins the program with it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=${INPUT_VERSION:-source}

fail() {
    printf '::error title=soopervisor::%s\n' "$*"
    exit 1
}

# A cancelled job signals this process alone, and bash hears of it between two commands: what takes long is started
# beside it, in a group of its own, which ends with it.
trap '[ -z "${!:-}" ] || kill -s TERM -- "-$!" 2>/dev/null; exit 130' INT TERM

# attended COMMAND…: its exit code, unless the job is cancelled.
attended() {
    set -m
    "$@" &
    set +m
    wait "$!"
}

# say PROGRAM: hands it to the next step.
say() {
    "$1" --version || fail "$1 does not run here"
    printf 'program=%s\n' "$1" >>"$GITHUB_OUTPUT"
}

[ "${RUNNER_OS:-Linux}" = Linux ] || fail "runners with ${RUNNER_OS} have no Linux containers: use runs-on: ubuntu-latest"
case ${RUNNER_ARCH:-X64} in
    X64) arch=x86_64 ;;
    ARM64) arch=aarch64 ;;
    *) fail "there is no program for runners with ${RUNNER_ARCH}" ;;
esac

if [ -n "${INPUT_BINARY_PATH:-}" ]; then
    case $INPUT_BINARY_PATH in
        /*) program=$INPUT_BINARY_PATH ;;
        *) program=$GITHUB_WORKSPACE/$INPUT_BINARY_PATH ;;
    esac
    [ -x "$program" ] || fail "binary-path: $program is no program"
    say "$program"
    exit
fi

if [ "$version" = source ]; then
    [ -f "$here/../Cargo.toml" ] || fail 'version: source needs the whole repository; this copy of the action has releases only'
    command -v cargo >/dev/null || fail 'version: source needs Rust on the runner (https://rustup.rs)'
    target=${RUNNER_TOOL_CACHE:-${RUNNER_TEMP:-/tmp}}/soopervisor-build
    # From there, not from the workspace: cargo and rustup take settings, and programs, from the folder they are started in.
    cd "$here/.."
    attended cargo build --release --locked --target-dir "$target"
    say "$target/release/soopervisor"
    exit
fi

case $version in
    *[!A-Za-z0-9._-]*) fail "version: $version is none" ;;
esac
release=soopervisor-$version-$arch-unknown-linux-musl
sum=$(awk -v name="$release" '$2 == name { print $1 }' "$here/checksums.txt")
if [ -z "$sum" ] && ! grep -qv '^#' "$here/checksums.txt"; then
    fail "version: this copy of the action knows no release; leave version out to build the program from source, or name a program on the runner with binary-path"
fi
if [ -z "$sum" ]; then
    known=$(awk -v end="-$arch-unknown-linux-musl" '!/^#/ && index($2, end) { gsub("^soopervisor-|" end "$", "", $2); printf "%s ", $2 }' "$here/checksums.txt")
    fail "version: $version has no checksum for $arch in install/checksums.txt; for $arch it has: ${known:-nothing}"
fi
kept=${RUNNER_TOOL_CACHE:-${RUNNER_TEMP:-/tmp}}/soopervisor/$version/$arch
program=$kept/soopervisor
# A runner of one's own keeps it; what is kept is checked as well.
if ! printf '%s  %s\n' "$sum" "$program" | sha256sum --check --status 2>/dev/null; then
    mkdir -p "$kept"
    # The runner leaves its own variable empty in steps of an action, so action.yml hands on what it knows.
    from=${ACTION_REPOSITORY:-${GITHUB_ACTION_REPOSITORY:-OWNER/soopervisor-action}}
    url=${SOOPERVISOR_RELEASES:-${GITHUB_SERVER_URL:-https://github.com}/$from/releases/download}
    ways="SOOPERVISOR_RELEASES names another address and binary-path a program on the runner"
    # Two jobs of one runner may be here at once.
    new=$(mktemp "$kept/new.XXXXXX")
    trap 'rm -f "$new" "$new.ca"' EXIT
    trust=()
    # Those that the program takes certificates from, the first that is set.
    for name in SOOPERVISOR_CA_BUNDLE SSL_CERT_FILE PIP_CERT REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GIT_SSL_CAINFO; do
        [ -n "${!name:-}" ] || continue
        [ -f "${!name}" ] || break
        # As in the program they are added to the system's, whose place they take with curl.
        for usual in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
            [ -r "$usual" ] || continue
            [ "$usual" -ef "${!name}" ] || cat "$usual" >"$new.ca"
            break
        done
        { echo && cat "${!name}"; } >>"$new.ca" || fail "the certificates that $name names cannot be read"
        trust=(--cacert "$new.ca")
        break
    done
    # curl takes proxies from HTTPS_PROXY and its like, as the program does.
    attended curl --fail --silent --show-error --location --retry 3 ${trust[@]+"${trust[@]}"} --output "$new" "$url/$version/$release" ||
        fail "$url/$version/$release cannot be fetched: where the network is closed, $ways"
    if ! printf '%s  %s\n' "$sum" "$new" | sha256sum --check --status; then
        case $(head -c 200 "$new" | LC_ALL=C tr -cd '[:graph:]') in
            '<'*) fail "$url/$version/$release is answered with a page, as by a server that wants a login first: $ways" ;;
        esac
        fail "$release is not what install/checksums.txt says"
    fi
    chmod 755 "$new"
    mv -f "$new" "$program"
fi
say "$program"
