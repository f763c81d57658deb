"""Does with python-gitlab what our client does, against the GitLab in small; says what it saw, as JSON."""

import json
import sys

import gitlab

server = gitlab.Gitlab(sys.argv[1], private_token="token-of-robo", per_page=2)
server.auth()
project = server.projects.get("acme/data/churn")
merge = project.mergerequests.get(7)
said = {
    "me": [server.user.id, server.user.username],
    "project": [project.id, project.path_with_namespace, project.default_branch],
    "merge": [merge.iid, merge.state, merge.sha, merge.source_branch, merge.target_branch],
    "fork": server.projects.get(project.mergerequests.get(8).source_project_id).path_with_namespace,
    "heads": [[v.head_commit_sha, v.created_at] for v in merge.diffs.list(get_all=True)],
    "levels": {},
}
for user in ("ann", "tim", "eve"):
    found = server.users.list(username=user, get_all=True)[0]
    try:
        said["levels"][user] = project.members_all.get(found.id).access_level
    except gitlab.exceptions.GitlabGetError as error:
        said["levels"][user] = error.response_code
base = project.branches.get("main").commit["id"]
said["base"] = base
said["file"] = project.files.raw(file_path="soopervisor.yaml", ref="main").decode()
said["compared"] = len(project.repository_compare("main", "topic")["commits"])

first = merge.notes.create({"body": "first"})
merge.notes.create({"body": "second"})
merge.notes.create({"body": "third"})
first.body = "changed"
first.save()
said["notes"] = [[n.body, n.author["username"], n.noteable_iid] for n in merge.notes.list(sort="asc", order_by="created_at", get_all=True)]
first.awardemojis.create({"name": "eyes"})
try:
    first.awardemojis.create({"name": "eyes"})
    said["twice"] = "taken"
except gitlab.exceptions.GitlabCreateError as error:
    said["twice"] = error.response_code

project.commits.get(merge.sha).statuses.create({"state": "pending", "name": "ci", "description": "it runs"})
project.commits.get(merge.sha).statuses.create({"state": "success", "name": "ci"})
merge.manager.update(7, {"add_labels": "bug,tested"})
merge.manager.update(7, {"remove_labels": "bug"})
said["labels"] = project.mergerequests.get(7).labels
pipeline = project.pipelines.create({"ref": "main", "variables": [{"key": "A", "value": "1"}]})
said["pipelines"] = [p.status for p in project.pipelines.list(source="api", get_all=True)]
pipeline.cancel()
said["cancelled"] = project.pipelines.get(pipeline.id).status
said["events"] = [e.note["body"] for e in project.events.list(action="commented", sort="asc", get_all=True)]
json.dump(said, sys.stdout)
