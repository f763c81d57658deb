#!/usr/bin/env bash
# The image that pipelines run in.
# shellcheck source=say.sh
. "$(dirname "${BASH_SOURCE[0]}")/say.sh"
# shellcheck source=packages.sh
. scripts/packages.sh
# shellcheck source=engine.sh
. scripts/engine.sh
# shellcheck source=parts.sh
. scripts/parts.sh

begin image
need_tools
need_engine
need_image
result=soopervisor-runner:$(cat images/runner/TAG)
