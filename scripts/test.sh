#!/usr/bin/env bash
# Every test, after setting up what they need. Nothing is skipped: what is missing fails.
# shellcheck source=say.sh
. "$(dirname "${BASH_SOURCE[0]}")/say.sh"
# shellcheck source=packages.sh
. scripts/packages.sh
# shellcheck source=engine.sh
. scripts/engine.sh
# shellcheck source=parts.sh
. scripts/parts.sh
# shellcheck source=judges.sh
. scripts/judges.sh
# shellcheck source=servers.sh
. scripts/servers.sh

begin test
need_rust
need_tools
# For the second engine of tests/far.
has ip || [ -x /usr/sbin/ip ] || install_packages iproute2
need_judges
need_servers
need_elsewhere
need_engine
need_image
# All at once, not the program first: the library and the library with its tests are the two longest parts, a core each.
program=$target/debug/soopervisor
say "building the program and its tests: $(expected debug)"
cargo test --locked --quiet --no-run || fail 'cargo test --no-run'
need_channel
say 'running the tests'
# Many wait for an engine, a server or the pace of a drive more than they compute.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}
scratch=$(mktemp -d)
code=0
cargo test --locked --quiet --no-fail-fast 2>&1 | tee "$scratch/first" || code=$?

# `test result: ok. 3 passed; 0 failed; 0 ignored; …`, once for each test program that came to an end.
counted() {
    awk '/^test result: / {
        for (i = 2; i <= NF; i++) if ($i ~ /^(passed|failed|ignored);/) sum[substr($i, 1, length($i) - 1)] += $(i - 1)
    }
    END { printf "%d %d %d", sum["passed"], sum["failed"], sum["ignored"] }' "$1"
}
read -r passed failed ignored <<<"$(counted "$scratch/first")"

# Many tests start engines, servers and programs, and kill them, beside each other on a machine that may be busy. A few
# that fail are tried once more, alone; what passes only then is named in the last line, for it has to be mended.
second=''
if [ "$failed" -ge 1 ] && [ "$failed" -le 5 ]; then
    # After each program its failures, a name a line, and the option that chooses the program.
    awk '/^failures:$/ { n = 0 } /^    [^ ]+$/ { names[n++] = $1 }
        /^error: test failed, to rerun pass `/ {
            split($0, parts, "`"); for (i = 0; i < n; i++) print parts[2], names[i]; n = 0
        }' "$scratch/first" | sort -u >"$scratch/failed"
    # A program that died without naming a test is not among them, and is no matter of a second try.
    programs=$(sed 's/ [^ ]*$//' "$scratch/failed" | sort -u | wc -l)
    if [ "$(wc -l <"$scratch/failed")" -eq "$failed" ] &&
        [ "$(grep -c '^error: .*test failed, to rerun' "$scratch/first")" -eq "$programs" ]; then
        say "once more, alone: $failed of $((passed + failed)) tests"
        while read -r program; do
            name=${program##* }
            # shellcheck disable=SC2086 # the option has a blank in it
            if cargo test --locked ${program% *} -- --exact "$name" </dev/null >"$scratch/again" 2>&1 &&
                grep -q '^test result: ok. 1 passed' "$scratch/again"; then
                passed=$((passed + 1)) failed=$((failed - 1)) second="$second $name"
            else
                cat "$scratch/again"
            fi
        done <"$scratch/failed"
        [ "$failed" -ne 0 ] || code=0
    fi
fi
counts="$passed passed, $failed failed, $ignored ignored"
[ -z "$second" ] || counts="$counts; only at the second try:$second"
[ "$code" -eq 0 ] || fail "$counts; cargo test says above which, exit code $code"
[ "$passed" -gt 0 ] || fail 'no test ran'
result=$counts
