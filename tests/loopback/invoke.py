"""MAST's portal: `invoke` and `columnsconfig`."""

from __future__ import annotations
import json
from urllib.parse import parse_qs
from tests.loopback.answer import Answer, data_json


def service_of(body: bytes) -> str:
    return json.loads(parse_qs(body.decode())["request"][0])["service"]


class Portal:
    def __init__(self, library):
        self.library = library

    def answer(self, body, executing=False) -> Answer:
        return data_json({"status": "ERROR", "msg": "not yet"})


def columns_config(body):
    return {}
