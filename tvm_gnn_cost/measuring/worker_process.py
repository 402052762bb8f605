"""The process that makes the calls of a `WorkerPool`: run as a file, by its path and with the number of a socket.

It takes its parent's `sys.path`, and what else to import, from the socket before it imports anything but the standard
library.
"""

from __future__ import annotations

import importlib
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
    sys.path[:], modules = parent.recv()
    import cloudpickle

    for module in ("tvm", *modules):  # seconds, which are no call's
        importlib.import_module(module)

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
