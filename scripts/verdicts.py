#!/usr/bin/env python3
"""Ask real Ploomber what it says about every case of tests/fixtures/specs, and write verdicts.json.

Run without arguments: makes a virtual environment in a temporary folder, installs the pinned Ploomber from PyPI,
and runs itself there. Each case is loaded in a copy, in a process of its own, the way `ploomber build` loads it: by the
parser of Ploomber's command line, which reads env.yaml once more than DAGSpec does, and then render. Nothing of a case is written to. Beside each verdict stands the sha256 of the case's
files, so that tests/corpus.rs sees which case was edited since.

Usage: scripts/verdicts.py [--python VENV/bin/python] [CASE ...]
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PLOOMBER = "0.23.3"
CASES = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "specs"
VERDICTS = CASES.parent / "verdicts.json"


def install(folder):
    """A virtual environment with Ploomber, a Python kernel, and a kernel description for R (never started)."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = Path(folder, "bin", "python")
    needed = [f"ploomber=={PLOOMBER}", "setuptools<80", "ipykernel"]
    subprocess.run([python, "-m", "pip", "install", "-q", *needed], check=True)
    kernel = Path(folder, "share", "jupyter", "kernels", "ir", "kernel.json")
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps({"argv": ["R"], "display_name": "R", "language": "R"}))
    return python


def digest(name):
    """Every file in order, its path, its length and its bytes: what tests/corpus.rs computes, too."""
    folder = CASES / name
    files = {path.relative_to(folder).as_posix().encode(): path for path in folder.rglob("*") if path.is_file()}
    total = hashlib.sha256()
    for place, path in sorted(files.items()):
        content = path.read_bytes()
        total.update(b"%s\0%d\0%s" % (place, len(content), content))
    return total.hexdigest()


def judge(name):
    """Load one case; the verdict as a dictionary."""
    from ploomber.cli.parsers import CustomParser

    try:
        sys.argv = ["ploomber"]
        parser = CustomParser(prog="ploomber build")
        with parser:
            pass
        dag, _ = parser.load_from_entry_point_arg()
        dag.render(show_progress=False)
    except BaseException as error:  # a case may raise anything, SystemExit included
        while error.__cause__ is not None:
            error = error.__cause__
        lines = str(error).strip().splitlines() or [""]
        first = lines[0].replace(os.getcwd(), ".").replace(sys.prefix, "VENV")
        return {"verdict": "error", "exit": 1, "error": f"{type(error).__name__}: {first}"[:300]}
    return {"verdict": "ok", "exit": 0}


def child(name):
    """Judge in a Git repository that holds a copy of the case."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, "project")
        shutil.copytree(CASES / name, copy)
        os.chdir(copy)
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]
        subprocess.run([*git, "init", "-q"], check=True)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "case"], check=True)
        sys.path.insert(0, str(copy))
        warnings.simplefilter("ignore")
        sys.dont_write_bytecode = True
        reader, writer = os.pipe()
        if os.fork() == 0:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            os.write(writer, json.dumps(judge(name)).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answer:
            return json.loads(answer.read())


def main():
    """Install where needed, judge every case, write the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--python")
    parser.add_argument("--child", action="store_true")
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()
    if arguments.child:
        import ploomber.cli.parsers  # noqa: F401  imported once, before the forks

        for name in arguments.cases:
            print(json.dumps([name, child(name)]), flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        python = arguments.python or install(folder)
        names = arguments.cases or sorted(case.name for case in CASES.iterdir() if case.is_dir())
        known = json.loads(VERDICTS.read_text())["cases"] if arguments.cases and VERDICTS.exists() else {}
        known = {name: verdict for name, verdict in known.items() if (CASES / name).is_dir()}

        def batch(part):
            command = [python, __file__, "--child", *part]
            # Ploomber prints sets; a fixed seed keeps their order, and so this file, the same.
            seeded = {**os.environ, "PYTHONHASHSEED": "0"}
            answer = subprocess.run(command, check=True, capture_output=True, text=True, env=seeded)
            judged = [json.loads(line) for line in answer.stdout.splitlines()]
            return [[name, {**verdict, "sha256": digest(name)}] for name, verdict in judged]

        with ThreadPoolExecutor(2) as pool:
            for part in pool.map(batch, [names[0::2], names[1::2]]):
                known.update(part)
        missing = set(names) - set(known)
        if missing:
            sys.exit(f"no verdict for {sorted(missing)}")
    document = {"ploomber": PLOOMBER, "cases": dict(sorted(known.items()))}
    VERDICTS.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
