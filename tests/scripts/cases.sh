#!/usr/bin/env bash
# What scripts/*.sh, the Makefile and .ci/run promise, on a machine that consists of stand-ins: a PATH with what a shell needs
# and programs that only note that they were called. No root rights, no network, no engine, nothing outside of one folder.
#   cases.sh NAME   one case; without a name, all, a line each
# The journal has a line for each call of a stand-in. tests/scripts/main.rs makes each a test.
# shellcheck disable=SC2016 # what a stand-in does is expanded by the stand-in
set -Eeuo pipefail
exec </dev/null
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
trap 'printf "line %s: \`%s\` gave %s\n" "$LINENO" "$BASH_COMMAND" "$?" >&2' ERR

# What is really there: the tools of any machine.
tools=(awk basename bash cat chmod cp cut date dirname env find flock grep head ln ls make mkdir mktemp nproc rm sed sh sha256sum
    sleep sort tail tee touch tr wc xargs)
# What the scripts look for, or call, and is a stand-in.
programs=(apt-get cargo catatonit cc curl docker docker-registry fish fuse-overlayfs git id ip mandoc netavark newuidmap node npm
    openssl pgrep pkg-config podman python3 rclone rootlesskit setpriv sg shellcheck slirp4netns ssh sshd sudo systemctl
    systemd-analyze usermod xz zsh)

# Whoever started this may ignore SIGINT, as shells do for what runs in their background, and a bash cannot unlearn it.
unignored=(--default-signal=INT)
env "${unignored[@]}" true 2>/dev/null || unignored=()

