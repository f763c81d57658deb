"""Judge: Box's own SDK, with the fake's base URLs."""

import base64
import hashlib
import io

from box_sdk_gen import (
    BoxAPIError, BoxCCGAuth, BoxClient, BoxOAuth, CCGConfig, NetworkSession, OAuthConfig,
)
from box_sdk_gen.internal.utils import ByteStream
from box_sdk_gen.networking.base_urls import BaseUrls
from box_sdk_gen.networking.retries import BoxRetryStrategy
from box_sdk_gen.schemas import AccessToken
from box_sdk_gen.managers.uploads import (
    PreflightFileUploadCheckParent, UploadFileAttributes, UploadFileAttributesParentField,
    UploadFileVersionAttributes,
)
from box_sdk_gen.managers.folders import CreateFolderParent
from box_sdk_gen.managers.files import CopyFileParent
from near import LARGE, URL, claim, control, refused

base = f"{URL}/box"
urls = BaseUrls(base_url=base, upload_url=f"{base}/api", oauth_2_url=f"{base}/api/oauth2")
network = NetworkSession(base_urls=urls, retry_strategy=BoxRetryStrategy(max_attempts=3, retry_base_interval=0.1))

tokens = control("tokens", drive="box")
auth = BoxOAuth(OAuthConfig(client_id="id", client_secret="secret"))
auth.token_storage.store(AccessToken(access_token=tokens["access"], refresh_token=tokens["refresh"]))
client = BoxClient(auth=auth, network_session=network)

me = client.users.get_user_me()
claim(me.max_upload_size > 0 and me.space_amount > 0, "account")
folder = client.folders.create_folder("Proj", CreateFolderParent(id="0"))
again = refused(BoxAPIError, lambda: client.folders.create_folder("PROJ", CreateFolderParent(id="0")))
claim(again.response_info.status_code == 409, "a folder's name is taken")
claim(again.response_info.body["context_info"]["conflicts"][0]["id"] == folder.id, "an array for folders")


def upload(name, data, sha1=None):
    parent = UploadFileAttributesParentField(id=folder.id)
    digest = sha1 or hashlib.sha1(data).hexdigest()
    return client.uploads.upload_file(UploadFileAttributes(name=name, parent=parent), io.BytesIO(data), content_md_5=digest)


small = upload("été.txt", b"small").entries[0]
claim(small.sha_1 == hashlib.sha1(b"small").hexdigest(), "small upload")
taken = refused(BoxAPIError, lambda: upload("ÉTÉ.TXT", b"other"))
claim(taken.response_info.body["context_info"]["conflicts"]["id"] == small.id, "an object for files")
broken = refused(BoxAPIError, lambda: upload("broken", b"small", "0" * 40))
claim(broken.response_info.status_code == 400, "a wrong digest is refused")
refused(BoxAPIError, lambda: upload("trailing ", b"x"))
version = client.uploads.upload_file_version(small.id, UploadFileVersionAttributes(name="été.txt"), io.BytesIO(b"second"))
claim(version.entries[0].id == small.id and version.entries[0].size == 6, "new version")

where = PreflightFileUploadCheckParent(id=folder.id)
client.uploads.preflight_file_upload_check(name="free", size=10, parent=where)
there = refused(BoxAPIError, lambda: client.uploads.preflight_file_upload_check(name="été.txt", size=1, parent=where))
claim(there.response_info.status_code == 409, "preflight finds the conflict")
control("max-file", drive="box", value=1 << 30)
big = refused(BoxAPIError, lambda: client.uploads.preflight_file_upload_check(name="big", size=1 << 31, parent=where))
claim(big.response_info.status_code == 413, "preflight knows the limit")

# The SDK follows the endpoints that the session tells, and the 202 of the commit.
large = client.chunked_uploads.upload_big_file(io.BytesIO(LARGE), "large", len(LARGE), folder.id)
claim(large.sha_1 == hashlib.sha1(LARGE).hexdigest(), "chunked upload")
tiny = refused(BoxAPIError, lambda: client.chunked_uploads.create_file_upload_session(folder.id, 1000, "tiny"))
claim(tiny.response_info.status_code == 400, "no session below 20 MB")

session = client.chunked_uploads.create_file_upload_session(folder.id, len(LARGE), "parts")
size = session.part_size


def part(at, data=None):
    data = data or LARGE[at : at + size]
    digest = "sha=" + base64.b64encode(hashlib.sha1(data).digest()).decode()
    span = f"bytes {at}-{at + len(data) - 1}/{len(LARGE)}"
    return client.chunked_uploads.upload_file_part(session.id, io.BytesIO(data), digest, span).part


parts = [part(at) for at in reversed(range(0, len(LARGE), size))]
fixed = refused(BoxAPIError, lambda: part(0, b"x" * size))
claim(fixed.response_info.status_code == 409, "a part never changes")
listed = client.chunked_uploads.get_file_upload_session_parts(session.id).entries
claim([one.part_id for one in listed] == [one.part_id for one in reversed(parts)], "parts are listed in order")
client.chunked_uploads.delete_file_upload_session_by_id(session.id)
refused(BoxAPIError, lambda: client.chunked_uploads.get_file_upload_session_by_id(session.id))

claim(client.downloads.download_file(large.id).read() == LARGE, "download")
claim(client.downloads.download_file(large.id, range="bytes=5-9").read() == LARGE[5:10], "range")
copy = client.files.copy_file(large.id, CopyFileParent(id=folder.id), name="copy")
claim(copy.sha_1 == large.sha_1, "copy")

names, marker = [], None
while True:
    page = client.folders.get_folder_items(folder.id, usemarker=True, marker=marker, limit=2)
    names += [item.name for item in page.entries]
    marker = page.next_marker
    if not marker:
        break
claim(sorted(names) == ["copy", "large", "été.txt"], "list by markers")

full = refused(BoxAPIError, lambda: client.folders.delete_folder_by_id(folder.id))
claim(full.response_info.body["code"] == "folder_not_empty", "not without recursive")
client.folders.delete_folder_by_id(folder.id, recursive=True)
claim(control("files/box") == {}, "delete")
claim(client.users.get_user_me().space_used > 0, "the trash takes room")
client.trashed_folders.delete_trashed_folder_by_id(folder.id)
claim(client.users.get_user_me().space_used == 0, "purge")

# The SDK renews an expired token by itself; the refresh token that it used is dead.
control("expire", drive="box")
client.users.get_user_me()
claim(auth.token_storage.get().refresh_token != tokens["refresh"], "refresh tokens rotate")
old = BoxOAuth(OAuthConfig(client_id="id", client_secret="secret"))
old.token_storage.store(AccessToken(access_token="dead", refresh_token=tokens["refresh"]))
used = refused(BoxAPIError, lambda: BoxClient(auth=old, network_session=network).users.get_user_me())
claim(used.response_info.body["error"] == "invalid_grant", "a refresh token works once")

credentials = BoxCCGAuth(CCGConfig(client_id="id", client_secret="secret", enterprise_id="1"))
claim(BoxClient(auth=credentials, network_session=network).users.get_user_me().id, "client credentials")
print("ok")
