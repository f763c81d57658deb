#!/usr/bin/env bash
# The builds with fewer features (CONTRIBUTING.md): each is linted whole, and the smallest program says in words what it
# lacks.
# shellcheck source=say.sh
. "$(dirname "${BASH_SOURCE[0]}")/say.sh"
# shellcheck source=packages.sh
. scripts/packages.sh
# shellcheck source=parts.sh
. scripts/parts.sh

begin features
need_rust
need_tools
need_component clippy clippy
for set in remote-engine,server remote-engine s3,gcs,azblob,webdav,sftp ''; do
    say "cargo clippy --no-default-features --features '$set'"
    cargo clippy --locked --quiet --no-default-features --features "$set" -- -D warnings || fail "cargo clippy with '$set' only"
done
say 'building the smallest program'
cargo build --locked --quiet --no-default-features || fail 'cargo build --no-default-features'

scratch=$(mktemp -d)

# lacks EXIT WORDS ARGUMENTS…: the program ends so, and says so.
lacks() {
    local wanted=$1 words=$2 code=0 said
    shift 2
    said=$(SOOPERVISOR_HOME=$scratch "$target/debug/soopervisor" "$@" 2>&1 </dev/null) || code=$?
    [ "$code" -eq "$wanted" ] || fail "soopervisor $*: ended with $code instead of $wanted: $said"
    [[ $said == *"$words"* ]] || fail "soopervisor $*: does not say '$words': $said"
}
for address in s3://bucket gs://bucket azblob://container webdav://files.acme.example/dav sftp://files.acme.example/srv; do
    lacks 7 "is not part of this build" verify 4f1c2d --storage "$address"
done
for verb in serve 'trigger acme/churn' 'token list'; do
    # shellcheck disable=SC2086 # the verb has words of its own
    lacks 2 'the server is not part of this build' $verb
done
result='four feature sets are clean, and the smallest program says what it lacks'
