"""Many sessions of a pool as one vector."""
