"""The exit statuses of all commands."""

EXIT_FAILED = 1
"""Some objects failed, each named; or what was looked for is not as it should be."""

EXIT_USAGE = 2
"""Wrong usage, settings or key: nothing was started."""

EXIT_INTERRUPTED = 130
"""By SIGINT, SIGTERM or SIGHUP."""
