import tarfile
import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthface.data.photo_plan import plan_photos
from synthface.data.sources import SourceFile
from synthface.data.untrusted import safe_identity, safe_name


def plan(*names, source="photos", **options):
    return plan_photos([SourceFile(Path(source), name) for name in names], **options)


def paths(*names, **options):
    return [photo.path for photo in plan(*names, **options)]


def people(*names, **options):
    return [photo.identity for photo in plan(*names, **options)]


def test_a_person_is_a_folder():
    planned = plan("Ann_Lee/Ann_Lee_0001.jpg", "Bo/x.y.png")
    assert [photo.identity for photo in planned] == ["Ann_Lee", "Bo"]
    assert [photo.path for photo in planned] == ["images/Ann_Lee/Ann_Lee_0001.png", "images/Bo/x.y.png"]
    assert planned[0].label == "Ann_Lee/Ann_Lee_0001.jpg"


def test_folders_that_all_share_say_nothing_but_others_keep_people_apart():
    assert people("lfw/v1/Ann/1.jpg", "lfw/v1/Bo/1.jpg") == ["Ann", "Bo"]
    assert people("lfw/Ann/1.jpg") == ["Ann"]
    assert people("east/Ann/1.jpg", "west/Ann/1.jpg") == ["east/Ann", "west/Ann"]
    assert len(set(paths("east/Ann/1.jpg", "west/Ann/1.jpg", "east_Ann/1.jpg"))) == 3


def test_photos_in_no_folder_follow_the_rule():
    names = ("Ann_0001.jpg", "Ann_0002.jpg", "7.jpg")
    assert people(*names) == ["Ann_0001", "Ann_0002", "7"]
    assert people(*names, flat_identity="prefix") == ["Ann", "Ann", "7"]
    assert people(*names, flat_identity="source", source="x/Ann.tar") == ["Ann"] * 3


def test_paths_never_meet():
    got = paths("a/1.jpg", "a/1.png", "A/1.jpg", "a/1~2.jpg", "a/1.JPG")
    assert got[0] == "images/a/1.png"
    assert len({path.casefold() for path in got}) == 5


def test_names_that_no_disk_likes_are_made_harmless():
    got = paths("../x.jpg", "a:b/c?.jpg", "con/nul.jpg", ". ./...jpg", "x/" + "é" * 300 + ".jpg", "d/\x07.jpg", "e/")
    assert all(PurePosixPath(path).parts[0] == "images" and len(PurePosixPath(path).parts) == 3 for path in got)
    assert all(len(part.encode()) < 255 for path in got for part in path.split("/"))
    assert paths("李 雷/Ünï 1.jpg", "b/c.jpg")[0] == "images/李 雷/Ünï 1.png"


def test_the_same_name_in_two_sources_is_two_photos():
    files = [SourceFile(Path("one"), "Ann/1.jpg"), SourceFile(Path("two"), "Ann/1.jpg")]
    planned = plan_photos(files)
    assert [photo.identity for photo in planned] == ["Ann", "Ann"]
    assert [photo.label for photo in planned] == ["Ann/1.jpg", "two:Ann/1.jpg"]
    assert len({photo.path for photo in planned}) == 2


def test_a_labelled_set_says_who_a_photo_shows_whatever_its_name():
    labelled = [SourceFile(Path("train.parquet"), "x.jpg", identity=who) for who in ("Ann", "Bo", "Ann", "Ann")]
    planned = plan_photos([*labelled, SourceFile(Path("photos"), "v1/Bo/x.jpg")])
    assert [photo.identity for photo in planned] == ["Ann", "Bo", "Ann", "Ann", "Bo"]
    assert len({photo.path for photo in planned}) == 5
    names = ["x.jpg", "train.parquet:x.jpg", "train.parquet:x.jpg~2", "train.parquet:x.jpg~3", "v1/Bo/x.jpg"]
    assert [photo.label for photo in planned] == names


def test_people_whose_names_cannot_be_printed_keep_a_name_each():
    names = [
        "p\tx",
        "p\\x09x",
        "p\\x5cx09x",
        "p\x1b[31m",
        "p\x7f",
        "p\n",
        "p\x85",
        "p\\u0085",
        "p\\x85",
        "C:\\p",
        "p x",
    ]
    got = people(*(f"{name}/1.jpg" for name in names))
    assert got[:4] == ["p\\x09x", "p\\x5cx09x", "p\\x5cx5cx09x", "p\\x1b[31m"]
    assert got[-3:] == ["p\\x85", "C:\\p", "p x"]  # a byte that is no UTF-8 comes escaped, and stays as it came
    assert len(set(got)) == len(names)
    assert [safe_identity(name) for name in got] == got
    for path in paths(*(f"{name}/1\x9f.jpg" for name in names)):
        assert safe_name(path) == path


def test_people_in_folders_deeper_than_an_identity_is_long_stay_apart():
    deep = "/".join(["a" * 200] * 5)
    got = people(f"{deep}/Ann/1.jpg", f"{deep}/Ann/2.jpg", f"{deep}/Bo/1.jpg", f"{deep[1:]}/Bo/1.jpg")
    assert [safe_identity(name) for name in got] == got
    assert got[0] == got[1]
    assert len(set(got)) == 3


@pytest.mark.parametrize("top", ["", "caf\u00e9/"])
def test_a_name_composed_and_decomposed_is_one_person(top):
    composed, decomposed = "Jos\u00e9", "Jose\u0301"
    names = [f"{top}{composed}/1.jpg", f"{decompose(top)}{decomposed}/1.jpg", f"{top}Ann/1.jpg"]
    planned = plan(*names)
    assert [photo.identity for photo in planned] == [composed, composed, "Ann"]
    assert [photo.path for photo in planned] == [
        f"images/{composed}/1.png",
        f"images/{composed}/1~2.png",
        "images/Ann/1.png",
    ]
    assert [photo.label for photo in planned] == names
    assert people(f"{decomposed}_0001.jpg", f"{composed}_0002.jpg", flat_identity="prefix") == [composed] * 2
    labelled = [SourceFile(Path("train.parquet"), f"{k}", identity=who) for k, who in enumerate((composed, decomposed))]
    assert [photo.identity for photo in plan_photos(labelled)] == [composed] * 2


def decompose(text):
    return unicodedata.normalize("NFD", text)


component = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=12)


@settings(deadline=None, derandomize=True, max_examples=80)
@given(st.lists(st.lists(component, min_size=1, max_size=4).map("/".join), min_size=1, max_size=12, unique=True))
def test_any_names_give_distinct_paths_inside_the_set(names):
    planned = plan(*names)
    assert len({photo.path.casefold() for photo in planned}) == len(names)
    assert len({photo.label for photo in planned}) == len(names)
    for photo in planned:
        parts = photo.path.split("/")
        assert len(parts) == 3
        assert parts[0] == "images"
        assert not {".", "..", ""} & set(parts)
        assert photo.path.endswith(".png")
        assert safe_name(photo.path) == photo.path
        assert safe_identity(photo.identity) == photo.identity
    folder_of = {photo.identity: photo.path.split("/")[1] for photo in planned}
    assert len(set(folder_of.values())) == len(folder_of)


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="this Python is older than 3.11.4")
def test_every_path_would_be_safe_in_an_archive(tmp_path):
    for path in paths("../../a.jpg", "/b.jpg", "c/../../d.jpg"):
        assert tarfile.data_filter(tarfile.TarInfo(path), str(tmp_path)).name == path
