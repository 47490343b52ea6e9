"""The two scripts this began with, without `await`: puts one file, and gets it back into tmp/.

    python examples/blocking_script.py report.pdf s3://my-bucket/report.pdf

It works in a notebook as it is.
"""

import sys

import sealift

path, uri = sys.argv[1:]
with sealift.blocking.Engine(sealift.load_options()) as engine:
    engine.put(path, uri).raise_for_failures()
    report = engine.get(uri)
    report.raise_for_failures()
print(report.path)
