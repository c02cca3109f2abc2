"""The archive as a test sees it: a server in a process of its own."""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.loopback import log
from tests.loopback.faults import Faults
from tests.loopback.library import Library
from tests.loopback.port import bound

if TYPE_CHECKING:
    from tests.loopback.tap import Tables

_ROOT = Path(__file__).parents[2]
_START_S = 60.0


class Loopback:
    """An archive on 127.0.0.1; a context manager.

    The port is the same for the life of this object, reserved while the server is down, so that a client that asks
    meanwhile is refused.

    Parameters
    ----------
    library : Library
        What it holds.
    faults : Faults
        What goes wrong.
    latency_s : float
        Wait before each answer.
    port : int
        0 for any.
    recorded : mapping of str to path
        Files that are sent instead of an answer of its own, by MAST service (``Mast.Caom.Filtered``) or by face.
    tables : tests.loopback.tap.Tables, optional
        What the table services hold; by default its sample.
    """

    def __init__(
        self,
        library: Library,
        faults: Faults | None = None,
        latency_s: float = 0.0,
        *,
        port: int = 0,
        recorded: Mapping[str, Path] | None = None,
        tables: Tables | None = None,
    ):
        self.library, self.faults, self.latency_s = library, faults or Faults(), latency_s
        self.recorded, self.tables = dict(recorded or {}), tables
        self._reserved = bound(port)
        self.port: int = self._reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = tempfile.TemporaryDirectory(prefix="loopback-")
        self._process: subprocess.Popen | None = None

    @property
    def log_file(self) -> Path:
        """Where the log is written."""
        return Path(self._folder.name) / "log.jsonl"

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def __enter__(self) -> Loopback:
        self.start()
        return self

    def __exit__(self, *exc) -> None:
        self.kill()
        self._reserved.close()
        self._folder.cleanup()

    def start(self) -> None:
        """Serve, again after `kill`: scripted faults go on where they were.

        Raises
        ------
        RuntimeError
            The server does not come up.
        """
        specification = Path(self._folder.name) / "specification.pickle"
        spec = {
            "library": self.library,
            "faults": self.faults,
            "latency_s": self.latency_s,
            "recorded": self.recorded,
            "tables": self.tables,
            "port": self.port,
            "log": self.log_file,
        }
        specification.write_bytes(pickle.dumps(spec))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.loopback.process", str(specification)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self._await("serving")

    def kill(self) -> None:
        """End the server with SIGKILL, in the middle of whatever it does; the log stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None

    def set_faults(self, faults: Faults) -> None:
        """Replace the faults of the running server; outages by refused connections are of a start alone."""
        self.faults = faults
        data = pickle.dumps(faults)
        self._process.stdin.write(len(data).to_bytes(8, "big") + data)
        self._process.stdin.flush()
        self._await("done")

    def overrides(self) -> dict[str, Any]:
        """Settings that lead to this archive, for `larun.config.load(**overrides)`."""
        return {
            "archives": {"mast_url": self.url, "lists_url": self.url, "cloud_url": f"{self.url}/stpubdata"},
            "catalogues": {
                "exoplanet_archive_url": f"{self.url}/TAP",
                "vizier_url": f"{self.url}/TAPVizieR/tap",
                "exofop_url": self.url,
            },
        }

    def astroquery_environment(self, folder: str | Path) -> dict[str, str]:
        """Environment of a process whose unmodified astroquery and lightkurve talk to this archive alone.

        Servers come from the configuration of astroquery, which it reads when it is imported. Names of stars go to a
        host that is written into astroquery's code (``http://mastresolver.stsci.edu``): the server is the HTTP proxy
        for that and for every other foreign host. Requests by HTTPS to a foreign host are refused and logged
        (face ``connect``).

        Parameters
        ----------
        folder : path
            For configuration and caches; made if it does not exist, used by nobody else.
        """
        folder = Path(folder).absolute()
        config, cache = folder / "config", folder / "cache"
        for place in (config, cache / "astropy", cache / "lightkurve"):
            place.mkdir(parents=True, exist_ok=True)
        (config / "astroquery.cfg").write_text(
            f"[mast]\nserver = {self.url}\ncatalogs_server = {self.url}\n"
            f"[ipac.nexsci.nasa_exoplanet_archive]\nurl_tap = {self.url}/TAP\n"
        )
        (config / "lightkurve.cfg").write_text(f"[config]\ncache_dir = {cache / 'lightkurve'}\n")
        proxies = {name: self.url for proxy in ("http_proxy", "https_proxy") for name in (proxy, proxy.upper())}
        direct = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost")
        return proxies | direct | {
            "ASTROPY_CONFIG_DIR": str(config),
            "ASTROPY_CACHE_DIR": str(cache),
            "XDG_CACHE_HOME": str(cache),
        }  # fmt: skip

    def requests(self, face: str = "") -> list[dict[str, Any]]:
        """The request log, in order of beginning.

        Returns
        -------
        list of dict
            ``face, method, path, host, name, target, service, fault, script, connection, request, start, end, status,
            sent``: times in seconds since 1970, `end` and `status` None for what was cut off by a kill, `sent`
            bytes of the body that went to the kernel, `fault` empty for a healthy answer, `host` where the server
            was asked as a proxy.
        """
        return [request for request in log.requests(self.log_file) if face in ("", request["face"])]

    def most_at_once(self, face: str = "") -> tuple[int, int]:
        """Most connections open, and most requests under way, at any moment; of one face, if it is given."""
        return log.most_at_once(self.log_file, face)

    def _await(self, word: str) -> None:
        ready, _, _ = select.select([self._process.stdout], [], [], _START_S)
        line = self._process.stdout.readline().decode().strip() if ready else "nothing"
        if line != word:
            self.kill()
            raise RuntimeError(f"the archive on loopback said {line!r} where {word!r} was expected")
