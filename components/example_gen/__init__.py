"""The code that every ExampleGen shares: configuration, input files, and splitting of rows."""
