import pytest

from synthface.core.errors import ConfigError
from synthface.core.working_folder import claim_folder, clear_working_files, is_working_file, iterate_journals


def test_processes_share_a_folder_and_each_has_a_journal(tmp_path):
    working = tmp_path / "set.partial"
    with claim_folder(working, "a", rank=0) as first, claim_folder(working, "a", rank=1) as second:
        second.append({"n": 1})
        first.append({"n": 0})
        with pytest.raises(ConfigError, match="another process"):
            claim_folder(working, "a", rank=1)
    with claim_folder(working, "a", rank=0) as again:
        assert list(iterate_journals(working)) == [{"n": 0}, {"n": 1}]
        again.append({"n": 2})
    assert list(iterate_journals(working)) == [{"n": 0}, {"n": 2}, {"n": 1}]


def test_other_settings_are_refused(tmp_path):
    claim_folder(tmp_path, "a", rank=0).close()
    for rank in (0, 1):
        with pytest.raises(ConfigError, match="begun with other settings"):
            claim_folder(tmp_path, "b", rank=rank)


def test_other_settings_are_not_blamed_on_an_earlier_run_while_another_writes(tmp_path):
    with (
        claim_folder(tmp_path, "a", rank=0),
        claim_folder(tmp_path, "a", rank=1),
        pytest.raises(ConfigError, match="is being written by another process with other settings") as refused,
    ):
        claim_folder(tmp_path, "b", rank=0)
    assert "remove it" not in str(refused.value)
    with pytest.raises(ConfigError, match="remove it to start anew"):
        claim_folder(tmp_path, "b", rank=0)
    claim_folder(tmp_path, "a", rank=0).close()  # having looked, it holds no lock


def test_what_a_killed_run_left_of_the_settings_goes(tmp_path):
    torn = tmp_path / ".settings.json.0123abcd.tmp"
    torn.write_text("[")
    claim_folder(tmp_path, "a", rank=0).close()
    assert not torn.exists()


def test_clearing_takes_working_files_alone(tmp_path):
    for rank in (0, 12):
        claim_folder(tmp_path, "a", rank=rank).close()
    assert all(is_working_file(path.name) for path in tmp_path.iterdir())
    kept = {"manifest.jsonl", "journal.jsonl", "my-settings.json"}
    for name in kept:
        assert not is_working_file(name)
        (tmp_path / name).touch()
    clear_working_files(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept
    clear_working_files(tmp_path)
