"""Whether the stack works, and whether it could: probes, answers, proof of the GPU, preflight. Pure."""
