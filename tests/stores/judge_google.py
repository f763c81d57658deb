"""Asks the server of gcs_conditions.rs as Google's own client does: judge_google.py ADDRESS.

One line for each object: its name, and the status that the client was refused with."""

import io
import json
import sys

from google.auth.credentials import AnonymousCredentials
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseUpload

CHUNK = 8 << 20

document = json.loads(get_static_doc("storage", "v1"))
document["rootUrl"] = document["mtlsRootUrl"] = sys.argv[1] + "/"
storage = build_from_document(document, credentials=AnonymousCredentials())
for name, size in [("small", 10), ("race small", 10), ("race of parts", 20 << 20)]:
    media = MediaIoBaseUpload(
        io.BytesIO(bytes(size)), "application/octet-stream", chunksize=CHUNK, resumable=True
    )
    request = storage.objects().insert(
        bucket="conformance", name=name, ifGenerationMatch="0", media_body=media
    )
    try:
        request.execute(num_retries=0)
        print(name, "stored")
    except HttpError as error:
        print(name, error.status_code)
