"""Nothing of what an attacker writes into a pickle runs, and every refusal is one plain error."""

import os
import pickle
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import official_format
import pytest
import torch
from official_format import official_generator, write_official_pickle

from gan.official import import_generator, read_networks
from synthface.core.errors import WeightsError

TINY = {"resolution": 8, "z": 2, "c": 0, "w": 2, "n_layers": 1, "base": 8, "most": 2, "clamp": None}


class Call:
    """An object whose pickle calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


def _attacks(marker: Path) -> dict[str, Any]:
    command = f"touch {marker}"
    write = f"open({str(marker)!r}, 'w').close()"
    return {
        "os.system": Call(os.system, command),
        "builtins.eval": Call(eval, write),
        "builtins.exec": Call(exec, write),
        "builtins.getattr": Call(getattr, Call(__import__, "os"), "system"),
        "builtins.__import__": Call(__import__, "os"),
        "subprocess.Popen": Call(subprocess.Popen, ["touch", str(marker)]),
        "torch.load": Call(torch.load, str(marker)),
        "builtins.open": Call(open, str(marker), "w"),
    }


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("name", list(_attacks(Path("unused"))))
@pytest.mark.parametrize("place", ["top", "network", "attribute", "unused part"])
def test_nothing_that_a_pickle_calls_runs(name: str, protocol: int, place: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    attack = _attacks(marker)[name]
    G = official_generator(**TINY)
    networks: dict[str, Any] = {"G_ema": G}
    if place == "top":
        networks["G_ema"] = attack
    elif place == "network":
        G.parts["mapping"] = attack
    elif place == "attribute":
        G.part("synthesis.b4.conv1").attributes["activation"] = attack
    else:
        networks["augment_pipe"] = attack
    file = write_official_pickle(tmp_path / "network.pkl", networks, protocol=protocol)
    with pytest.raises(WeightsError, match="not on the list") as caught:
        import_generator(file)
    assert not marker.exists()
    assert name.rpartition(".")[2] in str(caught.value)


def test_the_attacks_of_these_tests_are_real(tmp_path: Path) -> None:
    for name in ("os.system", "builtins.eval", "builtins.exec", "builtins.open"):
        marker = tmp_path / name
        result = pickle.loads(pickle.dumps(_attacks(marker)[name]))
        if name == "builtins.open":
            result.close()
        assert marker.exists()


def test_source_text_in_the_pickle_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "ran"
    monkeypatch.setattr(official_format, "SOURCE_TEXT", f"open({str(marker)!r}, 'w').close()")
    file = write_official_pickle(tmp_path / "network.pkl", {"G_ema": official_generator(**TINY)})
    assert str(marker).encode() in file.read_bytes()
    assert import_generator(file).resolution == 8
    assert not marker.exists()


def test_a_pickle_inside_a_storage_does_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    attack = pickle.dumps(Call(os.system, f"touch {marker}"), protocol=2)
    file = tmp_path / "network.pkl"
    file.write_bytes(pickle.dumps(Call(torch.storage._load_from_bytes, attack)))
    with pytest.raises(WeightsError, match=r"has a storage that asks for \w+\.system"):
        read_networks(file)
    assert not marker.exists()


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _global(module: str, name: str) -> bytes:
    """A global in the newer form, which takes its names from the stack."""
    return b"\x80\x04" + _text(module) + _text(name) + b"\x93."


# What is wrong with it: part of the message, the pickle.
RAW = {
    "text form": ("posix.system", b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."),
    "posix.system from the stack": ("posix.system", _global("posix", "system")),
    "attribute of a listed type": ("OrderedDict.__init__", _global("collections", "OrderedDict.__init__")),
    "globals of a listed function": ("__globals__", _global("torch._utils", "_rebuild_parameter.__globals__")),
    "name with its module in one": ("not on the list", _global("collections OrderedDict", "")),
    "name that is no text": ("no text", b"\x80\x04" + _text("collections") + b"K\x01\x93."),
    "INST": ("instruction INST", b"\x80\x02(X\x04\x00\x00\x00trueiposix\nsystem\n."),
    "OBJ of a listed name": ("instruction OBJ", b"\x80\x02(ccollections\nOrderedDict\no."),
    "EXT1": ("instruction EXT1", b"\x80\x02\x82\x01."),
    "PERSID": ("instruction PERSID", b"\x80\x02Pabc\n."),
    "BINPERSID": ("values outside itself", b"\x80\x02X\x03\x00\x00\x00abcQ."),
    "call of a text": ("no listed function", b"\x80\x02X\x03\x00\x00\x00abc)R."),
    "call of a result": ("no listed function", b"\x80\x02ccollections\nOrderedDict\n)R)R."),
    "new object of a dictionary": ("no listed function", b"\x80\x02})\x81."),
    "call with a list": ("no listed function", b"\x80\x02ccollections\nOrderedDict\n]R."),
    "too many arguments": ("positional arguments", b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R."),
    "attributes of a dictionary": ("sets attributes", b"\x80\x02}}X\x01\x00\x00\x00aK\x01sb."),
    "attributes of a listed function": (
        "sets attributes",
        b"\x80\x02ccollections\nOrderedDict\n}X\x08\x00\x00\x00__code__K\x01sb.",
    ),
    "attributes of a tuple": ("sets attributes", b"\x80\x02)}X\x01\x00\x00\x00aK\x01sb."),
    "state of a numpy type": ("byte order", b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00f8\x85R}b."),
    "object type of numpy": ("unknown numpy type", b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R."),
    "items of a tuple": ("no dictionary", b"\x80\x02)X\x01\x00\x00\x00aK\x01s."),
    "items of a listed name": ("no dictionary", b"\x80\x02ccollections\nOrderedDict\nX\x01\x00\x00\x00aK\x01s."),
    "append to a dictionary": ("no list", b"\x80\x02}K\x01a."),
    "key that is no text": ("no text", b"\x80\x02}K\x01K\x01s."),
    "unhashable key": ("no text", b"\x80\x02}]K\x01s."),
    "missing memo": ("KeyError", b"\x80\x02h\x05."),
    "empty stack": ("leaves values over", b"\x80\x02."),
    "left over": ("leaves values over", b"\x80\x02NN."),
    "open mark": ("leaves values over", b"\x80\x02(N."),
    "no mark": ("IndexError", b"\x80\x02Nt."),
    "tuple of too few": ("too few values", b"\x80\x02N\x87."),
    "unknown opcode": ("unknown", b"\x80\x02\xff."),
    "no end": ("ends too early", b"\x80\x02N"),
    "bytes longer than the file": ("ends too early", b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x."),
    "text longer than the file": ("ends too early", b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x."),
    "huge integer": ("LONG4", b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x."),
    "unreadable name": ("unreadable name", _global("posix", "\x1b[31msystem")),
}


@pytest.mark.parametrize("name", list(RAW))
def test_crafted_instructions_are_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / "network.pkl"
    message, content = RAW[name]
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=r"network\.pkl .*nothing in the file was run") as caught:
        read_networks(file)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_module_inside_itself_is_refused(tmp_path: Path) -> None:
    state = b"}(" + _text("_parameters") + b"}" + _text("_buffers") + b"}" + _text("_modules") + b"}q\x00u"
    meta = b"}(" + _text("type") + _text("class") + _text("class_name") + _text("A") + _text("state") + state + b"u"
    module = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n" + meta + b"\x85Rq\x01"
    add_to_itself = _text("memo") + b"h\x00" + _text("part") + b"h\x01ss"  # dictionary 0 gets module 1
    file = tmp_path / "network.pkl"
    file.write_bytes(b"\x80\x02}" + _text("G_ema") + module + b"s.")
    assert read_networks(file)["G_ema"].root.class_name == "A"
    file.write_bytes(b"\x80\x02}" + _text("G_ema") + module + b"s" + add_to_itself + b".")
    with pytest.raises(WeightsError, match="nests modules deeper"):
        read_networks(file)


def test_damaged_files_give_an_error_and_never_anything_else(tmp_path: Path) -> None:
    file = write_official_pickle(tmp_path / "network.pkl", {"G_ema": official_generator(**TINY)})
    content = file.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for round_ in range(150):
        changed = bytearray(content)
        if round_ % 3 == 0:
            changed = changed[: int(random.integers(1, len(changed)))]
        for position in random.integers(0, len(changed), 3 if round_ % 3 else 0):
            changed[position] = random.integers(256)
        file.write_bytes(bytes(changed))
        try:
            import_generator(file)
        except WeightsError:
            refused += 1
    assert refused > 75
