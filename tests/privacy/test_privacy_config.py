"""Profiles of the audit, from files too, and their differences from the default."""

import json

import pytest

from synthface.core.errors import ConfigError
from synthface.privacy import AuditConfig


def test_strict_holds_the_numbers_of_the_protocol():
    strict = AuditConfig.strict()
    assert strict.profile == "strict"
    assert strict.differences() == {
        "min_holdout": (500, 2000),
        "planted_images": (59, 299),
        "max_residual": (0.005, 0.001),
        "max_linkage_auc": (0.55, 0.52),
        "max_membership_auc": (0.55, 0.53),
        "max_membership_tpr": (0.03, 0.02),
    }


def test_the_seed_is_no_limit():
    assert AuditConfig(seed=7).profile == "default"
    assert AuditConfig(seed=7).differences() == {}
    assert AuditConfig.strict(seed=7).profile == "strict"
    assert AuditConfig(min_holdout=100).profile == "custom"


@pytest.mark.parametrize("name", ["gates.yaml", "gates.json"])
def test_limits_come_from_a_file(tmp_path, name):
    values = {"profile": "strict", "min_holdout": 3000, "alpha": 0.005}
    text = (
        json.dumps(values) if name.endswith("json") else "".join(f"{key}: {value}\n" for key, value in values.items())
    )
    (tmp_path / name).write_text(text)
    assert AuditConfig.from_file(tmp_path / name) == AuditConfig.strict(min_holdout=3000, alpha=0.005)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("min_holduot: 3", "'min_holduot' is no gate"),
        ("profile: lax", "profile 'lax' is unknown"),
        ("min_holdout: many", "min_holdout is 'many'"),
        ("min_holdout: 3.5", "min_holdout is 3.5"),
        ("alpha: true", "alpha is True"),
        ("alpha: 2.0", "lies between 0 and 1"),
        ("- 1", "no 'name: value' lines"),
        ("{", "cannot be read"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, text, words):
    path = tmp_path / "gates.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as error:
        AuditConfig.from_file(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gates file .* cannot be read"):
        AuditConfig.from_file(tmp_path / "nowhere.yaml")
