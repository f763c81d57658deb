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
build debug
need_channel
say 'running the tests'
scratch=$(mktemp)
code=0
cargo test --locked --quiet --no-fail-fast 2>&1 | tee "$scratch" || code=$?
# `test result: ok. 3 passed; 0 failed; 0 ignored; …`, once for each test program that came to an end.
counts=$(awk '
    /^test result: / {
        for (i = 2; i <= NF; i++) if ($i ~ /^(passed|failed|ignored);/) sum[substr($i, 1, length($i) - 1)] += $(i - 1)
    }
    END { printf "%d passed, %d failed", sum["passed"], sum["failed"]; if (sum["ignored"]) printf ", %d ignored", sum["ignored"] }
' "$scratch")
[ "$code" -eq 0 ] || fail "$counts; cargo test says above which, exit code $code"
case $counts in '0 passed'*) fail 'no test ran' ;; esac
result=$counts
