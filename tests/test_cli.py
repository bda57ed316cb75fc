"""The command line as a user meets it."""

import dataclasses
import importlib
import os
import pkgutil
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from synthface.cli import COMMANDS, main, parse_options
from synthface.presets import preset_names

ROOT = Path(__file__).resolve().parent.parent
# modules in workflows that are no command
SUPPORT = {
    "compute",
    "progress",
    "existing_results",
    "json_fields",
    "inverting",
    "pairs_file",
    "gan_training",
    "auditing",
    "evaluating",
    "training_recognizers",
    "measuring",
    "generating",
    "releasing",
    "describing",
}


def _workflow(command: str):  # type: ignore[no-untyped-def]
    return importlib.import_module(f"synthface.workflows.{command.replace('-', '_')}")


def test_every_workflow_is_a_command() -> None:
    import synthface.workflows

    modules = {info.name for info in pkgutil.iter_modules(synthface.workflows.__path__)}
    assert {name.replace("_", "-") for name in modules - SUPPORT} == set(COMMANDS)


def test_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_and_explains_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert f"synthface {command} " in shown.split("examples:")[1]
    for field in dataclasses.fields(_workflow(command).Options):
        documented = " ".join(ancestor.__doc__ or "" for ancestor in _workflow(command).Options.__mro__)
        assert f"{field.name}:" in documented, f"--{field.name} is not explained"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy(command: str) -> None:
    code = (
        f"import sys; from synthface.cli import main\ntry: main([{command!r}, '--help'])\nexcept SystemExit: pass\n"
        "heavy = ('torch', 'lightning', 'scipy', 'matplotlib', 'jinja2')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=1200, check=True)
    assert result.stderr.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_parse(command: str) -> None:
    text = _workflow(command).EXAMPLES.replace("\\\n", " ")
    for line in filter(None, map(str.strip, text.splitlines())):
        words = shlex.split(line)
        assert words[:2] == ["synthface", command]
        parse_options(command, _workflow(command), words[2:])


@pytest.mark.parametrize("name", preset_names("train-gan"))
def test_presets_parse_by_name_and_by_path(name: str) -> None:
    arguments = ["--faces", "f", "--out", "o", "--config"]
    by_name = parse_options("train-gan", _workflow("train-gan"), [*arguments, name])
    path = ROOT / "synthface/presets/train-gan" / f"{name}.yaml"
    assert parse_options("train-gan", _workflow("train-gan"), [*arguments, str(path)]) == by_name
    joined = parse_options("train-gan", _workflow("train-gan"), ["--faces", "f", "--out", "o", f"--config={name}"])
    assert joined == by_name


def test_a_flag_after_a_preset_goes_before_it() -> None:
    arguments = ["--faces", "f", "--out", "o", "--config", "sface128", "--network.channel_max", "64"]
    options = parse_options("train-gan", _workflow("train-gan"), arguments)
    assert (options.network.channel_max, options.network.channel_base) == (64, 16384)


def test_sface128_is_what_the_official_auto_configuration_comes_to() -> None:
    options = parse_options("train-gan", _workflow("train-gan"), ["--faces", "f", "--out", "o", "--config", "sface128"])
    network, training = options.network, options.training
    assert (network.resolution, network.z_dim, network.w_dim, network.mapping_layers) == (128, 512, 512, 2)
    assert (network.channel_base, network.channel_max) == (32768 // 2, 512)
    assert (training.batch, training.learning_rate, training.ema_kimg, training.ema_rampup) == (64, 0.0025, 20, 0.05)
    assert training.r1_gamma == pytest.approx(0.0002 * 128**2 / 64)
    assert training.batch // training.micro_batch == 4


def test_the_written_out_configuration_is_the_default() -> None:
    arguments = ["--faces", "f", "--out", "o"]
    written = parse_options("train-gan", _workflow("train-gan"), [*arguments, "--config", "lfw64"])
    assert written == parse_options("train-gan", _workflow("train-gan"), arguments)


def test_a_preset_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train-gan", "--faces", "f", "--out", "o", "--config", "lfw65"]) == 3
    assert "lfw64" in capsys.readouterr().err
    assert main(["split", "f", "--out", "o", "--config", "lfw64"]) == 3
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["split", "faces"],
        ["split", "faces", "--out", "o", "--no-such-option", "1"],
        ["split", "absent", "--out", "o"],
        ["split", "faces", "--out", "o", "--holdout", "1.5"],
        ["generate", "--generator", "absent", "--out", "o"],
        ["generate", "--classes", "9-1", "--out", "o"],
        ["train-gan", "--faces", "absent", "--out", "o"],
        ["train-gan", "--faces", "f", "--out", "o", "--config", "absent.yaml"],
        ["train-gan", "--faces", "f", "--out", "o", "--network.resolution", "60"],
        ["embed", "absent", "--recognizer", "synthface-small", "--out", "o.npz"],
        ["evaluate", "--faces", "absent", "--pairs", "p", "--recognizer", "synthface-small", "--out", "o"],
        ["train-recognizer", "--faces", "absent", "--out", "o"],
        ["invert", "--recognizer", "synthface-small", "--out", "o"],
        ["audit", "--synthetic", "absent", "--recognizers", "synthface-small", "--out", "o"],
        ["release", "absent", "--out", "o"],
        ["verify", "absent"],
        ["import-gan", "absent.pkl", "--out", "o"],
    ],
    ids=" ".join,
)
def test_misuse_is_one_line_and_exit_code_3(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 3
    shown = capsys.readouterr()
    assert shown.err.startswith("synthface: error: ")
    assert shown.err.count("\n") == 1
    assert "Traceback" not in shown.err
    assert list(tmp_path.iterdir()) == []


def test_a_faceset_of_the_wrong_kind_is_refused(tiny_faceset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["release", str(tiny_faceset), "--out", str(tiny_faceset.parent / "release")]) == 3
    assert "real FaceSet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["convert", "x", "--to", "lmdb", "--out", "y"], "--to lmdb: give one of faceset, folders"),
        (["generate", "--generator", "x", "--out", "y", "--per-class", "1.5"], "--per-class 1.5: give a whole number;"),
        (["generate", "--generator", "x", "--out", "y", "--distinct.fmr", "z"], "--distinct.fmr z: give a number;"),
        (["invert", "--recognizer", "x", "--out", "y", "--limit", "z"], "--limit z: give a whole number;"),
        (["train-gan", "--faces", "x", "--out", "y", "--training.half_from", "z"], "--training.half_from z: give"),
    ],
)
def test_a_wrong_value_is_named_with_its_flag(words, said, capsys):
    assert main(words) == 3
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prepare", "photos"], "the following arguments are required: --out;"),
        (["split"], "the following arguments are required: FACESET, --out;"),
        (["embed", "faces"], "the following arguments are required: --recognizer, --out;"),
    ],
)
def test_what_is_missing_is_named_as_it_is_typed(words, said, capsys):
    assert main(words) == 3
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words", "advice"),
    [
        ("train-gan", ["--faces", "f", "--out", "run"], "run the same command again with --resume to"),
        ("verify", ["faces"], "run the same command again to"),
    ],
)
def test_an_interruption_says_how_to_go_on(command, words, advice, tmp_path, monkeypatch, capsys):
    def interrupted(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    (tmp_path / "run" / "samples").mkdir(parents=True)
    monkeypatch.setattr(_workflow(command), "run", interrupted)
    assert main([command, *words]) == 130
    assert f"interrupted; {advice} go on where it stopped" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    command = [sys.executable, "-m", "synthface", "generate", "--classes", "0-1", "--per-class", "2"]
    command += ["--out", str(tmp_path / "few")]

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))

    stopped = subprocess.run(command, capture_output=True, text=True, preexec_fn=little_room)
    assert stopped.returncode == 3
    last = stopped.stderr.splitlines()[-1]
    assert last.startswith("synthface: error: no room to write (")
    assert last.endswith("make some and run the same command again to go on")
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert len(list((tmp_path / "few").rglob("*.png"))) == 4


