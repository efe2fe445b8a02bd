"""All input and output, and no decisions; rooms by what is spoken to: this machine, files, Docker, registries, HTTP."""
