"""Which settings to try next, which trials to stop, what was learned."""

from facesiam.cli.interrupts import while_importing

while_importing()
