"""The local disk: `walk` finds what to send, `source` reads it, `target` writes what comes back.

All functions block; `disk` runs them in threads.
"""
