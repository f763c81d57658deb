# shellcheck shell=bash
# How every script here talks: a line for each thing it does, and one closing line `NAME: ok …` or `NAME: failed: …`.
# To be sourced.

set -Eeuo pipefail
exec </dev/null 3>&1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# begin NAME: names the closing line.
begin() {
    verb=$1 reason='' result=''
    trap 'reason=${reason:-"\`${BASH_COMMAND%%$'\''\n'\''*}\` gave $?"}' ERR
    trap 'reason=interrupted; exit 130' INT
    trap 'reason=terminated; exit 143' TERM
    trap closing EXIT
}

closing() {
    local code=$?
    trap - ERR EXIT
    [ -z "${scratch:-}" ] || rm -rf "$scratch"
    # Where the script's own output goes, also when it ends where a command's is kept back.
    if [ "$code" -eq 0 ]; then
        printf '%s: ok%s (%d s)\n' "$verb" "${result:+: $result}" "$SECONDS" >&3
    else
        printf '%s: failed: %s\n' "$verb" "${reason:-exit code $code}" >&3
    fi
    exit "$code"
}

# say TEXT: one thing that is done or found.
say() { printf '%s: %s\n' "$verb" "$*"; }

# fail TEXT: ends with that as the reason.
fail() {
    reason=$*
    exit 1
}

# quietly WHAT COMMAND…: shows the command's output only if it fails.
quietly() {
    local what=$1 log
    shift
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        rm -f "$log"
        return
    fi
    tail -n 40 "$log" >&2
    rm -f "$log"
    fail "$what"
}

has() { command -v "$1" >/dev/null 2>&1; }
