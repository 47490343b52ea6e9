"""What a verification finds, object by object and in all. Pure.

| finding         | what it says of an object                                             |
|-----------------|-----------------------------------------------------------------------|
| size-differs    | it has another size than the file                                     |
| content-differs | its bytes are not those of the file                                   |
| checksum-wrong  | the checksum stored with it is not that of its bytes                  |
| only-local      | there is a file and no object                                         |
| only-remote     | there is an object and no file                                        |
| altered         | it is not what the manifest says, or gone                             |
| unreadable      | it, or the file, could not be read                                    |
| archived        | it could not be read, or its key not be told: it is in an archive     |
| key-missing     | it is said to be under a customer key that is not at hand             |
| key-unknown     | it is under none of the customer keys at hand                         |
| unencrypted     | it was read without a customer key, and the server tells of no other  |
| server-side     | it was read without a customer key: it is under SSE-S3 or SSE-KMS     |
| unexpected-key  | it is under a key at hand, and not the one that it should be under    |
| not-proven      | whether it can be read without the key was not to be found out        |
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sealift.errors import Cause, VerifyError
from sealift.model import UNSEALED

# So many names of each finding are kept for the report; each was told when it was found.
MAX_NAMED = 100
# The form of `VerifyReport.record`; grows when a field goes or changes its meaning.
VERSION = 1


class Finding(enum.StrEnum):
    """The words are part of the interface: programs read them."""

    SIZE = "size-differs"
    CONTENT = "content-differs"
    CHECKSUM = "checksum-wrong"
    ONLY_LOCAL = "only-local"
    ONLY_REMOTE = "only-remote"
    ALTERED = "altered"
    UNREADABLE = "unreadable"
    ARCHIVED = "archived"
    KEY_MISSING = "key-missing"
    KEY_UNKNOWN = "key-unknown"
    UNENCRYPTED = "unencrypted"
    SERVER_SIDE = "server-side"
    UNEXPECTED_KEY = "unexpected-key"
    NOT_PROVEN = "not-proven"


class How(enum.StrEnum):
    """By what an object's content was found to be right."""

    CHECKSUM = "checksum"
    READING = "reading"
    SIZE = "size"


class Noticed(NamedTuple):
    """One finding of one object; `text` says it to people."""

    finding: Finding
    text: str
    hint: str = ""
    cause: Cause = Cause.PERMANENT


def error_of(noticed: Sequence[Noticed], which: str = "") -> VerifyError:
    """All that was noticed of one object, as the error by which a run reports it; `which` says of
    what version, if it is an older one."""
    hints = dict.fromkeys(one.hint for one in noticed if one.hint)
    return VerifyError(
        which + "; ".join(one.text for one in noticed),
        tuple(dict.fromkeys(one.finding.value for one in noticed)),
        hint="; ".join(hints),
        cause=noticed[-1].cause,
    )


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What is to be proven besides equal content.

    `is_sealed`: that no object can be read without its customer key, and which one that is; they
    should be under `key_id`, None: as rules, manifest, catalogue or the default key say. `is_deep`:
    by reading all bytes of the objects, whatever checksums are stored with them. `all_versions`:
    with `is_sealed`, and nothing local, the older versions in a versioned bucket too.
    """

    is_sealed: bool = False
    is_deep: bool = False
    key_id: str | None = None
    all_versions: bool = False


@dataclass(slots=True)
class VerifyReport:
    """What was verified, how, and with what result. Sizes in bytes, times in seconds.

    `remote` is the URI, `local` the directory or file, `manifest` the file that stands in its
    place; `endpoint` is the server's URL; `began` counts from the epoch. `rules` and the lines of
    the directory's `ignore_file` say what took no part, on both sides. `objects` took part, without
    those that are only local. `content` counts the objects whose content is right by what
    told it, `keys` those under each key id, UNSEALED for none.
    """

    remote: str
    local: str | None = None
    manifest: str | None = None
    endpoint: str = ""
    version: str = ""
    began: float = 0.0
    elapsed: float = 0.0
    is_sealed: bool = False
    is_deep: bool = False
    expected_key: str | None = None
    all_versions: bool = False
    rules: tuple[tuple[bool, str], ...] = ()
    ignore_file: tuple[str, ...] = ()
    object_count: int = 0
    object_size: int = 0
    content: dict[How, int] = field(default_factory=dict)
    sealed_count: int = 0
    keys: dict[str, int] = field(default_factory=dict)
    findings: dict[Finding, int] = field(default_factory=dict)
    names: dict[Finding, list[str]] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def is_verified(self) -> bool:
        """Whether nothing was found that should not be."""
        return not self.findings

    def note_object(self, size: int) -> None:
        """One more object takes part."""
        self.object_count += 1
        self.object_size += size

    def note_content(self, how: How) -> None:
        """The content of an object is right."""
        self.content[how] = self.content.get(how, 0) + 1

    def note_key(self, key_id: str) -> None:
        """An object is under this key, or UNSEALED."""
        self.keys[key_id] = self.keys.get(key_id, 0) + 1

    def note(self, name: str, noticed: Sequence[Noticed]) -> None:
        """All that was noticed of the object `name`."""
        for finding in dict.fromkeys(one.finding for one in noticed):
            self.findings[finding] = self.findings.get(finding, 0) + 1
            named = self.names.setdefault(finding, [])
            if len(named) < MAX_NAMED:
                named.append(name)

    def note_skipped(self, reason: str) -> None:
        """A file took no part."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def record(self) -> dict[str, object]:
        """The report for programs; documented in docs/verify.md."""
        return {
            "version": VERSION,
            "verified": self.is_verified,
            "remote": self.remote,
            "local": self.local,
            "manifest": self.manifest,
            "endpoint": self.endpoint,
            "sealift": self.version,
            "began": round(self.began, 3),
            "elapsed": round(self.elapsed, 3),
            "sealed": self.is_sealed,
            "deep": self.is_deep,
            "expected_key": self.expected_key,
            "all_versions": self.all_versions,
            "rules": [["include" if take else "exclude", glob] for take, glob in self.rules],
            "ignore_file": list(self.ignore_file),
            "object_count": self.object_count,
            "object_size": self.object_size,
            "content": {how.value: self.content.get(how, 0) for how in How},
            "sealed_count": self.sealed_count,
            "keys": {key_id: n for key_id, n in self.keys.items() if key_id != UNSEALED},
            "unsealed_count": self.keys.get(UNSEALED, 0),
            "findings": {one.value: self.findings.get(one, 0) for one in Finding},
            "names": {one.value: list(names) for one, names in self.names.items()},
            "skipped": dict(self.skipped),
        }
