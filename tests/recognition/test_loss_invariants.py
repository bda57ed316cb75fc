"""Identities between losses, and published traps: each loss is another one at a setting of its options."""

import math

import pytest
import torch
from torch.nn import functional as F

from synthface.recognition.losses import LOSSES
from synthface.recognition.losses.magnitude import MagnitudeMargin
from synthface.recognition.losses.subcentres import dominant_subcentres, images_to_drop, subcentre_cosines

N_CLASSES, DIM, SCALE = 6, 5, 16.0


def _batch(n=40, factor=3.0):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, DIM, generator=generator, dtype=torch.float64) * factor
    return x, torch.randint(N_CLASSES, (n,), generator=generator)


def _head(name, *, unit=False, **options):
    head = LOSSES[name](N_CLASSES, DIM, seed=1, **options).double()
    generator = torch.Generator().manual_seed(2)
    centres = torch.randn(N_CLASSES, DIM, generator=generator, dtype=torch.float64)
    head.centres.weight.data = F.normalize(centres) if unit else centres
    return head


def _same(one, other, *, rtol=1e-9):
    """Value, gradient on the embeddings and gradient on the centres agree."""
    x, y = _batch()
    results = []
    for head in (one, other):
        leaf = x.clone().requires_grad_()
        value = head(leaf, y)
        results.append((value.detach(), *torch.autograd.grad(value, (leaf, head.weight))))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b.reshape(a.shape), rtol=rtol, atol=1e-11)


NO_ANNEALING = {"lam_base": 0.0, "lam_min": 0.0}


def test_multiplied_angles_of_one_are_the_plain_losses():
    _same(_head("sphereface", margin=1, **NO_ANNEALING), _head("modified-softmax"))
    _same(_head("l-softmax", margin=1, **NO_ANNEALING), _head("softmax"))


def test_l_softmax_with_unit_centres_is_a_softmax():
    x, y = _batch()
    one, other = (_head(name, unit=True, **NO_ANNEALING)(x, y).item() for name in ("l-softmax", "sphereface"))
    assert one == pytest.approx(other, rel=1e-12)
    doubled = _head("l-softmax", unit=True, **NO_ANNEALING)
    doubled.centres.weight.data *= 2
    assert doubled(x, y).item() == pytest.approx(_head("l-softmax", unit=True, **NO_ANNEALING)(2 * x, y).item())


def test_a_softmax_with_infinite_lambda_is_modified_softmax():
    _same(_head("sphereface", lam_min=1e15), _head("modified-softmax"))


def test_gb_cosface_without_shared_boundary_is_cosface_with_twice_the_margin():
    _same(_head("gb-cosface", alpha=0.0, margin=0.16, scale=SCALE), _head("cosface", margin=0.32, scale=SCALE))


def test_gb_cosface_moves_its_boundary_as_written():
    x, y = _batch()
    head = _head("gb-cosface", scale=SCALE, low=0.0, high=0.7)
    z = F.normalize(x) @ F.normalize(head.weight.detach()).T
    own = F.one_hot(y, N_CLASSES).bool()
    n = torch.log((torch.exp(SCALE * z) * ~own).sum(dim=1)) / SCALE
    v = (z[own] + n) / 2
    first = min(max(v.mean().item(), 0.0), 0.7)
    shared = v + 0.15 * (first - v)
    expected = (F.softplus(2 * SCALE * (shared - z[own] + 0.16)) + F.softplus(2 * SCALE * (n + 0.16 - shared))) / 2
    assert head(x, y).item() == pytest.approx(expected.mean().item(), rel=1e-12)
    assert head.boundary.item() == pytest.approx(0.99 * first + 0.01 * v.mean().item())
    before = head.boundary.item()
    head(x, y)
    assert head.boundary.item() == pytest.approx(0.99 * max(before, 0.0) + 0.01 * v.mean().item())


