"""The softmax family against naive float64 formulas, pytorch-metric-learning, gradcheck and each other."""

import math

import pytest
import torch
from torch.nn import functional as F

from synthface.core.errors import ConfigError
from synthface.recognition.losses import LOSSES, SoftmaxHead
from synthface.recognition.losses.margins import AngularMargin, CombinedMargin, CosineMargin, Identity
from synthface.recognition.losses.multiplied_angle import AnnealedAngle, psi
from synthface.recognition.losses.scale import default_scale, minimum_scale, normface_lower_bound

N_CLASSES, DIM, SCALE = 6, 5, 16.0
PLAIN = ("softmax", "modified-softmax", "normface", "cosface", "arcface")
FIXED = ("normface", "cosface", "arcface")
MARGINS = {"cosface": 0.35, "arcface": 0.5}
LENGTHS = torch.ones(())  # for targets that do not look at them


def _batch(seed=0, n=7):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, DIM, generator=generator, dtype=torch.float64) * 3
    return x, torch.randint(N_CLASSES, (n,), generator=generator)


def _head(name, **options):
    if name in FIXED:
        options.setdefault("scale", SCALE)
    head = LOSSES[name](N_CLASSES, DIM, seed=1, **options).double()
    torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(2))
    return head


def _naive(name, x, y, w, margin):
    """Loss of one sample, written out with angles and a plain softmax."""
    norm_w, norm_x = w.norm(dim=1), x.norm()
    theta = torch.acos((w @ x) / (norm_w * norm_x))
    scale = {"softmax": norm_w * norm_x, "modified-softmax": norm_x.expand(len(w))}.get(
        name, torch.full((len(w),), SCALE)
    )
    logits = scale.double() * torch.cos(theta)
    if name == "cosface":
        logits[y] = SCALE * (torch.cos(theta[y]) - margin)
    if name == "arcface":
        past = theta[y] + margin > math.pi
        logits[y] = SCALE * (torch.cos(theta[y]) - margin * math.sin(margin) if past else torch.cos(theta[y] + margin))
    return -torch.log(torch.exp(logits[y]) / torch.exp(logits).sum())


@pytest.mark.parametrize("name", PLAIN)
def test_loss_equals_the_formula_written_out(name):
    x, y = _batch(n=40)
    head = _head(name)
    expected = torch.stack(
        [_naive(name, a, b, head.weight.detach(), MARGINS.get(name)) for a, b in zip(x, y, strict=True)]
    )
    assert head(x, y).item() == pytest.approx(expected.mean().item(), rel=1e-12)


