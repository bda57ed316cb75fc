"""What holds for every loss of the registry: names, finite gradients, true gradients, exact resumption."""

import typing

import pytest
import torch
from torch.nn import functional as F

from synthface.cli import parse_options
from synthface.core.errors import ConfigError
from synthface.recognition.losses import LOSSES, RecognitionLoss
from synthface.recognition.losses.distance_weighted import DistanceWeightedMargin
from synthface.workflows import train_recognizer
from synthface.workflows.train_recognizer import LossName

N_CLASSES, DIM = 6, 8
NORMALISED = {  # invariant 13: these see directions only, so their gradient has no part along the embedding
    "normface", "cosface", "arcface", "combined-margin", "subcenter-arcface", "sv-softmax", "mv-softmax", "gb-cosface",
    "adapted-margin", "anisotropy", "triplet-semihard", "margin-distance-weighted",
}  # fmt: skip
STATEFUL = {
    "sphereface": "step", "l-softmax": "step", "gb-cosface": "boundary", "center": "centres", "contrastive": "margin",
    "margin-distance-weighted": "step",
}  # fmt: skip
VARIANTS = [
    ("normface", {"learn_scale": True}),
    ("l-softmax", {"margin": 2}),
    ("sphereface", {"margin": 3}),
    ("cosface", {"preset": "am-softmax"}),
    ("arcface", {"past_pi": "easy"}),
    ("arcface", {"past_pi": "none"}),
    ("combined-margin", {"m1": 1.35, "m2": 0.1, "m3": 0.05}),
    ("mv-softmax", {"base": "arcface"}),
    ("mv-softmax", {"rule": "fixed"}),
    ("mv-softmax", {"base": "arcface", "rule": "fixed"}),
    ("contrastive", {"margin": 2.0}),
    ("triplet-batchhard", {"margin": 0.3}),
]
EVERY_VARIANT = [(name, {}) for name in LOSSES] + VARIANTS


def _batch(seed=0, per_class=3):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(N_CLASSES).repeat_interleave(per_class)
    centres = torch.randn(N_CLASSES, DIM, generator=generator, dtype=torch.float64)
    return 2 * centres[y] + torch.randn(len(y), DIM, generator=generator, dtype=torch.float64), y


def _head(name, **options):
    head = LOSSES[name](N_CLASSES, DIM, seed=1, **options).double()
    for key, parameter in head.named_parameters():
        if key.endswith("centres.weight"):
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(2))
    return head


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if "margin" in loss.defaults])
def test_the_margin_of_every_loss_can_be_given_on_the_command_line(name):
    default = LOSSES[name].defaults["margin"]
    words = ["--faces", "f", "--out", "o", "--loss", name, *([] if default is None else ["--margin", str(default)])]
    margin = parse_options("train-recognizer", train_recognizer, words).margin
    chosen = LOSSES[name].checked({"margin": margin})["margin"]
    assert (chosen, type(chosen)) == (default, type(default))
    LOSSES[name](N_CLASSES, DIM, margin=margin)


def test_a_whole_number_is_not_rounded():
    with pytest.raises(ConfigError, match=r"margin cannot be 2\.5; give a whole number"):
        LOSSES["sphereface"].checked({"margin": 2.5})


def test_the_command_line_knows_every_loss_and_no_other():
    assert set(typing.get_args(LossName)) == set(LOSSES)
    assert all(loss.name == name and loss.source for name, loss in LOSSES.items())


@pytest.mark.parametrize("name", LOSSES)
def test_it_falls_when_the_embeddings_follow_it(name):
    x, y = _batch()
    head = _head(name).eval()  # no annealing, no moving centres meanwhile
    assert isinstance(head, RecognitionLoss)
    x.requires_grad_()
    optimizer = torch.optim.Adam([x, *head.parameters()], lr=0.02)
    values = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = head(x, y)
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < values[0] or values[-1] == 0


@pytest.mark.parametrize(("name", "options"), EVERY_VARIANT)
def test_gradients_are_true(name, options):
    x, y = _batch(3)
    head = _head(name, **options).eval()
    parameters = [parameter for parameter in head.parameters() if parameter.requires_grad]

    def loss(a, *values):
        names = [key for key, _ in head.named_parameters()]
        return torch.func.functional_call(head, dict(zip(names, values, strict=True)), (a, y))

    if name == "anisotropy":  # its ratios and, in P, its centres carry no gradient, by definition
        loss, parameters = (lambda a: head.base(a, y)), []
    elif name == "gb-cosface":  # so does its boundary; with alpha = 0 the two halves cancel
        loss, parameters = (lambda a: _head(name, alpha=0.0).eval()(a, y)), []
    assert torch.autograd.gradcheck(loss, (x.requires_grad_(), *parameters), atol=1e-5, rtol=1e-3)


