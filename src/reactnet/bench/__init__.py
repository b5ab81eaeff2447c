"""Measure packed files, and what one would run instead. Peers are loaded only when asked for."""

from reactnet.bench.measure import measure as measure

__all__ = ["measure"]
