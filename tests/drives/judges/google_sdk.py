"""Judge: Google's own client, with the discovery document that it ships and the fake as its root."""

import hashlib
import io
import json

import google.oauth2.credentials
from google.auth.exceptions import RefreshError
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseDownload, MediaIoBaseUpload
from near import LARGE, URL, claim, control, refused

FOLDER = "application/vnd.google-apps.folder"
tokens = control("tokens", drive="gdrive")
credentials = google.oauth2.credentials.Credentials(
    tokens["access"], tokens["refresh"], token_uri=f"{URL}/gdrive/token", client_id="id", client_secret="secret"
)
document = json.loads(get_static_doc("drive", "v3"))
document["rootUrl"] = document["mtlsRootUrl"] = f"{URL}/gdrive/"
drive = build_from_document(document, credentials=credentials)
ALL = "id,name,size,md5Checksum,sha1Checksum,sha256Checksum,parents"
about = drive.about().get(fields="storageQuota,user").execute()
claim(int(about["storageQuota"]["limit"]) > 0 and about["user"]["emailAddress"], "about")
refused(HttpError, lambda: drive.about().get().execute())

folder = drive.files().create(body={"name": "Proj", "mimeType": FOLDER}, fields="id").execute()["id"]
second = drive.files().create(body={"name": "Proj", "mimeType": FOLDER}, fields="id").execute()["id"]
claim(folder != second, "folders of one name are two")
drive.files().delete(fileId=second).execute()


def upload(name, data, resumable, chunk=256 << 10, **more):
    media = MediaIoBaseUpload(io.BytesIO(data), "application/octet-stream", chunksize=chunk, resumable=resumable)
    body = {"name": name, "parents": [folder], **more}
    return drive.files().create(body=body, media_body=media, fields=ALL)


name = "it's a \\ été ?*.txt"
small = upload(name, b"small", False).execute()
claim(small["md5Checksum"] == hashlib.md5(b"small").hexdigest(), "multipart upload")
claim(upload(name, b"small", False).execute()["id"] != small["id"], "files of one name are two")

reserved = drive.files().generateIds(count=2).execute()["ids"][0]
claim(upload("mine", b"mine", False, id=reserved).execute()["id"] == reserved, "an id of mine")
again = refused(HttpError, lambda: upload("mine", b"mine", False, id=reserved).execute())
claim(again.resp.status == 409, "an id works once")

request, answer = upload("large", LARGE, True, 4 << 20), None
while answer is None:
    state, answer = request.next_chunk()
claim(answer["sha256Checksum"] == hashlib.sha256(LARGE).hexdigest() and int(answer["size"]) == len(LARGE), "resumable")
large = answer["id"]
# Steps of the wrong size.
request = upload("odd", LARGE, True, 4 << 20)
request.resumable._chunksize = 1000
wrong = refused(HttpError, lambda: request.next_chunk())
claim(wrong.resp.status == 400, "256 KiB")

quoted = name.replace("\\", "\\\\").replace("'", "\\'")
found = drive.files().list(q=f"'{folder}' in parents and name = '{quoted}' and trashed = false", fields="*").execute()
claim(len(found["files"]) == 2, "query")
names, token = [], None
while True:
    page = drive.files().list(q=f"'{folder}' in parents", pageSize=1, pageToken=token, fields="*").execute()
    names += [file["name"] for file in page["files"]]
    token = page.get("nextPageToken")
    if not token:
        break
claim(sorted(names) == sorted([name, name, "mine", "large"]), "list by pages")

buffer = io.BytesIO()
download, done = MediaIoBaseDownload(buffer, drive.files().get_media(fileId=large), 5 << 20), False
while not done:
    _, done = download.next_chunk()
claim(buffer.getvalue() == LARGE, "download in ranges")

copy = drive.files().copy(fileId=large, body={"name": "copy"}, fields=ALL).execute()
claim(copy["md5Checksum"] == answer["md5Checksum"] and copy["parents"] == [folder], "copy")
moved = drive.files().update(fileId=copy["id"], addParents="root", removeParents=folder, fields=ALL).execute()
claim(moved["parents"] != [folder], "move by query")
body = refused(HttpError, lambda: drive.files().update(fileId=large, body={"parents": ["root"]}).execute())
claim(body.resp.status == 403, "no move by body")
media = MediaIoBaseUpload(io.BytesIO(b"second"), "text/plain", resumable=False)
second = drive.files().update(fileId=large, media_body=media, fields=ALL).execute()
claim(second["id"] == large and second["size"] == "6", "new content")

control("quota", drive="gdrive", value=1)
full = refused(HttpError, lambda: upload("full", b"full", False).execute())
claim(full.error_details[0]["reason"] == "storageQuotaExceeded", "quota is typed")
control("quota", drive="gdrive", value=1 << 40)

drive.files().update(fileId=copy["id"], body={"trashed": True}).execute()
claim("copy" not in control("files/gdrive"), "trash")
drive.files().delete(fileId=folder).execute()
gone = refused(HttpError, lambda: drive.files().get(fileId=large).execute())
claim(gone.resp.status == 404 and gone.error_details[0]["reason"] == "notFound", "delete takes what is below")

# An expired token is renewed by the client itself, a revoked one cannot be.
control("expire", drive="gdrive")
drive.files().list().execute()
claim(credentials.token != tokens["access"], "refresh")
control("revoke", drive="gdrive")
refused(RefreshError, lambda: drive.files().list().execute())
print("ok")
