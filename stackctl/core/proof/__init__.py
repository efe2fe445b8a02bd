"""The proof that the stack works without a network: rehearsal, sightings, receipt. Pure."""
