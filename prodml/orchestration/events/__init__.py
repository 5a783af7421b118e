"""What happens in a run, for people, event logs and OpenLineage."""
