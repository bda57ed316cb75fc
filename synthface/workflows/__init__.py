"""One module a command: an ``Options`` dataclass, ``EXAMPLES``, and ``run(options)``.

Heavy imports stand inside ``run``, so that ``--help`` answers at once.
"""
