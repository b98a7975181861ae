import asyncio
import signal
import sys
import time

import pytest

from tests.live.child import ChildError
from tests.live.conftest import StartChild

SPEAKER = "import time; print('one', flush=True); print('port 4711', flush=True); time.sleep(30)"
PARENT = "import subprocess as s, sys; s.Popen([sys.executable, '-c', 'import time; time.sleep(3)']); print('gone')"


async def test_lines_are_waited_for_in_their_order(start_child: StartChild) -> None:
    child = await start_child(sys.executable, "-c", SPEAKER)
    assert (await child.wait_for(r"port (\d+)"))[1] == "4711"
    with pytest.raises(ChildError, match="one"):
        await child.wait_for("one", deadline_s=0.1)


async def test_silence_and_end_are_told_with_the_last_lines(start_child: StartChild) -> None:
    child = await start_child(sys.executable, "-c", "print('only this')")
    with pytest.raises(ChildError, match=r"ended without saying 'that'[^$]*only this"):
        await child.wait_for("that")
    assert await child.wait_exit() == 0


async def test_stop_tells_which_signal_ended_it(start_child: StartChild) -> None:
    child = await start_child(sys.executable, "-c", SPEAKER)
    await child.wait_for("one")
    assert await child.stop(signal.SIGKILL) == -signal.SIGKILL


async def test_grandchild_that_holds_the_pipe_does_not_hold_the_test(start_child: StartChild) -> None:
    started = time.monotonic()
    child = await start_child(sys.executable, "-c", PARENT)
    await child.wait_for("gone")
    await asyncio.wait_for(child.end(), 2)
    assert time.monotonic() - started < 3


def test_what_stands_here_is_marked_live(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("live")
