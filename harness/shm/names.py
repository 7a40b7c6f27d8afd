"""Names in shared memory: bytes with a limit, shown again by every process that looks.

Guarantees: a name comes back as it was given.  Refuses what the fixed rows cannot hold or would cut short:
too many bytes, a NUL (the rows end there), half of a surrogate pair (no UTF-8).
"""

import os

from harness.errors import BadInput, require

Site = tuple[str, int, str]  # file, line, function; line 0: not known
_SHOWN = 60


def encoded(what: str, name: str, most: int) -> bytes:
    """``name`` in UTF-8.  BadInput when it is empty, has more than ``most`` bytes, or cannot be kept."""
    require(isinstance(name, str), what, name, "a str")
    try:
        data = name.encode()
    except UnicodeEncodeError:
        raise BadInput(f"{what} {shown(name)} has half of a surrogate pair: it is no UTF-8") from None
    if b"\0" in data:
        raise BadInput(f"{what} {shown(name)} has a NUL")
    if not 0 < len(data) <= most:
        raise BadInput(f"{what} {shown(name)} has {len(data)} bytes: it must have 1 to {most}")
    return data


def shown(name: str) -> str:
    """Quoted, in ASCII, and not longer than a line."""
    return ascii(name if len(name) <= _SHOWN else name[:_SHOWN] + "...")


def role_of(worker: str) -> str:
    """The role of a worker or of its seat by its name, ``role#index``."""
    return worker.partition("#")[0]


def shorten(file: str) -> str:
    """Relative to where we are, when it lies below; a path of this machine says nothing elsewhere."""
    here = os.getcwd() + "/"  # not by pathlib: a look asks for many places, and must be short
    return file.removeprefix(here)


def site_text(site: Site) -> str:
    """file:line function; "?" when it is not known."""
    file, line, function = site
    return f"{shorten(file)}:{line} {function}" if line else "?"
