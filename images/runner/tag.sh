#!/usr/bin/env bash
# Prints the tag of the runner image: the first 12 hex digits of the sha256 over the files of this folder, one after
# the other in the order of their names (bytes, not locale). `TAG` itself is left out: it holds the result.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
find . -maxdepth 1 -type f ! -name TAG -printf '%f\0' | LC_ALL=C sort -z | xargs -0 cat | sha256sum | cut -c 1-12
