"""Removes what a server took of ours and did not encrypt as it was asked to."""

from __future__ import annotations

import anyio

from sealift.errors import NotSealedError, ObjectError
from sealift.model import Location
from sealift.retry import Retrier
from sealift.wire.bucket import BucketClient

# How long the removal of an unsealed object is tried, whatever else happens.
REMOVAL_TIME = 30.0


async def remove_unsealed(
    objects: BucketClient,
    retrier: Retrier,
    location: Location,
    unsealed: NotSealedError,
    *,
    in_place: bool = False,
) -> None:
    """What the server took of ours without encrypting it as asked must not stay there.

    An interrupt waits for it, though not for long. What was written `in_place` of its own source
    is the only copy now: it stays, unless a versioned bucket has the source still.
    """
    if in_place and unsealed.version_id in (None, "null"):
        error = NotSealedError(
            f"{location} is stored {unsealed.stored}, and stays: there is no other copy",
            hint="copy it to a place of your own, then remove it",
        )
        error.stays = True
        raise error from None
    reason = "no answer in time"
    with anyio.move_on_after(REMOVAL_TIME, shield=True):
        try:
            await retrier.run(
                location.name, objects.delete_object, location.name, unsealed.version_id
            )
        except ObjectError as error:
            reason = str(error)
        else:
            return
    raise NotSealedError(
        f"{location} is stored {unsealed.stored} and could not be removed",
        hint=f"remove it yourself ({reason})",
    ) from None
