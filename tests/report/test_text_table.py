import pytest

from synthface.report.text_table import aligned


def test_columns_stand_below_each_other():
    assert aligned([("name", "n", ""), ("a", "1000", "x"), ["b", "2", ""]]) == "name  n\na     1000  x\nb     2\n"
    assert aligned([]) == ""


def test_rows_of_other_lengths_are_an_error():
    with pytest.raises(ValueError, match="shorter"):
        aligned([("a", "b"), ("c",)])
