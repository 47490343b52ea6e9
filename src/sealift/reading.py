"""One object to a stream: ranges of one version, several ahead, written in order.

The last range is held back until the CRC64NVME of all bytes agrees with the one stored with the
object: what fails is never complete, and an object of one range that fails is not begun.
"""

from __future__ import annotations

import anyio

from sealift.checksums import combine, crc64
from sealift.errors import IntegrityError, ObjectError
from sealift.fetching import fetch_range
from sealift.files.disk import Disk
from sealift.files.output import Output
from sealift.memory import Memory
from sealift.model import ByteRange, cut_ranges
from sealift.retry import Retrier
from sealift.wire.bucket import BucketClient, HeadFacts

# Ranges in memory at once, if not told otherwise.
READ_AHEAD = 8


class Reader:
    """Reads an object of known `head`, with at most `ahead` ranges in memory."""

    def __init__(
        self,
        objects: BucketClient,
        retrier: Retrier,
        memory: Memory,
        disk: Disk,
        *,
        range_size: int,
        ahead: int,
    ) -> None:
        self._objects = objects
        self._retrier = retrier
        self._memory = memory
        self._disk = disk
        self._range_size = range_size
        self._slots = anyio.Semaphore(ahead)

    async def read(self, name: str, head: HeadFacts, output: Output) -> None:
        """Write all bytes of the object. Raises ObjectError, and OSError where the output does.

        Errors come as an exception group.
        """
        reading = _Reading(name, head, output)
        turn = anyio.Event()
        turn.set()
        if head.size == 0:
            reading.check()
        async with anyio.create_task_group() as group:
            group.start_soon(_give_up_in_the_end, output)
            for span in cut_ranges(head.size, self._range_size):
                await self._slots.acquire()
                following = anyio.Event()
                group.start_soon(self._pass_range, reading, span, turn, following)
                turn = following
            await turn.wait()
            group.cancel_scope.cancel()

    async def _pass_range(
        self, reading: _Reading, span: ByteRange, turn: anyio.Event, following: anyio.Event
    ) -> None:
        # The buffer is kept over all attempts: a later range must not wait in it for this one.
        async with self._memory.buffer(span.size) as room:
            try:
                await fetch_range(
                    self._objects, self._retrier, reading.name, reading.head, span, room
                )
            except ObjectError as error:
                await turn.wait()
                raise reading.told(error) from None
            await turn.wait()
            await self._disk.run(reading.take, room)
        self._slots.release()
        following.set()


async def _give_up_in_the_end(output: Output) -> None:
    """When all is cancelled, a write must not wait for a reader that never comes."""
    try:
        await anyio.sleep_forever()
    finally:
        output.give_up()


class _Reading:
    """How far an object has been written."""

    def __init__(self, name: str, head: HeadFacts, output: Output) -> None:
        self.name = name
        self.head = head
        self._output = output
        self._written = 0
        self._crcs: list[tuple[int, int]] = []

    def take(self, data: memoryview) -> None:
        """Write the next range; the last one only when the checksum of all agrees."""
        self._crcs.append((crc64(data), len(data)))
        if self._written + len(data) == self.head.size:
            self.check()
        self._output.write(data)
        self._written += len(data)

    def check(self) -> None:
        """IntegrityError when the bytes so far have another checksum than is stored for all."""
        try:
            self.head.facts.check(combine(self._crcs))
        except IntegrityError as error:
            raise self.told(error) from None

    def told(self, error: ObjectError) -> ObjectError:
        """The error, with a word on what was written before it."""
        if self._written:
            size = self.head.size
            error.hint = f"{self._written} of {size} bytes were written: do not use them"
        return error
