"""The options of the engine, from flags and settings."""

from __future__ import annotations

import sys

from sealift.cli.quick import aim
from sealift.cli.shared import SAME_SIDE, Shared, SourceSide
from sealift.config import Transfer
from sealift.encryption import CUSTOMER, parse_sse
from sealift.errors import UsageError
from sealift.key_sources.files import read_key_file
from sealift.keyring import Keyring
from sealift.model import DEFAULT_PART_SIZE, parse_size
from sealift.options import DEFAULT_MEMORY, Options, SourceOptions
from sealift.settings import Settings


def make_options(
    shared: Shared,
    settings: Settings,
    *,
    sealed: bool,
    source: SourceOptions | None = None,
    allow_unsealed: bool = False,
    writes: bool = True,
    tag_key_id: bool = False,
    keyring: Keyring | None = None,
) -> Options:
    """The engine's options from flags and settings. Raises UsageError."""
    # Commands that need no key transfer nothing: sealift.toml need not be read for them.
    transfer = settings.keys.config.transfer if sealed else Transfer()
    encryption = None
    if not seals(shared):
        encryption, sealed = parse_sse(shared.sse or ""), False
    if tag_key_id and not sealed:
        raise UsageError("--tag-key-id is for objects under a customer key", hint="leave it out")
    any_key = sealed and not writes and len(settings.keyring)
    part_size = parse_size(shared.part_size) if shared.part_size else transfer.part_size
    return Options(
        customer_key=(settings.customer_key if any_key else settings.require_customer_key())
        if sealed
        else None,
        profile=shared.profile or settings.profile,
        region=shared.region,
        endpoint_url=shared.endpoint_url,
        ca_bundle=shared.ca_bundle,
        concurrency=transfer.concurrency if shared.concurrency is None else shared.concurrency,
        part_size=DEFAULT_PART_SIZE if part_size is None else part_size,
        memory=parse_size(shared.memory) if shared.memory else DEFAULT_MEMORY,
        max_bandwidth=parse_size(shared.max_bandwidth) if shared.max_bandwidth else None,
        source=source,
        allow_unsealed=allow_unsealed,
        keyring=keyring or (settings.keyring if sealed else Keyring()),
        encryption=encryption,
        tag_key_id=tag_key_id,
        words=tuple(sys.argv[1:]),
        aim=aim(sys.argv[1:]),
    )


def source_options(
    side: SourceSide, shared: Shared, settings: Settings, *, across: bool
) -> SourceOptions | None:
    """How the source of a copy is reached, what was not given as the destination is.

    All keys at hand may be tried on it; a server of its own is shown no more than those of its key
    file. None when it is all the same; `across`: both sides are in S3. Raises UsageError.
    """
    differs = across and not seals(shared) and len(settings.keyring) > 0
    if side == SAME_SIDE and not differs:
        return None
    is_sealed = side.source_sse in (None, CUSTOMER)
    if not is_sealed and side.source_key_file is not None:
        raise UsageError(
            f"--source-sse {side.source_sse} takes no customer key",
            hint="leave --source-key-file or --source-sse out",
        )
    customer_key = settings.customer_key if is_sealed else None
    keyring = settings.keyring if is_sealed else Keyring()
    if side.source_key_file is not None:
        held = read_key_file(side.source_key_file)
        customer_key = held[0].key
        is_elsewhere = side.source_endpoint_url not in (None, shared.endpoint_url)
        keyring = Keyring(held) if is_elsewhere else keyring.with_more(held)
    elif is_sealed and (side.source_sse is not None or seals(shared)):
        customer_key = settings.require_customer_key()
    return SourceOptions(
        customer_key=customer_key,
        profile=side.source_profile or shared.profile or settings.profile,
        region=side.source_region or shared.region,
        endpoint_url=side.source_endpoint_url or shared.endpoint_url,
        ca_bundle=side.source_ca_bundle or shared.ca_bundle,
        keyring=keyring,
    )


def seals(shared: Shared) -> bool:
    """Whether objects are under a customer key."""
    return shared.sse in (None, CUSTOMER)
