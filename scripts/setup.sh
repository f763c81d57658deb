#!/usr/bin/env bash
# Makes the machine ready to build, test and run: tools, engine, runner image, channel.
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

begin setup
need_rust
need_tools
need_judges
need_engine
need_image
build debug
need_channel
result='ready for make test and make demo'
