"""The compiled extension, looked at before its first use: is it of these sources?

An extension that was compiled before the sources changed lies beside them until it is compiled again, and
would fail somewhere with a name or an argument that it does not have.  ``from harness import _native`` comes
here (``harness.__getattr__``), and gets it, or one error that says what to type.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from harness.errors import ExtensionDoesNotFit

# What Python may ask of the extension: raised, here and in binding_module.c, with every change of its names,
# arguments or records.  A test holds the two numbers and the names together.
INTERFACE = 2
NAME = "harness._native"
ROOT = Path(__file__).resolve().parents[1]


def extension() -> ModuleType:
    """The module ``harness._native``.  ExtensionDoesNotFit: it is not there, or of other sources."""
    try:
        module = import_module(NAME)
    except ModuleNotFoundError as error:
        if error.name != NAME:
            raise
        raise ExtensionDoesNotFit(f"{NAME} is not compiled", how_to_build()) from None
    if (found := getattr(module, "INTERFACE", 0)) != INTERFACE:
        # Else the next import would find it without being asked.
        del sys.modules[NAME]
        vars(sys.modules["harness"]).pop("_native", None)
        why = f"{module.__file__} has interface {found}, and these sources need {INTERFACE}"
        raise ExtensionDoesNotFit(why, how_to_build())
    return module


def how_to_build() -> str:
    """What to type: in a checkout make knows the environment as well."""
    return "make setup" if (ROOT / "Makefile").exists() else "pip install --force-reinstall hangdog"
