"""What all judges need: where the fake is, its tokens and faults, and claims that say what failed."""

import json
import os
import sys
import urllib.request

URL = sys.argv[1]


def control(path, **asked):
    body = json.dumps(asked).encode() if asked else None
    with urllib.request.urlopen(f"{URL}/_fake/{path}", data=body) as answer:
        return json.load(answer)


def claim(true, what):
    if not true:
        sys.exit(f"not so: {what}")


def refused(kind, call):
    """The error of a call that has to fail."""
    try:
        call()
    except kind as error:
        return error
    sys.exit("a call that had to fail did not")


SMALL = "été ?*.txt"
LARGE = os.urandom(1 << 20) * 25 + b"the end"
