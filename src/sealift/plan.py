"""What a command means: which file becomes which object, and the reverse. Pure.

The rule for trees is rsync's: a trailing `/` means "the contents", without one the last component
of the source is part of the name. `DST` of a tree is always a directory or prefix.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TypeVar

from sealift.errors import ObjectError, UnsafeNameError, UsageError
from sealift.files.walk import FileEntry
from sealift.model import MAX_NAME_SIZE, MAX_OBJECT_SIZE, Direction, Job, Location, RemoteObject

A = TypeVar("A")
T = TypeVar("T")
Path = str | os.PathLike[str]
Side = Path | Location
"""A local path, or an object or prefix, which text names as s3://BUCKET/NAME."""


class Naming(enum.StrEnum):
    """The names of restored files: those of the objects, or random ones with the same suffix."""

    KEEP = "keep"
    UUID = "uuid"


def check_name(name: str) -> None:
    """UnsafeNameError for names that S3 cannot hold.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html: 1024 bytes of UTF-8.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise UnsafeNameError("the name is not UTF-8", hint="rename the file") from None
    if size > MAX_NAME_SIZE:
        raise UnsafeNameError(
            f"the object's name would have {size} bytes, S3 allows {MAX_NAME_SIZE}",
            hint="shorten the path or the prefix",
        )
    if not name or "\0" in name:
        raise UnsafeNameError("the object's name would be empty or hold a NUL byte")


def check_size(size: int) -> None:
    """ObjectError for files that no object can hold."""
    if size > MAX_OBJECT_SIZE:
        raise ObjectError(
            f"the file has {size} bytes, an object at most {MAX_OBJECT_SIZE}",
            hint="split the file",
        )


def tree_prefix(source: str, destination: Location) -> Location:
    """Where the tree `source` goes below `destination`."""
    prefix = destination.name
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    base = os.path.basename(source)
    if base not in ("", ".", ".."):
        prefix += base + "/"
    return Location(destination.bucket, prefix)


def file_location(path: str, destination: Location) -> Location:
    """The object that the single file `path` becomes."""
    if destination.name and not destination.name.endswith("/"):
        return destination
    return destination.child(os.path.basename(path))


def prefix_names(source: Location) -> tuple[Location, str]:
    """The prefix to list for the tree `source`, and what is cut off the names found."""
    if not source.name or source.name.endswith("/"):
        return source, source.name
    return source.child("/"), source.name[: source.name.rfind("/") + 1]


def contents(prefix: Location) -> Location:
    """The prefix that stands for what is below it: with or without `/`, as aws s3 sync has it."""
    if not prefix.name or prefix.name.endswith("/"):
        return prefix
    return prefix.child("/")


def object_path(source: Location, destination: str, *, is_directory: bool) -> tuple[str, str]:
    """Directory and file name that the single object `source` is written to."""
    if is_directory or destination.endswith("/"):
        return destination, source.name.rsplit("/", 1)[-1]
    directory, name = os.path.split(destination)
    return directory or ".", name


def direction_of(source: str, destination: str) -> Direction:
    """What is asked for by two sides; UsageError when neither is an s3:// URI."""
    match source.startswith("s3://"), destination.startswith("s3://"):
        case True, True:
            return Direction.COPY
        case True, False:
            return Direction.DOWN
        case False, True:
            return Direction.UP
    raise UsageError("neither side is an s3:// URI", hint="write s3://BUCKET/NAME")


def upload_job(entry: FileEntry, prefix: Location) -> Job:
    """The upload of one entry of a tree; ObjectError when S3 cannot hold its name or its bytes."""
    location = prefix.child(entry.name)
    check_name(location.name)
    check_size(entry.size)
    return Job(Direction.UP, location, entry.path, entry.size)


def download_job(bucket: str, found: RemoteObject, cut: str, naming: Naming) -> Job:
    """The download of one listed object, with `cut` taken off the front of its name."""
    is_new = naming is Naming.UUID
    path = random_name(found.name) if is_new else found.name.removeprefix(cut)
    location = Location(bucket, found.name)
    return Job(
        Direction.DOWN, location, path, found.size, is_named_anew=is_new, listed_etag=found.etag
    )


def copied_object(source: Location, destination: Location) -> Location:
    """The object that the single object `source` is copied to."""
    return file_location(source.name, destination)


def copied_prefix(source: Location, destination: Location, *, same_server: bool) -> Location:
    """Where the objects of the prefix `source` go; `destination` always means a prefix.

    UsageError when the copy would find its own results, again and again.
    """
    name = destination.name
    prefix = destination if not name or name.endswith("/") else destination.child("/")
    listed, cut = prefix_names(source)
    inside = prefix.bucket == listed.bucket and prefix.name.startswith(listed.name)
    if same_server and inside and prefix.name != cut:
        raise UsageError(f"{prefix} is inside {source}", hint="copy to a prefix beside it")
    return prefix


def copy_job(source: Location, size: int, location: Location, etag: str = "") -> Job:
    """The copy of one object of `size` bytes; ObjectError when S3 cannot hold the new name."""
    check_name(location.name)
    return Job(Direction.COPY, location, source.name, size, source=source, listed_etag=etag)


def place_below(root: Location | str, name: str) -> str:
    """`name` below a prefix or a directory, as people are told of it."""
    if isinstance(root, Location):
        return str(root.child(name))
    return os.path.join(root, name)


def ends_of(job: Job, root: Location | str) -> tuple[str, str]:
    """Where a job takes its bytes from, and where it puts them, below `root`."""
    if job.direction is Direction.DOWN:
        return str(job.location), place_below(root, job.path)
    return str(job.source or job.path), str(job.location)


def is_marker(found: RemoteObject) -> bool:
    """Whether an object only stands for a directory, as consoles make them."""
    return found.name.endswith("/") and found.size == 0


def listed_root(source: Location) -> str:
    """What the names found below the tree `source` begin with; filters see the rest."""
    return prefix_names(source)[0].name


def random_name(name: str) -> str:
    """A random file name with the suffix of the object `name`."""
    import uuid

    return f"{uuid.uuid4()}{PurePosixPath(name).suffix}"


def usable(check: Callable[[A], T], argument: A) -> T:
    """Run a check on an argument of a command: its failure means that nothing was started."""
    try:
        return check(argument)
    except ObjectError as error:
        raise UsageError(error.message, hint=error.hint) from None


def location_of(where: Location | str) -> Location:
    """What an s3:// URI names. Raises UsageError."""
    return Location.parse(where) if isinstance(where, str) else where


def text_of(side: Side) -> str:
    """A path or an s3:// URI as text."""
    return str(side) if isinstance(side, Location) else os.fspath(side)
