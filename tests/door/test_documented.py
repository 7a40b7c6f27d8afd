"""Every public name says what it is, and how it is called: in help() and to inspect.signature().

Public are the names of the front door, the types of the extension, and what does not begin with an
underscore in any of their classes; of those, too, how they are made and used in a with block.
"""

import ast
import inspect
import re
import textwrap
import types
from collections.abc import Callable, Iterator

import msgspec
import pytest

import hangdog
from harness import _native

OURS = ("hangdog", "harness")
WITH = ("__enter__", "__exit__")
NATIVE = [value for value in vars(_native).values() if isinstance(value, type)]
CLASSES = sorted(
    {*NATIVE, *(value for name in hangdog.__all__ if isinstance(value := getattr(hangdog, name), type))},
    key=lambda cls: (cls.__module__, cls.__name__),
)


def own_members(cls: type) -> Iterator[tuple[str, object]]:
    """What our code, not the interpreter, put into the class and its bases."""
    for base in cls.__mro__:
        if base.__module__.split(".")[0] in OURS:
            for name, value in vars(base).items():
                if not name.startswith("_") or name in WITH:
                    yield name, value


def missing_in(cls: type) -> Iterator[str]:
    if not (cls.__doc__ or "").strip():
        yield "has no docstring"
    yield from () if issubclass(cls, BaseException) else unsigned(cls)
    for name, value in own_members(cls):
        function = getattr(cls, name) if isinstance(value, classmethod | staticmethod) else value
        if callable(function) and not isinstance(value, type):
            if name not in WITH and not (inspect.getdoc(function) or "").strip():
                yield f"{name} has no docstring"
            yield from (f"{name} {what}" for what in unsigned(function))
        elif isinstance(value, property | types.GetSetDescriptorType) and not value.__doc__:
            yield f"{name} has no docstring"
    told = " ".join(base.__doc__ or "" for base in cls.__mro__)
    for name in sorted(fields_of(cls)):
        if not re.search(rf"``{name}\b", told):
            yield f"the field {name} is not in the docstring"


def unsigned(function: object) -> Iterator[str]:
    try:
        inspect.signature(function, follow_wrapped=False)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        yield "has no signature"


def fields_of(cls: type) -> set[str]:
    """What an instance has beside methods and properties: of records, and what is declared in the class."""
    declared = {
        name for base in cls.__mro__ if base.__module__.split(".")[0] in OURS for name in annotated(base)
    }
    if issubclass(cls, msgspec.Struct):
        declared |= set(cls.__struct_fields__)
    for base in cls.__mro__:
        if base.__module__.split(".")[0] in OURS and inspect.isfunction(made := vars(base).get("__init__")):
            declared |= assigned(made)
    return {name for name in declared if not name.startswith("_")}


def assigned(made: Callable[..., object]) -> set[str]:
    """The attributes that ``__init__`` sets; the source says it, because no instance is there."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(made)))
    except OSError:  # made by dataclasses or msgspec, from the annotations
        return set()
    stored = [
        node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    ]
    return {node.attr for node in stored if isinstance(node.value, ast.Name) and node.value.id == "self"}


def annotated(base: type) -> set[str]:
    return set(inspect.get_annotations(base))


def test_the_front_door_and_the_extension_were_looked_at():
    names = {cls.__name__ for cls in CLASSES}

    assert {"Arena", "Mutex", "RwLock", "Side", "Channel", "Session", "RunResult", "Resolver"} <= names
    assert len(CLASSES) > 50


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_a_public_class_has_docstrings_and_signatures(cls):
    assert list(missing_in(cls)) == []


def test_what_is_no_class_is_told_where_the_names_are():
    told = hangdog.__doc__ or ""
    others = [name for name in hangdog.__all__ if not isinstance(getattr(hangdog, name), type)]

    assert [name for name in others if f"``{name}``" not in told] == []
    assert all(inspect.getdoc(value) for value in vars(_native).values() if inspect.isbuiltin(value))


def test_a_gap_would_be_seen():
    class Bare:
        __module__ = "harness.somewhere"
        field: int

        def __init__(self):
            self.other = self._hidden = 1

        def method(self):
            return self

        @property
        def prop(self):
            return self

    assert list(missing_in(Bare)) == [
        "has no docstring",
        "method has no docstring",
        "prop has no docstring",
        "the field field is not in the docstring",
        "the field other is not in the docstring",
    ]


def test_help_shows_how_a_lock_is_taken():
    shown = re.sub(".\b", "", inspect.getdoc(hangdog.Mutex.acquire) or "")

    assert "seconds have passed" in shown
    assert str(inspect.signature(hangdog.Mutex.acquire)) == "(self, /, blocking=True, timeout=-1)"
    assert str(inspect.signature(hangdog.Mutex)) == "(arena, offset)"


def test_the_stub_has_the_names_that_are_there():
    stub = hangdog.__file__.replace(".py", ".pyi")
    with open(stub) as file:
        typed = set(re.findall(r"^from \S+ import (\w+) as \1$", file.read(), re.MULTILINE))

    assert typed == {*hangdog.__all__, "errors"}
    assert hangdog.__version__.count(".") >= 1
    assert set(hangdog.errors.__all__) <= {*hangdog.__all__}
