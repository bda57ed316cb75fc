"""MTCNN face detection with five landmarks, in torch; the weights come from the ``mtcnn`` wheel."""
