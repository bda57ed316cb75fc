"""Progress bars: what they say, and who draws them."""

from synthface.workflows.progress import track


def test_a_bar_counts_and_says_the_figures_of_the_last_item(capsys):
    losses = [0.5, 0.25]
    assert list(track(losses, description="learn", unit="step", figures=lambda loss: {"loss": loss})) == losses
    bar = capsys.readouterr().err
    assert "learn: 100%" in bar
    assert "2/2" in bar
    assert "loss=0.25" in bar


def test_what_an_earlier_run_has_done_counts(capsys):
    assert list(track([1, 2], description="embed", total=8, initial=6)) == [1, 2]
    assert "8/8" in capsys.readouterr().err


def test_of_several_processes_the_first_draws(capsys, monkeypatch):
    for rank, drawn in (("1", False), ("0", True)):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert list(track(range(3), description="embed")) == [0, 1, 2]
        assert ("embed" in capsys.readouterr().err) == drawn
