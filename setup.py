"""Only the extension module; everything else is in pyproject.toml.

The C core (no Python.h) and its binding (binding_*.c) live in one directory.
test_*.c there are programs of their own: ci/native.sh builds them, we do not.
A warning does not stop an installation, because each compiler has its own; `make check` refuses them.
"""

from glob import glob

from setuptools import Extension, setup

NATIVE = "harness/locks/native"
TESTS = set(glob(f"{NATIVE}/test_*.c"))

setup(
    ext_modules=[
        Extension(
            "harness._native",
            sources=sorted(set(glob(f"{NATIVE}/*.c")) - TESTS),
            depends=sorted([*glob(f"{NATIVE}/*.h"), *glob(f"{NATIVE}/*.inc")]),
            include_dirs=[NATIVE],
            extra_compile_args=[
                "-std=c11",
                "-D_GNU_SOURCE",
                "-Wall",
                "-Wextra",
                "-O3",
                "-flto",
                "-fno-plt",
                "-pthread",
                "-fvisibility=hidden",
            ],
            extra_link_args=["-pthread", "-flto", "-O3"],
        )
    ]
)
