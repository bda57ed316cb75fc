"""A table of attributes: what it says of each image, what is wrong with it in one line, and that it is learnt."""

import multiprocessing
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from synthface.core.errors import AuditError, ConfigError, DataError
from synthface.recognition.losses import LOSSES
from synthface.recognition.losses.identity_triplet import MISSING
from synthface.workflows.auditing.attributes import read_attributes as read_groups
from synthface.workflows.training_recognizers.attributes import read_attributes


def _write(tmp_path, text, name="table.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_path_goes_before_its_identity_and_empty_says_nothing(make_faceset, tmp_path):
    people = make_faceset("train", identities=3, per_identity=2)
    csv = (
        "identity,path,pose,glasses\nP0,,left,no\nP1,,right,\n,images/P0_0002.png,,yes\nelsewhere,,up,no\n"
        ',images/P2_0001.png,"a, b",no\n'
    )
    rows = (
        '{"identity": "P0", "pose": "left", "glasses": "no"}\n\n{"identity": "P1", "pose": "right", "glasses": null}\n'
        '{"path": "images/P0_0002.png", "glasses": "yes"}\n{"path": "images/P2_0001.png", "pose": "a, b", '
        '"glasses": "no"}\n{"identity": "elsewhere", "pose": "up"}\n'
    )
    for path in (_write(tmp_path, csv), _write(tmp_path, "\ufeff" + csv), _write(tmp_path, rows, "table.jsonl")):
        found = read_attributes(path, people)
        assert found.names == ("glasses", "pose")
        assert found.values == (("no", "yes"), ("a, b", "left", "right"))
        # P0_1, P0_2, P1_1, P1_2, P2_1, P2_2
        assert found.labels.tolist() == [[0, 1], [1, 1], [-1, 2], [-1, 2], [0, 0], [-1, -1]]


def test_a_name_is_found_in_either_spelling_of_its_accents(tmp_path):
    people = [("images/1.png", "Jos\u00e9"), ("images/Zoe\u0308.png", "Ann")]
    faces = SimpleNamespace(
        records=[SimpleNamespace(path=path, identity=identity) for path, identity in people],
        identities=[identity for _, identity in people],
    )
    table = _write(tmp_path, "identity,path,pose\nJose\u0301,,left\n,images/Zo\u00eb.png,right\n")
    assert read_attributes(table, faces).labels.tolist() == [[0], [1]]
    with pytest.raises(DataError, match=r"line 3: identity .* comes twice"):
        read_attributes(_write(tmp_path, "identity,pose\nJose\u0301,left\nJos\u00e9,right\n"), faces)
    table = _write(tmp_path, "identity,sex\nJose\u0301,m\nAnn,f\n", "audited.csv")
    assert read_groups(table, {"Jos\u00e9", "Ann"}) == {"sex": {"Jos\u00e9": "m", "Ann": "f"}}
    table = _write(tmp_path, "identity,sex\nJose\u0301,m\nJos\u00e9,f\n", "twice.csv")
    with pytest.raises(AuditError, match="twice"):
        read_groups(table, {"Jos\u00e9", "Ann"})


def test_truth_values_and_numbers_are_kinds(make_faceset, tmp_path):
    people = make_faceset("train", identities=2, per_identity=1)
    text = '{"identity": "P0", "hat": true, "age": 20}\n{"identity": "P1", "hat": false, "age": 30}\n'
    found = read_attributes(_write(tmp_path, text, "t.jsonl"), people)
    assert found.values == (("20", "30"), ("false", "true"))
    assert found.labels.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "identity,pose\nP0,left\nP0,right\n", "line 3: identity P0 comes twice"),
        ("a.csv", "identity,pose\nP0\n", "line 2: a row of 1 cells below a header of 2"),
        ("a.csv", "identity,pose,pose\nP0,a,b\n", "line 1: two columns have one name"),
        ("a.csv", "name,pose\nP0,left\n", "line 2: a row names an image by path or a person by identity"),
        ("a.csv", "identity,path,pose\nP0,images/x.png,left\n", "one of the two"),
        ("a.csv", 'identity,pose\nP0,"le\n', "unexpected end of data"),
        ("a.csv", "identity,pose\nP0,\x1b[31m\n", "give a text, a number or a truth value"),
        ("a.csv", b"identity,pose\nP0,\xff\n", "no text in UTF-8"),
        ("a.csv", "", "holds no attribute"),
        ("a.csv", "identity\nP0\n", "holds no attribute"),
        ("a.csv", "identity,pose\n" + "x" * (2**20 + 1), "line 2: longer than 1 MB"),
        ("a.jsonl", '{"identity": "P0", "pose": ["left"]}', "line 1: pose is"),
        ("a.jsonl", '{"identity": "P0"}\n{"identity": 1, "pose": "x"}', "line 2: a row names"),
        ("a.jsonl", '{"identity": "P0", "age": NaN}', "line 1: metadata that is no JSON"),
        ("a.jsonl", "[" * 100_000, "line 1: metadata that is no JSON"),
        ("a.jsonl", "7\n", "line 1: metadata that is no JSON object"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(make_faceset, tmp_path, name, text, message):
    people = make_faceset("train", identities=2, per_identity=1)
    with pytest.raises(DataError, match=r"--attributes .*a\.") as caught:
        read_attributes(_write(tmp_path, text, name), people)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_of_others_or_of_measurements_is_refused(make_faceset, tmp_path):
    people = make_faceset("train", identities=2, per_identity=1)
    with pytest.raises(
        ConfigError, match=r"no identity of its rows is in --faces .the first is nobody; --faces has P0"
    ):
        read_attributes(_write(tmp_path, "identity,pose\nnobody,left\n"), people)
    with pytest.raises(ConfigError, match="pose has 1 of the 2 to 1000 different values"):
        read_attributes(_write(tmp_path, "identity,pose\nP0,left\nP1,left\n"), people)
    with pytest.raises(DataError, match="does not exist"):
        read_attributes(tmp_path / "none.csv", people)


def test_the_workflow_learns_them(make_faceset, tmp_path):
    from synthface.workflows import train_recognizer
    from synthface.workflows.train_recognizer import Options

    people = make_faceset("train")
    table = _write(tmp_path, "identity,side\n" + "".join(f"P{k},{'ab'[k % 2]}\n" for k in range(5)))
    tiny = {"input_size": 32, "width": 0.125, "embedding_dim": 16, "batch": 16, "augment": "none", "lr": 0.02}

    def train(name, **changes):
        options = {"loss": "id-triplet", "attributes": table, "epochs": 4} | changes
        train_recognizer.run(Options(faces=people.root, out=tmp_path / name, **(tiny | options)))
        return (tmp_path / name / "run.json").read_text(), (tmp_path / name / "recognizer.safetensors").read_bytes()

    record, weights = train("with")
    assert "table.csv" not in record
    assert '"attributes"' in record
    assert b"attribute_heads" not in weights
    assert train("again")[1] == weights
    assert train("without", attributes=None)[1] != weights
    with pytest.raises(ConfigError, match="--loss cosface does not learn them; give --loss id-triplet"):
        train("cosface", loss="cosface")
    with pytest.raises(ConfigError, match="--attributes: --strategy transfer learns from no labels"):
        train("transfer", strategy="transfer", teacher="x")
    with pytest.raises(DataError, match=r"--attributes .* does not exist"):
        train("none", attributes=tmp_path / "none.csv")


def _gradients(rank, count):
    head = LOSSES["id-triplet"](4, 6, lam_t=0.0, lam_a=2.0, attribute_sizes=(3, 2), seed=1).double()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 6, generator=generator, dtype=torch.float64)
    attributes = torch.randint(-1, 2, (8, 2), generator=generator)
    attributes[0::2, 0] = MISSING  # all of the first process's
    head.attribute_term(x[rank::count], attributes[rank::count]).backward()
    return np.concatenate([head.attribute_heads[k].weight.grad.numpy() for k in range(2)])


def _worker(rank, address, queue):
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=2)
    queue.put(_gradients(rank, 2))
    dist.destroy_process_group()


@pytest.mark.slow
def test_unlabelled_images_are_left_out_of_the_mean_in_any_number_of_processes(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_worker, args=(rank, tmp_path / "store", queue)) for rank in range(2)]
    for worker in workers:
        worker.start()
    mean = sum(queue.get(timeout=1200) for _ in workers) / 2  # what DDP does
    for worker in workers:
        worker.join(30)
    np.testing.assert_allclose(mean, _gradients(0, 1), rtol=1e-6, atol=1e-9)
