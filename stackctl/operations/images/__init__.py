"""Images of this machine: pin, prune."""
