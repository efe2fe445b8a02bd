"""One straight line per job: up, down, health, doctor, models."""
