"""The server process of `flows.server`: Prefect's API and UI on a socket that the parent opened.

Run as ``python -m flows.serve FD``. Standard input is a pipe whose other end the parent holds: when the parent
is gone, however it went, the pipe closes and the server stops.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading


def main() -> None:
    """Serve until a signal arrives or the parent is gone."""
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(create_app(final=True), log_level="warning", lifespan="on", timeout_graceful_shutdown=5)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])


def _stop_with_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
