"""``hangdog defects``: what it refuses, and how a detection ends that is no whole one."""

import json
import os
import resource
import signal
from contextlib import suppress

import pytest

import stress.detect.detect
from harness.errors import ArenaError
from stress.cli.main import outcome
from stress.defect import find_defect
from stress.run.options import RunReport
from tests.stress.cli.conftest import interrupt, parses


@pytest.fixture
def never(monkeypatch):
    """No run may be made."""

    def run(options):
        raise AssertionError(options)

    monkeypatch.setattr(stress.detect.detect, "run", run)


def ran(options, **parts):
    """A report of nothing."""
    return RunReport(
        seed=options.seed, scenario=options.what, workers=1, mode="process", duration_s=1.0, epochs=0,
        steps=0, steps_per_s=0.0, counters={}, checks={}, **parts,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "fact", "remedy"),
    [
        (
            ["H2", "--seeds", "3"],
            "--seeds: nothing is run without --detect",
            "hangdog defects H2 --detect --seeds 3",
        ),
        (
            ["H2,L7", "--origin", "documented", "--script", "--budget", "2m"],
            "--budget and --script: nothing is run without --detect",
            "hangdog defects H2,L7 --origin documented --detect --budget 120s --script",
        ),
        (["--pairs"], "--pairs: nothing is run without --detect", "hangdog defects --detect --pairs"),
        (
            ["--write", "a b.md"],
            "--write: nothing is run without --detect",
            "hangdog defects --detect --write 'a b.md'",
        ),
        (["--verdict", "deadlok"], "did you mean 'deadlock'?", "hangdog defects --verdict deadlock"),
        (["H2", "--verdict", "xyz"], "there are contract_violation, crash, ", "hangdog defects H2"),
        (
            ["H2", "--scenario", "fork-strom"],
            "there is no scenario 'fork-strom', did you mean 'fork-storm'?",
            "hangdog defects H2 --scenario fork-storm",
        ),
        (["H6a+"], "'H6a+': a '+' joins two defects, and here one side", "hangdog run --defect H6a"),
        (["+"], "'+': a '+' joins two defects, and here one side", "hangdog list defects"),
        ([","], "',' names no defect", "hangdog defects"),
        (
            ["H3", "L1", "--detect", "--pairs"],
            "of H3, L1 can be on at once: H3 and L1 replace the same step, deallocate.candidate",
            "hangdog defects H3 L1 --detect",
        ),
        (
            ["H7b", "--detect", "--pairs"],
            "a pair needs two defects: H7b alone is none",
            "hangdog defects H7b H6a --detect --pairs",
        ),
        (
            ["H2", "--detect", "--pairs", "--script"],
            "a script is that of one defect",
            "hangdog defects H2 --detect --pairs",
        ),
        (
            ["H2+L3", "--detect", "--script"],
            "H2+L3 has no script",
            "hangdog defects H2+L3 --detect",
        ),
        (
            ["H2", "--origin", "reconstructed", "--detect"],
            "no defect left to run: none fits H2 --origin reconstructed",
            "hangdog defects H2",
        ),
        (
            ["H2", "--detect", "--write", "no/such/page.md"],
            "cannot write 'no/such/page.md': 'no/such' is no folder",
            "hangdog defects H2 --detect --write defects.md",
        ),
        (
            ["H2", "--detect", "--script", "--write", "/proc/page.md"],
            "cannot write '/proc/page.md': ",
            "hangdog defects H2 --detect --script --write defects.md",
        ),
    ],
)
@pytest.mark.usefixtures("never")
def test_what_cannot_be_meant_is_refused_before_the_first_run(words, fact, remedy, capsys):
    code = outcome(["defects", *words])

    said = capsys.readouterr()
    first, second = said.err.splitlines()
    assert (code, said.out) == (2, "")
    assert fact in first
    assert second == f"  try: {remedy}"
    parses(remedy)


def test_a_page_that_could_be_written_is_left_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.md").write_text("mine")

    def run(options):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["old.md"]
        assert (tmp_path / "old.md").read_text() == "mine"
        return ran(options)

    monkeypatch.setattr(stress.detect.detect, "run", run)

    outcome(["defects", "H2", "--detect", "--write", "old.md"])

    assert (tmp_path / "old.md").read_text().startswith("# The defects")


