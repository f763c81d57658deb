# shellcheck shell=bash
# Finds a container engine that answers, or installs and starts Docker Engine from the distribution's packages.
# An engine that the user chose (DOCKER_HOST, a context) is used as it is or not at all. To be sourced after packages.sh.

# ask ADDRESS PATH [OPTION…]: what an engine answers there, by curl alone; an address that curl cannot reach fails.
ask() {
    local address=$1 path=$2 scheme=http folder options=()
    shift 2
    case $address in
    unix://*)
        [ -S "${address#unix://}" ] || return 1
        options=(--unix-socket "${address#unix://}")
        address=localhost
        ;;
    tcp://*)
        address=${address#tcp://} address=${address%/}
        if [ -n "${DOCKER_TLS_VERIFY:-}" ]; then
            folder=${DOCKER_CERT_PATH:-${DOCKER_CONFIG:-$HOME/.docker}}
            scheme=https
            options=(--cacert "$folder/ca.pem" --cert "$folder/cert.pem" --key "$folder/key.pem")
        fi
        ;;
    *) return 1 ;;
    esac
    curl -sS -m 10 "${options[@]}" "$@" "$scheme://$address/$path" 2>/dev/null
}

# answers ADDRESS: whether an engine can be talked to there. Sockets and TCP need no docker program.
answers() {
    case $1 in
    unix://*) [ "$(ask "$1" _ping -f)" = OK ] ;;
    tcp://*) if has docker; then chosen_answers; else [ "$(ask "$1" _ping -f)" = OK ]; fi ;;
    *) has docker && chosen_answers ;;
    esac
}

# chosen_answers: docker is not told the address: then it would not take the certificates of a context.
chosen_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# chosen: the address that the user has set, if any.
chosen() {
    if [ -n "${DOCKER_HOST:-}" ]; then
        printf '%s' "$DOCKER_HOST"
    elif has docker; then
        local context
        context=$(docker context show 2>/dev/null || true)
        case $context in '' | default) ;; *) docker context inspect --format '{{.Endpoints.docker.Host}}' "$context" 2>/dev/null || true ;; esac
    else
        # Where its engine is only the program reads.
        local name=${DOCKER_CONTEXT:-} file=${DOCKER_CONFIG:-$HOME/.docker}/config.json
        [ -n "$name" ] || name=$(sed -n 's/.*"currentContext": *"\([^"]*\)".*/\1/p' "$file" 2>/dev/null | head -n 1 || true)
        case $name in '' | default) ;; *) printf 'context:%s' "$name" ;; esac
    fi
}

# sockets: where engines listen when nobody says where.
sockets() {
    printf '%s\n' /var/run/docker.sock
    [ -z "${XDG_RUNTIME_DIR:-}" ] || printf '%s\n' "$XDG_RUNTIME_DIR/docker.sock" "$XDG_RUNTIME_DIR/podman/podman.sock"
    printf '%s\n' /run/podman/podman.sock "$HOME/.docker/run/docker.sock"
}

# need_engine: sets DOCKER_HOST where the engine is not at the usual address.
need_engine() {
    local address socket
    address=$(chosen)
    if [ -n "$address" ]; then
        case $address in
        unix://* | tcp://*) ;;
        context:*) fail "the docker context ${address#context:} is read by the docker program, which is missing: install it (docker.io of Debian and Ubuntu), or unset DOCKER_CONTEXT and currentContext" ;;
        *) has docker || fail "an engine at $address is asked by the docker program, which is missing: install it (docker.io of Debian and Ubuntu), or name a socket or tcp://" ;;
        esac
        answers "$address" || fail "no container engine answers at $address, which DOCKER_HOST or the docker context names; start it, or unset that"
        say "container engine: $address"
        return
    fi
    while read -r socket; do
        answers "unix://$socket" || continue
        [ "$socket" = /var/run/docker.sock ] || export DOCKER_HOST=unix://$socket
        say "container engine: $socket"
        return
    done < <(sockets)
    if [ -S /var/run/docker.sock ] && [ ! -w /var/run/docker.sock ]; then
        join_group
    fi
    start_engine
}

# join_group: an engine runs, but this user may not talk to it.
join_group() {
    local user
    user=$(id -un)
    [ -z "${SOOPERVISOR_JOINED:-}" ] || fail "/var/run/docker.sock is still closed to $user; log out and in again"
    # The user's groups on record, not those of this login: it may be older than the membership.
    if ! id -nG "$user" | grep -qw docker; then
        may_install "sudo usermod -aG docker $user, then log in again"
        say "members of group docker may use the engine (that is as good as root): $user joins it"
        as_root usermod -aG docker "$user"
    fi
    trap - ERR EXIT
    SOOPERVISOR_JOINED=1 exec sg docker -c "$(printf '%q ' "$PWD/scripts/$(basename "$0")")"
}

start_engine() {
    if ! has dockerd && ! [ -x /usr/sbin/dockerd ]; then
        say 'no container engine answers and none is installed'
        install_packages docker.io
        # The package starts it where systemd runs.
        if wait_for_engine 5; then
            say 'container engine: started by its package'
            return
        fi
    fi
    if [ -d /run/systemd/system ]; then
        may_install 'sudo systemctl start docker'
        as_root systemctl start docker || fail 'systemctl start docker; see: journalctl -u docker'
    else
        start_by_hand
    fi
    if ! wait_for_engine 60; then
        [ ! -S /var/run/docker.sock ] || [ -w /var/run/docker.sock ] || join_group
        [ ! -r "${engine_log:-/nonexistent}" ] || tail -n 5 "$engine_log" >&2
        fail "Docker Engine does not answer after 60 s; see ${engine_log:-journalctl -u docker}"
    fi
    say 'container engine: started'
}

# start_by_hand: for containers and machines without systemd; the engine outlives this script and its terminal.
start_by_hand() {
    engine_log=/var/log/soopervisor-dockerd.log
    may_install "sudo sh -c 'setsid dockerd >$engine_log 2>&1 </dev/null &'"
    if [ -z "$(ls -A /sys/fs/cgroup 2>/dev/null)" ]; then
        has cgroupfs-mount || install_packages cgroupfs-mount
        as_root cgroupfs-mount
    fi
    # No descriptor of the caller stays open in it, or whoever reads this script's output waits for the engine's end.
    # shellcheck disable=SC2016 # expanded by the inner shell
    as_root sh -c 'PATH=$PATH:/usr/sbin:/sbin; exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
        setsid dockerd >"$1" 2>&1 </dev/null &' sh "$engine_log"
}

# wait_for_engine SECONDS
wait_for_engine() {
    local end=$((SECONDS + $1))
    until answers unix:///var/run/docker.sock; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.5
    done
}
