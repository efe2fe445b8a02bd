"""Leases of the servers' slots: no server is ever sent more requests than it has slots for."""
