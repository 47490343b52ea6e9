"""Kill -9, at every system call and at any time, and what a later run makes of it.

`boundaries` counts system calls and kills at one of them, `nursery` makes a run cheap, `sweep` goes
through all boundaries of single transfers, `soak` kills syncs at random against a real server, and
`traces` looks for what must not be left. `python -m tests.kills` runs a whole sweep (some 1,700
kills, a quarter of an hour on two cores) or, with `--server ceph`, a soak of 200 kills a direction.
"""
