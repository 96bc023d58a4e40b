"""Several machines on one: hosts in network namespaces, and the cable between them."""
