sv_constraints=()
[[ ! -r {{ constraints }} ]] || sv_constraints=(--constraint {{ constraints }})
pip_install() {
  run "${sv_patience[@]}" python -m pip install --user --no-cache-dir --disable-pip-version-check \
    --no-warn-script-location "${sv_constraints[@]}" "$@"
}
# Versions for everything that is needed, the environment's own where that is possible.
work_out_versions() {
  local pins=$HOME/.soopervisor/versions
  mkdir -p "$HOME/.soopervisor"
  [[ ! -r {{ constraints }} ]] || cat {{ constraints }} >"$pins.all"
  printf '%s\n' "$*" >"$pins.in"
  run {{ uv }} pip compile --quiet --no-config --python python --no-header --no-annotate -o "$pins.all" "$pins.in" || return
  grep -E '^[A-Za-z0-9._-]+==' "$pins.all" >"$pins" || true
  sv_constraints=(--constraint "$pins")
}
install() {
  # pip adds only what the environment lacks; uv would install everything a second time beside it.
  if ! python -c 'import pip' 2>/dev/null; then
    run {{ uv }} pip install --python python --prefix "$PYTHONUSERBASE" "${sv_constraints[@]}" "$@"
    return
  fi
  # Where the newest versions do not go with the environment's, pip tries hundreds one by one; uv works it out.
  local code=0 sv_patience=(timeout 120)
  pip_install "$@" || code=$?
  [[ $code -eq 124 ]] || return "$code"
  echo 'soopervisor: after two minutes pip still looks for versions that go together; uv works out which ones do'
  sv_patience=()
  work_out_versions "$@" && pip_install "$@"
}
# A wheel that was built from these very files, where there is one; else the files.
project() {
  local wheels=({{ wheels }}/"$1"/*.whl)
  if [[ -r ${wheels[0]} ]]; then install "${wheels[0]}"; else install "$2"; fi
}
