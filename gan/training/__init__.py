"""The step of the training with its losses and players, its state, and what watches over it."""
