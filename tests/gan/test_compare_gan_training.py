"""What the comparison with the official code refuses to compare, and how it reads a run of ours."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from gan.config import NetworkConfig, PathLengthConfig, TrainingConfig, TransitionConfig
from gan.networks.generator import Generator
from gan.weights import FILE_NAME, save_generator
from synthface.core.errors import ConfigError, DataError
from synthface.core.run_record import to_json, write_json

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
NETWORK = NetworkConfig(resolution=8, z_dim=4, w_dim=4, channel_base=32, channel_max=8)


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        spec = importlib.util.spec_from_file_location("compare_gan_training", SCRIPTS / "compare_gan_training.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "compare_gan_training", module)  # dataclasses look their module up
        spec.loader.exec_module(module)
        yield module


def _run(folder: Path, *, minutes: float = 60.0, steps: int = 100, before: int | None = None, **training: Any) -> Path:
    """Write what train-gan would have left."""
    folder.mkdir()
    G, config = Generator(NETWORK, 3), TrainingConfig(**{"batch": 8, "micro_batch": 4, **training})
    state = {"trainer": {"step": steps, "G_ema": G.state_dict()}, "progress": {"seconds": 60 * minutes}}
    torch.save(state, folder / "checkpoint.pt")
    settings = to_json(config)
    settings.pop("compile")
    inputs = {"faces": "a" * 64} | ({} if before is None else {"init": "b" * 64})
    write_json(folder / "run.json", {"config": {"network": to_json(NETWORK), "training": settings}, "inputs": inputs})
    save_generator(G, folder / FILE_NAME, info={} if before is None else {"seen_images_before": before})
    return folder


def test_a_path_length_penalty_is_seen_and_refused(script: ModuleType, tmp_path: Path) -> None:
    run = script.OurRun.read(_run(tmp_path / "run", path_length=PathLengthConfig(weight=2.0)))
    assert run.training.path_length.weight == 2
    assert run.training.micro_batch == run.training.batch == 8
    with pytest.raises(ConfigError, match=r"^--ours .*run/checkpoint\.pt: --training\.path_length\.weight 2\.0 is not"):
        script.check_comparable([run], 60.0)


@pytest.mark.parametrize(("minutes", "is_refused"), [(60.0, False), (63.0, False), (59.0, False), (45.0, True)])
def test_more_time_than_the_official_side_had_is_refused(
    script: ModuleType, tmp_path: Path, minutes: float, is_refused: bool
) -> None:
    runs = [script.OurRun.read(_run(tmp_path / "run", minutes=60.01))]
    if not is_refused:
        script.check_comparable(runs, minutes)
        return
    with pytest.raises(ConfigError, match=rf"^--minutes {minutes:g}: .* has trained for 60\.01; give --minutes 60\.01"):
        script.check_comparable(runs, minutes)


def test_all_runs_of_a_training_have_to_be_named_in_a_row(script: ModuleType, tmp_path: Path) -> None:
    first = script.OurRun.read(_run(tmp_path / "first", minutes=20))
    second = script.OurRun.read(_run(tmp_path / "second", minutes=40, before=800) / "checkpoint.pt")
    assert (second.seen_images, second.seen_before) == (800, 800)
    script.check_comparable([first, second], 60.0)
    (second.checkpoint.parent / FILE_NAME).unlink()
    record = json.loads((second.checkpoint.parent / "run.json").read_text())
    write_json(second.checkpoint.parent / "run.json", record | {"seen_images_before": 800})
    assert script.OurRun.read(second.checkpoint).seen_before == 800
    for runs in ([second], [second, first], [first, first, second]):
        with pytest.raises(ConfigError, match=r"^--ours .* began with .*; name all runs of one training in a row$"):
            script.check_comparable(runs, 60.0)


def test_what_an_imported_generator_had_seen_is_not_known(script: ModuleType, tmp_path: Path) -> None:
    run = script.OurRun.read(_run(tmp_path / "run", before=0))
    with pytest.raises(ConfigError, match="began with --init on 0 images"):
        script.check_comparable([run], 60.0)


def test_a_moved_checkpoint_of_a_further_run_needs_its_generator(script: ModuleType, tmp_path: Path) -> None:
    (_run(tmp_path / "run", before=800) / FILE_NAME).unlink()
    with pytest.raises(DataError, match=r"generator\.safetensors is missing"):
        script.OurRun.read(tmp_path / "run")
    with pytest.raises(DataError, match=r"^--ours .*nowhere does not exist"):
        script.OurRun.read(tmp_path / "nowhere")


@pytest.mark.parametrize(("steps", "strength"), [(0, 0.0), (51, 0.5), (101, 1.0), (1000, 1.0)])
def test_images_show_as_much_of_the_class_as_the_run_did(
    script: ModuleType, tmp_path: Path, steps: int, strength: float
) -> None:
    """Its last step had seen all images but its own eight."""
    run = script.OurRun.read(_run(tmp_path / "run", steps=steps, transition=TransitionConfig(end_kimg=0.8)))
    assert run.generator(NETWORK, 3).mapping.class_strength.item() == pytest.approx(strength)
    plain = script.OurRun.read(_run(tmp_path / "plain", steps=steps))
    assert plain.generator(NETWORK, 3).mapping.class_strength.item() == 1


def test_settings_of_an_older_run_have_their_defaults(script: ModuleType) -> None:
    assert script.training_config({"batch": 8, "ada": {"mode": "none"}}).path_length == PathLengthConfig()


def test_a_kept_result_is_taken_for_the_same_settings_alone(script: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    assert script._kept(file, {"minutes": 60.0}, lambda: {"frechet": 0.6}) == {"frechet": 0.6}
    assert json.loads(file.read_text())["settings"] == {"minutes": 60.0}
    assert script._kept(file, {"minutes": 60.0}, lambda: pytest.fail("trained again")) == {"frechet": 0.6}
    with pytest.raises(Exception, match="name another file for --keep"):
        script._kept(file, {"minutes": 45.0}, dict)
