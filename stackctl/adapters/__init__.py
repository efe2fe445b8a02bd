"""All input and output, and no decisions: processes, Docker, HTTP, files."""
