"""The loader: one order whatever the workers, shares that add up, exact resumption, and errors that name the image."""

import gc
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from common.data.loader import Loader, ordered
from common.errors import UserError

LENGTH, BATCH, SEED = 7, 4, 3


@dataclass(frozen=True)
class Numbers:
    """A sample is its index and what its generator draws; index `broken` fails, index `deadly` kills the worker."""

    broken: int = -1
    deadly: int = -1

    def __call__(self, index: int, rng: np.random.Generator) -> dict:
        if index == self.broken:
            raise ValueError("no such\nthing")
        if index == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"index": index, "drawn": rng.random(5)}

    def describe(self, index: int) -> str:
        return f"image {100 + index}"


def collate(samples: list[dict]) -> dict[str, np.ndarray]:
    return {
        "index": np.array([sample["index"] for sample in samples]),
        "drawn": np.stack([sample["drawn"] for sample in samples]),
        "nothing": np.zeros((0, 4), np.float32),
        "count": np.float32(len(samples)),
    }


def batches(count: int, workers: int = 0, rank: int = 0, world: int = 1, start_step: int = 0) -> list:
    with Loader(Numbers(), collate, LENGTH, BATCH, SEED, workers, rank, world, start_step) as loader:
        return list(islice(loader, count))


def assert_equal(found: list, expected: list) -> None:
    assert [step for step, _ in found] == [step for step, _ in expected]
    for (_, one), (_, other) in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
            assert one[name].dtype == other[name].dtype


def test_each_epoch_has_every_index_once_in_an_order_of_its_own():
    drawn = np.concatenate([batch["index"] for _, batch in batches(7)])  # 28 samples: four epochs
    epochs = drawn.reshape(4, LENGTH)
    assert (np.sort(epochs, axis=1) == np.arange(LENGTH)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_sample_seen_again_is_augmented_differently():
    drawn = np.concatenate([batch["drawn"] for _, batch in batches(7)])
    assert len(np.unique(drawn[:, 0])) == len(drawn)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers):
    assert_equal(batches(9, workers), batches(9))


def test_ranks_share_each_batch():
    whole = batches(6)
    parts = [batches(6, rank=rank, world=2) for rank in range(2)]
    for (_, batch), (_, first), (_, second) in zip(whole, *parts, strict=True):
        for name in ("index", "drawn"):
            np.testing.assert_array_equal(np.concatenate([first[name], second[name]]), batch[name])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_loader_continues_where_the_first_stopped(workers):
    with Loader(Numbers(), collate, LENGTH, BATCH, SEED, workers) as loader:
        before = list(islice(loader, 3))
        position = loader.step
    assert_equal(before + batches(4, workers, start_step=position), batches(7))


def test_another_seed_gives_another_order():
    with Loader(Numbers(), collate, LENGTH, BATCH, SEED + 1, 0) as loader:
        other = [next(loader)[1]["index"].tolist() for _ in range(4)]
    assert other != [batch["index"].tolist() for _, batch in batches(4)]


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_ordered_gives_everything_once(workers):
    found = list(ordered(Numbers(), collate, LENGTH, 3, workers))
    assert [batch["index"].tolist() for batch in found] == [[0, 1, 2], [3, 4, 5], [6]]


def test_batches_outlive_the_loader_and_may_be_written_to():
    (_, kept), *_ = batches(1, workers=1)
    expected = kept["drawn"] + 1
    gc.collect()
    kept["drawn"] += 1
    np.testing.assert_array_equal(kept["drawn"], expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_names_the_image_in_one_line(workers):
    with Loader(Numbers(broken=5), collate, LENGTH, BATCH, SEED, workers) as loader, pytest.raises(UserError) as error:
        for _ in range(LENGTH):
            next(loader)
    assert str(error.value) == "image 105: ValueError: no such\nthing"


def test_a_killed_worker_is_told_with_its_image():
    with Loader(Numbers(deadly=5), collate, LENGTH, BATCH, SEED, 2) as loader, pytest.raises(UserError) as error:
        for _ in range(LENGTH):
            next(loader)
    assert str(error.value) == "a loader worker was killed by SIGKILL at image 105"


def test_a_batch_that_ranks_cannot_share_is_refused():
    with pytest.raises(UserError, match="batch of 4 does not divide among 3 ranks"):
        Loader(Numbers(), collate, LENGTH, BATCH, SEED, 0, world=3)
    with pytest.raises(UserError, match="nothing to train on"):
        Loader(Numbers(), collate, 0, BATCH, SEED, 0)


SCRIPT = """
import os, signal, sys
from common.data.loader import Loader
from tests.common.data.test_loader import Numbers, collate

if __name__ == "__main__":
    loader = Loader(Numbers(), collate, 7, 4, 3, workers=2)
    next(loader)
    print(*[process.pid for process in loader._maker._processes], flush=True)
    if sys.argv[1] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[1] == "fail":
        raise SystemExit(3)
"""


@pytest.mark.parametrize(("how", "code"), [("leave", 0), ("fail", 3), ("kill", -signal.SIGKILL)])
def test_nothing_stays_behind_however_the_process_ends(how, code, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = Path(__file__).parents[3]
    before = set(os.listdir("/dev/shm"))
    done = subprocess.run(
        [sys.executable, script, how],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert not done.stderr
    workers = [int(pid) for pid in done.stdout.split()]
    assert len(workers) == 2
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_runs(pid) for pid in workers)
    assert set(os.listdir("/dev/shm")) <= before


def _runs(pid: int) -> bool:
    """Whether the process is alive; one that ended but was not collected is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
