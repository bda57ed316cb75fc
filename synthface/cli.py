"""The ``synthface`` command: finds the workflow, turns its Options into flags, and errors into one line."""

import argparse
import dataclasses
import errno
import importlib
import logging
import sys
import traceback
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import synthface
from synthface.core.errors import ConfigError, SynthfaceError
from synthface.presets import config_file, preset_names
from synthface.usage_message import usage_message

# Summaries stand here, not in the modules, so that `synthface --help` imports none of them.
COMMANDS = {
    "quickstart": "the main job on models that ship with the package: no data, no network",
    "prepare": "photos to an aligned FaceSet; what has no face is listed with its reason",
    "convert": "a set from one format to another: folders, RecordIO, WebDataset, parquet, .bin, FaceSet",
    "split": "a FaceSet to train, holdout and placebo parts, disjoint by identity",
    "embed": "a FaceSet to unit embeddings under a recogniser",
    "evaluate": "verification accuracy, TMR at FMR and EER of a recogniser on a pairs file",
    "browse": "one self-contained page of a set: contact sheets by identity, filters, audit flags, details",
    "measure": "what a labelled set is worth: separability, uniqueness, diversity, distance to real people",
    "train-gan": "train the class-conditional StyleGAN2-ADA on a FaceSet",
    "import-gan": "read an official StyleGAN2-ADA pickle without running any code in it",
    "generate": "labelled faces of people who do not exist, one seed an image",
    "train-recognizer": "train a recogniser on a FaceSet, real or synthetic",
    "invert": "images from embeddings, judged by other recognisers",
    "audit": "does the synthetic set leak real identities? PASS, FAIL or INCONCLUSIVE",
    "clean": "take out, or make again, what an audit flagged, and audit the result",
    "describe": "landmarks, pose, quality and likeness to its class of every image, in a folder of its own",
    "release": "a marked, hashed copy of a set that passed its audit",
    "regenerate": "the images of a set made again from its manifest, and compared byte for byte",
    "verify": "check every hash and mark of a FaceSet or a release",
}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS)
_WRITES_A_FILE = ("embed", "browse", "import-gan", "convert")
_LONGEST_SUFFIX = "..01234567.tmp"  # of a working name, which the system has to take too
_HELP_OF_A_GROUP = "Path to a configuration file."  # as the parser has it
_REQUIRED = "the following arguments are required: "
EXIT_USAGE = 3
EXIT_PIPE = 141  # as if SIGPIPE had ended it: whoever reads the output has gone, and the result is not known


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code.

    0 is done, for an audit PASS; 1 is FAIL and 2 INCONCLUSIVE; 3 is wrong use, bad data, or a bug of this program.
    """
    if (encoding := sys.getfilesystemencoding()) != "utf-8":
        return _fail(f"file names are read as {encoding} here, so not all can be; set PYTHONUTF8=1 and start again")
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        print(synthface.__version__)
        return 0
    command = arguments[0]
    if command not in COMMANDS:
        return _fail(f"no command {command!r}; 'synthface --help' lists them")
    try:
        return _run(command, arguments[1:])
    except Exception as error:  # noqa: BLE001 (Python would end with 1, which from an audit means FAIL)
        traceback.print_exc()
        return _fail(f"a bug of synthface ({type(error).__name__}); please report it with the lines above")


def _run(command: str, arguments: list[str]) -> int:
    workflow = importlib.import_module(f"synthface.workflows.{command.replace('-', '_')}")
    try:
        options = parse_options(command, workflow, arguments)
    except BrokenPipeError:
        return EXIT_PIPE
    except (argparse.ArgumentError, SynthfaceError, OSError, TypeError, ValueError) as error:
        told = _with_dashes(usage_message(error), workflow.Options)
        return _fail(f"{told}; 'synthface {command} --help' shows the flags and an example")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("lightning", "lightning.fabric", "lightning.pytorch", "torch", "matplotlib", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        _check_out(command, options)
        return int(workflow.run(options) or 0)
    except SynthfaceError as error:
        return _fail(_one_line(error))
    except KeyboardInterrupt:
        return _fail(f"interrupted; {_how_to_go_on(workflow, options)} to go on where it stopped", code=130)
    except BrokenPipeError:
        return EXIT_PIPE
    except OSError as error:
        if error.errno is None:  # a library's own, which names no file
            raise
        return _fail(_refusal(error, workflow, options))


def _refusal(error: OSError, workflow: types.ModuleType, options: Any) -> str:
    """Return what to say of an error of the system."""
    if error.errno in _NO_ROOM:
        return f"no room to write ({error}); make some and {_how_to_go_on(workflow, options)} to go on"
    if error.errno in _NO_ACCESS:
        return f"the system does not allow it ({error}); give a file or folder that may be read and written"
    return f"the system refused ({_one_line(error)}); see that the paths given are right"


def _check_out(command: str, options: Any) -> None:
    """Refuse an --out at which nothing can be written, before the work begins.

    Raises:
        ConfigError: it lies below a file, is one where a folder is written, or has no name that the system takes.
    """
    out = getattr(options, "out", None)
    if out is None:
        return
    if not out.name:  # . or /: what is written is named after it until it is whole
        raise ConfigError(f"--out {out}: give the name of a new file or folder")
    absolute = out.absolute()
    folder = Path(absolute.anchor)
    for name in (*absolute.parts[1:-1], absolute.name + _LONGEST_SUFFIX):
        try:
            (folder / name).stat()
        except FileNotFoundError:
            continue  # the names after it are looked at as if they stood here
        except OSError as error:
            reason = error.strerror if folder.is_dir() else f"{folder} is no folder"
            raise ConfigError(f"--out {out}: {reason}; give another path") from None
        folder /= name
    if absolute.is_file() and command not in _WRITES_A_FILE:
        raise ConfigError(f"--out {out} is a file; give a folder")


def _how_to_go_on(workflow: types.ModuleType, options: Any) -> str:
    """Return what to do after a run that did not end, where the workflow does not say otherwise."""
    how = getattr(workflow, "how_to_go_on", None)
    return str(how(options)) if how else "run the same command again"


def parse_options(command: str, workflow: types.ModuleType, arguments: list[str]) -> Any:
    """Parse a command's arguments into its Options dataclass (flags, and YAML files by ``--config``)."""
    import jsonargparse

    parser = jsonargparse.ArgumentParser(
        prog=f"synthface {command}",
        usage=_usage(command, workflow.Options),
        description=(workflow.__doc__ or "").strip(),
        epilog="examples:\n" + "\n".join(f"  {line}" for line in workflow.EXAMPLES.strip().splitlines()),
        formatter_class=_HelpFormatter,
        exit_on_error=False,
    )
    options_type = workflow.Options
    arguments = getattr(workflow, "expand_arguments", list)(arguments)  # files of a kind that only this command knows
    _add_fields(parser, options_type)
    presets = preset_names(command)
    named = f", or the name of a preset ({', '.join(presets)})" if presets else ""
    parser.add_argument("--config", action="config", help=f"YAML file with any of these options{named}")
    for action in parser._actions:
        if action.help == _HELP_OF_A_GROUP:
            action.help = "YAML file with the options of this group, without the prefix"
    namespace = parser.instantiate(parser.parse_args(_with_presets(command, arguments)))
    return options_type(**{field.name: getattr(namespace, field.name) for field in dataclasses.fields(options_type)})


