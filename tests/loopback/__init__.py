"""An archive on loopback: MAST, its bulk lists, the public bucket and the catalogues, with scripted faults.

from tests.loopback import Faults, Library, Loopback

with Loopback(Library.tiny([11, 12]), Faults(script={11: ["503", "truncated"]})) as server:
    settings = larun.config.load(**server.overrides())
    ...
    server.requests()
"""

from tests.loopback.faults import Fault, Faults, Outage
from tests.loopback.library import Held, Library
from tests.loopback.server import Loopback

__all__ = ["Fault", "Faults", "Held", "Library", "Loopback", "Outage"]
