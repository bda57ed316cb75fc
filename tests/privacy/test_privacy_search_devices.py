"""The search by torch, and dealt out over processes, against the plain one."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_privacy_search import assert_equal, embeddings, one_photo_each

from synthface.privacy.gallery import build_gallery
from synthface.privacy.search import Blocks, search
from synthface.workflows.auditing.distributed_search import TorchArrays, distributed_search


@pytest.fixture(scope="module")
def given():
    gallery = build_gallery(embeddings(0, 60, np.arange(60) % 6 + 1, dimensions=48), 100)
    return gallery, embeddings(1, 1, [150], dimensions=48).vectors


@pytest.mark.parametrize("blocks", [Blocks(7, 5, 1000), Blocks(32, 64, 40), Blocks()])
def test_torch_gives_the_same_result_bit_by_bit(given, blocks):
    assert_equal(search(*given, 4, 5, blocks=blocks, arrays=TorchArrays("cpu")), search(*given, 4, 5))


def test_coarse_products_only_widen_the_shortlist():
    """Products of bfloat16 numbers, as TF32 and its like make them, only worse."""

    def coarse_scores(first, second):
        return first.bfloat16().float() @ second.bfloat16().float()

    class Coarse(TorchArrays):
        def scores(self, first, second, out):
            out.copy_(coarse_scores(first, second))

        def rounding(self, dimensions):
            return super().rounding(dimensions) + 2.0**-7

    near = 0.02 * np.random.default_rng(0).standard_normal((400, 48)) + np.eye(48)[0] + 1 / 7  # much alike
    vectors = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    gallery, queries = one_photo_each(vectors[:300]), vectors[300:]
    expected = search(gallery, queries, 4, 5)
    coarse = coarse_scores(torch.from_numpy(queries), torch.from_numpy(gallery.vectors.T)).argmax(dim=1).numpy()
    assert (coarse != expected.nearest_row).sum() > 10  # it would matter
    assert_equal(search(gallery, queries, 4, 5, arrays=Coarse("cpu")), expected)


def test_shortened_products_are_reckoned_with():
    exact = TorchArrays("cpu").rounding(512)
    try:
        torch.set_float32_matmul_precision("medium")
        assert TorchArrays("cpu").rounding(512) > exact + 0.005
    finally:
        torch.set_float32_matmul_precision("highest")


def test_processes_share_the_work_and_all_have_the_result(given, tmp_path, monkeypatch):
    monkeypatch.setattr("synthface.workflows.auditing.distributed_search.CPU_BLOCKS", Blocks(16, 16, 20))
    expected = search(*given, 4)
    written = {}
    for rank in (2, 0, 1):  # one after the other here; the barrier is where they would wait for each other
        before = set(tmp_path.rglob("*.npz"))

        def count(rank=rank, before=before):
            written[rank] = len(set(tmp_path.rglob("*.npz")) - before)

        device = SimpleNamespace(type="cpu")
        fabric = SimpleNamespace(device=device, global_rank=rank, world_size=3, barrier=functools.partial(count))
        assert_equal(distributed_search(fabric, tmp_path)(*given, 4), expected)
    assert written[2] == 2  # of 8 shards, numbers 2 and 5