def test_what_the_system_forbids_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forbidden(options: object) -> None:
        raise PermissionError(13, "Permission denied", "faces")

    monkeypatch.setattr(_workflow("verify"), "run", forbidden)
    assert main(["verify", "faces"]) == 3
    shown = capsys.readouterr().err
    assert "the system does not allow it" in shown
    assert "'faces'" in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"verify"}))
@pytest.mark.parametrize("out", ["afile/x", "absent/" + "n" * 300], ids=["below a file", "a name too long"])
def test_an_out_that_cannot_be_written_is_refused_before_the_work(
    command: str, out: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").write_text("a file")
    monkeypatch.setattr(_workflow(command), "run", lambda options: pytest.fail("the work was begun"))
    first = _workflow(command).EXAMPLES.replace("\\\n", " ").strip().splitlines()[0]
    out += ".safetensors" * (command == "import-gan")
    assert main([*shlex.split(first)[1:], "--out", out]) == 3
    shown = capsys.readouterr().err
    assert shown.startswith(f"synthface: error: --out {out}: ")
    assert shown.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["afile"]


def test_a_file_where_a_folder_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").write_text("a file")
    for words in (["quickstart"], ["train-gan", "--faces", "faces"]):
        assert main([*words, "--out", "afile"]) == 3
        assert capsys.readouterr().err == "synthface: error: --out afile is a file; give a folder\n"


@pytest.mark.parametrize("out", [".", "/"])
def test_an_out_without_a_name(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["split", "faces", "--out", out]) == 3
    assert capsys.readouterr().err == f"synthface: error: --out {out}: give the name of a new file or folder\n"


def test_what_the_system_refuses_later_is_one_line_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "afile").write_text("a file")

    def refused(options: object) -> None:
        (tmp_path / "afile" / "cache").mkdir()

    monkeypatch.setattr(_workflow("verify"), "run", refused)
    assert main(["verify", "faces"]) == 3
    shown = capsys.readouterr().err
    assert f"Not a directory: '{tmp_path / 'afile' / 'cache'}'" in shown
    assert shown.count("\n") == 1


