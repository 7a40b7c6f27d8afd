"""A dump for what only the supervisor saw: a worker that died, or failed and nobody else said why.

The watchdog may be late or gone then, so the supervisor writes it itself, without
asking anybody for a stack.  It never fails: no dump is better than no result.
"""

from harness.run.plan import RunPlan
from harness.run.watcher import folder_of, meta_of
from harness.watch import dump as dumps
from harness.watch.records import Suspicion
from harness.watch.snapshot import Reader, take


def of_worker(plan: RunPlan, worker: str, seat: int, verdict: str, why: str) -> tuple[str, str]:
    """(path of the dump, what went wrong); one of them is empty, both when dumps are not wanted."""
    folder = folder_of(plan)
    if folder is None:
        return "", ""
    try:
        reader = Reader(plan.arena)
        suspicion = Suspicion(
            verdict=verdict, key=f"{verdict}:{worker}", seats=[seat] if seat else [], why=why
        )
        dump = dumps.build(reader, take(reader), suspicion, meta_of(plan), with_stacks=False)
        name = f"{plan.arena.name}-{worker.replace('#', '-')}-{verdict}.json"
        return str(dumps.write(folder / name, dump)), ""
    except Exception as error:  # noqa: BLE001 - it reads what a dying program left
        return "", f"no dump of {verdict} by {worker}: {type(error).__name__}: {error}"
