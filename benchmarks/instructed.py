"""The client whose instructions are counted: `python -m benchmarks.instructed PHASES` in callgrind.

Engine, console and event loop are built as the command line builds them, except that the number of
requests in flight is fixed. What happens once (imports, connections, threads) happens in phases
that are not counted.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.callgrind import Counting
from sealift.cli.running import run_engine
from sealift.console import open_console
from sealift.engine import Engine
from sealift.events import Reporter
from sealift.keys import CustomerKey
from sealift.model import MIN_PART_SIZE
from sealift.options import Options

# The interpreter changes threads every 5 ms, and callgrind makes these a fiftieth of what they are.
_SWITCH_INTERVAL = 0.25


@dataclass(frozen=True, slots=True)
class Phase:
    """One copy, counted when it has a label."""

    label: str | None
    source: str
    destination: str
    concurrency: int


def run(phases: Sequence[Phase], customer_key: CustomerKey, reporter: Reporter) -> None:
    """Run the phases in turn; those of the same concurrency share an engine."""
    counting = Counting()

    async def command(first_engine: Engine) -> None:
        engines = {phases[0].concurrency: first_engine}
        is_on = False
        async with AsyncExitStack() as stack:
            for phase in phases:
                engine = engines.get(phase.concurrency)
                if engine is None:
                    engine = Engine(_options(phase, customer_key), reporter)
                    engines[phase.concurrency] = await stack.enter_async_context(engine)
                if phase.label is not None and not is_on:
                    counting.start()
                    is_on = True
                counting.zero()
                await engine.copy(phase.source, phase.destination)
                if phase.label is not None:
                    counting.dump(phase.label)

    run_engine(_options(phases[0], customer_key), reporter, command)


def _options(phase: Phase, customer_key: CustomerKey) -> Options:
    return Options(customer_key, concurrency=phase.concurrency, part_size=MIN_PART_SIZE)


def main() -> None:
    gc.disable()  # as the command does, until run_engine turns collection on
    sys.setswitchinterval(_SWITCH_INTERVAL)
    path, key_file = sys.argv[1:]
    phases = [Phase(**fields) for fields in json.loads(Path(path).read_text())]
    with open_console(quiet=True, json=False, progress=False, heading="", key_id=None) as console:
        run(phases, CustomerKey.from_file(key_file), console)
    if console.tally.failed_count:
        sys.exit(1)


if __name__ == "__main__":
    main()
