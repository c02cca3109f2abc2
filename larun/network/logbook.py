"""Curves of a training as a TensorBoard log: an event file that `tensorboard --logdir` shows.

Written here because TensorFlow's writer puts the clock into every event, and because JAX has none: equal trainings give
equal files. The format is TFRecord (length, data, masked CRC-32C of both) around protobuf messages ``Event`` of
tensorboard/compat/proto/event.proto, of which wall time (1), step (2), file version (3) and summary (5) are used.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import google_crc32c

LOG_FILE = "logs/events.out.tfevents.0.larun"
"""Name within a bundle; TensorBoard looks for ``tfevents``."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MASK_DELTA = 0xA282EAD8


def event_file(history: Sequence[dict[str, float]]) -> bytes:
    """Scalars of every epoch.

    Parameters
    ----------
    history : sequence of dict
        Per epoch, counted from 1, values by name.

    Returns
    -------
    bytes
        Contents of the event file; the wall time of every event is its epoch, in seconds.
    """
    events = [_event(0, _field(3, _BYTES, b"brain.Event:2"))]
    for epoch, scores in enumerate(history, 1):
        values = b"".join(_field(1, _BYTES, _value(name, scores[name])) for name in sorted(scores))
        events.append(_event(epoch, _field(5, _BYTES, values)))
    return b"".join(map(_record, events))


def _value(name: str, value: float) -> bytes:
    return _field(1, _BYTES, name.encode()) + _field(2, _FIXED32, struct.pack("<f", value))


def _event(step: int, content: bytes) -> bytes:
    return _field(1, _FIXED64, struct.pack("<d", step)) + _field(2, _VARINT, _varint(step)) + content


def _field(number: int, wire: int, content: bytes) -> bytes:
    length = _varint(len(content)) if wire == _BYTES else b""
    return _varint(number << 3 | wire) + length + content


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)
