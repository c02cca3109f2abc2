"""Columns out of rows beside numpy's record types, and their sum beside plain arithmetic."""

import numpy as np
import pytest

from larun.archive.rows import LONG, NARROWED, SHORT, gather

FORMATS = {SHORT: ">u4", LONG: ">u8", NARROWED: ">f8"}


def table(n_words, n_rows, columns, words_after):
    """Random rows whose real numbers fit float32, as words in memory and as numpy reads them."""
    rng = np.random.default_rng([n_words, n_rows, words_after])
    raw = bytearray(rng.bytes(4 * (n_words * n_rows + words_after)))
    names = [f"c{place}" for place, _ in columns]
    dtype = np.dtype(
        {
            "names": names,
            "formats": [FORMATS[kind] for _, kind in columns],
            "offsets": [4 * place for place, _ in columns],
            "itemsize": 4 * n_words,
        }
    )
    records = np.frombuffer(raw, dtype, count=n_rows)
    for name, (_, kind) in zip(names, columns, strict=True):
        if kind == NARROWED:
            records[name] = rng.normal(0, 1e30, n_rows)
            records[name][::7] = [np.nan, np.inf, -0.0, 1e-50, 1.0][n_words % 5]
    return np.frombuffer(bytes(raw), np.uint32), records, names


def gathered(words, n_words, n_rows, columns):
    places, kinds = (np.array(values) for values in zip(*columns, strict=True))
    n_long = int((kinds == LONG).sum())
    short, long = np.zeros((len(columns) - n_long, n_rows), np.uint32), np.zeros((n_long, n_rows), np.uint64)
    total, n_lost = gather(words, n_words, places, kinds.astype(np.uint8), short, long)
    return short, long, total, n_lost


@pytest.mark.parametrize("words_after", [0, 3, 100])
@pytest.mark.parametrize("n_rows", [1, 15, 16, 17, 100])
@pytest.mark.parametrize(
    ("n_words", "columns"),
    [
        (3, [(1, NARROWED), (0, SHORT)]),
        (10, [(8, LONG), (0, LONG), (2, SHORT), (4, NARROWED)]),
        (16, [(15, SHORT), (14, LONG)]),
        (25, [(0, LONG), (2, SHORT), (17, NARROWED), (20, NARROWED), (24, SHORT)]),
        (33, [(15, NARROWED), (31, LONG), (32, SHORT)]),
    ],
)
def test_columns_are_those_that_numpy_reads(n_words, columns, n_rows, words_after):
    words, records, names = table(n_words, n_rows, columns, words_after)
    short, long, total, n_lost = gathered(words, n_words, n_rows, columns)
    shorts, longs = iter(short), iter(long)
    for name, (_, kind) in zip(names, columns, strict=True):
        got, expected = next(longs if kind == LONG else shorts), records[name]
        if kind == NARROWED:
            np.testing.assert_array_equal(got.view(np.float32), expected.astype(np.float32))
        else:
            np.testing.assert_array_equal(got, expected)
    assert total == sum(words[: n_words * n_rows].byteswap().tolist())
    assert n_lost == 0


@pytest.mark.parametrize("row", range(18))
def test_numbers_that_float32_cannot_hold_are_counted(row):
    values = np.zeros(18, ">f8")
    values[row] = -4e38
    values[row - 1] = np.inf
    *_, n_lost = gathered(np.frombuffer(values.tobytes(), np.uint32), 2, 18, [(0, NARROWED)])
    assert n_lost == 1
