# shellcheck shell=bash
# Handed to `bash -p -c`: takes secrets, nonce and script from the attached stdin, runs the script, ends as it ends.
#
# Frame: COUNT\n, COUNT times (LENGTH\n NAME LENGTH\n VALUE), LENGTH\n NONCE, LENGTH\n SCRIPT. Lengths are bytes.
# A frame that ends early must never run in part, and a child of the script must never see this stdin.

__sv_die() {
    printf 'soopervisor: %s\n' "$1" >&2
    exit 97
}

__sv_number() {
    IFS= read -r __sv_taken || __sv_die 'the script did not arrive: the input ended early'
    case $__sv_taken in
        '' | *[!0-9]*) __sv_die 'the script did not arrive: a length is not a number' ;;
    esac
}

__sv_take() {
    __sv_number
    set -- "$__sv_taken"
    __sv_taken=
    [ "$1" -eq 0 ] && return
    IFS= read -r -N "$1" __sv_taken
    [ "${#__sv_taken}" -eq "$1" ] || __sv_die "the script did not arrive whole: ${#__sv_taken} of $1 bytes"
}

# Lengths count bytes, so the locale must not join them to characters.
__sv_had_locale=${LC_ALL+yes} __sv_locale=${LC_ALL-}
LC_ALL=C

__sv_names=() __sv_values=()
__sv_number
__sv_count=$__sv_taken
while [ "$__sv_count" -gt 0 ]; do
    __sv_take && __sv_names+=("$__sv_taken")
    __sv_take && __sv_values+=("$__sv_taken")
    __sv_count=$((__sv_count - 1))
done
__sv_take && __sv_nonce=$__sv_taken
__sv_take && __sv_script=$__sv_taken
__sv_taken=

# Memory first: the disk of the container outlives a power cut, /dev/shm does not.
__sv_umask=$(umask)
umask 077
__sv_file=
for __sv_folder in /dev/shm /tmp "$PWD"; do
    if { printf '%s' "$__sv_script" >"$__sv_folder/soopervisor.sh"; } 2>/dev/null; then
        __sv_file=$__sv_folder/soopervisor.sh
        break
    fi
    # What fitted in part would only take up memory.
    { : >"$__sv_folder/soopervisor.sh"; } 2>/dev/null
done
umask "$__sv_umask"
[ -n "$__sv_file" ] || __sv_die 'the script could not be written: /dev/shm, /tmp and the working folder refuse it'
__sv_script=

# The lifeline: the daemon closes our stdin when the process that attached it dies by whatever means. Started twice
# removed, so that it belongs to init and a bare `wait` in the script does not see it.
exec 9<&0 </dev/null
(
    (
        trap '' TERM INT HUP
        IFS= read -r -N 1 -u 9
        kill -TERM 1
        sleep 3
        kill -KILL -1
    ) >/dev/null 2>&1 &
)

if [ -n "$__sv_had_locale" ]; then LC_ALL=$__sv_locale; else unset LC_ALL; fi
unset TINI_KILL_PROCESS_GROUP
for __sv_i in "${!__sv_names[@]}"; do
    export "${__sv_names[__sv_i]}=${__sv_values[__sv_i]}" || __sv_die "the secret ${__sv_names[__sv_i]} cannot be set"
done

# A signal is the script's to answer; it reaches the whole process group. Ours is to wait for the answer.
trap : TERM INT HUP
# Bash would write that the script was killed into the script's own output.
exec 8>&2 2>/dev/null
"$BASH" "$__sv_file" 3<<<"$__sv_nonce" 9<&- 2>&8 8>&-
__sv_code=$?
[ "$__sv_code" -ne 0 ] || exit 0

# The engine learns of a memory kill from the container's control group, and forgets one that it reads after the group
# is gone. So the group stays a moment longer.
for __sv_counts in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
    [ -r "$__sv_counts" ] || continue
    while read -r __sv_key __sv_count; do
        if [ "$__sv_key" = oom_kill ] && [ "$__sv_count" != 0 ]; then sleep 1; fi
    done <"$__sv_counts"
done
exit "$__sv_code"
