"""Classes spread over processes: the same losses, gradients and centres as in one, and a checkpoint for any number."""

import itertools
import multiprocessing

import pytest
import torch
from safetensors import SafetensorError
from torch.utils._python_dispatch import TorchDispatchMode

from synthface.core.errors import ConfigError, DataError
from synthface.recognition.losses import LOSSES
from synthface.recognition.losses.centre_table import CentreTable
from synthface.recognition.losses.class_centres import drawn_centres
from synthface.recognition.losses.shard import Shard
from synthface.recognition.training.clipping import clip_gradients
from synthface.recognition.training.shard_files import load_shards, remove_other_shards, save_shards

N_CLASSES, DIM, BATCH, STEPS = 7, 6, 8, 3
RECIPE = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3}
WITHOUT_PAIRS = {"contrastive": {"lam": 0.0, "margin": 1.0}, "range": {"lam": 0.0}, "id-triplet": {"lam_t": 0.0}}
CASES = {name: (name, WITHOUT_PAIRS.get(name, {})) for name in LOSSES if LOSSES[name].can_spread} | {
    "normface, s learnt": ("normface", {"learn_scale": True}),
    "mv-softmax on arcface": ("mv-softmax", {"base": "arcface", "rule": "fixed"}),
    "magface within its band": ("magface", {"l_a": 1.0, "u_a": 51.0, "lam_g": 5.0}),
    "adapted-margin, long tail": ("adapted-margin", {"class_counts": list(range(1, N_CLASSES + 1))}),
    "cosface, sampled": ("cosface", {"sample_rate": 0.5}),
    "cosface, few sampled": ("cosface", {"sample_rate": 0.01}),
    "gb-cosface, sampled": ("gb-cosface", {"sample_rate": 0.7}),
}


def _table(head):
    return next(part for part in head.modules() if isinstance(part, CentreTable))


def _train(case, rank, count):
    """Train a head for some steps; return what must not depend on the number of processes."""
    name, options = CASES[case]
    head = LOSSES[name](N_CLASSES, DIM, seed=1, shard=Shard(rank, count), **options).double()
    table, values, gradients = _table(head), [], []
    for step in range(STEPS):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(BATCH, DIM, generator=generator, dtype=torch.float64) * 2
        y = torch.randint(N_CLASSES - 3 * (step == 1), (BATCH,), generator=generator)
        leaf = x[rank::count].clone().requires_grad_()
        loss = head(leaf, y[rank::count])
        loss.backward()
        table.average_gradient(count)
        clip_gradients([], [table], 0.5)
        table.update(**RECIPE)
        values.append(loss.item())
        # DDP takes the mean over processes of what follows from this gradient.
        gradients.append((leaf.grad / count).tolist())
        values += [(parameter.grad / count).sum().item() for parameter in head.parameters() if parameter.ndim == 0]
        head.zero_grad()
    others = {key: value.tolist() for key, value in head.named_buffers() if "centres" not in key}
    return {"values": values, "gradients": gradients, "rows": table.weight.tolist(), "others": others}


