"""Losses on pairs, triplets and class centres against naive loops and pytorch-metric-learning."""

import math

import pytest
import torch
from torch.nn import functional as F

from synthface.recognition.losses import LOSSES
from synthface.recognition.losses.centre import CentreLoss
from synthface.recognition.losses.contrastive import ContrastiveLoss, best_threshold
from synthface.recognition.losses.distance_weighted import DistanceWeightedMargin, negative_probabilities
from synthface.recognition.losses.identity_triplet import MISSING
from synthface.recognition.losses.pairs import distances
from synthface.recognition.losses.simplex import simplex_vertices
from synthface.recognition.losses.triplets import BatchHardTriplets, SemiHardTriplets

N_CLASSES, DIM = 5, 6
PML = pytest.importorskip("pytorch_metric_learning")


def _batch(seed=0, per_class=4, dim=DIM, spread=0.7):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(N_CLASSES).repeat_interleave(per_class)
    centres = torch.randn(N_CLASSES, dim, generator=generator, dtype=torch.float64)
    return centres[y] + spread * torch.randn(len(y), dim, generator=generator, dtype=torch.float64), y


def _value_and_gradient(loss, x, y):
    leaf = x.clone().requires_grad_()
    value = loss(leaf, y)
    return value.item(), torch.autograd.grad(value, leaf)[0]


def test_semi_hard_triplets_are_those_of_pytorch_metric_learning():
    from pytorch_metric_learning import distances as pml_distances
    from pytorch_metric_learning import losses, miners, reducers

    distance = pml_distances.LpDistance(power=2)
    reference = losses.TripletMarginLoss(margin=0.2, distance=distance, reducer=reducers.SumReducer())
    miner = miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard", distance=distance)
    x, y = _batch()
    ours = _value_and_gradient(SemiHardTriplets(reduction="sum"), x, y)
    theirs = _value_and_gradient(lambda a, b: reference(a, b, miner(a, b)), x, y)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-9)
    assert ours[0] > 0
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-7, atol=1e-9)
    assert 0 < SemiHardTriplets()(x, y).item() < 0.2  # the mean


def test_batch_hard_triplets_are_those_of_pytorch_metric_learning():
    from pytorch_metric_learning import distances as pml_distances
    from pytorch_metric_learning import losses, miners, reducers

    distance = pml_distances.LpDistance(normalize_embeddings=False)
    reference = losses.TripletMarginLoss(margin=0, smooth_loss=True, distance=distance, reducer=reducers.MeanReducer())
    miner = miners.BatchHardMiner(distance=distance)
    x, y = _batch()
    ours = _value_and_gradient(BatchHardTriplets(), x, y)
    theirs = _value_and_gradient(lambda a, b: reference(a, b, miner(a, b)), x, y)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-9)
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-7, atol=1e-9)


def test_collapse_shows_as_log_two_and_has_no_gradient():
    value, gradient = _value_and_gradient(BatchHardTriplets(), torch.ones(8, 4).double(), torch.arange(4).repeat(2))
    assert value == pytest.approx(math.log(2))
    assert gradient.abs().max() < 1e-9
    assert BatchHardTriplets(margin=0.3)(torch.ones(8, 4), torch.arange(4).repeat(2)).item() == pytest.approx(0.3)


