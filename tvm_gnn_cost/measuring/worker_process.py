"""The process that makes the calls of a `WorkerPool`: run as a file, by its path and with the number of a socket.

It takes its parent's `sys.path` from the socket before it imports anything but the standard library.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from multiprocessing.connection import Connection

READY = b"ready"


def main(socket: int) -> None:
    """Import TVM, say so, then answer calls until the parent hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's matter
    os.set_inheritable(socket, False)  # or a compiler keeps it open when this process is dead
    parent = Connection(socket)
    sys.path[:] = parent.recv()
    import cloudpickle
    import tvm.auto_scheduler  # noqa: F401  # seconds, which are no call's

    parent.send_bytes(READY)
    while True:
        try:
            call = parent.recv_bytes()
        except (EOFError, OSError):
            return
        try:
            function, args = cloudpickle.loads(call)
            answer = cloudpickle.dumps((function(*args), None, ""))
        except Exception as error:
            trace = traceback.format_exc()
            try:
                answer = cloudpickle.dumps((None, error, trace))
            except Exception:  # an error that cannot travel
                answer = cloudpickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}"), trace))
        parent.send_bytes(answer)


if __name__ == "__main__":
    main(int(sys.argv[1]))