@pytest.mark.parametrize("name", FIXED)
def test_loss_and_gradient_equal_pytorch_metric_learning(name):
    oracle = pytest.importorskip("pytorch_metric_learning.losses")
    make = {
        "normface": lambda: oracle.NormalizedSoftmaxLoss(N_CLASSES, DIM, temperature=1 / SCALE),
        "cosface": lambda: oracle.CosFaceLoss(N_CLASSES, DIM, margin=0.35, scale=SCALE),
        # This version takes degrees; 0.5 rad read as degrees would be no margin at all.
        "arcface": lambda: oracle.ArcFaceLoss(N_CLASSES, DIM, margin=math.degrees(0.5), scale=SCALE),
    }
    reference, head = make[name]().double(), _head(name)
    reference.W.data = head.weight.detach().T.clone()
    x, y = _batch(n=40)
    gradients = []
    for loss in (head, reference):
        leaf = x.clone().requires_grad_()
        value = loss(leaf, y)
        gradients.append((value.item(), torch.autograd.grad(value, leaf)[0]))
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-9)
    torch.testing.assert_close(gradients[0][1], gradients[1][1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", PLAIN)
def test_gradient_is_that_of_the_loss(name):
    x, y = _batch(3)
    head = _head(name)
    assert torch.autograd.gradcheck(lambda a: head(a, y), (x.requires_grad_(),))
    assert torch.autograd.gradcheck(
        lambda w: torch.func.functional_call(head, {"centres.weight": w}, (x.detach(), y)), (head.weight,)
    )


def test_margin_zero_makes_one_loss_of_three():
    x, y = _batch()
    values = [_head("normface")(x, y), _head("cosface", margin=0.0)(x, y), _head("arcface", margin=0.0)(x, y)]
    z = F.normalize(x) @ F.normalize(_head("normface").weight).T
    for value in values:
        assert value.item() == pytest.approx(F.cross_entropy(SCALE * z, y).item(), rel=1e-12)


def test_softmax_is_cross_entropy_of_inner_products():
    x, y = _batch()
    head = _head("softmax")
    assert head(x, y).item() == pytest.approx(F.cross_entropy(x @ head.weight.T, y).item(), rel=1e-12)


@pytest.mark.parametrize("name", PLAIN)
def test_radial_gradient_vanishes_exactly_where_the_embedding_is_normalised(name):
    x, y = _batch()
    x.requires_grad_()
    gradient = torch.autograd.grad(_head(name)(x, y), x)[0]
    radial = (gradient * x).sum(dim=1).abs().max().item()
    assert (radial < 1e-12) == (name in FIXED)


@pytest.mark.parametrize("name", PLAIN)
def test_class_names_do_not_matter(name):
    x, y = _batch()
    head, renamed = _head(name), _head(name)
    order = torch.randperm(N_CLASSES, generator=torch.Generator().manual_seed(4))
    renamed.centres.weight.data = head.weight.data[order]
    assert renamed(x, torch.argsort(order)[y]).item() == pytest.approx(head(x, y).item(), rel=1e-12)


@pytest.mark.parametrize("name", FIXED)
def test_length_of_embeddings_does_not_matter(name):
    x, y = _batch()
    assert _head(name)(7 * x, y).item() == pytest.approx(_head(name)(x, y).item(), rel=1e-12)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("sign", [1, -1])
def test_float32_gradients_are_finite_at_exact_alignment(name, sign):
    head = LOSSES[name](3, 512).float()
    torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(0))
    x = (sign * head.weight.detach()).clone().requires_grad_()
    loss = head(x, torch.arange(3))
    gradients = torch.autograd.grad(loss, (x, head.weight))
    assert all(torch.isfinite(part).all() for part in (loss, *gradients))


def test_a_zero_embedding_is_harmless():
    for name in PLAIN:
        x = torch.zeros(2, DIM, requires_grad=True)
        assert torch.isfinite(torch.autograd.grad(LOSSES[name](N_CLASSES, DIM)(x, torch.tensor([0, 1])), x)[0]).all()


def test_autocast_does_not_round_the_angles():
    head = LOSSES["arcface"](N_CLASSES, DIM, scale=SCALE)
    x, y = _batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = head(x.float(), y)
    assert inside.dtype == torch.float32
    assert inside.item() == head(x.float(), y).item()


def test_angular_margin_past_pi():
    m = 0.5
    z = torch.linspace(-1, 1, 20001, dtype=torch.float64)
    linear, easy, plain = (AngularMargin(m, past_pi=kind)(z, LENGTHS) for kind in ("linear", "easy", "none"))
    assert (linear.diff() >= -1e-9).all()  # non-increasing in the angle
    assert (linear <= z + 1e-9).all()
    seam = -math.cos(m)
    below, above = AngularMargin(m)(torch.tensor([seam - 1e-9, seam + 1e-9], dtype=torch.float64), LENGTHS)
    assert above.item() == pytest.approx(-1, abs=1e-6)
    assert below.item() == pytest.approx(seam - m * math.sin(m), abs=1e-6)
    assert easy.diff().min().item() == pytest.approx(-math.sin(m), abs=1e-3)  # the drop at 90 degrees
    assert plain[0].item() == pytest.approx(-math.cos(m), abs=1e-3)  # rises again


def test_detached_margin_has_the_gradient_of_no_margin():
    z = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    exact, detached = AngularMargin(0.5), AngularMargin(0.5, grad="detached")
    torch.testing.assert_close(exact(z, LENGTHS), detached(z, LENGTHS))
    assert torch.autograd.grad(detached(z, LENGTHS).sum(), z)[0].tolist() == [1.0, 1.0]
    assert torch.autograd.grad(exact(z, LENGTHS)[0], z)[0][0].item() == pytest.approx(
        math.sin(math.acos(0.3) + 0.5) / math.sin(math.acos(0.3))
    )


def test_cosface_gradient_on_its_logits():
    x, y = _batch()
    head = _head("cosface")
    z = (F.normalize(x) @ F.normalize(head.weight.detach()).T).requires_grad_()
    shifted = SCALE * (z - 0.35 * F.one_hot(y, N_CLASSES))
    gradient = torch.autograd.grad(F.cross_entropy(shifted, y, reduction="sum"), z)[0]
    torch.testing.assert_close(gradient, SCALE * (shifted.softmax(dim=1) - F.one_hot(y, N_CLASSES)).detach())


def test_scale_bounds_and_the_least_loss_on_a_simplex():
    assert [round(minimum_scale(c), 2) for c in (10, 1000, 10572, 85742)] == [3.96, 9.09, 11.46, 13.56]
    assert default_scale(10) < default_scale(1000) <= 64
    assert default_scale(10**6, 30.0) == 30.0
    centres = torch.eye(N_CLASSES, dtype=torch.float64) - 1 / N_CLASSES
    head = SoftmaxHead(N_CLASSES, N_CLASSES, target=Identity(), scale=4.0).double()
    head.centres.weight.data = centres
    assert head(centres, torch.arange(N_CLASSES)).item() == pytest.approx(normface_lower_bound(N_CLASSES, 4.0))


def test_options_that_a_loss_does_not_have_are_refused():
    for name, options in (("softmax", {"margin": 0.1}), ("softmax", {"scale": 3.0}), ("normface", {"margin": 0.1})):
        with pytest.raises(ConfigError, match=name):
            LOSSES[name](3, 4, **options)
    for options, message in (({"past_pi": "hard"}, "linear or easy or none"), ({"margin": "big"}, "a number")):
        with pytest.raises(ConfigError, match=message):
            LOSSES["arcface"](3, 4, **options)
    with pytest.raises(ConfigError, match="radians"):
        LOSSES["arcface"](3, 4, margin=28.6)
    with pytest.raises(ConfigError, match="past_pi"):
        AngularMargin(0.5, past_pi="hard")
    with pytest.raises(ConfigError, match="identities"):
        LOSSES["cosface"](1, 4)
    assert CosineMargin(0.35)(torch.tensor(0.5), LENGTHS).item() == pytest.approx(0.15)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_psi_falls_without_a_step_from_one_to_one_minus_twice_m(m):
    theta = torch.linspace(0, math.pi, 5001, dtype=torch.float64)
    values = psi(theta.cos(), m)
    k = torch.floor(m * theta / math.pi).clamp(max=m - 1)
    torch.testing.assert_close(values, (-1.0) ** k * torch.cos(m * theta) - 2 * k, rtol=0, atol=1e-9)
    assert values[-1].item() == pytest.approx(1 - 2 * m)
    assert (values.diff() <= 1e-9).all()
    assert values.diff().abs().max() < 2 * m * math.pi / 5000
    assert (values <= theta.cos() + 1e-9).all()


def test_lambda_follows_the_official_schedule():
    angle = AnnealedAngle(4, lam_base=1000.0, lam_gamma=0.12, lam_power=1.0, lam_min=5.0)
    seen = {}
    for step in range(1, 1700):
        angle.step.fill_(step)
        seen[step] = angle.lam().item()
    assert seen[1] == pytest.approx(892.9, abs=0.1)
    assert seen[100] == pytest.approx(76.9, abs=0.1)
    assert min(step for step, lam in seen.items() if lam == 5.0) == 1659
    z = torch.tensor([0.2], dtype=torch.float64)
    angle.eval()(z, LENGTHS)
    assert int(angle.step) == 1699  # looking does not count


def test_without_annealing_lambda_is_0_whatever_its_floor():
    angle = AnnealedAngle(4, lam_base=0.0, lam_gamma=0.12, lam_power=1.0, lam_min=5.0)
    z = torch.linspace(-0.9, 0.9, 7, dtype=torch.float64)
    torch.testing.assert_close(angle(z, torch.ones(7, dtype=torch.float64)), psi(z, 4))
    assert angle.lam() == 0


@pytest.mark.filterwarnings("ignore:__array_wrap__")
def test_psi_is_that_of_pytorch_metric_learning():
    oracle = pytest.importorskip("pytorch_metric_learning.losses")
    x, y = _batch(n=40)
    free = LOSSES["l-softmax"](N_CLASSES, DIM, lam_base=0.0, lam_min=0.0).double()
    unit = LOSSES["sphereface"](N_CLASSES, DIM, lam_base=0.0, lam_min=0.0).double()
    for head, make in ((free, oracle.LargeMarginSoftmaxLoss), (unit, oracle.SphereFaceLoss)):
        torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(2))
        reference = make(N_CLASSES, DIM, margin=4, scale=1).double()
        reference.W.data = head.weight.detach().T.clone()
        assert head(x, y).item() == pytest.approx(reference(x, y).item(), rel=1e-9)


