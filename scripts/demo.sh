#!/usr/bin/env bash
# Runs every repository of examples/ end to end and shows what was published.
# shellcheck source=say.sh
. "$(dirname "${BASH_SOURCE[0]}")/say.sh"
# shellcheck source=packages.sh
. scripts/packages.sh
# shellcheck source=engine.sh
. scripts/engine.sh
# shellcheck source=parts.sh
. scripts/parts.sh

# tree FOLDER: its files with their sizes.
tree() { (cd "$1" && find . -type f -printf '    %P  %s bytes\n' | LC_ALL=C sort); }

begin demo
need_rust
need_tools
need_engine
need_image
build release
need_channel
commit=$(git rev-parse --verify HEAD 2>/dev/null) || fail 'this folder is not a git repository with a commit; clone it with git'
storage=local:./artifacts
examples=(examples/penguins)
# Folders without one hold a server's file and workflows.
for pipeline in examples/*/pipeline.yaml; do
    folder=${pipeline%/pipeline.yaml}
    [ "$folder" = examples/penguins ] || examples+=("$folder")
done
for folder in "${examples[@]}"; do
    name=${folder#examples/}
    # A second demo of the same commit is no failure where a product holds the time of its making, as databases do.
    say "soopervisor $folder --storage $storage --project $name --on-conflict keep"
    "$program" "$folder" --storage "$storage" --project "$name" --on-conflict keep || fail "$folder gave exit code $?"
    say "soopervisor verify ${commit:0:12} --storage $storage --project $name"
    "$program" verify "$commit" --storage "$storage" --project "$name" || fail "what $folder published does not verify"
    say "published: artifacts/$name/$commit/"
    tree "artifacts/$name/$commit"
done
result="${#examples[@]} examples ran and verified, their outputs are in artifacts/; the program is $program"
