"""What a run says while it goes on and at its end, from made-up numbers."""

import io

from rich.console import Console

from harness.outcome import Finding
from stress.cli.display import Display, block, line
from stress.cli.summary import tell
from stress.run.options import Progress, RunOptions, RunReport


def look(**facts):
    usual = {
        "elapsed_s": 2.0, "epoch": 3, "steps": 12_345, "steps_per_s": 617.2, "faults": 23_456,
        "longest_chain": 7, "free_pages": 100, "pages": 256, "waiting": 2, "findings": 0,
        "state": "running", "workers": 4,
    }  # fmt: skip
    return Progress(**{**usual, **facts})


def report(**facts):
    usual = {
        "seed": 7, "scenario": "fork-storm", "workers": 4, "mode": "process", "duration_s": 20.04,
        "epochs": 5, "steps": 12_345, "steps_per_s": 617.2,
        "counters": {"v_faults": 23_456, "map_forks": 321, "v_pageouts": 0},
        "checks": {"audits": 5, "content_reads": 6_789}, "reproduce": "hangdog run --seed 7",
    }  # fmt: skip
    return RunReport(**{**usual, **facts})


def finding(**facts):
    usual = {
        "id": 1, "verdict": "deadlock", "summary": "a waits for b", "dump": "", "detected_after_s": 0.01,
        "reproduce": "hangdog run --seed 7",
    }  # fmt: skip
    return Finding(**{**usual, **facts})


def test_a_look_in_one_line_has_every_number():
    said = line(look(tasks_left=1_900, findings=1))

    for word in ("2.0 s", "12,345 steps (617/s)", "23,456 faults", "chain 7", "free 100/256", "waiting 2",
                 "1,900 processes left", "FINDINGS 1"):  # fmt: skip
        assert word in said
    assert "\n" not in said


def test_a_look_on_a_terminal_has_every_number():
    screen = io.StringIO()
    console = Console(file=screen, width=100, force_terminal=True, color_system=None)

    console.print(block(look(tasks_left=1_900)))

    said = screen.getvalue()
    for word in ("12,345 (617/s)", "23,456", "100 of 256", "waiting threads", "longest chain", "1,900"):
        assert word in said


def test_piped_lines_come_seldom():
    stream = io.StringIO()
    with Display(stream, RunOptions(scenario="fork-storm", defect="H2")) as display:
        for tenth in range(120):
            display.update(look(elapsed_s=tenth / 10))

    lines = stream.getvalue().splitlines()
    assert lines[0] == "running fork-storm: 4 worker processes, seed 1, defect H2"
    assert [text.split()[0] for text in lines[1:]] == ["0.0", "5.0", "10.0"]


def test_a_clean_run_ends_with_nothing_found():
    said = list(tell(report()))

    assert said[1].startswith(
        "ran       fork-storm with 4 worker processes, seed 7, for 20.0 s, to its end; 5 epochs"
    )
    assert "321 forks of address spaces, 23,456 page faults" in said[3 - 1]
    assert "written out" not in "\n".join(said), "what did not happen is not told"
    assert "6,789 pages read" in "\n".join(said)
    assert said[-1] == "found     nothing"


def test_findings_come_with_their_commands_even_without_a_file():
    said = "\n".join(tell(report(findings=[finding(), finding(id=2, verdict="leak", dump="gone.json")])))

    assert said.index("deadlock: a waits for b\n(no dump could be written)") < said.index("ran       ")
    assert "found     2 findings" in said
    assert (
        "dump: gone.json\n          try: hangdog show gone.json\n          try: hangdog run --seed 7" in said
    )


def test_no_line_is_too_long_and_incidents_are_told():
    said = list(tell(report(incidents=["worker 3 was killed"], ended_by="interrupt")))

    assert "note      worker 3 was killed" in said
    assert "until it was interrupted" in " ".join(said)
    assert max(map(len, said)) <= 110
