#!/usr/bin/env bash
# A local conda channel, used where conda-forge does not answer.
# shellcheck source=say.sh
. "$(dirname "${BASH_SOURCE[0]}")/say.sh"
# shellcheck source=packages.sh
. scripts/packages.sh
# shellcheck source=engine.sh
. scripts/engine.sh
# shellcheck source=parts.sh
. scripts/parts.sh

begin channel
need_rust
need_tools
build debug
build_channel
if conda_answers; then
    say "conda-forge answers, so environments keep using it; to use the local one: soopervisor channel use $(channel_folder)"
else
    use_channel
fi
result=$(channel_folder)
