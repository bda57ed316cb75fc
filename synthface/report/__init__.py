"""Self-contained HTML pages, plots and contact sheets."""
