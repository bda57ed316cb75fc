"""The audit as it is called: limits from a file, other photos of the training people, several processes."""

import json
import os
import subprocess
import sys

import pytest
from drawn_people import GATES, make, make_new, options

from synthface.cli import parse_options
from synthface.core.errors import ConfigError
from synthface.privacy import AuditConfig
from synthface.workflows import audit as workflow

NEEDED = ["--synthetic", "s", "--recognizers", "one", "--out", "o"]


def test_limits_are_read_from_a_file(tmp_path):
    file = tmp_path / "gates.yaml"
    file.write_text("min_holdout: 2000\nmax_residual: 0.001\n")
    gates = parse_options("audit", workflow, [*NEEDED, "--gates", str(file)]).gates
    assert gates.profile == "custom"
    assert gates.differences() == {"min_holdout": (500, 2000), "max_residual": (0.005, 0.001)}
    with pytest.raises(ConfigError, match="--strict sets all limits"):
        parse_options("audit", workflow, [*NEEDED, "--strict", "--gates", str(file)])


def test_a_file_may_begin_with_a_profile_and_flags_have_the_last_word(tmp_path):
    file = tmp_path / "gates.yaml"
    file.write_text("profile: strict\nmin_holdout: 3000\n")
    gates = parse_options("audit", workflow, [*NEEDED, f"--gates={file}", "--gates.seed", "7"]).gates
    assert gates == AuditConfig.strict(min_holdout=3000, seed=7)
    file.write_text("profile: strict\n")
    assert parse_options("audit", workflow, [*NEEDED, "--gates", str(file)]).gates.profile == "strict"
    for text, message in (("profile: lenient", "lenient"), ("min_tmr: high", "min_tmr"), ("- 1", "no 'name: value'")):
        file.write_text(text)
        with pytest.raises(ConfigError, match=message):
            parse_options("audit", workflow, [*NEEDED, "--gates", str(file)])


def test_a_limit_that_is_none_is_refused(tmp_path):
    file = tmp_path / "gates.yaml"
    file.write_text("min_holdouts: 2000\n")
    with pytest.raises(Exception, match="min_holdouts"):
        parse_options("audit", workflow, [*NEEDED, "--gates", str(file)])


def test_limits_other_than_the_default_ones_are_told(sets, quick):
    make_new(sets)
    workflow.run(options(sets))
    for name in ("report.html", "report_public.html", "audit.md"):
        text = (sets / "out" / name).read_text()
        assert "profile custom" in text
        assert "min_holdout 10 (default 500)" in text


def test_other_photos_of_the_training_people_are_an_attack_of_their_own(sets, quick):
    make_new(sets)
    make(sets, "other", {f"Real train {k:02d}": f"train{k}" for k in range(40)}, photos=3)
    workflow.run(options(sets, train_other=sets / "other"))
    result = json.loads((sets / "out" / "audit.json").read_text())
    keys = {check["key"] for check in result["gates"]["A5"]["checks"]}
    assert any("other" in key for key in keys), keys
    assert result["sizes"]["train_other"]["images"] == 120


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tmp_path):
    for role in ("train", "holdout", "placebo"):
        make(tmp_path, role, {f"{role} {k:02d}": f"{role}{k}" for k in range(30)}, photos=2)
    make_new(tmp_path, 12)
    gates = [f"--gates.{name}={getattr(GATES, name)}" for name in GATES.differences()]
    sets = [word for role in ("synthetic", "train", "holdout", "placebo") for word in (f"--{role}", tmp_path / role)]
    for n in (1, 2):
        command = [sys.executable, "-m", "synthface", "audit", *sets, "--recognizers", "synthface-small", *gates]
        command += ["--devices", n, "--out", tmp_path / f"out{n}"]
        environment = {"SYNTHFACE_CACHE": str(tmp_path / f"cache{n}"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*map(str, command)], capture_output=True, text=True, timeout=1200, env={**os.environ, **environment}
        )
        assert done.returncode == 2, done.stderr
    first, second = ((tmp_path / f"out{n}" / "audit.json").read_bytes() for n in (1, 2))
    assert first == second
    assert any((tmp_path / "cache2" / "searches").iterdir())


def test_the_help_says_what_torchrun_makes_of_the_exit_code(capsys):
    from synthface.cli import main

    with pytest.raises(SystemExit):
        main(["audit", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Under torchrun the shell sees exit code 1 for a 2" in text
    assert "audit.json" in text
