"""The peak of a process's memory. It starts at that of the process which started it: so a small one
starts it."""
import subprocess
import sys

PEAK = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
print(used.ru_maxrss * 1024, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def run_within(program, *args, most):
    """The finished process, which took no more bytes than it may."""
    done = subprocess.run([sys.executable, "-c", PEAK, program, *map(str, args)],
                          capture_output=True, text=True, check=False)
    assert int(done.stderr.splitlines()[-1]) <= most
    return done
