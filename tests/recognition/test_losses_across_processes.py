"""Two processes with half a batch each leave the same counted state as one with all of it."""

import multiprocessing

import pytest
import torch

from synthface.recognition.losses import LOSSES

N_CLASSES, DIM, STEPS = 5, 6, 3
CASES = {
    "gb-cosface": {},
    "center": {},
    "sphereface": {},
    "l-softmax": {},
    "contrastive": {"reset_every": 2},
    "cosface": {"sample_rate": 0.6},
}


def _train(name, options, rank, world_size):
    head = LOSSES[name](N_CLASSES, DIM, seed=1, **options)
    for step in range(STEPS):
        generator = torch.Generator().manual_seed(step)
        x, y = torch.randn(8, DIM, generator=generator), torch.randint(N_CLASSES, (8,), generator=generator)
        head(x[rank::world_size], y[rank::world_size]).backward()
        if "sample_rate" in options:
            head.centres.average_gradient(world_size)
            head.centres.update(lr=0.1, momentum=0.9, weight_decay=0.0)
    return dict(head.named_buffers())


def _worker(rank, address, queue):
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=2)
    states = {name: _train(name, options, rank, 2) for name, options in CASES.items()}
    queue.put((rank, {name: {k: v.tolist() for k, v in state.items()} for name, state in states.items()}))
    dist.destroy_process_group()


@pytest.mark.slow
def test_buffers_do_not_depend_on_the_number_of_processes(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_worker, args=(rank, tmp_path / "store", queue)) for rank in range(2)]
    for worker in workers:
        worker.start()
    states = dict(queue.get(timeout=1200) for _ in workers)
    for worker in workers:
        worker.join(30)
    for name, options in CASES.items():
        for key, value in _train(name, options, 0, 1).items():
            for rank in range(2):
                torch.testing.assert_close(torch.tensor(states[rank][name][key]), value, check_dtype=False)
