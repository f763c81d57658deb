#!/usr/bin/env bash
# Formatting, clippy, shellcheck, the Dockerfiles, the image's tag, and cargo-deny where it is installed.
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

begin lint
need_rust
need_tools
need_component fmt rustfmt
need_component clippy clippy
say 'cargo fmt --check'
cargo fmt --check || fail 'cargo fmt would change files: cargo fmt'
say 'cargo clippy'
cargo clippy --locked --quiet --all-targets -- -D warnings || fail 'cargo clippy'
# What only stands together with a feature, or only without, shows at the two ends; `make features` has those between.
say 'rustc --no-default-features'
cargo rustc --locked --quiet --lib --profile check --no-default-features -- -D warnings || fail 'cargo rustc --no-default-features'
say 'shellcheck'
has shellcheck || install_packages shellcheck
shellcheck -x -P scripts scripts/*.sh install/*.sh images/runner/*.sh src/engine/*.sh tests/scripts/*.sh .ci/run || fail shellcheck
say hadolint
need_dockerfile_judge
# Not heeded: that packages have no versions (the distribution's newest are wanted), and that `sh` does not see the first
# program of a pipe fail (it is a grep in a file that is copied the line before).
"$SOOPERVISOR_DOCKERFILE_JUDGE/venv/bin/hadolint" --no-color --ignore DL3008 --ignore DL4006 images/*/Dockerfile || fail hadolint
[ "$(cat images/runner/TAG)" = "$(images/runner/tag.sh)" ] || fail 'images/runner/TAG is stale: images/runner/tag.sh >images/runner/TAG'
if ! has cargo-deny; then
    say 'cargo deny check: SKIPPED, cargo-deny is not installed (cargo install --locked cargo-deny); CI runs it'
    result='formatting, clippy, shellcheck, hadolint; licences and advisories NOT checked, cargo-deny is not installed'
elif cargo deny fetch db >/dev/null 2>&1; then
    say 'cargo deny check'
    cargo deny check || fail 'cargo deny check'
    result='formatting, clippy, shellcheck, hadolint, licences and advisories'
else
    say 'cargo deny check: without advisories, whose database cannot be fetched here; CI checks them'
    cargo deny check bans licenses sources || fail 'cargo deny check'
    result='formatting, clippy, shellcheck, hadolint, licences; advisories NOT checked, their database cannot be fetched'
fi
