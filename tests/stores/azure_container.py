"""Makes a container: `azure_container.py ENDPOINT CONTAINER KEY`, signed as Azure asks for it (SharedKey)."""
import base64
import email.utils
import hashlib
import hmac
import sys
import urllib.request

endpoint, container, key = sys.argv[1:]
account = endpoint.rsplit("/", 1)[1]
headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
lines = ["PUT"] + [""] * 11 + [f"{name}:{value}" for name, value in sorted(headers.items())]
# The account stands in the path as well, and so twice.
text = "\n".join([*lines, f"/{account}/{account}/{container}", "restype:container"])
digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
headers["Authorization"] = f"SharedKey {account}:{base64.b64encode(digest).decode()}"
request = urllib.request.Request(f"{endpoint}/{container}?restype=container", method="PUT", headers=headers)
with urllib.request.urlopen(request) as answer:
    assert answer.status == 201, answer.status
