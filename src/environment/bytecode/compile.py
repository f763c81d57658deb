# Compiles what list.json names; run by an environment's own Python (3.7 and later) as `python -I -S -B compile.py FOLDER`.
#
# Imports nothing of the environment. Each group of files is compiled by a child of its own, so that a file which breaks
# Python breaks its group only. A group moves from `part` to `done` once its files are on the disk, and is never touched
# again; whoever kills this at any moment leaves whole groups in `done` and nothing else that anybody looks at.
import fcntl
import importlib.util
import json
import os
import py_compile
import signal
import sys
import warnings

# Files whose groups reach the disk together: a sync each would take longer than the compiling.
BATCH = 800
# Seconds that one group may take; the largest packages need about twenty.
GROUP = 180


def compile_group(root, part, files):
    """Never returns: ends its process, and with it whatever one of the files did to it."""
    try:
        signal.alarm(GROUP)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        warnings.simplefilter("ignore")
        for name in files:
            try:
                py_compile.compile(
                    os.path.join(root, name),
                    cfile=os.path.join(part, importlib.util.cache_from_source(name)),
                    doraise=True,
                    # Whatever SOURCE_DATE_EPOCH says.
                    invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP,
                )
            except Exception:
                # Written for another Python, or no Python at all: it is not imported here either.
                pass
    finally:
        os._exit(0)


def deliver(folder, names):
    os.sync()
    for name in names:
        os.rename(os.path.join(folder, "part", name), os.path.join(folder, "done", name))


def main(folder):
    os.umask(0o022)
    os.nice(19)
    # Held until this and all children are gone: how others see that somebody is at work. It gets its name once it is
    # held, so that nobody sees it without. Others try it for an instant: that is waited for.
    lock = open(os.path.join(folder, "new-lock"), "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(os.path.join(folder, "new-lock"), os.path.join(folder, "lock"))
    with open(os.path.join(folder, "list.json")) as file:
        job = json.load(file)
    signal.alarm(job["seconds"])
    if sys.implementation.cache_tag != job["tag"]:
        sys.exit("this Python names its files " + sys.implementation.cache_tag)
    waiting, count = [], 0
    for group in job["groups"]:
        part = os.path.join(folder, "part", group["name"])
        os.makedirs(part)
        child = os.fork()
        if child == 0:
            compile_group(group["root"], part, group["files"])
        os.waitpid(child, 0)
        waiting.append(group["name"])
        count += len(group["files"])
        if count >= BATCH:
            deliver(folder, waiting)
            waiting, count = [], 0
    deliver(folder, waiting)
    open(os.path.join(folder, "end"), "w").close()


main(sys.argv[1])
