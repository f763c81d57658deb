"""Says of each pair of schema and value, one a line of JSON on stdin, whether the value fits: `[true,false,…]`."""

import json
import sys

import jsonschema

verdicts = []
document = json.loads(sys.stdin.readline())
for line in sys.stdin:
    schema, value = json.loads(line)
    whole = {"allOf": [schema], "components": document}
    verdicts.append(jsonschema.Draft202012Validator(whole).is_valid(value))
print(json.dumps(verdicts))
