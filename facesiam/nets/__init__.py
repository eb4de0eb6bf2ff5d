"""Siamese networks: trunks, joins, losses, pretrained weights, checkpoints."""
