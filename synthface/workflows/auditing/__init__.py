"""Parts of ``audit`` and ``clean``: inputs checked, leaks planted, results written and read back."""
