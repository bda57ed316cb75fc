"""The documents of a release, filled from plain facts: dataset card, datasheet, model card, Croissant, citation."""
