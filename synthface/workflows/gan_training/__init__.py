"""Parts of ``train-gan``: the loop, what it watches and what it writes."""
