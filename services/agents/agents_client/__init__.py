"""The client of the agents, and the values that they answer with."""
