"""Uses the fake Google Cloud Storage of tests/fake_gcs as Google's own library does: judge_gcs.py ADDRESS.

The library compares the checksums of what it sends and gets; one line for each flow that went as Google's own goes."""

import io
import os
import sys
import tempfile

os.environ["STORAGE_EMULATOR_HOST"] = sys.argv[1]

from google.api_core.exceptions import NotFound, PreconditionFailed  # noqa: E402
from google.auth.credentials import AnonymousCredentials  # noqa: E402
from google.cloud import storage  # noqa: E402
from google.cloud.storage import transfer_manager  # noqa: E402

client = storage.Client(project="test", credentials=AnonymousCredentials())
bucket = client.bucket("conformance")


def refused(kind, action):
    try:
        action()
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was expected")


def small():
    blob = bucket.blob("a place/é +&?#[x].txt")
    blob.upload_from_string(b"0123456789", if_generation_match=0)
    assert blob.generation and blob.md5_hash and blob.crc32c and blob.size == 10
    refused(PreconditionFailed, lambda: blob.upload_from_string(b"other", if_generation_match=0))
    again = bucket.get_blob("a place/é +&?#[x].txt")
    assert again.generation == blob.generation and again.updated
    assert again.download_as_bytes() == b"0123456789"
    assert again.download_as_bytes(start=3, end=5) == b"345"
    assert bucket.get_blob("absent") is None
    refused(NotFound, lambda: bucket.blob("absent").download_as_bytes())
    before = blob.generation
    blob.upload_from_string(b"newer")
    assert blob.generation > before
    refused(PreconditionFailed, lambda: blob.upload_from_string(b"x", if_generation_match=before))
    refused(PreconditionFailed, lambda: blob.delete(if_generation_match=before))
    blob.delete(if_generation_match=blob.generation)
    refused(NotFound, blob.delete)


def resumable():
    data = bytes(range(256)) * 40_000
    blob = bucket.blob("large", chunk_size=4 * 256 * 1024)
    blob.upload_from_file(io.BytesIO(data), size=len(data), if_generation_match=0)
    assert blob.size == len(data) and blob.md5_hash
    assert blob.download_as_bytes() == data
    refused(PreconditionFailed, lambda: blob.upload_from_file(io.BytesIO(data), size=len(data), if_generation_match=0))
    unsized = bucket.blob("unsized", chunk_size=256 * 1024)
    unsized.upload_from_file(io.BytesIO(data[:700_000]))
    assert unsized.download_as_bytes() == data[:700_000]


def empty():
    blob = bucket.blob("empty")
    blob.upload_from_string(b"")
    assert bucket.get_blob("empty").size == 0 and blob.download_as_bytes() == b""


def parts():
    data = os.urandom(12 * 1024 * 1024)
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        transfer_manager.upload_chunks_concurrently(
            file.name, bucket.blob("of parts"), chunk_size=5 * 1024 * 1024, worker_type=transfer_manager.THREAD
        )
    blob = bucket.get_blob("of parts")
    assert blob.size == len(data) and blob.md5_hash is None and blob.crc32c
    assert blob.download_as_bytes() == data


def listing():
    for name in ["l/a", "l/b/c", "l/b/d", "l/z", "m"]:
        bucket.blob(name).upload_from_string(name)
    assert [blob.name for blob in client.list_blobs(bucket, prefix="l/")] == ["l/a", "l/b/c", "l/b/d", "l/z"]
    shallow = client.list_blobs(bucket, prefix="l/", delimiter="/")
    assert [blob.name for blob in shallow] == ["l/a", "l/z"] and shallow.prefixes == {"l/b/"}
    paged = client.list_blobs(bucket, prefix="l/", page_size=1)
    assert [[blob.name for blob in page] for page in paged.pages] == [["l/a"], ["l/b/c"], ["l/b/d"], ["l/z"]]
    after = client.list_blobs(bucket, prefix="l/", start_offset="l/b/d")
    assert [blob.name for blob in after] == ["l/b/d", "l/z"]


def copies():
    source = bucket.blob("from")
    source.upload_from_string(b"copied")
    target = bucket.blob("to")
    target.rewrite(source, if_generation_match=0)
    assert target.download_as_bytes() == b"copied"
    refused(PreconditionFailed, lambda: target.rewrite(source, if_generation_match=0))
    bucket.copy_blob(source, bucket, "copy")
    assert bucket.blob("copy").download_as_bytes() == b"copied"
    whole = bucket.blob("whole")
    whole.compose([source, target], if_generation_match=0)
    assert whole.download_as_bytes() == b"copiedcopied" and bucket.get_blob("whole").md5_hash is None


def batch():
    for name in ["x/1", "x/2"]:
        bucket.blob(name).upload_from_string(name)
    with client.batch():
        for name in ["x/1", "x/2"]:
            bucket.blob(name).delete()
    assert list(client.list_blobs(bucket, prefix="x/")) == []


for flow in [small, resumable, empty, parts, listing, copies, batch]:
    flow()
    print(flow.__name__)
