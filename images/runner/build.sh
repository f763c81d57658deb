#!/usr/bin/env bash
# Builds the runner image from the distribution's own packages: no registry, no root rights, nothing installed.
#   build.sh REFERENCE     writes the image into the engine as REFERENCE
#   build.sh --rootfs DIR  only unpacks the files into DIR (for looking at them)
# The engine is DOCKER_HOST's unix socket or /var/run/docker.sock; `docker` is used where it is installed, else curl.
set -euo pipefail
umask 022
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT

die() { printf 'image: failed: %s\n' "$*" >&2; exit 1; }

# apt with state of its own, so that neither root rights nor a fresh package list of the machine are needed.
apt_options() {
    mkdir -p "$scratch/apt/lists/partial" "$scratch/apt/archives/partial"
    : >"$scratch/apt/status"
    printf '%s\n' \
        "Dir::State \"$scratch/apt\";" \
        "Dir::State::Lists \"$scratch/apt/lists\";" \
        "Dir::State::status \"$scratch/apt/status\";" \
        "Dir::Cache \"$scratch/apt\";" \
        "Dir::Cache::Archives \"$scratch/apt/archives\";" \
        'APT::Install-Recommends "false";' \
        'APT::Sandbox::User "";' \
        'Debug::NoLocking "true";' >"$scratch/apt.conf"
    export APT_CONFIG=$scratch/apt.conf
}

# An empty status file makes apt believe that nothing is installed: it then names the whole closure, essential
# packages included. Those are not wanted whole (dpkg, perl, util-linux …), only what the list needs.
fetch() {
    apt-get -qq update >"$scratch/log" 2>&1 || die "apt-get update: $(tail -n 2 "$scratch/log")"
    local wanted=() closure=()
    mapfile -t wanted < <(grep -v '^#' "$here/packages")
    mapfile -t closure < <(
        apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
            --no-enhances "${wanted[@]}" | grep -E '^[a-z0-9]' | grep -Ev ':|^(debconf|dpkg|perl.*|libperl.*|install-info|mawk|original-awk|debianutils|dash|adduser|passwd|sensible-utils|sysvinit.*|systemd.*|libsystemd-shared|init-system-helpers|lsb-base|sysuser-helper|cdebconf|libnewt.*|libslang.*|libtextwrap.*|libdebian-installer.*)$' | sort -u
    )
    mkdir "$scratch/debs"
    # A name that only stands for others cannot be fetched; the packages that provide it are in the list themselves.
    local real=()
    mapfile -t real < <(apt-cache show --no-all-versions "${closure[@]}" 2>/dev/null | sed -n 's/^Package: //p' | sort -u)
    (cd "$scratch/debs" && apt-get -qq download "${real[@]}" >"$scratch/log" 2>&1) ||
        die "apt-get download: $(tail -n 2 "$scratch/log")"
}

unpack() {
    local root=$1 folder deb
    mkdir -p "$root"
    # Merged /usr: the links must be there before any package is unpacked into them.
    for folder in bin sbin lib lib64; do
        mkdir -p "$root/usr/$folder"
        ln -s "usr/$folder" "$root/$folder"
    done
    for deb in "$scratch"/debs/*.deb; do
        # Through tar, because dpkg-deb -x replaces a link by the folder of the same name.
        dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink --no-same-owner -C "$root" ||
            die "cannot unpack $(basename "$deb")"
    done
    rm -rf "$root"/usr/share/{doc,man,info,locale,lintian,bash-completion,bug,menu} "$root"/usr/share/doc-base \
        "$root"/var/{cache,log,lib/systemd} "$root"/usr/lib/systemd "$root"/lib/systemd
}

settle() {
    local root=$1
    mkdir -p "$root"/{dev,etc/ssl/certs,home/runner,opt,output,proc,root,run,sys,tmp,usr/local/bin,var/tmp,workspace}
    chmod 1777 "$root/tmp" "$root/var/tmp"
    cat >"$root/etc/passwd" <<'EOF'
root:x:0:0:root:/root:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
runner:x:10001:10001:runner:/home/runner:/bin/bash
EOF
    cat >"$root/etc/group" <<'EOF'
root:x:0:
tty:x:5:
nogroup:x:65534:
runner:x:10001:
EOF
    printf 'hosts: files dns\npasswd: files\ngroup: files\n' >"$root/etc/nsswitch.conf"
    # What maintainer scripts do when packages are installed rather than unpacked.
    ln -sf bash "$root/usr/bin/sh"
    ln -sf gawk "$root/usr/bin/awk"
    ln -sf /usr/share/zoneinfo/Etc/UTC "$root/etc/localtime"
    find "$root/usr/share/ca-certificates" -name '*.crt' -print0 | LC_ALL=C sort -z | xargs -0 cat \
        >"$root/etc/ssl/certs/ca-certificates.crt"
    rm -f "$root"/etc/ld.so.cache
    # A setuid program is of no use where no-new-privileges is set, and nothing but /tmp is for everyone to write.
    find "$root" -xdev -type f -perm /6000 -exec chmod ug-s {} +
    find "$root" -xdev \( -type d -o -type f \) -perm -0002 ! -path "$root/tmp" ! -path "$root/var/tmp" -exec chmod o-w {} +
}

pack() {
    tar -c --numeric-owner --owner=0 --group=0 --sort=name --mtime=@0 --exclude=./home/runner -C "$1" . >"$scratch/image.tar"
    tar -r --numeric-owner --owner=10001 --group=10001 --mtime=@0 -C "$1" ./home/runner -f "$scratch/image.tar"
}

import() {
    local reference=$1 repository=${1%:*} tag=${1##*:} socket answer
    local changes=('ENV LANG=C.UTF-8' 'ENV LC_ALL=C.UTF-8' 'ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin' 'CMD ["bash"]')
    if command -v docker >/dev/null; then
        local options=() change
        for change in "${changes[@]}"; do options+=(--change "$change"); done
        docker import "${options[@]}" "$scratch/image.tar" "$reference" >/dev/null || die "docker import"
        return
    fi
    socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
    case $socket in unix://*) socket=${socket#unix://} ;; *) die "without the docker program only a unix socket can be used, not $socket" ;; esac
    # Only spaces, quotes and brackets in these need encoding.
    local query="fromSrc=-&repo=$repository&tag=$tag" change
    for change in "${changes[@]}"; do
        change=${change// /%20} change=${change//\"/%22} change=${change//[/%5B} change=${change//]/%5D}
        query+="&changes=$change"
    done
    answer=$(curl -sS --unix-socket "$socket" -X POST -H 'Content-Type: application/x-tar' -H 'Expect:' -T "$scratch/image.tar" \
        "http://localhost/images/create?$query") || die "the engine at $socket refused the image"
    case $answer in *'"error"'*) die "the engine said: $answer" ;; esac
}

main() {
    local program
    for program in apt-get apt-cache dpkg-deb tar sha256sum; do
        command -v "$program" >/dev/null || die "\`$program\` is missing: this needs Debian or Ubuntu; build images/runner/Dockerfile elsewhere"
    done
    apt_options
    fetch
    if [ "${1:-}" = --rootfs ]; then
        unpack "$2"
        settle "$2"
        return
    fi
    [ $# -eq 1 ] || die "usage: build.sh REFERENCE | build.sh --rootfs DIR"
    unpack "$scratch/root"
    settle "$scratch/root"
    pack "$scratch/root"
    import "$1"
}

main "$@"
