"""The console script's first steps: from here on Ctrl-C and SIGTERM end it with a message and exit code 130.

Imports nothing but what the interpreter has loaded anyway: all the rest takes a while, in which a user may
interrupt, or a job's time limit may end.
"""

import os
import signal
import sys

INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Load the command line and hand over to it."""
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from stress.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("hangdog: interrupted\n  try: hangdog --help\n")
        sys.stderr.flush()
        # Modules may be half loaded: nothing of theirs may run any more.
        os._exit(INTERRUPTED)
