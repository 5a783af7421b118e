"""ParquetExampleGen: reads Parquet files."""
