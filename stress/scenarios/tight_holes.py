"""Files are put into holes that are just large enough, none of them where the file would like to lie.

The window: the first hole has room for the file, and the preferred address in it is taken.
"""

from stress.ops.core import Actor, allocate, create_process, leave, read, unmap, write
from stress.ops.placement import map_file_anywhere
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import PAGE, file_pages, pages_of
from vmcore.space.vmspace import VM_MIN_ADDRESS

FILES, FILE_PAGES = 3, 3
WALL_PAGES, HOLES = 72, 3

scenario = Scenario(
    "tight-holes",
    "files mapped where the map finds room, which is in holes as large as they are",
    pages=96,
    files=(FILE_PAGES,) * FILES,
    places=4,
)


@scenario.role("mapper", count=4)
def fill_a_hole(actor: Actor, pool: ProcessPool) -> None:
    """A wall of memory with a few holes, and files to put in them."""
    rng = actor.rng
    person = create_process(actor)
    allocate(actor, person, pages_of(VM_MIN_ADDRESS, WALL_PAGES))
    for hole in rng.sample(range(0, WALL_PAGES - FILE_PAGES, 2 * FILE_PAGES), HOLES):
        start = VM_MIN_ADDRESS + hole * PAGE
        unmap(actor, person, start, start + FILE_PAGES * PAGE)
    for _ in range(HOLES):
        first = rng.randrange(FILE_PAGES)
        count = rng.randrange(1, FILE_PAGES - first + 1)
        like = file_pages(0, count, rng.randrange(FILES), shared=rng.random() < 0.6, first=first)
        start = map_file_anywhere(actor, person, like)
        (write if rng.random() < 0.4 else read)(actor, person, start + rng.randrange(count) * PAGE)
    leave(actor, person)
