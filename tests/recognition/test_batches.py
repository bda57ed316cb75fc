"""Plans of batches: every image once, or P classes with K images; the same for any number of processes."""

import numpy as np
import pytest

from synthface.core.errors import ConfigError, DataError
from synthface.recognition.training.batches import PairBatches, ShuffledBatches

LABELS = np.repeat(np.arange(9), [1, 2, 3, 5, 8, 8, 8, 8, 20])


def _whole(batches, epoch, step, world_size=1):
    images = batches.images(epoch, step)
    return np.concatenate([images[batches.slots(rank=r, world_size=world_size)] for r in range(world_size)])


def test_shuffled_batches_show_each_image_once_an_epoch():
    batches = ShuffledBatches(50, 8, seed=1)
    seen = np.concatenate([_whole(batches, 0, step) for step in range(batches.steps_per_epoch)])
    assert len(seen) == 48 == len(set(seen))
    assert set(_whole(ShuffledBatches(50, 8, seed=1, world_size=2), 0, 3, world_size=2)) == set(_whole(batches, 0, 3))
    assert ShuffledBatches(5, 8, seed=0).size == 5
    with pytest.raises(ConfigError, match="--batch 8"):
        ShuffledBatches(50, 8, seed=0, world_size=3)


def test_pair_batches_hold_whole_classes():
    batches = PairBatches(LABELS, 20, per_class=4, seed=1)
    assert (batches.size, batches.steps_per_epoch, batches.n_left_out) == (20, 3, 1)
    mostly_alone = np.concatenate([np.repeat([0, 1], 10), np.arange(2, 100)])
    assert PairBatches(mostly_alone, 8).steps_per_epoch == 2  # 20 images that make pairs, not 118
    for step in range(20):
        images = _whole(batches, 0, step)
        labels, counts = np.unique(LABELS[images], return_counts=True)
        assert len(labels) == 5
        assert (counts == 4).all()
        assert 0 not in labels  # one image makes no pair
        for label in labels:
            distinct = set(images[LABELS[images] == label])
            assert len(distinct) == min(4, (label == LABELS).sum())
    np.testing.assert_array_equal(_whole(PairBatches(LABELS, 20, seed=1), 4, 2), _whole(batches, 4, 2))
    assert not np.array_equal(_whole(batches, 0, 0), _whole(batches, 0, 1))
    assert not np.array_equal(_whole(batches, 0, 0), _whole(batches, 1, 0))


def test_processes_share_a_pair_batch_by_classes():
    alone, two = PairBatches(LABELS, 16, seed=0), PairBatches(LABELS, 16, seed=0, world_size=2)
    np.testing.assert_array_equal(two.images(0, 0), alone.images(0, 0))
    slots = [two.slots(rank=rank, world_size=2) for rank in range(2)]
    assert sorted(np.concatenate(slots)) == list(range(16))
    parts = [two.images(0, 0)[mine] for mine in slots]
    assert not set(LABELS[parts[0]]) & set(LABELS[parts[1]])


def test_what_makes_no_pairs_is_refused():
    with pytest.raises(DataError, match="2 images or more, not 1"):
        PairBatches(np.array([0, 0, 1, 2]), 8)
    with pytest.raises(ConfigError, match="at least 8"):
        PairBatches(LABELS, 7)
    with pytest.raises(ConfigError, match="--images-per-class 1"):
        PairBatches(LABELS, 8, per_class=1)
