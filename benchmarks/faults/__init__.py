"""The same faults for sealift and its peers: `python -m benchmarks.faults`.

A row is a fault and what is wanted then (`rows`); a trial is one client in one row, against a
scripted server of its own (`trial`). The server is the one that sealift's own tests use.
"""
