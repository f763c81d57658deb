# shellcheck shell=bash
# The parts that setup, test and demo are put together from: the program, the runner image, the channel.
# To be sourced after say.sh, packages.sh and engine.sh.

conda_forge=https://conda.anaconda.org/conda-forge
registry=https://registry-1.docker.io/v2/
target=${CARGO_TARGET_DIR:-$root/target}

# build debug|release: sets `program`.
build() {
    local flags=() quiet=(--quiet)
    [ "$1" = debug ] || flags=("--$1")
    program=$target/$1/soopervisor
    say "building the program ($1): $(expected "$1")"
    # On a terminal cargo shows how far it is; elsewhere each of its lines would stay.
    [ ! -t 2 ] || quiet=()
    cargo build --locked "${quiet[@]}" "${flags[@]}" || fail 'cargo build'
}

# expected debug|release: how long that takes, in words.
expected() {
    local cores minutes
    if [ -e "$program" ]; then
        echo 'only what changed since the last time is compiled'
        return
    fi
    cores=$(nproc)
    # A release takes a quarter of an hour of processor time (CONTRIBUTING.md), and its last part one core only.
    minutes=$((15 / cores + 1))
    [ "$minutes" -ge 3 ] || minutes=3
    [ "$1" = release ] || minutes="up to $minutes"
    echo "$minutes minutes or so, the first time, on $cores cores"
}

# registry_answers: with or without a login, it is there.
registry_answers() {
    case $(curl -sS -m 5 -o /dev/null -w '%{http_code}' "$registry" 2>/dev/null || true) in 200 | 401) ;; *) return 1 ;; esac
}

# has_image REFERENCE
has_image() {
    if has docker; then
        docker image inspect "$1" >/dev/null 2>&1
    else
        [ "$(ask "${DOCKER_HOST:-unix:///var/run/docker.sock}" "images/$1/json" -o /dev/null -w '%{http_code}')" = 200 ]
    fi
}

# need_image: the runner image, from a registry where one answers, else from the distribution's packages.
need_image() {
    local reference tag
    tag=$(cat images/runner/TAG)
    [ "$tag" = "$(images/runner/tag.sh)" ] ||
        fail "images/runner/ has changed: images/runner/tag.sh >images/runner/TAG, then build the program again"
    reference=soopervisor-runner:$tag
    if has_image "$reference"; then
        say "runner image: $reference is there"
        return
    fi
    if has docker && registry_answers; then
        say "runner image: building $reference from images/runner/Dockerfile"
        if docker build --quiet --tag "$reference" images/runner >/dev/null; then return; fi
        say 'runner image: that failed'
    fi
    if ! has docker && [[ ${DOCKER_HOST:-unix://} != unix://* ]]; then
        fail "the runner image is not at $DOCKER_HOST, and the docker program, which sends it there, is missing: install it (docker.io of Debian and Ubuntu)"
    fi
    if ! has dpkg-deb || ! has apt-get; then
        fail 'the runner image needs a container registry that answers and the docker program, or Debian or Ubuntu to make it from'
    fi
    say "runner image: building $reference from the distribution's packages (no registry)"
    images/runner/build.sh "$reference" || fail 'images/runner/build.sh'
}

# conda_answers: whether the channel that environments use can be reached.
conda_answers() { curl -fsSI -m 5 "$conda_forge/noarch/repodata.json.zst" >/dev/null 2>&1; }

# channel_folder: below the program's cache.
channel_folder() {
    if [ -n "${SOOPERVISOR_HOME:-}" ]; then
        printf '%s/cache/channel' "$SOOPERVISOR_HOME"
    else
        printf '%s/soopervisor/channel' "${XDG_CACHE_HOME:-$HOME/.cache}"
    fi
}

# build_channel: from CPython and wheels, with what the examples and $SPECS name.
build_channel() {
    local folder arguments=() spec
    folder=$(channel_folder)
    for spec in examples/*/environment.yml ${SPECS:-}; do
        [ ! -e "$spec" ] || arguments+=(--spec "$spec")
    done
    say "local channel: $folder, from CPython, pip and wheels"
    "$program" channel build --to "$folder" "${arguments[@]}" || fail 'soopervisor channel build'
}

# use_channel: takes the place of conda-forge, in the user's configuration.
use_channel() {
    say "local channel: $conda_forge does not answer; environments use $(channel_folder) in its place"
    "$program" channel use "$(channel_folder)" || fail 'soopervisor channel use'
}

# need_channel: only for networks without conda-forge.
need_channel() {
    if conda_answers; then
        say 'conda-forge answers: no local channel is needed'
        return
    fi
    build_channel
    use_channel
}
