#!/usr/bin/env bash
# The tests that take minutes each, one after the other, after setting up what they need: the full forms of tests that
# `make test` runs in small. Other ignored tests are second processes that their tests start themselves.
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

begin slow
need_rust
need_tools
need_judges
need_servers
need_engine
need_image
build debug
need_channel
say 'kill -9 at nine phases of a publish and each request of a prune, on each drive; files of five gibibytes; fifty races on Google Drive'
# The name that is skipped is the second process of a test.
cargo test --locked --no-fail-fast --test drive_program --test storage -- --ignored --nocapture --test-threads 1 \
    --skip publishes_as_another_process ||
    fail 'cargo test says above which'
result='every slow test passed'