def test_combined_margin_holds_the_three_and_never_rises():
    z = torch.linspace(-1, 1, 20001, dtype=torch.float64)
    before_pi = z > -math.cos(0.5)
    arc = CombinedMargin(1.0, 0.5, 0.0)(z, LENGTHS)
    torch.testing.assert_close(arc[before_pi], AngularMargin(0.5)(z, LENGTHS)[before_pi])
    torch.testing.assert_close(CombinedMargin(1.0, 0.0, 0.35)(z, LENGTHS), z - 0.35)
    inner = slice(1, -1)  # acos has no slope at the ends
    torch.testing.assert_close(CombinedMargin(3.0, 0.0, 0.0)(z, LENGTHS)[inner], psi(z, 3)[inner], atol=2e-6, rtol=0)
    for margins in ((1.0, 0.3, 0.2), (0.9, 0.4, 0.15), (1.35, 0.2, 0.1)):
        phi = CombinedMargin(*margins)(z, LENGTHS)
        assert (phi.diff() >= -1e-6).all()
    for m1, m2, m3 in ((1.0, 0.3, 0.2), (0.9, 0.4, 0.15)):
        value = CombinedMargin(m1, m2, m3)(torch.tensor(0.3, dtype=torch.float64), LENGTHS).item()
        assert value == pytest.approx(math.cos(m1 * math.acos(0.3) + m2) - m3)


def test_both_presets_of_cosface_and_the_learnt_scale():
    assert LOSSES["cosface"](9_999, 4).scale == pytest.approx(4 * minimum_scale(9_999))
    assert LOSSES["cosface"](10_572, 4).scale == 64.0  # as published, on CASIA-WebFace
    assert LOSSES["cosface"](10**4, 4, preset="am-softmax").scale == 30.0
    x, y = _batch()
    learnt = LOSSES["normface"](N_CLASSES, DIM, learn_scale=True, seed=1)
    assert learnt.scale.item() == 10.0
    fixed = LOSSES["normface"](N_CLASSES, DIM, scale=10.0, seed=1)
    assert learnt(x.float(), y).item() == pytest.approx(fixed(x.float(), y).item())
    assert torch.autograd.grad(learnt(x.float(), y), learnt.scale)[0] != 0
