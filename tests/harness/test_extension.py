"""An extension that does not belong to the sources beside it is refused, with what to type."""

import hashlib
import importlib.machinery
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from harness import _native, extension
from tests.waiting import LIMIT_S

ROOT = Path(__file__).resolve().parents[2]
# Names, methods, constants and records that Python may ask for.  When this is another one: raise INTERFACE in
# harness/extension.py and in harness/locks/native/binding_module.c, and write the new one here.
SURFACE = "95de9c319a27a416"

OLD = """
#include <Python.h>
static struct PyModuleDef old = {PyModuleDef_HEAD_INIT, .m_name = "harness._native"};
PyMODINIT_FUNC PyInit__native(void) { return PyModule_Create(&old); }
"""


def surface() -> str:
    types = {name: kind for name, kind in vars(_native).items() if isinstance(kind, type)}
    names = [
        f"{name}.{part}{getattr(member, '__text_signature__', '')}"
        for name, kind in types.items()
        for part, member in vars(kind).items()
        if not part.startswith("__")
    ]
    fields = [
        f"{struct}.{name}:{code}*{count}"
        for struct, (_, rows) in _native.LAYOUT.items()
        for name, _, code, count in rows
    ]
    text = "\n".join(sorted([*dir(_native), *names, *fields, *_native.CONSTANTS]))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def tree_in(folder: Path) -> Path:
    """Our packages without the extension, compiled modules included."""
    for package in ("harness", "hangdog", "stress", "vmcore"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("*.so"))
    (folder / "Makefile").touch()
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return tree_in(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The same, with an extension that has no interface number and none of our names."""
    tree = tree_in(tmp_path_factory.mktemp("old"))
    source = tree / "old.c"
    source.write_text(OLD)
    target = tree / "harness" / f"_native{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    include = sysconfig.get_paths()["include"]
    subprocess.run(
        [*compiler, "-shared", "-fPIC", f"-I{include}", "-o", target, source], check=True, timeout=LIMIT_S
    )
    return tree


def run(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A program that finds installed packages, but not ours that are installed from here."""
    return subprocess.run(
        [sys.executable, "-S", "-W", "error", *words],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), sysconfig.get_path("purelib")])},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


# Each of them, as the first import of a program; then once more, after the error was caught.
FIRST = [
    "from harness import _native",
    "from hangdog import Side",
    "from harness.handles import Mutex",
    "import vmcore.vm",
]


@pytest.mark.parametrize("first", FIRST)
def test_an_older_extension_is_one_error_that_says_what_to_type(old, first):
    program = f"""
for _ in range(2):
    try:
        {first}
    except ImportError as error:
        print(type(error).__name__, error, error.hint, sep="|")
"""
    ended = run(old, "-c", program)

    so = old / "harness" / f"_native{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    said = f"{so} has interface 0, and these sources need {extension.INTERFACE}: "
    said += "compile the extension again with `make setup`"
    assert ended.stdout.splitlines() == 2 * [f"ExtensionDoesNotFit|{said}|make setup"]
    assert ended.stderr == ""


def test_the_command_line_says_it_in_two_lines(old):
    ended = run(old, "-m", "hangdog", "run")

    said, remedy = ended.stderr.splitlines()
    assert said.startswith("hangdog: ")
    assert f" has interface 0, and these sources need {extension.INTERFACE}: " in said
    assert remedy == "  try: make setup"
    assert ended.returncode == 4


def test_a_missing_extension_is_said_in_the_same_way(bare):
    ended = run(bare, "-c", "from hangdog import Mutex")

    assert ended.stderr.splitlines()[-1] == (
        "harness.errors.ExtensionDoesNotFit: harness._native is not compiled: "
        "compile the extension again with `make setup`"
    )


def test_outside_of_a_checkout_the_error_says_pip(bare):
    (bare / "Makefile").unlink()

    said = run(bare, "-c", "from hangdog import Mutex").stderr

    assert "with `pip install --force-reinstall hangdog`" in said


def test_the_number_of_the_interface_changes_with_its_names():
    assert _native.INTERFACE == extension.INTERFACE
    assert surface() == SURFACE, "raise INTERFACE: see SURFACE in this file"
