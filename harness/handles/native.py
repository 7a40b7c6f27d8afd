"""Types of the extension that a program gets as they are: what holds a lock, and the sides of one."""

from harness import _native

Holder = _native.Holder
RwHolder = _native.RwHolder
Side = _native.Side
