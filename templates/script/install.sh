sv_constraints=()
[[ ! -r {{ constraints }} ]] || sv_constraints=(--constraint {{ constraints }})
install() {
  # pip adds only what the environment lacks; uv would install everything a second time beside it.
  if python -c 'import pip' 2>/dev/null; then
    run python -m pip install --user --no-cache-dir --disable-pip-version-check --no-warn-script-location \
      "${sv_constraints[@]}" "$@"
  else
    run {{ uv }} pip install --python python --prefix "$PYTHONUSERBASE" "${sv_constraints[@]}" "$@"
  fi
}
# A wheel that was built from these very files, where there is one; else the files.
project() {
  local wheels=({{ wheels }}/"$1"/*.whl)
  if [[ -r ${wheels[0]} ]]; then install "${wheels[0]}"; else install "$2"; fi
}