def _differences(function, x, step=1e-6):
    """Central differences of a scalar function of [N, D]."""
    gradient = torch.zeros_like(x)
    for place in range(x.numel()):
        shift = torch.zeros_like(x).view(-1)
        shift[place] = step
        shift = shift.view_as(x)
        gradient.view(-1)[place] = (function(x + shift) - function(x - shift)) / (2 * step)
    return gradient


def test_gb_cosface_gradients_are_true_with_its_boundary_held():
    s, m, alpha, shared = 12.0, 0.16, 0.15, 0.55
    x, y = _batch(3)
    head = _head("gb-cosface", scale=s, margin=m, alpha=alpha).eval()
    head.boundary.fill_(shared)
    centres = F.normalize(head.centres.weight.detach(), dim=1)

    def cosines(a):
        z = F.normalize(a, dim=1) @ centres.T
        own = F.one_hot(y, N_CLASSES).bool()
        return z[own], torch.logsumexp((s * z).masked_fill(own, -torch.inf), dim=1) / s

    v = sum(cosines(x)) / 2
    v = v + alpha * (shared - v)  # a constant, where the published method has no gradient

    def written_out(a):
        p, n = cosines(a)
        return (F.softplus(2 * s * (v - p + m)) + F.softplus(2 * s * (n + m - v))).mean() / 2

    x.requires_grad_()
    loss = head(x, y)
    torch.testing.assert_close(loss.detach(), written_out(x.detach()))
    gradient = torch.autograd.grad(loss, x)[0]
    torch.testing.assert_close(gradient, _differences(written_out, x.detach()), rtol=1e-5, atol=1e-8)


def test_anisotropy_gradients_are_true_with_its_ratios_held():
    x, y = _batch(3)
    head = _head("anisotropy", weight=0.7).eval()
    centres = F.normalize(head.base.centres.weight.detach(), dim=1)

    def cosine(a):
        return (F.normalize(a, dim=1) * centres[y]).sum(dim=1)

    angles = torch.acos(cosine(x))
    means = torch.stack([angles[y == k].mean() for k in range(N_CLASSES)])
    outlying = (angles / means[y] - 1).clamp_min(0)  # constants of the batch

    def written_out(a):
        return 0.7 * (outlying * (1 - cosine(a))).mean()

    x.requires_grad_()
    penalty = head(x, y) - head.base(x, y)
    torch.testing.assert_close(penalty.detach(), written_out(x.detach()))
    gradient = torch.autograd.grad(penalty, x)[0]
    torch.testing.assert_close(gradient, _differences(written_out, x.detach()), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("name", "options"), EVERY_VARIANT)
@pytest.mark.parametrize("sign", [1, -1])
def test_float32_gradients_are_finite_at_exact_alignment(name, options, sign):
    head = LOSSES[name](3, 512, **options).float()
    centres = [parameter for key, parameter in head.named_parameters() if key.endswith("centres.weight")]
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.init.normal_(centres[0], generator=generator) if centres else torch.randn(3, 512)
    x = sign * directions.detach().reshape(3, -1, 512)[:, 0].repeat_interleave(2, 0)  # mates coincide, too
    x = x.clone().requires_grad_()
    loss = head(x, torch.arange(3).repeat_interleave(2))
    gradients = torch.autograd.grad(loss, (x, *head.parameters()), allow_unused=True)
    assert torch.isfinite(loss)
    assert all(torch.isfinite(part).all() for part in gradients if part is not None)


@pytest.mark.parametrize("name", LOSSES)
def test_zero_embeddings_are_harmless(name):
    x = torch.zeros(4, DIM, requires_grad=True)
    head = LOSSES[name](N_CLASSES, DIM)
    assert torch.isfinite(torch.autograd.grad(head(x, torch.tensor([0, 0, 1, 1])), x)[0]).all()


@pytest.mark.parametrize("name", LOSSES)
def test_radial_gradient_vanishes_exactly_where_only_directions_are_seen(name):
    x, y = _batch()
    x = (4 * x).requires_grad_()  # within the lengths that MagFace looks at
    gradient = torch.autograd.grad(_head(name)(x, y), x)[0]
    radial = (gradient * x).sum(dim=1).abs().max().item()
    assert (radial < 1e-10) == (name in NORMALISED)


