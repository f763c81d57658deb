# shellcheck shell=bash
# Root rights and the distribution's packages: announced before they are used, never used with SOOPERVISOR_NO_INSTALL=1.
# To be sourced after say.sh.

# may_install INSTRUCTION: ends with the instruction where nothing may be installed or started.
may_install() {
    [ -z "${SOOPERVISOR_NO_INSTALL:-}" ] || fail "SOOPERVISOR_NO_INSTALL is set; do this yourself, then try again: $1"
}

# as_root COMMAND…: says it, even where the output is kept back, then does it. The copy of the output in descriptor 3 is
# closed for it: a service that it starts would hold a pipe's reader waiting for as long as it runs.
as_root() {
    say "with root rights: $*" >&3
    if [ "$(id -u)" -eq 0 ]; then
        "$@" 3>&-
    elif has sudo; then
        # The terminal, where there is one, is for sudo's question alone.
        # shellcheck disable=SC2024 # the terminal is to be opened as this user
        if { : </dev/tty; } 2>/dev/null; then sudo -- "$@" </dev/tty 3>&-; else sudo -n -- "$@" 3>&-; fi
    else
        fail "root rights are needed and sudo is not installed; as root: $*"
    fi
}

# install_packages NAME…: from Debian's or Ubuntu's archive.
install_packages() {
    local sudo=
    [ "$(id -u)" -eq 0 ] || sudo='sudo '
    if ! has apt-get; then
        fail "missing: $*; this is neither Debian nor Ubuntu, install them with your package manager, then try again"
    fi
    may_install "${sudo}apt-get update && ${sudo}apt-get install --no-install-recommends $*"
    # One at a time: `.ci/run` has two of these scripts at work.
    exec 8<Makefile
    flock 8
    if [ -z "${packages_updated:-}" ]; then
        quietly 'apt-get update failed' as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update
        packages_updated=1
    fi
    quietly "apt-get install $* failed" as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "$@"
    exec 8<&-
}

# need_tools: what building and the scripts themselves need.
need_tools() {
    local missing=()
    has cc || missing+=(gcc libc6-dev)
    has git || missing+=(git)
    has curl || missing+=(curl)
    has xz || missing+=(xz-utils)
    has pkg-config || missing+=(pkg-config)
    has make || missing+=(make)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -n "${SSL_CERT_FILE:-}" ] || missing+=(ca-certificates)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

# need_elsewhere: the other engines that tests/engine/elsewhere starts: Podman, engines without root, TLS, ssh, a registry.
need_elsewhere() {
    local missing=() sbin=$PATH:/usr/sbin:/sbin
    PATH=$sbin has podman || missing+=(podman)
    PATH=$sbin has catatonit || missing+=(catatonit)
    [ -x /usr/lib/podman/netavark ] || PATH=$sbin has netavark || missing+=(netavark aardvark-dns)
    PATH=$sbin has fuse-overlayfs || missing+=(fuse-overlayfs)
    PATH=$sbin has newuidmap || missing+=(uidmap)
    PATH=$sbin has slirp4netns || missing+=(slirp4netns)
    PATH=$sbin has rootlesskit || missing+=(rootlesskit)
    PATH=$sbin has sshd || missing+=(openssh-server)
    PATH=$sbin has ssh || missing+=(openssh-client)
    PATH=$sbin has openssl || missing+=(openssl)
    PATH=$sbin has docker-registry || missing+=(docker-registry)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

# need_rust: Rust is the user's to choose; it is never installed here. Asked first, before anything is installed.
need_rust() {
    local found wanted
    has cargo || [ ! -x "$HOME/.cargo/bin/cargo" ] || PATH=$HOME/.cargo/bin:$PATH
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    has cargo || fail "Rust is missing; get it from https://rustup.rs: curl --proto '=https' -sSf https://sh.rustup.rs | sh"
    found=$(cargo --version | cut -d ' ' -f 2)
    [ "$(printf '%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1)" = "$wanted" ] ||
        fail "Rust $wanted or newer is needed, this is $found: rustup update stable"
}

# need_component SUBCOMMAND NAME: a part of Rust that minimal installations lack.
need_component() {
    cargo "$1" --version >/dev/null 2>&1 || fail "\`cargo $1\` is missing: rustup component add $2"
}
