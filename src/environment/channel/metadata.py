"""Prints what a conda record needs to know of some wheels, as one JSON list.

argv: the wheel of pip (for its copy of `packaging`), then the wheels. Markers are evaluated for the interpreter that runs this.
Extras do not exist in conda: what `name[extra]` adds is listed with the package that asks for it.
"""
import email.parser
import json
import os
import sys
import zipfile

sys.path.insert(0, sys.argv[1])
from pip._vendor.packaging.requirements import InvalidRequirement, Requirement  # noqa: E402
from pip._vendor.packaging.utils import canonicalize_name  # noqa: E402


def read(path):
    with zipfile.ZipFile(path) as archive:
        member = next(n for n in archive.namelist() if n.count("/") == 1 and n.endswith(".dist-info/METADATA"))
        header = email.parser.Parser().parsestr(archive.read(member).decode("utf-8", "replace"), headersonly=True)
    requirements = []
    for line in header.get_all("Requires-Dist") or []:
        try:
            requirements.append(Requirement(line))
        except InvalidRequirement:
            print(f"{os.path.basename(path)}: requirement not understood: {line}", file=sys.stderr)
    return {
        "file": os.path.basename(path),
        "name": canonicalize_name(header["Name"]),
        "version": header["Version"],
        "python": header.get("Requires-Python") or "",
        "license": header.get("License-Expression"),
        "pure": path.endswith("-none-any.whl"),
        "requirements": requirements,
    }


wheels = [read(path) for path in sys.argv[2:]]
known = {wheel["name"]: wheel["requirements"] for wheel in wheels}


def expand(requirements, extras, seen):
    for requirement in requirements:
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name = canonicalize_name(requirement.name)
        yield name, ",".join(sorted(str(part) for part in requirement.specifier))
        wanted = (name, tuple(sorted(requirement.extras)))
        if requirement.extras and wanted not in seen:
            seen.add(wanted)
            yield from expand(known.get(name, []), wanted[1], seen)


for wheel in wheels:
    pairs = sorted(set(expand(wheel.pop("requirements"), ("",), set())))
    wheel["requires"] = [list(pair) for pair in pairs if pair[0] != wheel["name"]]
json.dump(wheels, sys.stdout)
