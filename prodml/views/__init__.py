"""Read-only models of runs, artifacts and lineage."""
