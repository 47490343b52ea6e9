"""`sealift` whose watchdog bites sooner and whose waits are shorter: a soak has no time to lose."""

from __future__ import annotations

from functools import partial

import sealift.cli.engine_options
from sealift.__main__ import main
from sealift.options import Options
from sealift.retry import Policy
from sealift.wire.connection import Deadlines

# Seconds without a byte: more than a server on a busy machine needs for a part.
PATIENCE = 4.0

if __name__ == "__main__":
    sealift.cli.engine_options.Options = partial(  # type: ignore[misc]
        Options,
        policy=Policy(budget=90.0, longest_wait=0.5),
        deadlines=Deadlines(progress=PATIENCE),
    )
    main()