def _usage(command: str, options_type: type) -> str:
    """Return the shortest line that runs; the rest is listed below it."""
    words = [f"synthface {command}"]
    for field in dataclasses.fields(options_type):
        if field.metadata.get("positional"):
            words.append(_typed(field))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            words.append(f"{_typed(field)} {field.name.replace('_', '-').upper()}")
    return " ".join([*words, "[options]"])


def _typed(field: "dataclasses.Field[Any]") -> str:
    """Return an option's name as it is typed, an argument's as the usage shows it."""
    name = field.name.replace("_", "-")
    return name.upper() if field.metadata.get("positional") else f"--{name}"


def _with_dashes(message: str, options_type: type) -> str:
    """Name what is missing as it is typed: the parser does without the dashes."""
    before, required, names = message.partition(_REQUIRED)
    if not required:
        return message
    typed = {field.name: _typed(field) for field in dataclasses.fields(options_type)}
    return before + required + ", ".join(typed.get(name, name) for name in names.split(", "))


def _with_presets(command: str, arguments: list[str]) -> list[str]:
    """Put the file of a preset in the place of its name after ``--config``."""
    found = list(arguments)
    for index, word in enumerate(arguments):
        if word.startswith("--config="):
            found[index] = f"--config={_options_file(command, word.removeprefix('--config='))}"
        elif word == "--config" and index + 1 < len(arguments):
            found[index + 1] = str(_options_file(command, arguments[index + 1]))
    return found


def _options_file(command: str, name_or_path: str) -> Path:
    """Return the file of ``--config``, which holds YAML of names and values: the parser's own message names no file."""
    import yaml

    path = config_file(command, name_or_path)
    try:
        held = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = _one_line(error).replace('"<unicode string>", ', "")
        raise ConfigError(f"--config {path} cannot be read as YAML ({reason})") from None
    if not isinstance(held, dict):
        raise ConfigError(f"--config {path} holds no options, one 'name: value' a line")
    return path


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions and examples, names each default, and leaves out marks of docstrings."""

    def format_help(self) -> str:
        return super().format_help().replace("`", "")

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        if action.default in (None, argparse.SUPPRESS, False, []) or "%(default)" in text or action.required:
            return text
        if isinstance(action.default, list | tuple):
            return f"{text} (default: {' '.join(map(str, action.default)).replace('%', '%%')})"
        return f"{text} (default: %(default)s)"


def _add_fields(parser: Any, options_type: type) -> None:
    import docstring_parser

    documented = {
        parameter.arg_name: parameter.description
        for ancestor in reversed(options_type.__mro__)
        for parameter in docstring_parser.parse(ancestor.__doc__ or "").params
    }
    hints = typing.get_type_hints(options_type)
    for field in dataclasses.fields(options_type):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        settings: dict[str, Any] = {"help": (documented.get(field.name) or "").replace("%", "%%")}
        if not required:
            settings["default"] = _default(field)
        hint = hints[field.name]
        if hint is bool:
            settings["action"] = "store_true"
        elif typing.get_origin(hint) in (list, tuple):
            settings |= {"type": typing.get_args(hint)[0], "nargs": "+"}
        else:
            settings["type"] = hint
        if field.metadata.get("positional"):
            parser.add_argument(field.name, **settings)
        else:
            parser.add_argument(
                f"--{field.name.replace('_', '-')}", **settings, **({"required": True} if required else {})
            )


def _default(field: "dataclasses.Field[Any]") -> Any:
    factory: Callable[[], Any] | Any = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


def _overview() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items())
    return (
        f"synthface {synthface.__version__}: synthetic faces, embedding inversion, identity-leakage audit\n\n"
        "usage: synthface COMMAND [options]\n\n"
        f"commands:\n{commands}\n\n"
        "'synthface COMMAND --help' shows a command's options and an example. Start with:\n"
        "  synthface quickstart --out quickstart"
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _fail(message: str, *, code: int = EXIT_USAGE) -> int:
    print(f"synthface: error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