def test_a_batch_without_pairs_is_harmless():
    x = torch.randn(4, DIM, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for name in ("triplet-semihard", "triplet-batchhard", "margin-distance-weighted"):
        loss = LOSSES[name](4, DIM)(x, torch.arange(4))
        assert loss.item() == 0
        assert torch.autograd.grad(loss, x)[0].abs().max() == 0
    one_class = LOSSES["range"](4, DIM)(x, torch.zeros(4, dtype=torch.int64))
    assert torch.isfinite(torch.autograd.grad(one_class, x)[0]).all()


def test_margin_loss_on_given_triplets_is_that_of_pytorch_metric_learning():
    from pytorch_metric_learning import losses

    x, y = _batch()
    loss = DistanceWeightedMargin().double()
    anchor, positive, negative = loss.mine(distances(F.normalize(x)), y, DIM)
    assert len(anchor) > 10
    assert (y[anchor] == y[positive]).all()
    assert (y[anchor] != y[negative]).all()
    reference = losses.MarginLoss(margin=0.2, nu=0, beta=1.2).double()
    expected = reference(x, y, (anchor, positive, negative)).item()
    assert loss.loss_of_triplets(distances(F.normalize(x)), anchor, positive, negative).item() == pytest.approx(
        expected, rel=1e-6
    )


def test_negatives_are_drawn_in_inverse_proportion_to_the_density_of_distances():
    x, y = _batch()
    d = distances(F.normalize(x))
    got = negative_probabilities(d, y, DIM, cutoff=0.5, limit=1.4)
    for a in range(len(y)):
        weights = [
            0.0
            if y[a] == y[n] or d[a, n] >= 1.4
            else 1 / (max(d[a, n], 0.5) ** (DIM - 2) * (1 - max(d[a, n], 0.5) ** 2 / 4) ** ((DIM - 3) / 2))
            for n in range(len(y))
        ]
        total = float(sum(weights))
        expected = torch.tensor([float(w) / total if total else 0.0 for w in weights], dtype=torch.float64)
        torch.testing.assert_close(got[a], expected, rtol=1e-9, atol=1e-12)


def test_the_miner_survives_512_dimensions_where_the_librarys_does_not():
    from pytorch_metric_learning import miners

    generator = torch.Generator().manual_seed(0)
    y = torch.arange(16).repeat_interleave(4)
    u = F.normalize(torch.randn(64, 512, generator=generator) + 0.35 * torch.randn(512, generator=generator))
    u[4] = F.normalize(u[0] + 0.02 * torch.randn(512, generator=generator), dim=0)  # one close stranger
    anchors = DistanceWeightedMargin().mine(distances(u), y, 512)[0].unique()
    theirs = miners.DistanceWeightedMiner(cutoff=0.5, nonzero_loss_cutoff=1.4)(u, y)[0].unique()
    assert len(anchors) == 64
    assert len(theirs) < 10


def test_negatives_depend_on_seed_and_step_only():
    x, y = _batch()
    loss, again = DistanceWeightedMargin(seed=3), DistanceWeightedMargin(seed=3)
    values = [loss(x, y).item() for _ in range(3)]
    assert len(set(values)) > 1
    again.load_state_dict({**again.state_dict(), "step": torch.tensor(2)})
    assert again(x, y).item() == values[2]


def test_centre_loss_and_the_move_of_its_centres():
    x, y = _batch()
    loss = CentreLoss(LOSSES["softmax"](N_CLASSES + 1, DIM).double(), DIM, lam=0.4, alpha=0.5).double()
    torch.nn.init.normal_(loss.centres, generator=torch.Generator().manual_seed(5))
    before = loss.centres.clone()
    leaf = x.clone().requires_grad_()
    gradient = torch.autograd.grad(loss.weight * loss.term(leaf, y), leaf)[0]
    torch.testing.assert_close(gradient, 0.4 * (x - before[y]) / len(y))
    for j in range(N_CLASSES):
        own = x[y == j]
        expected = before[j] - 0.5 * (before[j] - own).sum(dim=0) / (1 + len(own))
        torch.testing.assert_close(loss.centres[j], expected)
    torch.testing.assert_close(loss.centres[N_CLASSES], before[N_CLASSES])  # no image, no move
    for _ in range(200):
        loss.term(x, y)
    torch.testing.assert_close(loss.centres[0], x[y == 0].mean(dim=0))
    moved = loss.centres.clone()
    loss.eval().term(x + 1, y)
    torch.testing.assert_close(loss.centres, moved)


def test_contrastive_loss_is_that_of_deepid2():
    x, y = _batch()
    loss = ContrastiveLoss(LOSSES["softmax"](N_CLASSES, DIM).double(), margin=2.0).double()
    terms = []
    for i in range(len(y)):
        for j in range(i + 1, len(y)):
            d = (x[i] - x[j]).norm()
            terms.append(d**2 / 2 if y[i] == y[j] else max(torch.zeros(()).double(), 2.0 - d) ** 2 / 2)
    assert loss.term(x, y).item() == pytest.approx(torch.stack(terms).mean().item(), rel=1e-9)
    coincident = torch.zeros(2, DIM).double()
    for labels in ([0, 0], [0, 1]):
        value, gradient = _value_and_gradient(loss.term, coincident, torch.tensor(labels))
        assert torch.isfinite(gradient).all()
        assert value == pytest.approx(0.0 if labels[0] == labels[1] else 2.0, abs=1e-5)


def test_contrastive_margin_is_reset_to_the_best_threshold():
    mated, non_mated = torch.tensor([1.0, 1.1, 1.2, 3.0]), torch.tensor([2.0, 2.5, 2.6, 2.7])
    threshold = best_threshold(mated, non_mated).item()
    assert 1.2 <= threshold < 2.0

    def errors(t):
        return (mated > t).float().mean() + (non_mated <= t).float().mean()

    assert errors(threshold) == min(errors(t) for t in torch.linspace(0, 4, 401))
    x, y = _batch()
    loss = ContrastiveLoss(LOSSES["softmax"](N_CLASSES, DIM).double(), reset_every=2).double()
    margins = []
    for factor in (1, 2, 3):
        loss.term(factor * x, y)
        margins.append(loss.margin.item())
    assert margins[0] == margins[1]
    assert margins[2] == pytest.approx(3 * margins[0])


def test_range_loss_written_out():
    x, y = _batch()
    head = LOSSES["range"](N_CLASSES, DIM, margin=50.0).double()
    intra = 0.0
    for j in range(N_CLASSES):
        own = x[y == j]
        squares = sorted((own[a] - own[b]).square().sum().item() for a in range(4) for b in range(a + 1, 4))
        intra += 2 / (1 / squares[-1] + 1 / squares[-2])
    means = [x[y == j].mean(dim=0) for j in range(N_CLASSES)]
    nearest = min((means[a] - means[b]).square().sum().item() for a in range(N_CLASSES) for b in range(a))
    assert head.intra(x, y).item() == pytest.approx(intra, rel=1e-9)
    assert head.inter(x, y).item() == pytest.approx(50 - nearest, rel=1e-9)
    assert head.intra(3 * x, y).item() == pytest.approx(9 * intra, rel=1e-9)
    assert head.inter(100 * x, y).item() == 0
    gradient = _value_and_gradient(head.intra, x, y)[1]
    assert head.intra(x - 1e-3 * gradient, y).item() < intra  # the worst pairs come together


def test_anisotropy_pulls_only_outliers_and_towards_their_centre():
    head = LOSSES["anisotropy"](N_CLASSES, DIM).double()
    x, y = _batch()
    value, gradient = _value_and_gradient(head.term, x, y)
    u, w = F.normalize(x), F.normalize(head.base.weight.detach())[y]
    theta = torch.acos((u * w).sum(dim=1))
    mean = torch.stack([theta[y == j].mean() for j in range(N_CLASSES)])[y]
    expected = ((theta / mean - 1).clamp(min=0) * (1 - theta.cos())).mean().item()
    assert value == pytest.approx(expected, rel=1e-9)
    pulled = gradient.norm(dim=1) > 1e-12
    assert (pulled == (theta > mean)).all()
    towards = w - theta.cos()[:, None] * u
    cosines = F.cosine_similarity(-gradient[pulled], towards[pulled])
    torch.testing.assert_close(cosines, torch.ones_like(cosines))
    alike = F.normalize(head.base.weight.detach()).repeat_interleave(2, 0)
    assert head.term(alike, torch.arange(N_CLASSES).repeat_interleave(2)).item() == pytest.approx(0, abs=1e-9)
    turn = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(1)).double())[0]
    head.base.centres.weight.data = head.base.weight.data @ turn
    assert head.term(x @ turn, y).item() == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(("n_classes", "dim"), [(5, 6), (7, 6), (12, 6)])
