"""The training loop and its parts: batches, augmentation, optimizers, schedules."""
