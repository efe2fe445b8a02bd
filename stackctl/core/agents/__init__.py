"""What the agents are asked for a file, and what a run of all three has so far."""
