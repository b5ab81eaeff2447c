"""Run packed files: NumPy in, NumPy out. Needs the native library, no torch."""

from reactnet.runtime._native import popcount_peak as popcount_peak
from reactnet.runtime._native import system as system
from reactnet.runtime.session import Session as Session
from reactnet.runtime.session import resize as resize

__all__ = ["Session", "popcount_peak", "resize", "system"]
