"""Runs one command and writes down what it used: `launcher.py REPORT TIMEOUT DIRECTORY COMMAND...`.

A process of its own, and a small one: a child's peak of memory begins with that of the process it
was forked from, which for the whole benchmark would be more than some peers ever use.
"""

import os
import select
import sys
import time

# ru_maxrss is in KiB on Linux, in bytes on macOS (getrusage(2)).
RSS_UNIT = 1 if sys.platform == "darwin" else 1024
POLL_INTERVAL = 0.001
KILLED = 9


def main(report_file: str, timeout: str, directory: str, *command: str) -> None:
    os.chdir(directory)
    began = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ)
    timed_out = not has_ended(pid, float(timeout))
    wall = time.perf_counter() - began
    if timed_out:
        # its children end with the whole group, right after this process
        os.kill(pid, KILLED)
    _, wait_status, used = os.wait4(pid, 0)
    status = os.waitstatus_to_exitcode(wait_status)
    cpu = used.ru_utime + used.ru_stime
    with open(report_file, "w") as file:
        print(wall, cpu, used.ru_maxrss * RSS_UNIT, status, int(timed_out), file=file)


def has_ended(pid: int, timeout: float) -> bool:
    """Wait for the end of the process, which stays to be reaped."""
    if hasattr(os, "pidfd_open"):
        poll = select.poll()
        poll.register(os.pidfd_open(pid), select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    deadline = time.monotonic() + timeout
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_INTERVAL)
    return True


if __name__ == "__main__":
    main(*sys.argv[1:])