def test_a_locale_that_cannot_name_all_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos" / "Jos\u00e9").mkdir(parents=True)
    words = [sys.executable, "-m", "synthface", "prepare", "photos", "--out", "faces", "--detector", "none"]
    root = str(Path(__file__).resolve().parent.parent)
    plain = {**os.environ, "PYTHONPATH": root, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = subprocess.run(words, cwd=tmp_path, env=plain, capture_output=True, text=True)
    assert ended.returncode == 3
    assert ended.stderr.startswith("synthface: error: file names are read as ascii here")
    assert "set PYTHONUTF8=1" in ended.stderr
    assert ended.stderr.count("\n") == 1
    ended = subprocess.run(words, cwd=tmp_path, env={**plain, "PYTHONUTF8": "1"}, capture_output=True, text=True)
    assert "file names are read" not in ended.stderr


@pytest.mark.parametrize("error", [RuntimeError("unforeseen"), OSError("of a library, without a file")])
def test_a_bug_is_no_verdict(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(options: object) -> None:
        raise error

    monkeypatch.setattr(_workflow("verify"), "run", broken)
    assert main(["verify", "faces"]) == 3
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last):" in shown
    assert shown.splitlines()[-2].endswith(str(error))
    assert shown.splitlines()[-1].startswith("synthface: error: a bug of synthface (")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"- 1", "holds no options"), (b"", "holds no options"), (b"a: [1", "line 1"), (b"a: \xff", "decode byte")],
)
def test_a_config_that_cannot_be_read_is_named(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "options.yaml"
    file.write_bytes(content)
    assert main(["split", "faces", "--out", "o", "--config", str(file)]) == 3
    shown = capsys.readouterr().err
    assert shown.startswith(f"synthface: error: --config {file} ")
    assert said in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_no_marks_of_python(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert "`" not in shown
    assert "Path to a configuration file" not in shown
    assert "(default: [" not in shown
