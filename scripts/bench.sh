#!/usr/bin/env bash
# The benchmarks of benches/, in a release build.
# shellcheck source=say.sh
. "$(dirname "${BASH_SOURCE[0]}")/say.sh"
# shellcheck source=packages.sh
. scripts/packages.sh
# shellcheck source=engine.sh
. scripts/engine.sh
# shellcheck source=parts.sh
. scripts/parts.sh

begin bench
need_rust
need_tools
need_engine
need_image
grep -q '^\[\[bench\]\]' Cargo.toml || fail 'Cargo.toml declares no benchmark'
say 'cargo bench'
cargo bench --locked || fail 'cargo bench'
result='see benches/README.md for what the numbers mean'
