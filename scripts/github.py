#!/usr/bin/env python3
"""Takes the part of GitHub's own descriptions that tests/fake_github and tests/gha are held to.

`scripts/github.py tests/fixtures/github` fetches three npm packages (pinned, MIT) and writes what our requests and
payloads touch: schemas without their prose, one example for each answer, and real payloads of events.
"""

import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

PACKAGES = {
    "openapi": "@octokit/openapi@23.0.2",
    "webhooks": "@octokit/openapi-webhooks@12.1.0",
    "examples": "@octokit/webhooks-examples@7.6.1",
}
REPO = "/repos/{owner}/{repo}"
OPERATIONS = {
    "/app": ["get"],
    "/app/installations/{installation_id}/access_tokens": ["post"],
    "/user": ["get"],
    REPO: ["get"],
    f"{REPO}/actions/artifacts": ["get"],
    f"{REPO}/actions/runs": ["get"],
    f"{REPO}/actions/runs/{{run_id}}": ["get"],
    f"{REPO}/actions/runs/{{run_id}}/cancel": ["post"],
    f"{REPO}/actions/workflows/{{workflow_id}}/dispatches": ["post"],
    f"{REPO}/activity": ["get"],
    f"{REPO}/check-runs": ["post"],
    f"{REPO}/check-runs/{{check_run_id}}": ["patch"],
    f"{REPO}/collaborators/{{username}}/permission": ["get"],
    f"{REPO}/commits/{{ref}}": ["get"],
    f"{REPO}/commits/{{ref}}/check-runs": ["get"],
    f"{REPO}/commits/{{commit_sha}}/pulls": ["get"],
    f"{REPO}/compare/{{basehead}}": ["get"],
    f"{REPO}/contents/{{path}}": ["get"],
    f"{REPO}/dispatches": ["post"],
    f"{REPO}/installation": ["get"],
    f"{REPO}/issues/comments": ["get"],
    f"{REPO}/issues/comments/{{comment_id}}": ["patch"],
    f"{REPO}/issues/comments/{{comment_id}}/reactions": ["get", "post"],
    f"{REPO}/issues/{{issue_number}}/comments": ["get", "post"],
    f"{REPO}/issues/{{issue_number}}/labels": ["post"],
    f"{REPO}/issues/{{issue_number}}/labels/{{name}}": ["delete"],
    f"{REPO}/pulls/{{pull_number}}": ["get"],
    f"{REPO}/statuses/{{sha}}": ["post"],
}
# Event and place among its examples.
EVENTS = {
    "issue_comment-created": ("issue_comment", 3),
    "issue_comment-edited": ("issue_comment", 8),
    "issue_comment-deleted": ("issue_comment", 6),
    "pull_request-opened": ("pull_request", 14),
    "pull_request-synchronize": ("pull_request", 22),
    "pull_request-closed": ("pull_request", 4),
    "pull_request-labeled": ("pull_request", 9),
    "push-branch-created": ("push", 4),
    "push-tag-deleted": ("push", 6),
    "push-tag-created": ("push", 0),
    "workflow_dispatch": ("workflow_dispatch", 1),
}
# Schemas hold prose, and members that no validator reads.
PROSE = {"description", "example", "examples", "title", "externalDocs", "deprecated", "discriminator", "xml", "readOnly"}


def fetch(folder: pathlib.Path, package: str) -> pathlib.Path:
    """Fetches a package and gives back its folder."""
    said = subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True)
    name = said.stdout.strip().splitlines()[-1]
    inside = folder / name.removesuffix(".tgz")
    with tarfile.open(folder / name) as archive:
        archive.extractall(inside, filter="data")
    return inside / "package"


