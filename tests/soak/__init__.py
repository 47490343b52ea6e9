"""Trees go up and come back for minutes, through faults and kills, and nothing may be lost.

`python -m tests.soak --minutes 10 --seed 7 --server both`, or `make soak`. Modules: `tree` (what
changes on the disk), `commands` (the program, run and killed), `rounds` (what is done, and what
must hold after it), `impatient` (the program as it is run here).

The same seed makes the same edits, commands and faults; when a kill strikes depends on the machine.
"""
