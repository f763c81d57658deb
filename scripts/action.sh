#!/usr/bin/env bash
# scripts/action.sh VERSION DIR: writes the action as a repository of its own, which the Marketplace wants without workflows:
# action.yml with that release as the version, the installer with its checksums, the licence and a README. Refuses a release
# that install/checksums.txt does not have for both architectures, and a folder that holds something.
set -euo pipefail

fail() {
    printf 'action.sh: %s\n' "$*" >&2
    exit 1
}

[ $# = 2 ] || fail 'usage: scripts/action.sh VERSION DIR, as in: scripts/action.sh v1.2.0 ../soopervisor-action'
version=$1
to=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case $version in
    '' | source | *[!A-Za-z0-9._-]*) fail "$version is no version" ;;
esac

for arch in x86_64 aarch64; do
    name=soopervisor-$version-$arch-unknown-linux-musl
    grep -Eq "^[0-9a-f]{64}  $name\$" "$here/install/checksums.txt" ||
        fail "install/checksums.txt has no line for $name: sha256sum it and add the line, then try again"
done
grep -q '^    default: source$' "$here/action.yml" || fail "action.yml has no version to set: its default is to be 'source'"
if [ -e "$to" ] && [ -n "$(ls -A "$to" 2>/dev/null || echo file)" ]; then
    # A clone of the action's repository is written anew; anything else is somebody's.
    { [ -e "$to/.git" ] && [ -f "$to/action.yml" ]; } || fail "$to holds something that is no copy of the action: name another folder"
fi

mkdir -p "$to/install"
sed "s/^    default: source\$/    default: $version/" "$here/action.yml" >"$to/action.yml"
cp "$here/install/install.sh" "$here/install/checksums.txt" "$to/install/"
cp "$here/LICENSE" "$to/LICENSE"
cat >"$to/README.md" <<README
# soopervisor-action

Runs a Ploomber pipeline for one commit in a hardened container, publishes what it produced to your own storage, and shows
the results in the pull request. This is release $version of soopervisor, packed as an action.

\`\`\`yaml
- uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0
  with: { persist-credentials: false }
- uses: OWNER/soopervisor-action@COMMIT # of this repository: it pins the program, too
  with: { storage: box }
  env:
    SOOPERVISOR_BOX_JWT_CONFIG: \${{ secrets.SOOPERVISOR_BOX_JWT_CONFIG }}
\`\`\`

\`soopervisor init . --github\` writes whole workflows: for pushes, for \`/soopervisor run\` in a pull request, and for pull
requests of forks. Inputs and outputs are described in \`action.yml\`, everything else in soopervisor's own README.

The program is fetched from the releases of this repository and is run only if it is what \`install/checksums.txt\` says.
Where that network is closed, \`SOOPERVISOR_RELEASES\` names another address, or \`binary-path\` a program on the runner.

This folder is written by \`scripts/action.sh\` of soopervisor's repository: change it there.
README
printf 'wrote %s: the action with %s\n' "$to" "$version"
