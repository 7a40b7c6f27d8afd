import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stress.cli import main as cli
from stress.cli.messages import unknown
from stress.cli.table import columns
from tests.stress.cli.conftest import LIMIT_S, ROOT


def test_help_is_no_error(hangdog):
    said = hangdog("--help")

    assert said.code == 0
    assert "run" in said.out
    assert said.err == ""


def test_without_a_command_help_is_shown_and_it_is_a_usage_error(hangdog):
    said = hangdog()

    assert said.code == 2
    assert "Usage: hangdog" in said.out


@pytest.mark.parametrize(
    ("words", "fact", "remedy"),
    [
        (["rnu"], "there is no command 'rnu', did you mean 'run'?", "hangdog run --help"),
        (["xyzzy"], "there is no command 'xyzzy': there are run, show, list", "hangdog --help"),
        (["--loud"], "no such option '--loud'", "hangdog --help"),
        (["list", "--jsno"], "no such option '--jsno'. Did you mean '--json'?", "hangdog list --help"),
        (["list", "scenarois"], "'scenarois' is not one of", "hangdog list --help"),
        (["show"], "missing argument 'DUMP'", "hangdog show --help"),
        (["dump"], "missing argument", "hangdog dump --help"),
        (["ps", "extra"], "unexpected extra argument (extra)", "hangdog ps --help"),
    ],
)
def test_words_that_mean_nothing_are_two_lines_and_exit_2(hangdog, words, fact, remedy):
    said = hangdog(*words)

    assert said.code == 2
    assert said.out == ""
    first, second = said.two_lines()
    assert fact in first
    assert second == remedy


def test_a_reader_that_went_away_is_no_error(start):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        said = start("list", "traces", stdout=writer).wait()
    finally:
        os.close(writer)

    assert said.err == ""
    assert said.code not in {0, 1, 3}


def test_a_full_disk_below_standard_output_is_said(start):
    with Path("/dev/full").open("w") as full:
        said = start("list", "traces", stdout=full).wait()

    assert said.code == 3
    assert "No space left" in said.two_lines()[0]


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_closed_standard_stream_is_no_trouble(start, closed):
    said = start("list", "traces", preexec_fn=lambda: os.close(closed)).wait()

    assert said.code == 0
    assert said.err == ""
    assert ("configure" in said.out) == (closed != 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_ended_while_it_loads_says_so(tmp_path, number):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "click.py").write_text(  # the first thing that is loaded, in place of what takes its time
        f"import signal\nwith open({str(fifo)!r}, 'w') as told: told.write('here')\nsignal.pause()\n"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", "from stress.cli.entry import main; main()"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert fifo.read_text() == "here"
        started.send_signal(number)
        out, err = started.communicate(timeout=LIMIT_S)
    finally:
        started.kill()

    assert (started.returncode, out) == (130, "")
    assert err == "hangdog: interrupted\n  try: hangdog --help\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_letter_that_the_terminal_does_not_have_changes_no_exit_code(encoding):
    say = "print('1 \\u2192 2'); click.echo('3 \\u2192 4', file=sys.stdout)"
    program = f"import sys, click; from stress.cli import main; main.open_streams(); {say}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, b"1 \\u2192 2\n3 \\u2192 4\n"), done.stderr


@pytest.mark.parametrize("words", [("run", "--seconds", "1"), ("defects",)])
def test_python_without_docstrings_cannot_run_it(start, words):
    said = start(*words, env={"PYTHONOPTIMIZE": "2"}).wait()

    assert said.code == 4
    assert "contracts are its docstrings" in said.two_lines()[0]


@pytest.mark.parametrize("asked", [False, True])
def test_an_unexpected_error_is_one_fact_and_a_traceback_if_asked(monkeypatch, capsys, asked):
    def broken():
        raise ValueError("two\nlines")

    monkeypatch.setattr("stress.cli.list.KINDS", {"scenarios": broken})
    monkeypatch.setenv("HANGDOG_DEBUG", "1") if asked else monkeypatch.delenv("HANGDOG_DEBUG", raising=False)

    code = cli.outcome(["list"])

    err = capsys.readouterr().err
    assert code == 3
    assert err.endswith("hangdog: ValueError: two lines\n  try: HANGDOG_DEBUG=1 hangdog list\n")
    assert ("Traceback" in err) == asked


def test_an_interrupt_is_130(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("stress.cli.list.KINDS", {"scenarios": interrupted})

    assert cli.outcome(["list"]) == 130
    assert capsys.readouterr().err == "hangdog: interrupted\n  try: hangdog list\n"


def test_a_near_miss_is_tried_and_a_wild_guess_is_answered_with_the_list():
    near = unknown("thing", "alpah", ["alpha", "beta"], lambda name: f"use {name}", "help")
    wild = unknown("thing", "zzzz", ["alpha", "beta"], lambda name: f"use {name}", "help")

    assert near == ("there is no thing 'alpah', did you mean 'alpha'?", "use alpha")
    assert wild == ("there is no thing 'zzzz': there are alpha, beta", "help")


def test_the_last_column_is_wrapped_under_itself():
    text = columns([("a", "one two three four five six seven"), ("long", "x")], width=30)

    assert text.splitlines() == ["a     one two three four five", "      six seven", "long  x"]


def test_the_version_is_one_line(hangdog):
    said = hangdog("--version")

    assert said.code == 0
    assert said.out.startswith("hangdog ")
    assert said.out.count("\n") == 1
