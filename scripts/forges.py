#!/usr/bin/env python3
"""Takes the part of Forgejo's own description of its API that tests/fake_forges is held to.

`scripts/forges.py swagger.v1.json >tests/fixtures/forgejo/api.json` reads what a Forgejo serves at /swagger.v1.json (its
source has it as templates/swagger/v1_json.tmpl) and writes the shapes of what our requests touch, without their prose. A
member that the description does not have is wrong there, in a request as in an answer.
"""

import json
import sys

REPO = "/repos/{owner}/{repo}"
OPERATIONS = {
    "/user": ["get"],
    "/orgs/{org}/labels": ["get"],
    REPO: ["get"],
    f"{REPO}/actions/runs": ["get"],
    f"{REPO}/actions/runs/{{run_id}}": ["get"],
    f"{REPO}/actions/runs/{{run_id}}/cancel": ["post"],
    f"{REPO}/actions/workflows/{{workflowfilename}}/dispatches": ["post"],
    f"{REPO}/activities/feeds": ["get"],
    f"{REPO}/collaborators/{{collaborator}}/permission": ["get"],
    f"{REPO}/compare/{{basehead}}": ["get"],
    f"{REPO}/git/commits/{{sha}}": ["get"],
    f"{REPO}/issues/comments": ["get"],
    f"{REPO}/issues/comments/{{id}}": ["patch"],
    f"{REPO}/issues/comments/{{id}}/reactions": ["post"],
    f"{REPO}/issues/{{index}}/comments": ["get", "post"],
    f"{REPO}/issues/{{index}}/labels": ["get", "post"],
    f"{REPO}/issues/{{index}}/labels/{{identifier}}": ["delete"],
    f"{REPO}/issues/{{index}}/timeline": ["get"],
    f"{REPO}/labels": ["get", "post"],
    f"{REPO}/pulls": ["get"],
    f"{REPO}/pulls/{{index}}": ["get"],
    f"{REPO}/raw/{{filepath}}": ["get"],
    f"{REPO}/statuses/{{sha}}": ["post"],
}
KEPT = ("type", "required", "enum")


def shape(schema, used):
    """A schema without prose, and the names that it refers to."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        used.add(name)
        return {"$ref": f"#/components/schemas/{name}"}
    found = {word: schema[word] for word in KEPT if word in schema}
    if schema.get("format") == "date-time":
        found["format"] = "date-time"
    if "items" in schema:
        found["items"] = shape(schema["items"], used)
    if "properties" in schema:
        found["properties"] = {name: shape(inner, used) for name, inner in schema["properties"].items()}
        found["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        found["additionalProperties"] = shape(schema["additionalProperties"], used)
    # Labels are numbers or names; the description says nothing of either.
    if found.get("items") == {}:
        found["items"] = {"type": ["integer", "string"]}
    return found


def nullable(schemas):
    """Whatever is no list may be null: Go writes so what is not there, and descriptions of it do not say so."""
    for schema in schemas.values():
        for inner in schema.get("properties", {}).values():
            if isinstance(inner.get("type"), str) and inner["type"] in ("string", "object", "array"):
                inner["type"] = [inner["type"], "null"]


def main():
    whole = json.load(open(sys.argv[1], encoding="utf-8"))
    used, paths = set(), {}
    for path, methods in OPERATIONS.items():
        for method in methods:
            operation = whole["paths"][path][method]
            request = next((p["schema"] for p in operation["parameters"] if p["in"] == "body"), None) if "parameters" in operation else None
            answers = {}
            for status, answer in operation["responses"].items():
                answer = whole["responses"][answer["$ref"].rsplit("/", 1)[1]] if "$ref" in answer else answer
                answers[status] = shape(answer["schema"], used) if "schema" in answer else None
            query = [p["name"] for p in operation.get("parameters", []) if p["in"] == "query"]
            paths.setdefault(path, {})[method] = {
                "query": query,
                "request": shape(request, used) if request else None,
                "responses": answers,
            }
    schemas = {}
    while used - schemas.keys():
        for name in sorted(used - schemas.keys()):
            schemas[name] = shape(whole["definitions"][name], used)
    nullable(schemas)
    info = {"title": whole["info"]["title"], "version": whole["info"]["version"], "license": whole["info"]["license"]}
    json.dump({"info": info, "paths": paths, "components": {"schemas": schemas}}, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