@pytest.mark.parametrize("a", [-0.05, -0.2, -1.0])
def test_search_softmax_with_a_constant_is_cosface(a):
    x, y = _batch()
    z = SCALE * F.normalize(x) @ F.normalize(_head("normface", scale=SCALE).weight.detach()).T
    p = z.softmax(dim=1)[torch.arange(len(y)), y]
    expected = -torch.log(p / (a * p + 1 - a)).mean()
    cosface = _head("cosface", margin=math.log1p(-a) / SCALE, scale=SCALE)
    assert cosface(x, y).item() == pytest.approx(expected.item(), rel=1e-12)


def test_hard_negatives_at_factor_one_change_nothing():
    _same(_head("sv-softmax", t=1.0, scale=SCALE), _head("normface", scale=SCALE))
    for base in ("cosface", "arcface"):
        for rule in ("adaptive", "fixed"):
            _same(_head("mv-softmax", base=base, rule=rule, t=1.0, scale=SCALE), _head(base, scale=SCALE))


@pytest.mark.parametrize("rule", ["adaptive", "fixed"])
@pytest.mark.parametrize("base", ["sv", "cosface", "arcface"])
def test_hard_negatives_have_the_published_weights(base, rule):
    if base == "sv" and rule == "fixed":
        pytest.skip("SV-Softmax is adaptive")
    x, y = _batch()
    t, name = 1.2, "sv-softmax" if base == "sv" else "mv-softmax"
    options = {} if base == "sv" else {"base": base, "rule": rule}
    head = _head(name, t=t, scale=SCALE, **options)
    z = F.normalize(x) @ F.normalize(head.weight.detach()).T
    losses = []
    for row, label in zip(z, y, strict=True):
        z_y = row[label].item()
        theta = math.acos(z_y)
        arc = math.cos(theta + 0.5) if theta + 0.5 <= math.pi else z_y - 0.5 * math.sin(0.5)
        phi = {"sv": z_y, "cosface": z_y - 0.35, "arcface": arc}[base]
        total = math.exp(SCALE * phi)
        for j, z_j in enumerate(row.tolist()):
            if j != label:
                hard = math.exp(SCALE * (t - 1) * ((z_j + 1) if rule == "adaptive" else 1))
                total += (hard if z_j > phi else 1) * math.exp(SCALE * z_j)
        losses.append(-math.log(math.exp(SCALE * phi) / total))
    assert head(x, y).item() == pytest.approx(sum(losses) / len(losses), rel=1e-9)
    plain = _head(name, t=1.0, scale=SCALE, **options)
    assert head(x, y) > plain(x, y)


def test_one_sub_centre_is_arcface_and_so_are_equal_ones():
    _same(_head("subcenter-arcface", sub_centres=1, scale=SCALE), _head("arcface", scale=SCALE))
    x, y = _batch()
    three = LOSSES["subcenter-arcface"](N_CLASSES, DIM, scale=SCALE).double()
    arcface = _head("arcface", scale=SCALE)
    three.centres.weight.data = arcface.weight.data[:, None].repeat(1, 3, 1)
    assert three(x, y).item() == pytest.approx(arcface(x, y).item(), rel=1e-12)


def test_sub_centre_arcface_is_that_of_pytorch_metric_learning():
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    x, y = _batch()
    head = LOSSES["subcenter-arcface"](N_CLASSES, DIM, sub_centres=3, scale=SCALE).double()
    reference = losses.SubCenterArcFaceLoss(
        num_classes=N_CLASSES, embedding_size=DIM, margin=math.degrees(0.5), scale=SCALE, sub_centers=3
    ).double()
    reference.W.data = head.weight.detach().reshape(N_CLASSES * 3, DIM).T.clone()
    assert head(x, y).item() == pytest.approx(reference(x, y).item(), rel=1e-9)


def test_gradient_reaches_only_the_nearest_sub_centre():
    x, y = _batch(n=1)
    head = LOSSES["subcenter-arcface"](N_CLASSES, DIM, scale=SCALE).double()
    gradient = torch.autograd.grad(head(x, y), head.weight)[0].norm(dim=2)
    nearest = torch.einsum("d,ckd->ck", x[0], F.normalize(head.weight.detach(), dim=2)).argmax(dim=1)
    assert ((gradient > 0) == F.one_hot(nearest, 3).bool()).all()


