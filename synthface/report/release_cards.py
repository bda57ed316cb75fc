"""The documents of a released set: README.md, DATASHEET.md, MODEL_CARD.md, CITATION.cff and croissant.json."""

from synthface.report.cards.facts import ReleaseFacts, ReleaseFile, Stated

__all__ = ["ReleaseFacts", "ReleaseFile", "Stated", "release_documents"]


def release_documents(facts: ReleaseFacts) -> dict[str, bytes]:
    """Return name and content of every document; the same facts give the same bytes.

    No name of an identity, of the set or of a person, is in any of them. Importing this module costs nothing, so
    that options may use ``Stated``; what fills the documents is imported here.
    """
    from synthface.report.cards.citation import citation
    from synthface.report.cards.croissant import croissant
    from synthface.report.cards.markdown import markdown_documents

    return {
        **markdown_documents(facts),
        "CITATION.cff": citation(facts),
        "croissant.json": croissant(facts),
    }
