"""What a run refuses: the fact with its values, a command to try, the right exit code, nothing left."""

import gzip
import os
import resource
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from harness.errors import BadInput, CannotRunHere
from harness.outcome import Failed
from stress.cli import preflight
from stress.cli.summary import tell
from stress.run.options import RunOptions, RunReport
from stress.run.runner import run

ROOT = Path(__file__).resolve().parents[3]
TRACE = ROOT / "stress" / "trace" / "data" / "pool.strace.gz"


@pytest.mark.parametrize(
    ("words", "facts", "remedy"),
    [
        (
            ["--scenario", "fork-strom"],
            ["'fork-strom'", "did you mean 'fork-storm'"],
            "hangdog list scenarios",
        ),
        (["--defect", "H33"], ["'H33'", "did you mean"], "hangdog list defects"),
        (["--trace", "confgure"], ["'confgure'", "configure, make, pool"], "hangdog run --trace configure"),
        (
            ["--scenario", "fork-storm", "--trace", "pool"],
            ["'fork-storm'", "'pool'"],
            "hangdog run --trace pool",
        ),
        (["--workers", "0"], ["0 workers"], "hangdog run --workers 4"),
        (["--workers", "100000"], ["100000 workers", "1 to"], "hangdog run --workers 4"),
        (["--workers", "many"], ["--workers", "'many'"], "hangdog run --help"),
        (["--mode", "fibre"], ["--mode", "'fibre'", "'process', 'thread'"], "hangdog run --help"),
        (["--noise", "loud"], ["--noise", "'loud'"], "hangdog run --help"),
        (["--seconds", "0"], ["0.0 seconds"], "hangdog run --seconds 20"),
        (["--epochs", "0"], ["0 epochs"], "hangdog run --epochs 1"),
        (["--seconds", "nan"], ["--seconds nan"], "hangdog run --seconds 20"),
        (["--stops", "nan"], ["--stops nan"], "hangdog run --stops 2"),
        (["--stops", "inf"], ["--stops inf"], "hangdog run --stops 2"),
        (["--disk-ms", "inf"], ["--disk-ms inf"], "hangdog run --disk-ms 2"),
        (["--disk-ms", "-1"], ["--disk-ms -1"], "hangdog run --disk-ms 2"),
        (
            ["--mode", "thread", "--switch-ms", "nan"],
            ["--switch-ms nan"],
            "hangdog run --mode thread --switch-ms 0.1",
        ),
        (
            ["--trace", "pool", "--touches", "1e400"],
            ["--touches inf"],
            "hangdog run --trace pool --touches 1",
        ),
        (["--trace", "pool", "--touches", "-1"], ["--touches -1"], "hangdog run --trace pool --touches 1"),
        (["--trace", "pool", "--tasks", "-1"], ["--tasks -1"], "hangdog run --trace pool --tasks 10"),
        (["--objects", "8"], ["--objects 8 is too small"], "hangdog run --objects 16"),
        (  # a defect that this scenario cannot show: nothing in it has a name
            ["--defect", "L17", "--scenario", "fork-storm", "--objects", "8"],
            ["--objects 8 is too small"],
            "hangdog run --objects 16",
        ),
        (["--defect", "H2+"], ["'H2+'", "one side of it is empty"], "hangdog run --defect H2"),
        (
            ["--pagers", "1"],
            ["--pagers 1 is too small to set up fork-storm"],
            "hangdog run --scenario fork-storm --pagers 4",
        ),
        (["--objects", "0"], ["objects", "at least 1"], "hangdog run --objects 64"),
        (["--pages", "4"], ["4 pages"], "hangdog run --pages 64"),
        (
            ["--dump-dir", "file/below"],
            ["'file/below'", "no folder"],
            "hangdog run --dump-dir /tmp/hangdog-dumps",
        ),
        (["--dump-dir", "/proc/dumps"], ["'/proc/dumps'"], "hangdog run --dump-dir /tmp/hangdog-dumps"),
        (["--arena-file", "file"], ["'file' exists already"], "hangdog run --arena-file NEW"),
        (["--arena-file", "no/such/folder"], ["'no/such/folder'"], "hangdog run --arena-file NEW"),
    ],
)
def test_what_cannot_be_run_is_two_lines_and_exit_2(start, tmp_path, words, facts, remedy):
    (tmp_path / "file").write_text("mine")
    started = start("run", "--seconds", "5", *words)

    said = started.wait()

    fact, second = said.two_lines()
    assert said.code == 2
    assert [text for text in facts if text not in fact] == []
    assert second == remedy
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"
    assert started.family() == []


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def bitten(data: bytes) -> bytes:
    text = gzip.decompress(data).split(b"\n")
    text[40] = b"1234 0.001 mmap(NULL, what is this"
    return gzip.compress(b"\n".join(text))