def test_purification_finds_the_wrong_labels():
    generator = torch.Generator().manual_seed(0)
    centres = F.normalize(torch.randn(4, 3, 64, generator=generator), dim=2)
    y = torch.arange(4).repeat_interleave(50)
    flipped = torch.zeros(200, dtype=torch.bool)
    flipped[::10] = True
    shown = torch.where(flipped, (y + 1) % 4, y)
    x = centres[shown, 2] + 0.05 * torch.randn(200, 64, generator=generator)
    cosines = subcentre_cosines(x, y, centres)
    torch.testing.assert_close(cosines[7], F.normalize(centres[0], dim=1) @ F.normalize(x[7], dim=0))
    assert dominant_subcentres(cosines, y, 4).tolist() == [2, 2, 2, 2]
    assert torch.equal(images_to_drop(cosines, y, 4), flipped)


def test_magface_with_one_margin_is_easy_arcface():
    flat = {"l_m": 0.45, "u_m": 0.45, "lam_g": 0.0}
    _same(_head("magface", scale=SCALE, **flat), _head("arcface", margin=0.45, past_pi="easy", scale=SCALE))


def test_magface_margin_regulariser_and_gradient_band():
    rule = MagnitudeMargin(10.0, 110.0, 0.45, 0.8)
    ends = torch.tensor([5.0, 10.0, 110.0, 500.0], dtype=torch.float64)
    torch.testing.assert_close(rule.margin(ends), torch.tensor([0.45, 0.45, 0.8, 0.8], dtype=torch.float64))
    a = torch.linspace(10, 110, 1001, dtype=torch.float64).requires_grad_()
    slope = torch.autograd.grad(rule.regulariser(a).sum(), a)[0]
    assert (slope[:-1] < 0).all()
    assert slope[-1].item() == pytest.approx(0, abs=1e-12)
    assert (slope.diff() > 0).all()
    head = _head("magface", scale=SCALE)
    x, y = _batch()
    for length, seen in ((5.0, False), (40.0, True), (200.0, False)):
        leaf = (length * F.normalize(x)).requires_grad_()
        gradient = torch.autograd.grad(head(leaf, y), leaf)[0]
        assert ((gradient * leaf).sum(dim=1).abs().max() > 1e-9) == seen


def test_magface_rewards_length_more_the_better_an_image_fits():
    """The best length falls with the angle: the published table for 10572 classes, others at cosine .05."""
    rule = MagnitudeMargin(10.0, 110.0, 0.45, 0.8)
    a = torch.linspace(10, 110, 20001, dtype=torch.float64)
    best = []
    for degrees in (5, 10, 20, 30, 40, 50, 60):
        z = torch.full_like(a, math.cos(math.radians(degrees)))
        loss = F.softplus(math.log(10571) + 64 * 0.05 - 64 * rule(z, a))
        best.append(round(a[(loss + 35 * rule.regulariser(a)).argmin()].item()))
        assert a[loss.argmin()] == 10  # without reward, the least margin
    assert best == [110, 110, 110, 98, 59, 22, 12]


def test_adapted_margin_is_a_prior_that_training_alone_sees():
    x, y = _batch()
    _same(_head("adapted-margin", scale=SCALE), _head("normface", scale=SCALE))
    counts = [1, 1, 1, 1, 1, 35]
    head = _head("adapted-margin", scale=SCALE, class_counts=counts)
    z = F.normalize(x) @ F.normalize(head.weight.detach()).T
    expected = F.cross_entropy(SCALE * (z + torch.tensor(counts).double() / 40), y)  # only differences count
    assert head(x, y).item() == pytest.approx(expected.item(), rel=1e-6)  # margins are kept in float32
    assert head.margins[0] > head.margins[5]
    grouped = _head("adapted-margin", class_counts=counts, groups=[0, 0, 0, 0, 0, 1])
    assert grouped.margins.tolist() == pytest.approx([0.8, 0.8, 0.8, 0.8, 0.8, 0.0])
