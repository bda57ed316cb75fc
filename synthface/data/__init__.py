"""FaceSets: real, held-out, generated and inverted faces in one form; photos in, images out."""

from synthface.data.embeddings import Embeddings
from synthface.data.faceset import FaceRecord, FaceSet
from synthface.data.faceset_writer import FaceSetWriter

__all__ = ["Embeddings", "FaceRecord", "FaceSet", "FaceSetWriter"]
