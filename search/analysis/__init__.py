"""What the trials of a run say: effects, overfitting, each rule's record, published figures."""