# machine: a new one, with a copy of the repository as far as scripts read it, and everything installed.
machine() {
    scene=$(mktemp -d)
    trap 'rm -rf "$scene"' EXIT
    mkdir -p "$scene"/{bin,home,cache,target/{debug,release},repository/src/engine}
    journal=$scene/journal said=$scene/said
    : >"$journal"
    local name
    for name in "${tools[@]}"; do ln -s "$(command -v "$name")" "$scene/bin/$name"; done
    # `answer` notes the call, and obeys `answers/NAME`, if that is there.
    mkdir "$scene/answers"
    {
        printf '#!%s\nscene=%q\n' "$(command -v bash)" "$scene"
        printf '%s\n' 'name=${0##*/}' 'printf "%s %s\n" "$name" "$*" >>"$scene/journal"' \
            'if [ -e "$scene/answers/$name" ]; then . "$scene/answers/$name"; fi'
    } >"$scene/bin/answer"
    chmod +x "$scene/bin/answer"
    for name in "${programs[@]}"; do ln -s answer "$scene/bin/$name"; done
    ln -s ../../bin/answer "$scene/target/debug/soopervisor"
    ln -s ../../bin/answer "$scene/target/release/soopervisor"
    for name in .ci Cargo.toml Makefile examples images install scripts; do cp -r "$repository/$name" "$scene/repository/$name"; done
    cp "$repository"/src/engine/*.sh "$scene/repository/src/engine/"

    answer id 'case $* in -u) echo 1000 ;; -un) echo ann ;; *) echo ann ;; esac'
    answer cargo 'case $1 in --version) echo "cargo 1.999.0 (abc 2026-01-01)" ;; test) [[ $* == *--no-run* ]] || cat "$scene/tests" 2>/dev/null || true ;; deny) exit 1 ;; esac'
    answer python3 'case $* in "-m venv"*)
        mkdir -p "${!#}/bin"
        for made in pip python hadolint; do ln -sf "$scene/bin/answer" "${!#}/bin/$made"; done ;; esac'
    answer curl 'exit 7'
    answer docker 'case $1 in context) echo default ;; esac'
    answer git 'case $1 in rev-parse) printf "%040d\n" 7 ;; esac'
    answer pgrep 'echo 1'
    # Root rights: the command is done by the stand-ins of this machine. What was said until then is kept beside it.
    answer sudo 'cp "$scene/said" "$scene/said-before.$(wc -l <"$scene/journal")"; while [ "$1" != -- ]; do shift; done; shift; "$@"'
    # One run, made of what was asked for.
    answer soopervisor 'if [ "$2" = --storage ]; then mkdir -p "artifacts/$5/$(printf %040d 7)"; fi'
}

# answer NAME TEXT: what the stand-in does.
answer() { printf '%s\n' "$2" >"$scene/answers/$1"; }

# lacks NAME…: these are not installed.
lacks() {
    local name
    for name in "$@"; do rm "$scene/bin/$name"; done
}

# play [NAME=VALUE…] COMMAND…: on the machine, in its repository; sets `code`. What was said is in $said, errors with it.
play() {
    code=0
    (cd "$scene/repository" && env -i "${unignored[@]}" PATH="$scene/bin" HOME="$scene/home" XDG_CACHE_HOME="$scene/cache" \
        CARGO_TARGET_DIR="$scene/target" "$@") >"$said" 2>"$scene/errors" || code=$?
}

broken() {
    printf 'cases.sh: %s\n--- said, code %s\n%s\n--- errors\n%s\n--- called\n%s\n' "$*" "${code:-}" "$(cat "$said")" \
        "$(cat "$scene/errors")" "$(cat "$journal")" >&2
    exit 1
}

# ended NAME CODE PATTERN: the last line is the one closing line, and is like that, and the exit code is that.
ended() {
    [ "$code" = "$2" ] || broken "exit code $code, not $2"
    [ "$(grep -cE "^$1: (ok|failed)" "$said")" = 1 ] || broken "not exactly one closing line of $1"
    tail -n 1 "$said" | grep -qE "^$1: $3" || broken "the last line is not like: $1: $3"
}

said() { grep -qF -- "$1" "$said" || broken "was not said: $1"; }
called() { grep -qE -- "^$1" "$journal" || broken "was not called: $1"; }
not_called() { ! grep -qE -- "^($1)( |\$)" "$journal" || broken "was called: $1"; }
# untouched: neither the user's folders nor the repository have anything new.
untouched() {
    local found
    found=$(find "$scene/home" "$scene/cache" -mindepth 1)
    [ -z "$found" ] || broken "was written: $found"
    found=$(diff -rq "$repository/scripts" "$scene/repository/scripts" && diff -rq "$repository/images" "$scene/repository/images") ||
        broken "was changed: $found"
}

# Needs Rust: all but the image.
targets=(setup test slow demo lint bench channel)

case_without_rust_nothing_is_done_but_saying_how_to_get_it() {
    local target
    for target in "${targets[@]}"; do
        machine
        lacks cargo cc
        play bash "scripts/$target.sh"
        ended "$target" 1 'failed: Rust is missing; get it from https://rustup.rs: curl .*'
        not_called 'apt-get|sudo|python3|npm|docker'
        untouched
        # make says on top of it that it failed, to the errors.
        play make "$target"
        ended "$target" 2 'failed: Rust is missing; '
        rm -rf "$scene"
    done
    machine
    mkdir -p "$scene/home/.cargo/bin"
    mv "$scene/bin/cargo" "$scene/home/.cargo/bin/cargo"
    answer cargo 'echo "cargo 1.60.0 (abc 2022-04-07)"'
    ln -sf "$scene/bin/answer" "$scene/home/.cargo/bin/cargo"
    play bash scripts/setup.sh
    ended setup 1 'failed: Rust [0-9.]+ or newer is needed, this is 1\.60\.0: rustup update stable$'
}

case_where_nothing_may_be_installed_instructions_are_all_there_is() {
    local target
    for target in "${targets[@]}" image; do
        machine
        lacks cc
        play SOOPERVISOR_NO_INSTALL=1 bash "scripts/$target.sh"
        ended "$target" 1 'failed: SOOPERVISOR_NO_INSTALL is set; do this yourself, then try again: sudo apt-get update && sudo apt-get install --no-install-recommends gcc libc6-dev$'
        not_called 'apt-get|sudo|npm'
        untouched
        rm -rf "$scene"
    done
    # No engine, however far this machine is from one: a package, a service, a group, a daemon.
    machine
    play SOOPERVISOR_NO_INSTALL=1 bash scripts/image.sh
    ended image 1 'failed: SOOPERVISOR_NO_INSTALL is set; do this yourself, then try again: sudo '
    not_called 'apt-get|sudo|systemctl|usermod|sg'
    untouched
    # Root needs no sudo for it.
    answer id 'echo 0'
    lacks cc
    play SOOPERVISOR_NO_INSTALL=1 bash scripts/image.sh
    ended image 1 'failed: .*: apt-get update && apt-get install --no-install-recommends gcc libc6-dev$'
    # Elsewhere than on Debian: names, whether something may be installed or not.
    lacks apt-get
    play bash scripts/image.sh
    ended image 1 'failed: missing: gcc libc6-dev; this is neither Debian nor Ubuntu, install them with your package manager'
}

# Who follows the instructions, one after the other, gets through.
case_who_follows_the_instructions_gets_through() {
    local target round instruction
    for target in setup lint; do
        machine
        for ((round = 0; round < 12; round++)); do
            play SOOPERVISOR_NO_INSTALL=1 DOCKER_HOST=tcp://far:2375 bash "scripts/$target.sh"
            instruction=$(sed -n "s/^$target: failed: SOOPERVISOR_NO_INSTALL is set; do this yourself, then try again: //p" "$said")
            [ -n "$instruction" ] || break
            not_called 'apt-get|sudo'
            play bash -c "$instruction"
            [ "$code" = 0 ] || broken "does not work: $instruction"
        done
        ended "$target" 0 ok
        [ "$round" -ge 1 ] || broken 'nothing had to be installed'
        # What is there is not installed again.
        : >"$journal"
        play DOCKER_HOST=tcp://far:2375 bash "scripts/$target.sh"
        ended "$target" 0 ok
        not_called 'pip|npm|apt-get|sudo'
        rm -rf "$scene"
    done
}

case_root_rights_are_announced_before_they_are_used() {
    local kept words number
    machine
    lacks cc xz
    play DOCKER_HOST=tcp://far:2375 bash scripts/image.sh
    ended image 0 'ok: soopervisor-runner:'
    called 'apt-get -q update$'
    called 'apt-get -q -y install --no-install-recommends gcc libc6-dev xz-utils$'
    kept=$(find "$scene" -name 'said-before.*' | wc -l)
    [ "$kept" = 2 ] || broken "sudo was called $kept times"
    for kept in "$scene"/said-before.*; do
        number=${kept##*.}
        words=$(sed -n "${number}s/^sudo .*-- //p" "$journal")
        [ "$(tail -n 1 "$kept")" = "image: with root rights: $words" ] || broken "was not announced: $words"
    done
    # A failure shows what apt-get said, and is the last word.
    answer apt-get 'echo E: no such archive; exit 100'
    play DOCKER_HOST=tcp://far:2375 bash scripts/image.sh
    ended image 1 'failed: apt-get update failed$'
    grep -q 'E: no such archive' "$scene/errors" || broken 'the reason was kept back'
    lacks sudo
    play DOCKER_HOST=tcp://far:2375 bash scripts/image.sh
    ended image 1 'failed: root rights are needed and sudo is not installed; as root: env DEBIAN_FRONTEND=noninteractive apt-get -q update$'
}

case_an_engine_that_is_there_is_used_as_it_is() {
    machine
    play DOCKER_HOST=tcp://far:2375 bash scripts/image.sh
    ended image 0 'ok: soopervisor-runner:[0-9a-f]{12} \([0-9]+ s\)$'
    said 'image: container engine: tcp://far:2375'
    called 'docker version'
    not_called 'apt-get|sudo|systemctl|usermod|sg'
    ! grep -qE '^docker (build|import|run)' "$journal" || broken 'built what was there'
    # The context's engine is asked through the context, whose certificates docker knows.
    answer docker 'case "$1 $2" in "context show") echo far ;; "context inspect") echo tcp://context:2376 ;; esac'
    : >"$journal"
    play bash scripts/image.sh
    ended image 0 ok
    said 'image: container engine: tcp://context:2376'
    called 'docker version'
    # One that was chosen and does not answer is told, and no other takes its place.
    answer docker 'case $1 in version) exit 1 ;; esac'
    play DOCKER_HOST=tcp://far:2375 bash scripts/image.sh
    ended image 1 'failed: no container engine answers at tcp://far:2375, which DOCKER_HOST or the docker context names; start it, or unset that$'
    not_called 'apt-get|sudo|systemctl|usermod|sg'
}

# serve WHAT: an engine in small, at $scene/engine.sock and on the port that is written to $scene/port; `image` has the image.
serve() {
    "$python" - "$scene" "$1" <<'PYTHON' &
import http.server, os, socketserver, sys, threading
scene, what = sys.argv[1:]
class Engine(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == "/_ping" or (self.path.startswith("/images/soopervisor-runner:") and what == "image")
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(b"OK")
    def address_string(self):
        return "x"
    def log_message(self, *_):
        pass
class Socket(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
tcp = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
threading.Thread(target=Socket(scene + "/engine.sock", Engine).serve_forever, daemon=True).start()
with open(scene + "/port.new", "w") as file:
    file.write(str(tcp.server_port))
os.rename(scene + "/port.new", scene + "/port")
tcp.serve_forever()
PYTHON
    server=$!
    until [ -s "$scene/port" ]; do
        kill -0 "$server" || broken 'the engine in small ended'
        sleep 0.05
    done
    port=$(cat "$scene/port")
}

case_engines_are_found_without_the_docker_program() {
    local address
    python=$(command -v python3)
    machine
    lacks docker
    ln -sf "$(PATH=${PATH#"$scene/bin:"} command -v curl)" "$scene/bin/curl"
    serve image
    trap 'kill "$server"; rm -rf "$scene"' EXIT
    for address in "tcp://127.0.0.1:$port" "tcp://127.0.0.1:$port/" "unix://$scene/engine.sock"; do
        play DOCKER_HOST="$address" bash scripts/image.sh
        ended image 0 'ok: soopervisor-runner:'
        said "image: container engine: $address"
        not_called 'apt-get|sudo'
    done
    kill "$server"
    rm "$scene/engine.sock" "$scene/port"
    serve nothing
    play DOCKER_HOST="tcp://127.0.0.1:$port" bash scripts/image.sh
    ended image 1 "failed: the runner image is not at tcp://127.0.0.1:$port, and the docker program, .* is missing: install it"
    for address in tcp://127.0.0.1:1 "unix://$scene/none.sock"; do
        play DOCKER_HOST="$address" bash scripts/image.sh
        ended image 1 "failed: no container engine answers at $address, "
    done
    # Without its certificates, an engine that wants TLS is none.
    play DOCKER_HOST="tcp://127.0.0.1:$port" DOCKER_TLS_VERIFY=1 bash scripts/image.sh
    ended image 1 "failed: no container engine answers at tcp://127.0.0.1:$port, "
    play DOCKER_HOST=ssh://far bash scripts/image.sh
    ended image 1 'failed: an engine at ssh://far is asked by the docker program, which is missing: install it'
    # An engine that somebody chose is never another one.
    play DOCKER_CONTEXT=far bash scripts/image.sh
    ended image 1 'failed: the docker context far is read by the docker program, which is missing: install it'
    mkdir -p "$scene/home/.docker"
    printf '{\n  "auths": {},\n  "currentContext": "colima"\n}\n' >"$scene/home/.docker/config.json"
    play bash scripts/image.sh
    ended image 1 'failed: the docker context colima is read by the docker program, which is missing: install it'
    not_called 'apt-get|sudo'
}

case_each_target_ends_with_one_closing_line() {
    local target
    machine
    printf 'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\n' >"$scene/tests"
    for target in setup lint channel demo bench slow test; do
        play DOCKER_HOST=tcp://far:2375 make "$target"
        ended "$target" 0 ok
    done
    said 'test: ok: 3 passed, 0 failed, 1 ignored ('
    called 'soopervisor examples/penguins --storage local:./artifacts --project penguins'
    called 'soopervisor verify 0{39}7 --storage local:./artifacts --project sales-sql'
    # What the program says is not hidden by what the scripts make of it.
    answer soopervisor 'case $1 in channel) echo no wheels; exit 3 ;; esac'
    play DOCKER_HOST=tcp://far:2375 bash scripts/channel.sh
    ended channel 1 'failed: soopervisor channel build$'
    said 'no wheels'
    answer soopervisor 'case $1 in examples/*) exit 4 ;; esac'
    play DOCKER_HOST=tcp://far:2375 bash scripts/demo.sh
    ended demo 1 'failed: examples/penguins gave exit code 4$'
    answer cargo 'case $1 in --version) echo "cargo 1.999.0" ;; fmt) [ "$2" = --version ] ;; esac'
    play bash scripts/lint.sh
    ended lint 1 'failed: cargo fmt would change files: cargo fmt$'
    # Something that nobody thought of is named, too.
    answer cargo 'case $1 in --version) echo "cargo 1.999.0" ;; esac'
    answer git 'exit 1'
    rm "$scene/repository/images/runner/TAG"
    play DOCKER_HOST=tcp://far:2375 bash scripts/image.sh
    ended image 1 'failed: .*TAG'
    play make help
    [ "$code" = 0 ] || broken 'make help'
    for target in setup lint channel demo bench slow test image; do said "make $target "; done
}

case_a_signal_has_a_closing_line_too() {
    local signal number word
    machine
    while read -r signal number word; do
        answer cargo "case \$1 in --version) echo 'cargo 1.999.0' ;; build) kill -$signal \$PPID; sleep 0.2 ;; esac"
        play bash scripts/channel.sh
        ended channel "$number" "failed: $word\$"
    done <<<$'TERM 143 terminated\nINT 130 interrupted'
    # While what a command says is kept back.
    lacks cc
    answer sudo 'kill -TERM $PPID; sleep 0.2'
    play bash scripts/image.sh
    ended image 143 'failed: terminated$'
}

case_a_test_that_fails_once_is_tried_again_and_named() {
    machine
    # The first time one of two fails, alone it passes, unless `always` is there.
    answer cargo 'case $* in
        --version) echo "cargo 1.999.0" ;;
        *--no-run) ;;
        "test --locked --test far -- --exact one::fails")
            if [ -e "$scene/always" ]; then echo it fails again; exit 101; fi
            echo "test result: ok. 1 passed; 0 failed; 0 ignored; 8 filtered out" ;;
        test*)
            printf "%s\n" "" "failures:" "" "---- one::fails stdout ----" "failures: none" "" "failures:" "    one::fails" "" \
                "test result: FAILED. 4 passed; 1 failed; 2 ignored; 0 measured" "error: test failed, to rerun pass \`--test far\`"
            exit 101 ;;
    esac'
    play DOCKER_HOST=tcp://far:2375 bash scripts/test.sh
    ended test 0 'ok: 5 passed, 0 failed, 2 ignored; only at the second try: one::fails \([0-9]+ s\)$'
    touch "$scene/always"
    play DOCKER_HOST=tcp://far:2375 bash scripts/test.sh
    ended test 1 'failed: 4 passed, 1 failed, 2 ignored; cargo test says above which, exit code 101$'
    said 'it fails again'
    # A program that ends without a word has failed, however many tests passed; so has a run without tests.
    rm "$scene/answers/cargo"
    answer cargo 'case $1 in --version) echo "cargo 1.999.0" ;; test) [[ $* == *--no-run* ]] && exit; echo "test result: ok. 4 passed; 0 failed; 0 ignored;"; exit 101 ;; esac'
    play DOCKER_HOST=tcp://far:2375 bash scripts/test.sh
    ended test 1 'failed: 4 passed, 0 failed, 0 ignored; cargo test says above which, exit code 101$'
    answer cargo 'case $1 in --version) echo "cargo 1.999.0" ;; esac'
    play DOCKER_HOST=tcp://far:2375 bash scripts/test.sh
    ended test 1 'failed: no test ran$'
}

# ci CODE LINE: .ci/run ends with that line, but for the seconds in it, and that exit code.
ci() {
    play DOCKER_HOST=tcp://far:2375 .ci/run
    [ "$code" = "$1" ] || broken "exit code $code, not $1"
    [ "$(tail -n 1 "$said" | sed 's/ ([0-9]* s)$//')" = "$2" ] || broken "the last line is not: $2"
}

case_ci_ends_with_how_many_tests_passed() {
    machine
    printf 'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\n' >"$scene/tests"
    answer shellcheck 'exit 1'
    ci 1 'ci: failed: lint: failed: shellcheck'
    said 'test: ok: 3 passed'
    rm "$scene/answers/shellcheck"
    ci 0 'ci: 3 passed, 0 failed, 1 ignored'
    answer cargo 'case $1 in --version) echo "cargo 1.999.0" ;; test) [[ $* == *--no-run* ]] || exit 101 ;; esac'
    ci 1 'ci: failed: test: failed: 0 passed, 0 failed, 0 ignored; cargo test says above which, exit code 101'
}

if [ $# -eq 0 ]; then
    for name in $(compgen -A function case_); do
        before=$SECONDS
        "${BASH_SOURCE[0]}" "${name#case_}"
        printf '%s: ok (%d s)\n' "${name#case_}" "$((SECONDS - before))"
    done
else
    "case_$1"
fi
