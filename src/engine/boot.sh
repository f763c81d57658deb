# shellcheck shell=bash
# Handed to `bash -p -c`: takes secrets, nonce and script from the attached stdin, runs the script, ends as it ends.
#
# Frame: COUNT\n, COUNT times (LENGTH\n NAME LENGTH\n VALUE), LENGTH\n WORD, LENGTH\n NONCE, LENGTH\n SCRIPT. Lengths are
# bytes. With the word we say on stderr what the engine may not tell; the script and its children do not know it.
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

# Whether the kernel has killed one of this container's processes for memory; control groups of version 2, then 1.
__sv_killed_for_memory() {
    for __sv_counts in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
        [ -r "$__sv_counts" ] || continue
        while read -r __sv_key __sv_count; do
            if [ "$__sv_key" = oom_kill ] && [ "$__sv_count" != 0 ]; then return 0; fi
        done <"$__sv_counts"
    done
    return 1
}

# Whether a process or thread of this container was refused because there were as many as there may be.
__sv_refused_processes() {
    for __sv_counts in /sys/fs/cgroup/pids.events /sys/fs/cgroup/pids/pids.events; do
        [ -r "$__sv_counts" ] || continue
        while read -r __sv_key __sv_count; do
            if [ "$__sv_key" = max ] && [ "$__sv_count" != 0 ]; then return 0; fi
        done <"$__sv_counts"
    done
    return 1
}

__sv_tell() {
    [ -z "$__sv_word" ] || printf '\036%s %s\036\n' "$__sv_word" "$1"
}

# Whether a pipe that we are shown is the one that our reader holds: it left our word in it.
__sv_greeted() {
    [ -p "$1" ] || return
    __sv_taken=
    { IFS= read -r -t 1 __sv_taken <>"$1"; } 2>/dev/null
    [ "$__sv_taken" = "$__sv_word" ]
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
__sv_take && __sv_word=$__sv_taken
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
# removed, so that it belongs to init and a bare `wait` in the script does not see it. While it waits it looks whether a
# process was killed for memory: the others may live on, and not every engine tells.
exec 9<&0 </dev/null 7>&2
(
    (
        trap '' TERM INT HUP
        __sv_told=
        while :; do
            IFS= read -r -N 1 -t 2 -u 9
            [ $? -gt 128 ] || break
            if [ -z "$__sv_told" ] && __sv_killed_for_memory; then
                __sv_told=yes
                __sv_tell oom >&7
            fi
        done
        kill -TERM 1
        sleep 3
        kill -KILL -1
    ) >/dev/null 2>&1 &
)

if [ -n "$__sv_had_locale" ]; then LC_ALL=$__sv_locale; else unset LC_ALL; fi
# Whoever asks us to end before the script has begun means the script.
__sv_asked=
trap '__sv_asked=yes' TERM INT HUP
__sv_init=${TINI_KILL_PROCESS_GROUP-}
unset TINI_KILL_PROCESS_GROUP
for __sv_i in "${!__sv_names[@]}"; do
    export "${__sv_names[__sv_i]}=${__sv_values[__sv_i]}" || __sv_die "the secret ${__sv_names[__sv_i]} cannot be set"
done

# Bash would write that the script was killed into the script's own output.
exec 8>&2 2>/dev/null
# The script's output goes past the engine where it can. Opened for writing only, as it is said of a standard output; our
# reader holds the other end, so that this waits for nobody.
if [ -n "$__sv_word" ] && __sv_greeted /soopervisor/pipes/out && __sv_greeted /soopervisor/pipes/err; then
    exec 1>/soopervisor/pipes/out 8>/soopervisor/pipes/err
    __sv_tell piped >&7
fi
# A signal is the script's to answer, and its children's: a shell runs its traps only once its child has ended. Ours is
# to wait for the answer.
[ -z "$__sv_asked" ] || exit 143
if [ -n "$__sv_init" ]; then
    # This init signals the whole process group.
    "$BASH" "$__sv_file" 3<<<"$__sv_nonce" 9<&- 7>&- 2>&8 8>&-
    __sv_code=$?
else
    # This one signals nobody but us: we hand it on, to a group that is the script's own.
    set -m
    "$BASH" "$__sv_file" 3<<<"$__sv_nonce" 9<&- 7>&- 2>&8 8>&- &
    __sv_child=$!
    trap '__sv_again=yes; kill -TERM -- "-$__sv_child"' TERM INT HUP
    while :; do
        __sv_again=
        wait "$__sv_child"
        __sv_code=$?
        [ -n "$__sv_again" ] || break
    done
    set +m
fi
if [ "$__sv_code" -eq 0 ]; then
    ! __sv_killed_for_memory || __sv_tell oom >&7
    # The engine tells an exit late: it takes the network down first. That the script has ended is told at once, but only
    # when nothing of it is left that could still write; this shell, init and zombies cannot.
    trap '' TERM INT HUP
    kill -KILL -1 2>/dev/null
    __sv_looks=20
    while :; do
        __sv_alone=yes
        for __sv_file in /proc/[0-9]*/stat; do
            { read -r __sv_taken <"$__sv_file"; } 2>/dev/null || continue
            case ${__sv_taken##*) } in
                [ZX]*) continue ;;
            esac
            __sv_count=${__sv_taken%% *}
            [ "$__sv_count" = 1 ] || [ "$__sv_count" = $$ ] || __sv_alone=
        done
        [ -z "$__sv_alone" ] || break
        __sv_looks=$((__sv_looks - 1))
        [ "$__sv_looks" -gt 0 ] || break
        # A pause that starts no process: nothing more comes from there.
        IFS= read -r -N 1 -t 0.002 -u 9
    done
    [ -z "$__sv_alone" ] || __sv_tell 'done' >&7
    exit 0
fi

! __sv_refused_processes || __sv_tell pids >&7
# The engine learns of a memory kill from the container's control group, and forgets one that it reads after the group
# is gone. So the group stays a moment longer.
if __sv_killed_for_memory; then
    __sv_tell oom >&7
    sleep 1
fi
exit "$__sv_code"
