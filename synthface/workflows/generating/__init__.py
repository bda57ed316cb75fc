"""Parts of ``generate``: identities that are no training class, and how new is new."""