@pytest.mark.parametrize(
    ("damage", "facts"),
    [
        (cut, ["damaged.strace.gz"]),
        (bitten, ["damaged.strace.gz", "line 41", "what is this"]),
        (lambda _: b"", ["damaged.strace.gz"]),
        (lambda _: os.urandom(5000), ["damaged.strace.gz"]),
    ],
)
def test_a_damaged_trace_is_two_lines_and_exit_2(start, tmp_path, damage, facts):
    (tmp_path / "damaged.strace.gz").write_bytes(damage(TRACE.read_bytes()))
    started = start("run", "--trace", "damaged.strace.gz", "--workers", "2")

    said = started.wait()

    fact, remedy = said.two_lines()
    assert said.code == 2
    assert [text for text in facts if text not in fact] == []
    assert remedy == "hangdog run --trace configure"
    assert started.family() == []


def test_too_few_file_descriptors_are_said_before_anything_starts(start):
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))

    said = start("run", "--seconds", "1", preexec_fn=few).wait()

    fact, remedy = said.two_lines()
    assert said.code == 4
    assert "the limit is 60" in fact
    assert remedy == "hangdog run --workers 1 --disks 1"


def test_what_is_said_to_be_enough_is_enough(start):
    enough = preflight.DESCRIPTORS + preflight.DESCRIPTORS_PER_WORKER * 3

    def just() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, enough))

    said = start("run", "--seconds", "0.5", "--workers", "2", "--disks", "1", preexec_fn=just).wait()

    assert said.code == 0, said


def test_a_limit_that_may_be_raised_is_to_be_raised(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (60, 4096))

    with pytest.raises(CannotRunHere) as caught:
        preflight.require_descriptors(6)

    assert caught.value.hint == "ulimit -n 96"


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)

    try:
        with pytest.raises(BadInput) as caught:
            preflight.require_folder(tmp_path / "below")
    finally:
        with suppress(OSError):
            tmp_path.chmod(0o700)

    assert "Permission denied" in str(caught.value)


def test_a_folder_that_is_not_there_yet_is_fine_and_not_made(tmp_path):
    preflight.require_folder(tmp_path / "a" / "b")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("alone", [True, False])
def test_a_table_that_only_the_defect_fills_stays_a_finding(alone):
    last = Failed(worker="A#0", role="A", error="E", text="no room", traceback="", exhausted=True)
    short = RunReport(
        seed=1, scenario="fork-storm", workers=4, mode="", duration_s=0, epochs=0, steps=0, steps_per_s=0,
        counters={}, checks={}, outcomes=[last],
    )  # fmt: skip
    clean = msgspec.structs.replace(short, outcomes=[])

    if alone:
        preflight.refuse_shortage(short, {"objects": 8}, lambda: clean)
        return
    with pytest.raises(BadInput, match="--objects 8 is too small"):
        preflight.refuse_shortage(short, {"objects": 8}, lambda: short)
    prose = Failed(worker="A#0", role="A", error="TableFull", text="KERN code 6", traceback="")
    assert preflight.shortage(msgspec.structs.replace(short, outcomes=[prose]), {"objects": 8}) is None


def test_too_few_pages_for_the_set_up_are_refused_without_a_wait(start):
    said = start("run", "--pages", "14", "--seconds", "5", "--json").wait()

    fact, remedy = said.err.splitlines()[-2:]  # after the line that says what runs
    assert said.code == 2
    assert "--pages 14 is too small to set up fork-storm" in fact
    assert remedy == "  try: hangdog run --scenario fork-storm --pages 56"


def test_a_folder_that_takes_no_dump_loses_the_file_and_not_the_finding(start, tmp_path):
    """A folder that cannot be made when the first dump comes: as good as a full disk."""
    folder = tmp_path / "dumps"
    options = RunOptions(scenario="fork-storm", defect="H1", seconds=20, dump_dir=str(folder))
    folder.symlink_to(tmp_path / "nowhere" / "at all")

    report = run(options)

    assert report.findings[0].verdict == "self_deadlock"
    assert report.findings[0].dump == ""
    text = "\n".join(tell(report))
    assert "cache[1]" in text
    assert "deallocate.py" in text
