"""Errors that larun raises. Each says what was expected, what came and what to do.

::

    LarunError
    ├── ConfigurationError        a setting is unknown, malformed or contradicts another
    ├── InputError                a file or argument of the user cannot be used
    ├── ProductError              one target's product; becomes that target's status
    │   ├── ProductAbsent         status absent: the archive has no such product
    │   ├── ProductCorrupt        status corrupt: it arrived and failed verification
    │   ├── ProductUnreachable    status unreachable: transient, worth a repair run
    │   └── ProductRejected       status rejected: too few good cadences, or off the sector's grid
    ├── ArchiveError              an archive as a whole does not serve; no target's fault
    │   ├── ArchiveOutage         out of service for longer than a run waits; the run is deferred
    │   └── ArchiveRefused        credentials or rights; waiting changes nothing
    ├── CatalogueError            a catalogue cannot be had, or is not what was expected; the match is deferred
    │   └── CatalogueUnreachable  its service does not answer; others of that service will not either
    ├── StoreError                a survey root cannot be read or written
    │   ├── PlanMismatch          the store holds another plan; names the fields that differ
    │   └── NotInStore            a sector, run or target that the store does not hold
    ├── BundleError               a model bundle is incomplete, altered or of another version
    ├── DeviceMemoryError         the device that trains has not enough memory for a batch
    └── RunFailed                 a survey run ended without its result
        └── RunDeferred           an archive was out of service, or another run holds the lease; run it again later

`ProductUnreachable` and `ArchiveOutage` are the transient classes: retrying any other changes nothing.
"""

from __future__ import annotations


class LarunError(Exception):
    """Base of every error that larun raises on purpose."""


class ConfigurationError(LarunError):
    """A setting is unknown, malformed or contradicts another."""


class InputError(LarunError):
    """A file or argument given by the user cannot be used."""


class ProductError(LarunError):
    """One target's product cannot be stored; `status` is what the ledger records."""

    status: str


class ProductAbsent(ProductError):
    """The archive has no such product."""

    status = "absent"


class ProductCorrupt(ProductError):
    """The product arrived and failed verification."""

    status = "corrupt"


class ProductUnreachable(ProductError):
    """The archive did not deliver; transient, worth a repair run."""

    status = "unreachable"


class ProductRejected(ProductError):
    """The product is sound but holds too little to be searched."""

    status = "rejected"


class ArchiveError(LarunError):
    """An archive as a whole does not serve; no target is to blame and none gets a status."""


class ArchiveOutage(ArchiveError):
    """An archive is out of service for longer than a run waits; what remains is done by a later run."""


class ArchiveRefused(ArchiveError):
    """An archive refuses us: credentials, rights, or a proxy that answers in its place."""


class CatalogueError(LarunError):
    """A catalogue cannot be had, or is not what was expected."""


class CatalogueUnreachable(CatalogueError):
    """The service of a catalogue does not answer; asking it for others is of no use now."""


class StoreError(LarunError):
    """A survey root cannot be read or written."""


class PlanMismatch(StoreError):
    """The store holds another plan; `fields` names what differs."""

    def __init__(self, message: str, fields: tuple[str, ...]):
        super().__init__(message)
        self.fields = fields


class NotInStore(StoreError):
    """A sector, run or target that the store does not hold."""


class BundleError(LarunError):
    """A model bundle is incomplete, altered or of another version."""


class DeviceMemoryError(LarunError):
    """The device that trains has not enough memory for a batch."""


class RunFailed(LarunError):
    """A survey run ended without its result."""


class RunDeferred(RunFailed):
    """A survey run that must go on later: what it did stays, and it names what is missing."""
