"""What an endpoint can do: object size by requests in flight by part size, up and down.

cells    what is measured, and in which order           pure
samples  requests as they were timed; quantiles         pure
results  a measured cell, and its JSON form             pure
advice   the knee and the settings to recommend         pure
changes  what differs from an earlier run               pure
load     puts an endpoint under the load of one cell
objects  what a run stores, and its removal
sweep    all cells, one after the other
plots    results as SVG                                 needs matplotlib
page     results as one HTML page
"""
