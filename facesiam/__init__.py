"""Train one Siamese net with one set of settings; knows nothing of a search."""

from facesiam.cli.interrupts import while_importing

while_importing()