def _reference(case):
    """The same in one process, by autograd and torch's SGD on a parameter where there is no sample."""
    name, options = CASES[case]
    if "sample_rate" in options:
        return _train(case, 0, 1)
    head = LOSSES[name](N_CLASSES, DIM, seed=1, **options).double()
    centres = [parameter for key, parameter in head.named_parameters() if key.endswith("centres.weight")]
    optimizer = torch.optim.SGD(centres, **RECIPE)
    values, gradients = [], []
    for step in range(STEPS):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(BATCH, DIM, generator=generator, dtype=torch.float64) * 2
        y = torch.randint(N_CLASSES - 3 * (step == 1), (BATCH,), generator=generator)
        loss = head(x.requires_grad_(), y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(centres, 0.5)
        optimizer.step()
        values.append(loss.item())
        values += [parameter.grad.sum().item() for parameter in head.parameters() if parameter.ndim == 0]
        gradients.append(x.grad.tolist())
        head.zero_grad()
    others = {key: value.tolist() for key, value in head.named_buffers() if "centres" not in key}
    return {"values": values, "gradients": gradients, "rows": centres[0].tolist(), "others": others}


def _worker(rank, address, queue):
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=2)
    queue.put((rank, {case: _train(case, rank, 2) for case in CASES}))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    address = tmp_path_factory.mktemp("spread") / "store"
    workers = [context.Process(target=_worker, args=(rank, address, queue)) for rank in range(2)]
    for worker in workers:
        worker.start()
    results = dict(queue.get(timeout=1200) for _ in workers)
    for worker in workers:
        worker.join(30)
    return results


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_with_half_the_classes_train_as_one_with_all(two_processes, case):
    expected = _reference(case)
    parts = [two_processes[rank][case] for rank in range(2)]
    for rank, part in enumerate(parts):
        n_scalars = len(expected["values"]) // STEPS
        for k, value in enumerate(expected["values"]):
            if k % n_scalars == 0:  # the loss is the whole batch's in both; gradients of s are to be added
                assert part["values"][k] == pytest.approx(value, rel=1e-6, abs=1e-9)
            else:
                assert sum(each["values"][k] for each in parts) == pytest.approx(value, rel=1e-6)
        for got, whole in zip(part["gradients"], expected["gradients"], strict=True):
            torch.testing.assert_close(torch.tensor(got), torch.tensor(whole)[rank::2], rtol=1e-5, atol=1e-8)
        for key, value in expected["others"].items():
            torch.testing.assert_close(torch.tensor(part["others"][key]), torch.tensor(value), equal_nan=True)
    rows = torch.tensor(parts[0]["rows"] + parts[1]["rows"])
    assert len(parts[0]["rows"]) == 3
    torch.testing.assert_close(rows, torch.tensor(expected["rows"]), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_a_table_in_one_process_trains_as_a_parameter(case):
    got, expected = _train(case, 0, 1), _reference(case)
    assert got["values"] == pytest.approx(expected["values"], rel=1e-9)
    torch.testing.assert_close(torch.tensor(got["rows"]), torch.tensor(expected["rows"]))


def test_which_losses_can_be_spread():
    cannot = {name for name in LOSSES if not LOSSES[name].can_spread}
    assert cannot == {
        "center", "anisotropy", "simplex", "triplet-semihard", "triplet-batchhard", "margin-distance-weighted",
    }  # fmt: skip


def test_parts_are_all_classes_once():
    for n_classes, count in ((7, 2), (10, 3), (5, 5), (1_000_000, 7)):
        parts = [Shard(rank, count).rows(n_classes) for rank in range(count)]
        assert parts[0].start == 0
        assert parts[-1].stop == n_classes
        assert all(one.stop == two.start for one, two in itertools.pairwise(parts))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    with pytest.raises(ConfigError, match="3 classes cannot be spread over 4 processes"):
        Shard(0, 4).rows(3)


def test_centres_begin_the_same_in_any_part():
    shape = (40_000, 4)  # more than one block
    whole = drawn_centres(shape, 5)
    torch.testing.assert_close(whole, torch.randn(shape, generator=torch.Generator().manual_seed(5)) * 0.01)
    for rows in (range(0, 10), range(16_380, 16_390), range(30_000, 40_000)):
        assert torch.equal(drawn_centres(shape, 5, rows), whole[rows.start : rows.stop])


def _moved(count):
    tables = []
    for rank in range(count):
        table = CentreTable((N_CLASSES, 2, DIM), 3, shard=Shard(rank, count))
        ids = torch.arange(table.rows.start, table.rows.stop)[:, None, None].float()
        table.weight.copy_(ids.expand_as(table.weight))
        table.momentum.copy_(-ids.expand_as(table.weight))
        table.step.fill_(9)
        tables.append(table)
    return tables


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 2), (2, 1)])
def test_a_checkpoint_is_taken_up_by_another_number_of_processes(tmp_path, before, after):
    for table in _moved(before):
        save_shards(tmp_path, 4, {"head": table})
    for expected in _moved(after):
        table = CentreTable((N_CLASSES, 2, DIM), 0, shard=expected.shard)
        load_shards(tmp_path, 4, before, {"head": table})
        for key, value in expected.named_buffers():
            assert torch.equal(dict(table.named_buffers())[key], value)
    save_shards(tmp_path, 5, {"head": _moved(1)[0]})
    remove_other_shards(tmp_path, 5, 1)
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(DataError, match="is missing or damaged; remove"):
        load_shards(tmp_path, 4, before, {"head": table})


def test_a_part_that_finds_no_room_is_an_error_of_one_line(tmp_path, monkeypatch):
    def full(tensors, path):
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("synthface.recognition.training.shard_files.save_file", full)
    with pytest.raises(DataError, match=r"cannot be written .*No space left"):
        save_shards(tmp_path, 4, {"head": _moved(1)[0]})
    assert list(tmp_path.iterdir()) == []


class _LargestResult(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for part in torch.utils._pytree.tree_leaves(result):
            if isinstance(part, torch.Tensor):
                self.largest = max(self.largest, part.numel())
        return result


def test_a_part_of_a_million_classes_never_needs_the_whole_table():
    with _LargestResult() as seen:
        table = CentreTable((1_000_000, 4), 0, shard=Shard(2, 8))
    assert table.weight.shape == table.momentum.shape == (125_000, 4)
    assert seen.largest == 500_000
