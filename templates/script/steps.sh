# Steps are announced by lines that only the holder of the nonce can write; by hand there is none, and they are plain.
sv_step='' sv_started=0 sv_child=''
{ IFS= read -r -u 3 sv_nonce; } 2>/dev/null || sv_nonce=''
exec 3<&-

now() {
  local time=${EPOCHREALTIME:-$(date +%s.%6N)}
  echo "$((10#${time//[!0-9]/} / 1000))"
}

say() {
  if [[ -n $sv_nonce ]]; then printf '\036%s %s\036\n' "$sv_nonce" "$*"; else printf '==> %s\n' "$*"; fi
}

begin() {
  sv_step=$1 sv_started=$(now)
  say start "$sv_step"
}

end() {
  local code=${1:-0} name=$sv_step
  sv_step=''
  say end "$name" "$code" "$(($(now) - sv_started))"
}

# Runs a command in a process group of its own, so that a signal reaches all of it, and at once.
run() {
  sv_child=new # started, but not known by its number yet
  set -m
  "$@" </dev/null &
  sv_child=$!
  set +m
  local code=0
  wait "$sv_child" 2>/dev/null || code=$?
  sv_child=''
  return "$code"
}

# Whether anything of a process group still runs. What is dead and was not waited for yet does not.
lives() {
  kill -s 0 -- "-$1" 2>/dev/null || return 1
  local stat fields
  for stat in /proc/[0-9]*/stat; do
    { read -r fields <"$stat"; } 2>/dev/null || continue
    fields=${fields##*) } # behind the name: the state, the parent, the group
    [[ $fields == [!ZX]' '*' '"$1 "* ]] || continue
    fields=${fields#* * }
    [[ ${fields%% *} != "$1" ]] || return 0
  done
  return 1
}

# A shell that dies of a signal may print what it was executing; this one passes the signal on and exits by itself.
stop() {
  [[ $sv_child != new ]] || sv_child=${!:-}
  if [[ -n $sv_child ]]; then
    trap 'kill -s KILL -- "-$sv_child" 2>/dev/null' HUP INT TERM
    kill -s "$1" -- "-$sv_child" 2>/dev/null || true
    wait "$sv_child" 2>/dev/null || true
    # Ploomber ends at once; its tasks may have to clean up, and get the time that whoever asked leaves them.
    local pauses=0
    while lives "$sv_child" && { sleep 0.1; } 2>/dev/null; do
      pauses=$((pauses + 1))
      # What a shell started behind itself does not hear SIGINT, and may be waited for by nobody.
      if [[ $1 != TERM && $pauses -eq 20 ]]; then kill -s TERM -- "-$sv_child" 2>/dev/null || true; fi
      if [[ $pauses -ge 100 ]]; then break; fi
    done
    kill -s KILL -- "-$sv_child" 2>/dev/null || true # a second signal that cut the pause short
  fi
  exit "$2"
}

leave() {
  local code=$?
  trap '' HUP INT TERM
  if [[ -n $sv_step ]]; then end "$code"; fi
  exit "$code"
}

trap leave EXIT
trap 'stop HUP 129' HUP
trap 'stop INT 130' INT
trap 'stop QUIT 131' QUIT
trap 'stop TERM 143' TERM
