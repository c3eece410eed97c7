"""What tools/compare is made of: the wire, the servers, the loads, what they cost, and the report."""
