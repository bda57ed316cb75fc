"""The controller of p: section 3.1 of arXiv 2006.06676."""

import math

import pytest

from gan.config import AdaConfig
from gan.training.ada import AdaController


def _run(controller: AdaController, r_t: float, steps: int, batch: int = 64) -> list[float]:
    """Observe batches whose signs have the mean r_t; return p after each step."""
    history = []
    for _ in range(steps):
        controller.observe(r_t * batch, batch)
        history.append(controller.p)
    return history


def test_p_moves_by_a_fixed_amount_every_few_steps() -> None:
    controller = AdaController(AdaConfig(kimg=500, interval=4, target=0.6))
    history = _run(controller, 0.9, 8)
    step = 4 * 64 / 500_000
    assert history == pytest.approx([0, 0, 0, step, step, step, step, 2 * step])
    assert controller.r_t == pytest.approx(0.9)


def test_p_crosses_its_range_in_the_given_number_of_images() -> None:
    controller = AdaController(AdaConfig(kimg=100, interval=4))
    steps = 100_000 // 64
    assert _run(controller, 1.0, steps)[-1] == pytest.approx(1, abs=0.01)


def test_p_stays_between_0_and_1_and_turns_at_once() -> None:
    controller = AdaController(AdaConfig(kimg=1, interval=1, start=0.9))
    assert _run(controller, 1.0, 10)[-1] == 1
    assert _run(controller, 0.0, 1)[-1] == pytest.approx(1 - 0.064)  # no wind-up beyond 1
    assert _run(controller, -1.0, 100)[-1] == 0


def test_p_rests_at_the_target_and_where_r_t_is_not_a_number() -> None:
    controller = AdaController(AdaConfig(kimg=1, interval=1, start=0.5, target=0.5))
    assert _run(controller, 0.5, 3) == [0.5] * 3
    assert _run(controller, math.nan, 3) == [0.5] * 3


def test_it_holds_the_target_of_a_discriminator_that_overfits_less_the_more_is_augmented() -> None:
    controller = AdaController(AdaConfig(kimg=20, interval=4, target=0.6))
    for _ in range(2000):
        controller.observe((0.9 - controller.p) * 64, 64)
    assert controller.r_t == pytest.approx(0.6, abs=0.02)
    assert controller.p == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(("mode", "expected"), [("fixed", 0.25), ("none", 0.0)])
def test_other_modes_keep_p_and_still_measure(mode: str, expected: float) -> None:
    controller = AdaController(AdaConfig(mode=mode, start=0.25, kimg=1))  # type: ignore[arg-type]
    assert set(_run(controller, 1.0, 20)) == {expected}
    assert controller.r_t == 1


def test_a_resumed_controller_goes_on_exactly_within_an_interval() -> None:
    config = AdaConfig(kimg=10, interval=4)
    whole, first = AdaController(config), AdaController(config)
    expected = _run(whole, 1.0, 6)
    _run(first, 1.0, 3)
    second = AdaController(config)
    second.load_state_dict(first.state_dict())
    assert _run(second, 1.0, 3) == expected[3:]
