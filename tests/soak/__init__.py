"""Long runs: what holds for a minute must hold for hours."""
