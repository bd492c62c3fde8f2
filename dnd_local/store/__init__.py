"""Everything that touches disk: parts, pictures, runs, probe sets, prompts, weights."""
