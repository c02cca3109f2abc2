"""Order statistics inside compiled kernels."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def select(values, n, k):
    """Return the k-th smallest of ``values[:n]`` (Hoare's quickselect), which is reordered; no NaN allowed."""
    low, high = 0, n - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]


@njit(cache=True, nogil=True)
def median(values, n):
    """Return the (upper) median of ``values[:n]``, which is reordered; no NaN allowed, n > 0."""
    return select(values, n, n // 2)
