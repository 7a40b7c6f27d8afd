"""Shadow chains at the terminal: ``run --watch-chains`` while it goes on, ``dump`` from outside."""

import json
import re
import threading

from harness import outcome
from stress.cli.display import block, line
from stress.cli.dump import dump_of, live_dump
from stress.dump_sections import sections
from stress.run.options import Progress, RunOptions
from stress.run.progress import LINKS, WATCHED, Looker
from stress.run.workload import ScenarioWorkload
from stress.scenario.scenario import find_scenario
from tests.stress.cli.conftest import interrupt
from tests.vmcore.builders_objects import fork, space_of, write
from tests.waiting import LIMIT_S, join, wait_until

SMALL = ("--workers", "2", "--disks", "1", "--seed", "3")
LINK = re.compile(r"O\d+\(ref\d+,\d+p\*?(,[\w@]+\*?)*\)")


def chains(text):
    """The lines that draw a chain."""
    return [words for row in text.splitlines() if "→" in (words := row.strip()) and LINK.match(words)]


def test_the_longest_chains_are_drawn_while_the_run_goes_on(start):
    started = start("run", "--scenario", "fork-storm", *SMALL, "--seconds", "600", "--watch-chains")
    seen: list[str] = []
    reader = threading.Thread(target=seen.extend, args=(iter(started.process.stdout.readline, ""),))
    reader.start()

    def enough():
        text = "".join(seen)
        return len(chains(text)) >= 2 and re.search(r"epoch [1-9]", text)  # an audit counts the space

    wait_until(enough, "two chains and an audit", 2 * LIMIT_S)
    interrupt(started)
    join(reader, 2 * LIMIT_S)

    drawn, text = chains("".join(seen)), "".join(seen)
    for chain in drawn:
        links = chain.split("→")
        assert 2 <= len(links) <= LINKS + 1
        assert all(LINK.fullmatch(link) or link in ("…", "stale") for link in links), chain
    assert "space     " in text
    assert started.process.wait(LIMIT_S) == 130


def test_without_the_option_nothing_is_drawn(hangdog):
    said = hangdog("run", "--scenario", "fork-storm", *SMALL, "--seconds", "1")

    assert said.code == 0, said
    assert chains(said.out) == []


def test_with_json_it_is_refused_before_anything_runs(hangdog):
    said = hangdog("run", "--scenario", "fork-storm", *SMALL, "--seconds", "50", "--watch-chains", "--json")

    assert said.code == 2
    assert said.out == ""
    fact, remedy = said.two_lines()
    assert "--watch-chains" in fact
    assert "--json" in fact
    assert remedy == "hangdog run --watch-chains"


def test_the_report_has_the_numbers_of_the_space_oracle(hangdog):
    said = hangdog("run", "--scenario", "fork-storm", *SMALL, "--epochs", "1", "--json")

    report = json.loads(said.out)
    assert said.code == 0, said
    assert set(report["space"]) >= {"used", "minimum", "hidden", "hidden_max", "chain_max"}
    assert report["space"]["used"] == report["space"]["minimum"] + report["space"]["hidden"]


def test_a_dump_of_a_running_vm_draws_its_chains_and_takes_no_seat(start, hangdog):
    started = start("run", "--scenario", "fork-storm", *SMALL, "--seconds", "600")
    lookers = []

    def outside():
        lookers.append(start("dump", str(started.pid), "--json"))
        said = lookers[-1].wait(2 * LIMIT_S)
        return json.loads(said.out) if said.code in (0, 1) and said.out else None

    def with_chains():
        dump = outside()
        return dump if dump and chains("\n".join(dump["sections"].get("vmcore", []))) else None

    section = wait_until(with_chains, "a dump with a chain", 2 * LIMIT_S)["sections"]["vmcore"]
    again = wait_until(outside, "another dump", 2 * LIMIT_S)

    assert section[0].startswith("free ")
    assert any(row.startswith("longest chains (") for row in section)
    assert any(row.startswith("spaces (") for row in section)
    assert again["threads"]
    assert not {seat["pid"] for seat in again["threads"]} & {looker.pid for looker in lookers}
    assert "vmcore:" in hangdog("dump", str(started.pid)).out


def test_the_section_is_there_for_one_dump_only(world):
    found = live_dump(world.arena, "here", stacks=False)

    assert found.sections["vmcore"][0].startswith("free 256 (target ")
    # The world of a run has its own; what the command registered for itself is gone.
    assert "vmcore" not in dump_of(world.arena, "here", stacks=False).sections


def test_records_of_another_shape_leave_the_threads_to_be_shown(world):
    sections.unregister()  # the world's own
    entry = world.arena.entry("vm_globals")
    shape, entry.fingerprint = entry.fingerprint, 1
    world.arena.tables.clear()

    found = live_dump(world.arena, "here", stacks=False)

    entry.fingerprint = shape
    assert found.verdict == "live"
    assert "vmcore" not in found.sections


def test_a_look_has_chains_only_if_asked(world):
    looks: list[Progress] = []

    play = ScenarioWorkload(find_scenario("fork-storm"), RunOptions())
    seen = outcome.Progress(elapsed_s=1.0, steps=10, epoch=0, state="running", workers=2, findings=0)
    vm = world.vm
    spaces = [space_of(vm, 2)]
    write(vm, spaces[0], 1, 7)  # page 1 is seen through the whole chain, so no object of it is bypassed
    for value in range(3):
        write(vm, spaces[-1], 0, value)
        spaces.append(fork(vm, spaces[-1]))
    write(vm, spaces[-1], 0, 9)

    for asked in (False, True):
        Looker(world, play, looks.append, chains=asked)(seen)

    assert looks[0].chains == ()
    assert 1 <= len(looks[1].chains) <= WATCHED
    assert all("→" in chain for chain in looks[1].chains)
    assert line(looks[1])
    assert block(looks[1]).row_count == 4
    assert RunOptions(watch_chains=True).command() == RunOptions().command()
