"""The public bucket: objects and their listing, as Amazon S3 answers anonymous requests."""

from __future__ import annotations

import re
from bisect import bisect_left
from xml.sax.saxutils import escape

from tests.loopback.answer import Answer, part, text
from tests.loopback.library import Held, Library

BUCKET = "/stpubdata/"
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_DATE = "2020-01-01T00:00:00.000Z"


def xml_error(status: int, code: str, message: str) -> Answer:
    """An error of S3."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return text(body, "application/xml", status)


def etag(item: Held) -> str:
    """A tag of an object that stays while the object does."""
    return f'"{item.target_id:016x}{item.size:016x}"'


def object_part(answer: Answer, item: Held, wanted: str) -> Answer:
    """An object, or the range of it that is wanted."""
    answer.headers |= {"etag": etag(item), "accept-ranges": "bytes"}
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted)
    if match is None:
        return answer
    size = answer.length
    first, last = match.groups()
    start = int(first) if first else max(size - int(last or 0), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= size:
        return xml_error(416, "InvalidRange", "The requested range is not satisfiable")
    headers = answer.headers | {"content-range": f"bytes {start}-{stop - 1}/{size}"}
    return Answer(206, part(answer, start, stop), headers)


def object_list(library: Library, query: dict[str, list[str]]) -> Answer:
    """ListObjectsV2: prefix, delimiter, max-keys, start-after, continuation-token."""

    def asked(name: str, otherwise: str = "") -> str:
        return query.get(name, [otherwise])[0]

    prefix, delimiter = asked("prefix"), asked("delimiter")
    after, most = asked("continuation-token") or asked("start-after"), int(asked("max-keys", "1000"))
    held = library.by_key
    keys = list(held)
    entries: list[str] = []
    common: list[str] = []
    last, truncated = "", False
    for key in keys[bisect_left(keys, prefix) :]:
        if not key.startswith(prefix):
            break
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        name = key[: cut + len(delimiter)] if cut >= 0 else key
        if name <= after or (cut >= 0 and common and common[-1] == name):
            continue
        if len(entries) + len(common) == most:
            truncated = True
            break
        (common if cut >= 0 else entries).append(name)
        last = name
    listed = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>{_DATE}</LastModified><ETag>{escape(etag(held[key]))}</ETag>"
        f"<Size>{held[key].size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for key in entries
    )
    folders = "".join(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in common)
    more = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if truncated else ""
    return text(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="{_NAMESPACE}"><Name>stpubdata</Name>'
        f"<Prefix>{escape(prefix)}</Prefix><KeyCount>{len(entries) + len(common)}</KeyCount><MaxKeys>{most}</MaxKeys>"
        f"<IsTruncated>{'true' if truncated else 'false'}</IsTruncated>{more}{listed}{folders}</ListBucketResult>",
        "application/xml",
    )
