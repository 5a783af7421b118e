"""What every ExampleGen shares: its configuration, its files, and the split of its rows."""
