"""The commands of this area explain every flag."""

import dataclasses
import importlib

import pytest

from synthface.cli import main


@pytest.mark.parametrize("command", ["embed", "evaluate", "train-recognizer"])
def test_help_explains_every_flag(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    workflow = importlib.import_module(f"synthface.workflows.{command.replace('-', '_')}")
    for field in dataclasses.fields(workflow.Options):
        assert field.name.replace("_", "-") in text or field.metadata.get("positional")
    assert "examples:" in text