@pytest.mark.parametrize("name", LOSSES)
def test_a_resumed_training_goes_on_exactly(name):
    def steps(head, optimizer, x, batches):
        values = []
        for seed in batches:
            images, y = _batch(seed)
            loss = head((images @ x).float(), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            values.append(loss.item())
        return values

    def fresh():
        head = LOSSES[name](N_CLASSES, DIM, seed=1)
        x = torch.eye(DIM, dtype=torch.float64).requires_grad_()
        return head, x, torch.optim.SGD([x, *head.parameters()], lr=0.01, momentum=0.9)

    whole, x, optimizer = fresh()
    first = steps(whole, optimizer, x, range(3))
    state = {key: value.clone() for key, value in whole.state_dict().items()}
    optimizer_state, x_then = torch.utils._pytree.tree_map(
        lambda value: value.clone() if isinstance(value, torch.Tensor) else value, (optimizer.state_dict(), x.detach())
    )
    second = steps(whole, optimizer, x, range(3, 6))
    resumed, x_again, optimizer_again = fresh()
    resumed.load_state_dict(state)
    optimizer_again.load_state_dict(optimizer_state)
    x_again.data.copy_(x_then)
    assert steps(resumed, optimizer_again, x_again, range(3, 6)) == second != first
    if name in STATEFUL:  # and what it counts is what moved
        key = next(key for key in state if key.endswith(STATEFUL[name]))
        assert not torch.equal(state[key], LOSSES[name](N_CLASSES, DIM, seed=1).state_dict()[key])


@pytest.mark.parametrize("name", sorted(STATEFUL))
def test_evaluation_moves_nothing(name):
    x, y = _batch()
    head = _head(name)
    if not isinstance(head, DistanceWeightedMargin):
        head(x, y)
    head.eval()
    before = {key: value.clone() for key, value in head.state_dict().items()}
    head(2 * x, y)
    for key, value in head.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", LOSSES)
def test_class_names_do_not_matter(name):
    x, y = _batch()
    if name in ("simplex", "margin-distance-weighted"):
        pytest.skip("classes have places of their own, or negatives are drawn")
    head, renamed = _head(name).eval(), _head(name).eval()
    order = torch.randperm(N_CLASSES, generator=torch.Generator().manual_seed(4))
    for key, parameter in renamed.named_parameters():
        if key.endswith("centres.weight"):
            parameter.data = dict(head.named_parameters())[key].data[order]
    assert renamed(x, torch.argsort(order)[y]).item() == pytest.approx(head(x, y).item(), rel=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_does_not_round(name):
    x, y = _batch()
    outside, within = LOSSES[name](N_CLASSES, DIM), LOSSES[name](N_CLASSES, DIM)  # some draw, and count their draws
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = within(x.float(), y)
    assert inside.item() == outside(x.float(), y).item()


def test_logits_have_no_margin():
    x, _ = _batch()
    for name in ("cosface", "arcface", "magface", "gb-cosface", "mv-softmax", "adapted-margin", "center"):
        head = _head(name)
        inner = head.base if hasattr(head, "base") else head
        z = F.normalize(x) @ F.normalize(inner.weight).T
        if name == "center":
            z = x @ inner.weight.T
        logits = head.logits(x)
        torch.testing.assert_close(logits / logits[0, 0], z / z[0, 0])


def test_wrong_options_are_named_with_the_right_ones():
    with pytest.raises(ConfigError, match="center has no option 'margin'; it takes base=softmax, lam="):
        LOSSES["center"](4, 4, margin=0.1)
    with pytest.raises(ConfigError, match="base cannot be 'hinge'; give softmax or"):
        LOSSES["center"](4, 4, base="hinge")
    for name, options in (
        ("magface", {"l_a": 120.0}), ("sphereface", {"margin": 5}), ("gb-cosface", {"low": 0.9}), ("range", {"k": 0}),
        ("mv-softmax", {"t": 0.5}), ("simplex", {"radius": -1.0}), ("triplet-semihard", {"margin": 0.0}),
        ("center", {"alpha": 2.0}), ("contrastive", {"reset_every": 0}), ("id-triplet", {"lam_t": -1.0}),
        ("margin-distance-weighted", {"cutoff": 1.5}), ("combined-margin", {"m1": 0.0}),
        ("arcface", {"sample_rate": 0.0}),
        ("subcenter-arcface", {"sub_centres": 0}), ("triplet-batchhard", {"margin": 0.0}),
        ("anisotropy", {"weight": -1.0}),
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            LOSSES[name](4, 4, **options)
    for name, loss in LOSSES.items():
        with pytest.raises(ConfigError, match="2 identities"):
            loss(1, 4)
        assert "seed" not in loss.defaults, name
