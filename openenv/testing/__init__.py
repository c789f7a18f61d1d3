"""For tests of environments and servers: a contract to inherit, and a proxy that makes faults."""
