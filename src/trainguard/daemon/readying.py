"""Before a run begins: is the file what was accepted, is the GPU free, and does the lineage stand where it did?"""

from __future__ import annotations

from collections.abc import Callable

from trainguard.daemon.commanding import own_onset
from trainguard.daemon.fitting import gpu_name
from trainguard.daemon.keeping import Work
from trainguard.daemon.lineage import MovedOnError, Tip, set_aside_from, tip_of
from trainguard.fencing import write_fence
from trainguard.findings import Finding
from trainguard.queue.custody import AwayError
from trainguard.queue.records import Lease

# A driver gives the memory of a dead process back within seconds; after this the holder is somebody else.
_GPU_SECONDS = 60.0


def make_ready(
    work: Work, lease: Lease, tip: Tip, *, given_up: Callable[[], bool], tell: Callable[[Finding], None]
) -> str | None:
    """Beside the loop. What is wrong with the file, None for nothing.

    A GPU that is still in use is told only, as the run itself finds out whether there is room. Raises FencedError,
    MovedOnError, AwayError for a custody that does not answer, and OSError for the output folder.
    """
    file, output = lease.file, work.settings.output_dir
    problem = work.custody.verify(file)
    if problem is not None:
        return problem
    gpu_name()  # asked here, where it may take its time
    finding = work.gpu.wait(_GPU_SECONDS, stop=given_up) if work.gpu else None
    if finding is not None:
        tell(finding)
    if given_up():
        return None
    if (why := work.custody.place.away()) is not None:
        raise AwayError(why, alone=False)
    write_fence(output, lease.fence)
    # Since the file was chosen another daemon may have gone on with the lineage; from here on the fence forbids it.
    if not tip_of(output).same_place(tip):
        raise MovedOnError("another daemon has gone on with the lineage since the file was chosen")
    onset = own_onset(file, tip)
    if onset is not None:
        set_aside_from(output, onset, f"steps from {onset:,} on are left behind after a fault")
    return None
