"""The training loop and what surrounds it: models, callbacks, logs, checkpoints, evaluation."""
