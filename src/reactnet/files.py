"""Reading a file that may be anything: only a regular one, never waiting for it, no more of it than was agreed to."""

import os
import stat
from pathlib import Path

from reactnet.errors import ReactnetError

MAX_TEXT = 2**24  # of a recipe, a list of class names: a thousand times what one has


def read_regular(path: Path, *, most: int, hint: str) -> bytes:
    """The bytes of the regular file at `path`, links followed.

    Raises ReactnetError, with `hint`, for a FIFO (opening one would wait for a writer), a device (which may never end),
    a folder, more than `most` bytes, and what cannot be opened or read. FileNotFoundError and NotADirectoryError pass,
    since to some a missing file is no mistake.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ReactnetError(f"{path}: not a regular file", hint=hint)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(most + 1)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise ReactnetError(f"{path}: {error.strerror}", hint=hint) from error
    except ValueError as error:  # a NUL in the path
        raise ReactnetError(f"{str(path)!r}: {error}", hint=hint) from error
    if len(data) > most:
        raise ReactnetError(f"{path}: more than {most} bytes", hint=hint)
    return data


def read_existing(path: Path, *, most: int, hint: str) -> bytes:
    """`read_regular` of a file that must be there: a missing one is a ReactnetError too."""
    try:
        return read_regular(path, most=most, hint=hint)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ReactnetError(f"{path}: {error.strerror}", hint=hint) from error


def read_text(path: Path, *, hint: str) -> str:
    """`read_existing` of at most 16 MiB of UTF-8."""
    try:
        return read_existing(path, most=MAX_TEXT, hint=hint).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ReactnetError(f"{path}: not UTF-8 text: {error.reason}", hint=hint) from error
