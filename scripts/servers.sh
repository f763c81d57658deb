# shellcheck shell=bash
# The servers that tests/stores, tests/conformance and tests/ledger talk to: rclone, OpenSSH and Postgres from the
# distribution, S3 and Google Cloud Storage as Python packages, Azure Blob Storage and an S3 that keeps large files on the
# disk as node packages, all pinned. To be sourced after say.sh and packages.sh.

python_servers=('moto[server]==5.2.5' 'gcp-storage-emulator==2026.7.19')
node_servers=('azurite@3.35.0' 's3rver@3.7.1')

# need_servers: sets and exports SOOPERVISOR_TEST_SERVERS.
need_servers() {
    local missing=() wanted
    has rclone || missing+=(rclone)
    [ -x /usr/sbin/sshd ] || missing+=(openssh-server)
    has ssh || missing+=(openssh-client)
    has python3 || missing+=(python3)
    # tests/ledger starts one of its own, by a user who is not root; the distribution's service is of no use to it.
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
    has setpriv || missing+=(util-linux)
    if has python3 && ! python3 -c 'import ensurepip' 2>/dev/null; then missing+=(python3-venv); fi
    if ! has node || ! has npm; then missing+=(nodejs npm); fi
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
    # sshd, started by root, asks for it; nothing is ever in it.
    if [ "$(id -u)" -eq 0 ]; then mkdir -p /run/sshd; fi
    SOOPERVISOR_TEST_SERVERS=${SOOPERVISOR_TEST_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/soopervisor/servers}
    export SOOPERVISOR_TEST_SERVERS
    wanted="${python_servers[*]} ${node_servers[*]}"
    if [ "$(cat "$SOOPERVISOR_TEST_SERVERS/installed" 2>/dev/null)" = "$wanted" ]; then
        say "servers for tests: $SOOPERVISOR_TEST_SERVERS is there"
        return
    fi
    may_install "python3 -m venv $SOOPERVISOR_TEST_SERVERS/venv && $SOOPERVISOR_TEST_SERVERS/venv/bin/pip install ${python_servers[*]@Q} && npm install --prefix $SOOPERVISOR_TEST_SERVERS ${node_servers[*]@Q} && echo '$wanted' >$SOOPERVISOR_TEST_SERVERS/installed"
    say "servers for tests: installing ${python_servers[*]} ${node_servers[*]} below $SOOPERVISOR_TEST_SERVERS"
    mkdir -p "$SOOPERVISOR_TEST_SERVERS"
    [ -x "$SOOPERVISOR_TEST_SERVERS/venv/bin/pip" ] ||
        quietly 'python3 -m venv failed' python3 -m venv "$SOOPERVISOR_TEST_SERVERS/venv"
    quietly 'pip install failed' "$SOOPERVISOR_TEST_SERVERS/venv/bin/pip" install --quiet "${python_servers[@]}"
    quietly 'npm install failed' npm install --no-audit --no-fund --prefix "$SOOPERVISOR_TEST_SERVERS" "${node_servers[@]}"
    printf '%s\n' "$wanted" >"$SOOPERVISOR_TEST_SERVERS/installed"
}
