"""Three agents on top of the gateway: analyse a problem, ask for its context, write its requirements."""
