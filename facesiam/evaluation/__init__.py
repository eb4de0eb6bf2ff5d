"""How well a net verifies: predictions, metrics, test protocols."""
