"""What tests of environments and servers need: faults on purpose, and contracts."""
