"""Sets and sorts that take little memory say the same as the built-in ones."""

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthface.core.digest_set import DigestSet
from synthface.core.external_sort import sort_lines


@given(st.lists(st.text(max_size=5), max_size=60), st.lists(st.text(max_size=5), max_size=20))
def test_a_digest_set_answers_as_a_set_does(added: list[str], asked: list[str]) -> None:
    compact = DigestSet()
    for text in added:
        compact.add(text)
    assert len(compact) == len(set(added))
    assert [text in compact for text in [*added, *asked]] == [text in set(added) for text in [*added, *asked]]


def test_a_digest_set_grows_without_losing_any() -> None:
    compact = DigestSet()
    tracemalloc.start()
    for number in range(5_000):
        compact.add(f"images/identity-{number:09d}/00000.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(compact) == 5_000
    assert all(f"images/identity-{number:09d}/00000.png" in compact for number in range(5_000))
    assert not any(f"images/identity-{number:09d}/00001.png" in compact for number in range(5_000))
    assert peak < 5_000 * 72 + 20_000


@given(
    st.lists(
        st.tuples(st.text(max_size=3), st.text(st.characters(exclude_characters="\r\n"), max_size=5)), max_size=40
    ),
    st.integers(1, 7),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lines_are_sorted_as_in_memory(tmp_path: Path, pairs: list[tuple[str, str]], lines_a_run: int) -> None:
    assert list(sort_lines(pairs, tmp_path, lines_a_run=lines_a_run)) == sorted(dict(pairs).items())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_lines", [0, 1, 5, 6])
def test_whole_and_broken_runs(tmp_path: Path, n_lines: int) -> None:
    pairs = [(str(k), "x") for k in range(n_lines)]
    assert list(sort_lines(reversed(pairs), tmp_path, lines_a_run=3)) == pairs
