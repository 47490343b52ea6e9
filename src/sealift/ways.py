"""The ways in which an object gets from S3 to S3, and which of them a server can. Pure."""

from __future__ import annotations

import enum
from collections.abc import Collection

from sealift.errors import NotSealedError, ObjectError, ReplyError, WrongCustomerKeyError
from sealift.model import GiB
from sealift.refusals import TAGGING

MAX_COPY_OBJECT_SIZE = 5 * GiB


class Way(enum.Enum):
    """How an object is copied."""

    OBJECT = "CopyObject"
    PARTS = "UploadPartCopy"
    STREAM = "GetObject and PutObject"


def choose_way(size: int, refused: Collection[Way]) -> Way:
    """The cheapest way for an object of `size` bytes that the server has not `refused`."""
    way = Way.OBJECT if size <= MAX_COPY_OBJECT_SIZE else Way.PARTS
    return Way.STREAM if way in refused else way


def is_beyond(error: ObjectError, *, in_place: bool) -> bool:
    """Whether a copy failed for what this server cannot do, so that streaming may do it.

    A wrong customer key counts: the server may have read the source under the other key. Streaming
    finds out, under the same keys. Ceph answers 400 to a copy `in_place`, also to another key.
    """
    if isinstance(error, NotSealedError | WrongCustomerKeyError):
        return True
    if not isinstance(error, ReplyError) or error.operation in TAGGING:
        return False
    return error.status in (405, 501) or (in_place and error.code == "InvalidRequest")
