"""Judge: Dropbox's own SDK, its https addresses led to the fake."""

import datetime
import hashlib
import threading

import dropbox
import requests
from dropbox import files
from near import LARGE, SMALL, URL, claim, control, refused


class Led(requests.adapters.HTTPAdapter):
    def send(self, request, **more):
        path = request.url.split("/", 3)[3]
        request.url = f"{URL}/dropbox/{path}"
        return super().send(request, **more)


def session():
    led = requests.Session()
    led.mount("https://", Led())
    return led


def content_hash(data):
    blocks = (data[at : at + (4 << 20)] for at in range(0, len(data), 4 << 20))
    return hashlib.sha256(b"".join(hashlib.sha256(block).digest() for block in blocks)).hexdigest()


tokens = control("tokens", drive="dropbox")
# A public client with PKCE: no secret.
client = dropbox.Dropbox(
    oauth2_access_token=tokens["access"],
    oauth2_access_token_expiration=datetime.datetime.utcnow() + datetime.timedelta(hours=1),
    oauth2_refresh_token=tokens["refresh"],
    app_key="key",
    session=session(),
    max_retries_on_error=0,
    max_retries_on_rate_limit=0,
)
claim(client.users_get_current_account().email == "fake@example.com", "account")
claim(client.users_get_space_usage().allocation.get_individual().allocated > 0, "space")

path = f"/Proj/{SMALL}"
small = client.files_upload(b"small", path, mode=files.WriteMode.add, strict_conflict=True)
claim(small.content_hash == content_hash(b"small") and small.path_display == path, "small upload")
conflict = refused(dropbox.exceptions.ApiError, lambda: client.files_upload(b"other", path, strict_conflict=True))
claim(conflict.error.get_path().reason.get_conflict().is_file(), "conflict is typed")
claim(client.files_upload(b"small", path).rev == small.rev, "the same content is no conflict")
claim(client.files_upload(b"more", path, mode=files.WriteMode.overwrite).rev != small.rev, "overwrite")
claim(client.files_get_metadata(path.lower()).size == 4, "names without regard to case")
lost = refused(dropbox.exceptions.ApiError, lambda: client.files_get_metadata("/none"))
claim(lost.error.is_path() and lost.error.get_path().is_not_found(), "not found is typed")
junk = refused(dropbox.exceptions.ApiError, lambda: client.files_upload(b"", "/a/Thumbs.db"))
claim(junk.error.get_path().reason.is_disallowed_name(), "a disallowed name is typed")

# A session in order, with a wrong offset between.
step = 8 << 20
begun = client.files_upload_session_start(LARGE[:step])
cursor = files.UploadSessionCursor(begun.session_id, 3)
wrong = refused(dropbox.exceptions.ApiError, lambda: client.files_upload_session_append_v2(b"x", cursor))
claim(wrong.error.get_incorrect_offset().correct_offset == step, "the right offset is told")
cursor.offset = step
client.files_upload_session_append_v2(LARGE[step : 2 * step], cursor)
cursor.offset = 2 * step
large = client.files_upload_session_finish(LARGE[2 * step :], cursor, files.CommitInfo("/Proj/large"))
claim(large.content_hash == content_hash(LARGE), "session")

# A concurrent one.
kind = files.UploadSessionType.concurrent
begun = client.files_upload_session_start(b"", session_type=kind)
for at in (4 * (4 << 20), 0):
    end = len(LARGE) if at else 4 * (4 << 20)
    place = files.UploadSessionCursor(begun.session_id, at)
    client.files_upload_session_append_v2(LARGE[at:end], place, close=bool(at))
cursor = files.UploadSessionCursor(begun.session_id, len(LARGE))
large = client.files_upload_session_finish(b"", cursor, files.CommitInfo("/Proj/concurrent"))
claim(large.content_hash == content_hash(LARGE), "concurrent session")

# A batch, and two at once.
def closed(data):
    return files.UploadSessionCursor(client.files_upload_session_start(data, close=True).session_id, len(data))


entries = [files.UploadSessionFinishArg(closed(b"%d" % n), files.CommitInfo(f"/Proj/batch/{n}")) for n in range(5)]
entries.append(files.UploadSessionFinishArg(closed(b"x"), files.CommitInfo("/Proj/large")))
done = client.files_upload_session_finish_batch_v2(entries).entries
claim([one.is_success() for one in done] == [True] * 5 + [False], "batch")
claim(done[5].get_failure().get_path().is_conflict(), "a failure inside a batch is typed")

met = []


def batch(name):
    entry = files.UploadSessionFinishArg(closed(b"y"), files.CommitInfo(f"/Proj/{name}"))
    try:
        client.files_upload_session_finish_batch_v2([entry])
    except dropbox.exceptions.RateLimitError as error:
        met.append(error.error.reason.is_too_many_write_operations())


for _ in range(20):
    threads = [threading.Thread(target=batch, args=(f"t{n}",)) for n in range(3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    if met:
        break
claim(met and all(met), "batches go one at a time")

control("page", drive="dropbox", value=3)
page = client.files_list_folder("/Proj", recursive=True)
names = [entry.path_display for entry in page.entries]
while page.has_more:
    page = client.files_list_folder_continue(page.cursor)
    names += [entry.path_display for entry in page.entries]
claim(path in names and "/Proj/batch/4" in names and len(names) == len(set(names)), "list by pages")

_, answer = client.files_download("/Proj/large")
claim(answer.content == LARGE, "download")
job = client.files_copy_batch_v2([files.RelocationPath("/Proj/large", "/Copy/large")])
while True:
    state = client.files_copy_batch_check_v2(job.get_async_job_id())
    if state.is_complete():
        break
claim(state.get_complete().entries[0].get_success().content_hash == content_hash(LARGE), "copy batch")
claim(client.files_copy_v2("/Proj/batch", "/Copy/batch").metadata.name == "batch", "copy")
claim(client.files_create_folder_v2("/new").metadata.path_display == "/new", "folder")
client.files_create_folder_batch(["/n1", "/n2/n3"])
client.files_move_v2("/n1", "/N1")
client.files_delete_v2("/Proj")
claim(not any(name.startswith("Proj/") for name in control("files/dropbox")), "delete")

# Tokens: an expired one is renewed by the SDK itself, a revoked one cannot be.
control("expire", drive="dropbox")
client.files_get_metadata("/Copy")
client.refresh_access_token()
control("revoke", drive="dropbox")
refused(dropbox.exceptions.AuthError, lambda: client.files_get_metadata("/Copy"))
print("ok")