def test_simplex_loss_and_nearest_centre(n_classes, dim):
    head = LOSSES["simplex"](n_classes, dim, radius=10.0).double()
    x = torch.randn(9, dim, generator=torch.Generator().manual_seed(0)).double()
    y = torch.arange(9) % n_classes
    lifted = head.lift(x)
    expected = (lifted - head.vertices[y]).square().sum(dim=1).mean()
    assert head(x, y).item() == pytest.approx(expected.item())
    best_cosine = (F.normalize(lifted) @ F.normalize(head.vertices).T).argmax(dim=1)
    assert (head.logits(x).argmax(dim=1) == best_cosine).all()
    if n_classes - 1 <= dim:
        assert head(head.vertices[: min(5, n_classes)], torch.arange(min(5, n_classes))).item() == pytest.approx(0)
    assert not any("vertices" in name for name, _ in head.named_parameters())


def test_simplex_vertices_are_equidistant():
    for n in (2, 3, 10, 100):
        v = simplex_vertices(n)
        gram = v @ v.T
        expected = torch.full((n, n), -1 / (n - 1), dtype=torch.float64).fill_diagonal_(1)
        torch.testing.assert_close(gram, expected, rtol=0, atol=1e-12)
        assert v.sum(dim=0).abs().max() < 1e-12


def test_identity_triplet_is_the_sum_of_its_parts():
    x, y = _batch()
    head = LOSSES["id-triplet"](N_CLASSES, DIM, lam_t=0.5, lam_a=2.0, attribute_sizes=(3, 2)).double()
    attributes = torch.stack([y % 3, torch.full_like(y, MISSING)], dim=1)
    attributes[0, 0] = MISSING
    parts = head.base(x, y) + 0.5 * BatchHardTriplets()(x, y)
    assert head(x, y).item() == pytest.approx(parts.item())
    linear = head.attribute_heads[0]
    expected = parts + 2 * F.cross_entropy(linear(x)[1:], y[1:] % 3)
    assert head(x, y, attributes).item() == pytest.approx(expected.item())
    for lam_t, radial in ((0.0, False), (1.0, True)):
        head = LOSSES["id-triplet"](N_CLASSES, DIM, lam_t=lam_t).double()
        gradient = _value_and_gradient(head, x, y)[1]
        assert ((gradient * x).sum(dim=1).abs().max() > 1e-9) == radial