def plain(node, names=False):
    """A schema of OpenAPI 3.0 as one of JSON Schema, without its prose; `names` where keys are members' names."""
    if isinstance(node, list):
        return [plain(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    if names:
        return {key: plain(value) for key, value in node.items()}
    kept = {}
    for key, value in node.items():
        if key in PROSE or key.startswith("x-") or key == "nullable":
            continue
        if key == "default" or (key == "format" and value not in ("date-time", "uri")):
            continue
        kept[key] = plain(value, names=key in ("properties", "patternProperties"))
    if node.get("nullable"):
        if "type" in kept and "enum" not in kept:
            kept["type"] = [kept["type"], "null"]
        else:
            kept = {"anyOf": [kept, {"type": "null"}]}
    return kept


def references(node, found):
    """Every schema that a node names."""
    if isinstance(node, dict):
        target = node.get("$ref")
        if isinstance(target, str):
            found.add(target.rsplit("/", 1)[-1])
        for value in node.values():
            references(value, found)
    elif isinstance(node, list):
        for value in node:
            references(value, found)


def closure(roots, schemas):
    """The schemas that these nodes need, made plain."""
    kept, waiting = {}, set()
    references(roots, waiting)
    while waiting:
        name = waiting.pop()
        if name in kept:
            continue
        kept[name] = plain(schemas[name])
        more = set()
        references(kept[name], more)
        waiting |= more - kept.keys()
    return dict(sorted(kept.items()))


def resolved(document, node):
    """What a reference stands for."""
    while "$ref" in node:
        target = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def content(document, node, example):
    """The schema of a request or an answer, and its first example."""
    medium = resolved(document, node).get("content", {})
    medium = medium.get("application/json") or next(iter(medium.values()), None)
    if medium is None:
        return {}
    made = {"schema": plain(medium["schema"])} if "schema" in medium else {}
    if example:
        given = medium.get("examples", {})
        first = next(iter(given.values()), None)
        if first is not None:
            made["example"] = resolved(document, first).get("value")
        elif "example" in medium:
            made["example"] = medium["example"]
    return made


def described(document):
    """The operations that we use."""
    paths = {}
    for path, methods in OPERATIONS.items():
        item = document["paths"][path]
        for method in methods:
            operation = item[method]
            kept = {"responses": {}}
            if "requestBody" in operation:
                kept["request"] = content(document, operation["requestBody"], example=False).get("schema", {})
            for status, response in operation["responses"].items():
                # Of a refusal the shape is enough.
                if status[0] in "234":
                    kept["responses"][status] = content(document, response, example=status[0] != "4")
            paths.setdefault(path, {})[method] = kept
    kept = [operation for methods in paths.values() for operation in methods.values()]
    asked = [operation.get("request", {}) for operation in kept]
    answered = [answer.get("schema", {}) for operation in kept for answer in operation["responses"].values()]
    schemas = closure(asked + answered, document["components"]["schemas"])
    return {"source": PACKAGES["openapi"], "paths": paths, "components": {"schemas": schemas}}


def webhooks(document):
    """The payloads that we read."""
    wanted = ["issue-comment-created", "issue-comment-edited", "pull-request-opened", "pull-request-synchronize"]
    wanted += ["pull-request-closed", "push", "workflow-dispatch"]
    found = {}
    for name, hook in document["webhooks"].items():
        if name in wanted:
            found[name] = content(document, hook["post"]["requestBody"], example=False)["schema"]
    missing = set(wanted) - found.keys()
    if missing:
        sys.exit(f"github.py: not described: {missing}")
    schemas = closure(list(found.values()), document["components"]["schemas"])
    return {"source": PACKAGES["webhooks"], "webhooks": found, "components": {"schemas": schemas}}


def read(path):
    """Reads a document."""
    return json.loads(path.read_text(encoding="utf-8"))


def write(path, value):
    """Writes a document."""
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{path.stat().st_size:>9} {path}")


def main():
    """Writes everything below the folder that is named."""
    to = pathlib.Path(sys.argv[1])
    (to / "events").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        at = {name: fetch(folder, package) for name, package in PACKAGES.items()}
        write(to / "openapi.json", described(read(at["openapi"] / "generated/api.github.com.json")))
        write(to / "webhooks.json", webhooks(read(at["webhooks"] / "generated/api.github.com.json")))
        events = {event["name"]: event["examples"] for event in read(at["examples"] / "api.github.com/index.json")}
        for name, (event, place) in EVENTS.items():
            write(to / f"events/{name}.json", events[event][place])
        (to / "LICENSE").write_text((at["openapi"] / "LICENSE").read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    main()
