"""Events of a run, for the console, event logs and OpenLineage."""
