"""What a trial computes on: cores, GPUs, memory, precision, and the images held there."""
