"""Native libraries that write to standard error and offer no way to be told not to."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator

TENSORFLOW_STARTS = r"WARNING: All log messages before absl|I\d{4} "
"""What importing TensorFlow says whatever ``TF_CPP_MIN_LOG_LEVEL``: nothing that is wrong."""

_one_at_a_time = threading.RLock()


@contextlib.contextmanager
def without_chatter(known: str) -> Iterator[None]:
    """Hold back what is written to standard error, and at the end pass on all lines but the known ones.

    Python's `sys.stderr` is out of reach of native code, so the file descriptor of the whole process is turned
    aside; keep the body of ``with`` short.

    Parameters
    ----------
    known : str
        Regular expression of the lines to drop, matched at their beginning.
    """
    pattern = re.compile(known.encode())
    with contextlib.ExitStack() as stack:
        stack.enter_context(_one_at_a_time)
        try:
            kept = os.dup(2)
        except OSError:  # a process without standard error
            yield
            return
        stack.callback(os.close, kept)
        caught = stack.enter_context(tempfile.TemporaryFile())
        _flush()
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            _flush()
            os.dup2(kept, 2)
            caught.seek(0)
            passed = b"".join(line for line in caught if not pattern.match(line))
            with contextlib.suppress(OSError), os.fdopen(os.dup(2), "wb") as told:
                told.write(passed)


def _flush() -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
