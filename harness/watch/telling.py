"""Findings on their way out: the dump at once, the stacks when they are in, then the report.

The dump is on disk before any thread is asked for its stack, and the watcher goes on looking while
the answers come: a thread on a crowded machine takes its time to write its stack down.  Only then
is the finding reported, because the supervisor may then end the threads, and with them their stacks.
Killed in between, a watcher leaves a dump that says what it lacks.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.outcome import Finding
from harness.watch import dump as dumps
from harness.watch.records import Dump, RunMeta, Snapshot, Suspicion
from harness.watch.render.text import render
from harness.watch.snapshot import Reader

POLL_S = 0.0003
NO_STACKS_YET = "the stacks of the threads were still being asked for when this was written"


@dataclass
class Untold:
    """One that is written down and not told yet."""

    finding: Finding
    dump: Dump  # without stacks
    suspicion: Suspicion
    then: Callable[[], None]  # once its stacks are in: what waits for them may go on


class Telling:
    """``put_down`` one; ``move_on`` now and then, or ``finish``."""

    def __init__(
        self,
        reader: Reader,
        dump_dir: Path | None,
        meta: RunMeta,
        tell: Callable[[Finding], None] | None,
        with_stacks: bool,
    ) -> None:
        self.reader, self.dump_dir, self.meta, self.tell = reader, dump_dir, meta, tell
        self.with_stacks = with_stacks
        self.findings: list[Finding] = []
        self.notices: list[Finding] = []
        self._new: list[Untold] = []  # for the next probe
        self._asked: list[Untold] = []  # those that the present one is for
        self._probe: dumps.Probe | None = None

    @property
    def waits(self) -> bool:
        """Is one not told yet?"""
        return bool(self._new or self._asked)

    def put_down(
        self, snapshot: Snapshot, suspicion: Suspicion, decided: int, then: Callable[[], None]
    ) -> None:
        """A verdict of the moment ``decided``: its dump is on disk; ``move_on`` or ``finish`` tells of it."""
        notice = not suspicion.certain
        after = max(0.0, (decided - suspicion.since_ns) / 1e9) if suspicion.since_ns else 0.0
        dump = self._built(snapshot, suspicion)
        number = len(self.findings) + len(self.notices) + 1
        name = f"{self.reader.arena.name}-{number}-{dump.verdict}{'-notice' if notice else ''}.json"
        first = msgspec.structs.replace(
            dump, notes=[*dump.notes, NO_STACKS_YET] if self.with_stacks else dump.notes
        )
        path, trouble = self._write(name, first, lasting=not self.with_stacks)
        if trouble:
            dump = msgspec.structs.replace(dump, notes=[*dump.notes, trouble])
        finding = Finding(
            id=number,
            verdict=suspicion.verdict,
            summary=dump.summary,
            dump=path,
            detected_after_s=round(after, 4),
            dumped_after_s=round(after + (self.reader.native.exact_now() - decided) / 1e9, 4),
            reproduce=self.meta.reproduce,
            seats=tuple(suspicion.seats),
            ends=suspicion.ends,
            notice=notice,
            key=suspicion.key,
        )
        (self.notices if notice else self.findings).append(finding)
        self._new.append(Untold(finding, dump, suspicion, then))

    def move_on(self) -> None:
        """Ask for the stacks that are missing, and tell what has all that will come.  Waits for nothing."""
        if not self._asked:
            self._asked, self._new = self._new, []
            self._probe = self._begin(self._asked) if self.with_stacks and self._asked else None
        if self._probe is None or self._probe.poll():
            self._end()

    def finish(self) -> None:
        """Until all are told.  Every thread has a limit for its answer, so this has one, too."""
        while self.waits:
            self.move_on()
            if self._asked:
                time.sleep(POLL_S)

    def _begin(self, untold: list[Untold]) -> dumps.Probe | None:
        try:
            return dumps.Probe(self.reader, [(one.dump, one.suspicion) for one in untold])
        except Exception as error:  # noqa: BLE001 - a finding without its trimmings is better than none
            self._note(untold, error)
            return None

    def _end(self) -> None:
        told, self._asked = self._asked, []
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.close()
            for one in told:
                self._add_stacks(one, probe)
        for one in told:
            if one.finding.dump and self.with_stacks:
                self._write(Path(one.finding.dump).name, one.dump, lasting=True)
            text = "" if one.finding.dump else render(one.dump)
            finding = msgspec.structs.replace(one.finding, summary=one.dump.summary, text=text)
            mine = self.notices if finding.notice else self.findings
            mine[mine.index(one.finding)] = finding
            if self.tell:
                self.tell(finding)
            one.then()

    def _add_stacks(self, one: Untold, probe: dumps.Probe) -> None:
        try:
            one.dump = probe.add(one.dump, one.suspicion)
        except Exception as error:  # noqa: BLE001 - the same
            self._note([one], error)

    def _note(self, untold: list[Untold], error: Exception) -> None:
        why = f"the stacks could not be taken: {type(error).__name__}: {error}"
        for one in untold:
            one.dump = msgspec.structs.replace(one.dump, notes=[*one.dump.notes, why])

    def _built(self, snapshot: Snapshot, suspicion: Suspicion) -> Dump:
        try:
            if self.with_stacks:
                return dumps.sketch(self.reader, snapshot, suspicion, self.meta)
            return dumps.build(self.reader, snapshot, suspicion, self.meta, with_stacks=False)
        except Exception as error:  # noqa: BLE001 - the same
            return dumps.bare(snapshot, suspicion, self.meta, f"{type(error).__name__}: {error}")

    def _write(self, name: str, dump: Dump, lasting: bool) -> tuple[str, str]:
        """(path, trouble): one of them is empty; both where dumps are not kept."""
        if self.dump_dir is None:
            return "", ""
        try:
            return str(dumps.write(self.dump_dir / name, dump, lasting)), ""
        except dumps.DumpError as error:
            return "", str(error)
