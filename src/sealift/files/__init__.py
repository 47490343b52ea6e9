"""The local disk: `walk` finds what to send, `source` reads it, `target` writes what comes back
and removes what is to go, `output` writes to stdout.

All functions block; `disk` runs them in threads.
"""
