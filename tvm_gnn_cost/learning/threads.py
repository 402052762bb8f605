"""How many threads torch uses while the learner works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_threaded() -> Iterator[None]:
    """One torch thread inside, as many as before afterwards; also a decorator.

    The networks are small: threads gain little on an idle machine, and on a busy one they wait for each other and make
    an update twenty times slower. One thread also makes results independent of the number of cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
