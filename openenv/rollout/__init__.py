"""Many episodes at once: collect.py plays and records them."""
