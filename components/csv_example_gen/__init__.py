"""CsvExampleGen: reads CSV files."""