def test_a_defect_that_is_named_twice_is_run_once(capsys, monkeypatch):
    seen = []

    def run(options):
        seen.append(options.defect)
        return ran(options)

    monkeypatch.setattr(stress.detect.detect, "run", run)

    outcome(["defects", "H6", "H6a,H6a", "--detect", "--json"])

    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == ["H6a"]
    assert seen == ["H6a", None]


def test_json_of_ids_has_the_run_that_shows_them(capsys):
    assert outcome(["defects", "L50", "L8", "--json"]) == 0

    for row in json.loads(capsys.readouterr().out):
        defect = find_defect(row["id"])
        assert row["options"] == defect.options
        assert row["command"] == defect.command
        parses(row["command"])


# --- runs that could not be made


def test_a_harness_that_fails_is_a_third_outcome_with_its_own_exit_code(capsys, monkeypatch, tmp_path):
    target = tmp_path / "page.md"

    def run(options):
        if options.seed == 2:
            raise ArenaError("no room")
        return ran(options)

    monkeypatch.setattr(stress.detect.detect, "run", run)

    code = outcome(["defects", "H2", "--detect", "--seeds", "2", "--write", str(target)])

    said = capsys.readouterr()
    assert code == ArenaError.exit_code == 3
    first, second, *_, fact, remedy = said.err.splitlines()
    assert first.split() == ["H2", "seed", "1", "1.00", "s", "nothing", "NOT", "RIGHT;", "clean", "without"]
    assert second == "H2     seed 2  could not run: ArenaError: no room"
    assert "0/1, 1 could not run" in said.out
    assert "WITHOUT IT" not in said.out + said.err
    assert fact == "hangdog: 1 trials could not run: ArenaError: no room"
    assert remedy.startswith("  try: hangdog run --scenario fork-storm --defect H2 ")
    assert "Could not run: ArenaError: no room" in target.read_text()


def test_too_few_file_descriptors_are_said_before_anything_starts(start):
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))

    said = start("defects", "H6a", "--detect", preexec_fn=few).wait()

    fact, remedy = said.two_lines()
    assert said.code == 4
    assert "the limit is 60" in fact
    assert remedy == "hangdog run --defect H6a --workers 1 --disks 1"


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_an_unusable_dump_folder_is_refused_before_the_first_run(start, tmp_path):
    tmp_path.chmod(0o500)

    said = start("defects", "H6a", "--detect").wait()

    tmp_path.chmod(0o700)
    assert said.code == 2
    assert "cannot write dumps" in said.two_lines()[0]


# --- interrupted


def test_an_interrupted_detection_says_what_it_has_and_writes_no_page(start, tmp_path):
    started = start("defects", "H6a", "L42", "--detect", "--seeds", "3", "--write", "page.md")
    first = started.process.stderr.readline()

    interrupt(started)
    said = started.wait()

    assert first.startswith("H6a    seed 1")
    fact, remedy = said.err.splitlines()[-2:]
    assert said.code == 130, said
    assert fact.startswith("hangdog: interrupted after ")
    assert "of 6 trials; no page is written" in fact
    assert remedy == "  try: hangdog defects H6a L42 --detect --seeds 3 --write page.md"
    assert said.out.splitlines()[-1].startswith("0 of 2 defects were found with every seed")
    assert "H6a " in said.out
    assert not (tmp_path / "page.md").exists()
    assert started.family() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_a_run_forgets_ends_the_detection_all_the_same(number, monkeypatch, capsys):
    """One that comes when the run is ending with a finding, or in a destructor."""
    seen = []

    def run(options):
        seen.append(options.defect)
        usual = signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)
        before = signal.signal(number, lambda *_: None) if usual else None
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        if before is not None:
            signal.signal(number, before)
        return ran(options, ended_by="finding")

    monkeypatch.setattr(stress.detect.detect, "run", run)
    handler = signal.getsignal(number)

    code = outcome(["defects", "H2", "H6a", "--detect", "--seeds", "2"])

    assert code == 130
    assert seen == ["H2", None]
    assert "interrupted after 1 of 4 trials" in capsys.readouterr().err
    assert signal.getsignal(number) is handler
