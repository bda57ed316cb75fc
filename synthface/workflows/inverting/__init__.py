"""Parts of ``invert``: targets, what is made of them, scoring, results."""
