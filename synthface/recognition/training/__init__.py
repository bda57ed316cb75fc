"""Training a recogniser: batches and augmentation, the student and its teacher, the optimiser, the run's files."""
