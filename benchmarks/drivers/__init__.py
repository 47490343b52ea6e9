"""The library peers as programs: `python -m benchmarks.drivers.NAME up|down`.

Each runs in the peer's own environment and may import nothing of sealift.
"""
