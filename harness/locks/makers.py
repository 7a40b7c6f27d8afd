"""How the arena makes its locks: the class first, then the record of this name and number."""

from collections.abc import Callable
from typing import Any

from harness import _native
from harness.handles import channel, mutex, rwlock
from harness.locks.ranks import class_id
from harness.shm.arena import Arena

_KINDS: dict[str, tuple[str, Any, Callable[[Any, int], Any], dict[str, Any]]] = {
    "mutex": ("hd_mutex", _native.Mutex, mutex.at, {}),
    "rwlock": ("hd_rwlock", _native.RwLock, rwlock.at, {"may_sleep": True}),
    "channel": ("hd_channel", _native.Channel, channel.at, {}),
}


def make(arena: Arena, kind: str, class_name: str, instance: int, options: dict[str, Any]) -> Any:
    """The lock or channel of this class and number, made the first time.

    BadInput when its class was declared with another rank or other rules.
    """
    struct, record, at, defaults = _KINDS[kind]
    number = class_id(arena, class_name, options, **defaults)
    size = _native.LAYOUT[struct][0]
    offset = arena.named_lock(
        kind, class_name, instance, size, lambda at: record.format(arena.native, at, number, instance)
    )
    return at(arena, offset)


def require_same_class(arena: Arena, kind: str, class_name: str, options: dict[str, Any]) -> None:
    """BadInput when these options differ from those that the class of this name was declared with."""
    if options:
        class_id(arena, class_name, options, **_KINDS[kind][3])
