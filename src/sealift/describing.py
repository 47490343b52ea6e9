"""How an object is described that takes the place of its source: as that was. Pure.

PutObject and CreateMultipartUpload take all of it along. CopyObject keeps metadata and tags by
itself, but neither storage class nor redirect nor locks; UploadPartCopy keeps nothing.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html

The ACL becomes the default one: an object's grants are no part of what is read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from sealift.metadata import PREFIX, TAGS
from sealift.wire.heads import RETAIN_UNTIL
from sealift.wire.tagging import KEY_ID_TAG, tagging_header

# User metadata may have 2 KiB in all.
MAX_NOTE_SIZE = 1024


class Described(NamedTuple):
    """`carried` are the headers of whatever begins an object with its tags, `kept` those that
    CopyObject needs besides. `tags` are those that the object is to have, `is_retagged` says that
    the source has others."""

    carried: dict[str, str]
    kept: dict[str, str]
    tags: dict[str, str]
    is_retagged: bool

    def for_parts(self) -> dict[str, str]:
        """What begins a multipart upload.

        Ceph 16 and MiniStack lose the tags, which are set again after Complete. They are noted in
        the metadata until the object is known to have them: a run may be killed in between.
        """
        header = tagging_header(self.tags)
        note = header.get("x-amz-tagging", "")
        if not note or len(note) > MAX_NOTE_SIZE:
            return self.carried
        return self.carried | {PREFIX + TAGS: note}


def describe(
    carried: Mapping[str, str],
    kept: Mapping[str, str],
    tags: Mapping[str, str],
    key_id: str,
    now: datetime,
) -> Described:
    """The description of an object that was so, and comes under the key `key_id` (or UNSEALED).

    A tag that names the old key names the new one. A retention that has ended cannot be set.
    """
    wanted = dict(tags)
    if KEY_ID_TAG in wanted:
        if key_id:
            wanted[KEY_ID_TAG] = key_id
        else:
            del wanted[KEY_ID_TAG]
    lasting = dict(kept)
    if RETAIN_UNTIL in lasting and _is_over(lasting[RETAIN_UNTIL], now):
        lasting = {
            name: value
            for name, value in lasting.items()
            if name not in (RETAIN_UNTIL, "x-amz-object-lock-mode")
        }
    return Described(
        {**carried, **lasting, **tagging_header(wanted)}, lasting, wanted, wanted != dict(tags)
    )


def _is_over(text: str, now: datetime) -> bool:
    try:
        until = datetime.fromisoformat(text)
    except ValueError:  # the server may know better
        return False
    return (until if until.tzinfo else until.replace(tzinfo=UTC)) <= now
