"""The fixtures of the instrument's tests: an arena, and processes that are led step by step."""

from tests.harness.conftest import actors, arena

__all__ = ["actors", "arena"]
